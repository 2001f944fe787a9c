"""What a run may do, what it is told, and what it may not reach, in the embedded interpreter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_support import NOW, QUICK

from fhirtasks.sandbox.embedded import EmbeddedSandbox, EmbeddedSession
from fhirtasks.sandbox.execution import Capture, Limits

SECRET = "a-secret-of-the-host"


def test_names_persist_within_an_episode_and_not_beyond(box: EmbeddedSandbox, session: EmbeddedSession) -> None:
    assert session.run("rows = [3, 1]").end == "ok"
    assert session.run("print(sorted(rows))").output == "[1, 3]\n"
    other = box.session(NOW, "seed", QUICK)
    try:
        assert "NameError" in other.run("print(rows)").error
    finally:
        other.close()


def test_what_is_given_can_be_read(session: EmbeddedSession) -> None:
    names = {"resources": '{"Patient":[{"id":"a","active":true,"n":2,"x":1.5,"none":null}]}', "now": '"2141"'}
    done = session.run("print(resources['Patient'][0])", names)
    assert done.output == "{'id': 'a', 'active': True, 'n': 2, 'x': 1.5, 'none': None}\n"
    assert session.run("print(now)").output == "2141\n"


def test_clock_randomness_and_hashes_are_fixed(box: EmbeddedSandbox) -> None:
    code = (
        "import datetime, random, time\n"
        "print(datetime.datetime.now(), random.random(), time.time(), time.perf_counter(), hash('a'), {'b', 'a', 'c'})\n"
        "def f():\n  return 1\nprint(f, id(f) > 0)"
    )
    outputs = set()
    for _ in range(3):
        session = box.session(NOW, "seed", QUICK)
        outputs.add(session.run(code).output)
        session.close()
    with EmbeddedSandbox() as other:
        session = other.session(NOW, "seed", QUICK)
        outputs.add(session.run(code).output)
        session.close()
    assert len(outputs) == 1
    assert "2141-03-05 08:30:00" in outputs.pop()


def test_another_seed_is_another_randomness(box: EmbeddedSandbox) -> None:
    outputs = set()
    for seed in ("a", "b"):
        session = box.session(NOW, seed, QUICK)
        outputs.add(session.run("import random\nprint(random.random())").output)
        session.close()
    assert len(outputs) == 2


def test_an_exception_is_told_without_paths_and_the_episode_goes_on(session: EmbeddedSession) -> None:
    done = session.run("print('before')\nrows = []\nprint(rows[0])")
    assert (done.end, done.output) == ("exception", "before\n")
    assert done.error.splitlines()[-1] == "IndexError: list index out of range"
    assert 'File "code.py", line 3' in done.error
    assert "python-input" not in done.error
    assert session.run("print(len(rows))").output == "0\n"


@pytest.mark.parametrize(
    "code, word",
    [
        ("open('/etc/passwd').read()", "PermissionError"),
        ("open('x', 'w').write('1')", "PermissionError"),
        ("import pathlib\nprint(pathlib.Path('/').exists())\nprint(list(pathlib.Path('/').iterdir()))", "Error"),
        ("import os\nprint(os.environ)", "Error"),
        ("import os\nprint(os.getenv('FHIRTASKS_SECRET'))", "Error"),
        ("import os\nos.system('id')", "Error"),
        ("import os\nos.fork()", "Error"),
        ("import os\nos.symlink('/etc/passwd', 'p')", "Error"),
        ("import socket", "ModuleNotFoundError"),
        ("import urllib.request", "ModuleNotFoundError"),
        ("import subprocess", "ModuleNotFoundError"),
        ("import ctypes", "ModuleNotFoundError"),
        ("import pickle", "ModuleNotFoundError"),
        ("import signal", "ModuleNotFoundError"),
        ("import multiprocessing", "ModuleNotFoundError"),
        ("import gc", "ModuleNotFoundError"),
        ("import importlib", "ModuleNotFoundError"),
        ("__import__('os')", "NameError"),
        ("print(().__class__.__base__.__subclasses__())", "AttributeError"),
        ("print('{0.__class__}'.format(1))", "AttributeError"),
        ("print((lambda: 0).__globals__)", "AttributeError"),
        ("import sys\nprint(sys._getframe())", "AttributeError"),
        ("import sys\nprint(sys.modules)", "AttributeError"),
        ("import json\nprint(json.codecs)", "AttributeError"),
        ("import re\nprint(re.enum)", "AttributeError"),
    ],
)  # fmt: skip
def test_there_is_nothing_to_escape_to(
    session: EmbeddedSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, word: str
) -> None:
    monkeypatch.setenv("FHIRTASKS_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    done = session.run(code)
    assert done.end == "exception", done
    assert word in done.error
    assert SECRET not in done.output + done.error
    assert not list(tmp_path.iterdir())
    assert session.run("print('alive')").output == "alive\n"


@pytest.mark.parametrize(
    "code, end",
    [
        ("rows = ['x']\nwhile True:\n  rows = rows + rows", "memory"),
        ("a = 'x' * 10**11", "memory"),
        ("print(9**9**9)", "memory"),
        ("def f(n):\n  return f(n + 1)\nf(0)", "exception"),
        ("while True:\n  print('flood of output')", "output"),
        ("import re\nre.match('(a+)+$', 'a' * 5000 + 'b')", "ok"),
    ],
)
def test_bombs_are_stopped(box: EmbeddedSandbox, code: str, end: str) -> None:
    session = box.session(NOW, "seed", QUICK)
    try:
        assert session.run(code).end == end
    finally:
        session.close()
    after = box.session(NOW, "seed", QUICK)
    try:
        assert after.run("print(1)").output == "1\n"
    finally:
        after.close()


def test_a_run_that_was_stopped_for_time_ends_the_session(box: EmbeddedSandbox) -> None:
    session = box.session(NOW, "seed", Limits(seconds=0.1))
    try:
        first = session.run("while True:\n  pass")
        assert not first.reproducible
        assert session.run("print(1)") == first
    finally:
        session.close()


@pytest.mark.parametrize("code", ["('b' * 10**6).join('a' * 10**6)", "x = 1\n" * 10**6])
def test_one_allocation_too_large_ends_the_session_for_memory(box: EmbeddedSandbox, code: str) -> None:
    session = box.session(NOW, "seed")
    try:
        first = session.run(code)
        assert (first.end, first.error, first.reproducible) == ("memory", "MemoryError: more than 256 MiB", True)
        assert session.run("print(1)") == first
    finally:
        session.close()
    after = box.session(NOW, "seed")
    assert after.run("print(1)").output == "1\n"
    claimed = after.run("raise MemoryError('the worker exceeded its memory limit and was terminated')")
    assert claimed.end == "exception" and after.run("print(2)").output == "2\n"
    after.close()


def test_code_cannot_claim_that_time_stopped_it(session: EmbeddedSession) -> None:
    done = session.run("raise TimeoutError('feed time limit exceeded: 1 > 0')")
    assert (done.end, done.reproducible) == ("exception", True)


def test_a_flood_reads_the_same_wherever_it_was_stopped(box: EmbeddedSandbox) -> None:
    seen = set()
    for _ in range(3):
        session = box.session(NOW, "seed", QUICK)
        seen.add(session.run("while True:\n  print('0123456789' * 8)"))
        session.close()
    assert len(seen) == 1


def test_nothing_of_other_processes_is_inherited(box: EmbeddedSandbox) -> None:
    """The workers live beside us: none of them may hold our environment open to the code, or our files."""
    box.session(NOW, "seed", QUICK).close()
    before = set(os.listdir("/proc/self/fd"))
    session = box.session(NOW, "seed", QUICK)
    session.run("print(1)")
    session.close()
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 2


@given(st.lists(st.text(max_size=300), max_size=30))
@settings(max_examples=200)
def test_what_is_shown_is_the_beginning_and_the_end(pieces: list[str]) -> None:
    capture = Capture(Limits(shown=90))
    for piece in pieces:
        capture.write(piece)
    whole = "".join(pieces)
    shown = capture.text()
    if len(whole) <= 90:
        assert shown == whole
    else:
        head, rest = shown[:45], shown[45:]
        assert whole.startswith(head)
        mark, _, tail = rest.partition("…]\n")
        assert tail == whole[-45:]
        assert f"{len(whole) - 90:,} characters omitted of {len(whole):,}" in mark


def test_a_tail_of_many_small_pieces() -> None:
    capture = Capture(Limits(shown=30))
    for number in range(5_000):
        capture.write(f"{number}\n")
    assert capture.text().endswith("\n4998\n4999\n")
