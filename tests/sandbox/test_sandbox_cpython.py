"""What a run of full CPython is given and tells, and where it is refused."""

from __future__ import annotations

import sys
import time

import pytest
from sandbox_support import NOW, QUICK, run

from fhirtasks.episodes import code as code_protocol
from fhirtasks.errors import UserError
from fhirtasks.sandbox import forkserver, probes
from fhirtasks.sandbox.execution import Limits
from fhirtasks.sandbox.forkserver import CpythonSandbox
from fhirtasks.sandbox.results import Result


def test_what_is_given_can_be_read_and_names_do_not_persist(cpython: CpythonSandbox) -> None:
    session = cpython.session(NOW, "seed", QUICK)
    names = {"resources": '{"Patient":[{"id":"a","active":true,"n":2,"x":1.5,"none":null}]}', "now": '"2141 – é"'}
    done = session.run("print(resources['Patient'][0], now)\nrows = 1", names)
    assert done.output == "{'id': 'a', 'active': True, 'n': 2, 'x': 1.5, 'none': None} 2141 – é\n"
    assert "NameError" in session.run("print(rows)").error
    assert "NameError" in session.run("print(resources)").error


def test_classes_generators_and_the_library_are_there(cpython: CpythonSandbox) -> None:
    done = run(
        cpython,
        "import csv, dataclasses, difflib, fractions, html, io, statistics, textwrap, typing, xml.etree.ElementTree, zlib\n"
        "class A:\n  x = 1\nclass B(A):\n  pass\n"
        "@dataclasses.dataclass\nclass C:\n  n: int\n"
        "def odd():\n  yield from (1, 3)\n"
        "print(B().x, C(2), sum(odd()), statistics.median([1, 5, 2]), 'é'.encode('cp1252'), __name__)",
    )
    assert (done.end, done.output) == ("ok", "1 C(n=2) 4 2 b'\\xe9' __main__\n")


def test_clock_randomness_and_hashes_are_fixed(cpython: CpythonSandbox) -> None:
    code = (
        "import datetime, os, random, secrets, time, uuid\n"
        "print(datetime.datetime.now(), datetime.date.today(), datetime.datetime.now(datetime.timezone.utc).isoformat())\n"
        "print(time.time(), time.perf_counter(), time.process_time(), time.localtime()[:6], time.strftime('%H %z'))\n"
        "start = time.time()\ntime.sleep(60)\nprint(time.time() - start)\n"
        "print(random.random(), random.Random().random(), random.SystemRandom().random(), secrets.token_hex(4))\n"
        "print(os.urandom(4), uuid.uuid4(), uuid.uuid1(), os.getpid(), hash('a'), {'b', 'a', 'c'}, object())"
    )
    outputs = {run(cpython, code).output for _ in range(3)}
    with CpythonSandbox() as other:
        outputs.add(run(other, code).output)
    assert len(outputs) == 1
    first = outputs.pop()
    assert first.startswith("2141-03-05 08:30:00 2141-03-05 2141-03-05T13:30:00+00:00\n")
    assert first.endswith("<object object at 0x…>\n")
    session = cpython.session(NOW, "another seed", QUICK)
    assert session.run("import random\nprint(random.random())").output not in first


@pytest.mark.parametrize(
    "now, told",
    [("2141-03-05T08:30:00Z", "08:30 +0000"), ("2141-03-05T08:30:00+05:45", "08:30 +0545"), (NOW, "08:30 -0500")],
)
def test_local_time_is_the_tasks(cpython: CpythonSandbox, now: str, told: str) -> None:
    done = cpython.session(now, "s", QUICK).run("import time\nprint(time.strftime('%H:%M %z'))")
    assert done.output == f"{told}\n"


def test_an_exception_is_told_without_paths_or_addresses(cpython: CpythonSandbox) -> None:
    done = run(cpython, "print('before')\nimport json\njson.loads('{')")
    assert (done.end, done.output) == ("exception", "before\n")
    assert 'File "code.py", line 3' in done.error
    assert 'File "json/decoder.py"' in done.error
    assert sys.prefix not in done.error and sys.base_prefix not in done.error and "sandbox" not in done.error
    assert " at 0x…" in run(cpython, "raise ValueError(object())").error
    assert run(cpython, "def f(").error.splitlines()[-1] == "SyntaxError: '(' was never closed"
    assert run(cpython, "x = '\ud800'").error == "SyntaxError: the code is not UTF-8 text"


@pytest.mark.parametrize(
    "code, end, error",
    [
        ("raise SystemExit", "ok", ""),
        ("exit(0)", "ok", ""),
        ("import sys\nsys.exit('why')", "exception", "SystemExit: why"),
        ("import os\nos._exit(0)", "exception", "SystemExit: the code ended the interpreter"),
        ("raise MemoryError", "memory", "MemoryError: more than 64 MiB"),
        ("raise KeyboardInterrupt", "exception", "KeyboardInterrupt"),
        ("import os\nos.close(3)", "exception", "SystemExit: the code ended the interpreter"),
        ("import os\nos.close(3)\nwhile True:\n  pass", "exception", "SystemExit: the code ended the interpreter"),
        ("import os\nos.write(3, b'x' * 9)", "exception", "not its own; print instead"),
        ("import ctypes\nctypes.string_at(0)", "crashed", "the interpreter broke"),
        ("import numpy", "exception", "ModuleNotFoundError: No module named 'numpy'"),
    ],
)
def test_ends(cpython: CpythonSandbox, code: str, end: str, error: str) -> None:
    done = run(cpython, code)
    assert done.end == end
    assert done.error.endswith(error)
    assert bool(error) == bool(done.error)


def test_the_32_bit_way_into_the_kernel_ends_the_run(cpython: CpythonSandbox) -> None:
    """Machine code that calls int 0x80: other numbers, which the filter does not look at."""
    code = (
        "import ctypes, mmap\n"
        "page = mmap.mmap(-1, 4096, prot=7)\npage.write(bytes.fromhex('b8 14 00 00 00 cd 80 c3'))\n"  # getpid
        "function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))\nprint(function())"
    )
    assert run(cpython, code).end == "crashed"


def test_output_is_capped_as_everywhere(cpython: CpythonSandbox) -> None:
    limits = Limits(seconds=3.0, memory=64 << 20, shown=90)
    done = run(cpython, "for n in range(1000):\n  print(n)", limits)
    assert done.output.startswith("0\n1\n")
    assert "characters omitted of 3,890 in 1,000 lines" in done.output
    assert done.output.endswith("\n998\n999\n")
    assert done.printed == 3890
    both = run(
        cpython, "import sys\nprint('a')\nprint('b', file=sys.stderr)\nsys.stdout.write('c')\nsys.stdout.buffer.flush()"
    )
    assert both.output == "a\nb\nc"


@pytest.mark.parametrize("cut", [1, 3, 7, 1000])
def test_results_are_read_in_any_pieces(cut: int) -> None:
    data = b"o\0\0\0\x03a\xc3\xa9" + b"e\0\0\0\x041why"
    result = Result(100)
    for start in range(0, len(data), cut):
        result.feed(data[start : start + cut])
    assert (result.text, result.printed, result.end, result.full) == ("aé", 2, ("exception", "why"), False)
    result.feed(b"o\0\0\0\x01x")
    assert result.forged


@pytest.mark.parametrize(
    "data", [b"x\0\0\0\0", b"o\0\0\0\0", b"o\xff\xff\xff\xff", b"e\0\0\0\0", b"e\0\0\0\x01?", b"\0" * 50]
)
def test_what_is_no_result_is_forged(data: bytes) -> None:
    result = Result(100)
    result.feed(data)
    assert result.forged and result.end is None


def test_what_a_run_says_of_its_end_counts_only_if_it_ends(cpython: CpythonSandbox) -> None:
    code = "import os, struct\nos.write(3, struct.pack('!cI', b'e', 1) + b'0')\nwhile True:\n  pass"
    assert run(cpython, code, Limits(seconds=0.2, memory=64 << 20)).end == "time"


@pytest.mark.parametrize("frame", ["b'o', 0)", "b'o', 1) + b'\\xe2'"])
def test_who_writes_faster_than_is_read_is_stopped_all_the_same(cpython: CpythonSandbox, frame: str) -> None:
    code = f"import os, struct\nframes = (struct.pack('!cI', {frame}) * 10_000\nwhile True:\n  os.write(3, frames)"
    start = time.monotonic()
    assert run(cpython, code, Limits(seconds=0.2, memory=64 << 20)).end in ("exception", "time", "output")
    assert time.monotonic() - start < 3


def test_a_platform_without_what_it_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forkserver.platform, "machine", lambda: "riscv64")
    with pytest.raises(UserError, match=r"not safe on this machine: .*riscv64.*Use the embedded one"):
        CpythonSandbox().__enter__()


def test_a_probe_that_does_not_hold_refuses_the_sandbox(
    cpython: CpythonSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = probes.Probe("arithmetic", "print(1 + 1)", output="3")
    monkeypatch.setattr(forkserver, "PROBES", (*probes.PROBES[:2], broken))
    opened = CpythonSandbox()
    with pytest.raises(UserError, match="the probe 'arithmetic' did not hold"):
        opened.__enter__()
    assert opened.processes == []


def test_a_zygote_that_cannot_confine_itself_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        forkserver,
        "_START",
        "import sys; sys.path.append({root!r}); from fhirtasks.sandbox import lockdown, zygote; "
        "lockdown.landlock_abi = lambda: 0; zygote.main({control})",
    )
    with pytest.raises(UserError, match="this kernel has no Landlock"):
        CpythonSandbox().__enter__()


def test_the_tools_tell_of_the_interpreter_in_use() -> None:
    told = [schema["function"]["description"] for schema in code_protocol.SCHEMAS]
    other = [schema["function"]["description"] for schema in code_protocol.CPYTHON_SCHEMAS]
    (at,) = (number for number, text in enumerate(told) if text != other[number])
    assert "classes cannot inherit" in told[at]
    assert "inherit" not in other[at] and "generators" not in other[at] and "standard library" in other[at]
