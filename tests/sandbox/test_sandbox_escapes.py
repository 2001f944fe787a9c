"""Attempts to get out of either sandbox, to pretend, or to outlive a run: what one may see of it is the same afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sandbox_support import QUICK, SHORT, Box, run

from fhirtasks.sandbox.execution import Limits
from fhirtasks.sandbox.forkserver import CpythonSandbox

SECRET = "a-secret-of-the-host"
HARMLESS = ("exception", "memory", "output", "crashed")
"""Ends of a run whose attempt failed."""

ATTEMPTS = {
    "read a file": "print(open({secret!r}).read())",
    "read it by os": "import os\nprint(os.read(os.open({secret!r}, 0), 99))",
    "read it by path": "import pathlib\nprint(pathlib.Path({secret!r}).read_text())",
    "read it from its directory": "import os\nfd = os.open({folder!r}, 0)\nprint(os.open('secret.txt', 0, dir_fd=fd))",
    "write a file": "open({folder!r} + '/made', 'w').write('x')",
    "make a folder": "import os\nos.mkdir({folder!r} + '/made')",
    "link to a file": "import os\nos.symlink({secret!r}, {folder!r} + '/made')\nprint(open({folder!r} + '/made').read())",
    "hard link": "import os\nos.link({secret!r}, {folder!r} + '/made')",
    "remove a file": "import os\nos.remove({secret!r})",
    "look at a file": "import os\nprint(os.stat({secret!r}).st_size)",
    "list a folder": "import os\nprint(os.listdir({folder!r}))",
    "follow a link of the system": "import os\nprint(os.readlink('/proc/self/exe'))",
    "mount": "import ctypes\nassert ctypes.CDLL(None).mount(b'none', {folder!r}.encode(), b'tmpfs', 0, None) == 0",
    "read the environment": "import os\nprint(os.environ['FHIRTASKS_SECRET'])",
    "read it from proc": "print(open('/proc/self/environ').read())",
    "read the parent's": "import os\nprint(open(f'/proc/{{os.getppid()}}/environ').read())",
    "read the first process's": "print(open('/proc/1/environ').read())",
    "read memory": "print(open('/proc/self/mem', 'rb').read(1))",
    "list open files": "import os\nprint(os.listdir('/proc/self/fd'))",
    "connect": "import socket\nsocket.create_connection(('127.0.0.1', {port}))",
    "send a datagram": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "listen": "import socket\nsocket.create_server(('127.0.0.1', 0))",
    "fetch an address": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}/')",
    "fork": "import os\nos.fork()",
    "fork without end": "import os\nwhile True:\n  os.fork()",
    "run a command": "import os\nassert os.system('touch ' + {folder!r} + '/made') == 0",
    "run a program": "import subprocess\nsubprocess.run(['touch', {folder!r} + '/made'])",
    "become a program": "import os\nos.execv('/bin/sh', ['sh'])",
    "a pool of processes": "import multiprocessing\nmultiprocessing.Pool(2).map(str, [1])",
    "a thread": "import threading\nthreading.Thread(target=print).start()",
    "kill the parent": "import os\nos.kill(os.getppid(), 9)",
    "kill everyone": "import os\nos.kill(-1, 9)",
    "trace the parent": "import ctypes\nassert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0",
    "raise a limit": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "a pickle that runs a command": (
        "import os, pickle\nclass A:\n  def __reduce__(self):\n    return (os.mkdir, ({folder!r} + '/made',))\n"
        "pickle.loads(pickle.dumps(A()))"
    ),
    "any subclass that opens": (
        "found = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'FileIO']\nprint(found[0]({secret!r}).read())"
    ),
    "an outer frame": (
        "import sys\nframe = sys._getframe()\nwhile frame.f_back:\n  frame = frame.f_back\n"
        "print(frame.f_globals['os'].listdir({folder!r}))"
    ),
    "the garbage collector": (
        "import gc\n[o for o in gc.get_objects() if callable(o) and getattr(o, '__name__', '') == 'fork'][0]()"
    ),
    "a built-in of json": "import json\nprint(json.codecs.builtins.open({secret!r}).read())",
    "an attribute in a format": (
        "import os\nprint('{{0.__init__.__globals__[os].environ[FHIRTASKS_SECRET]}}'.format(os._wrap_close))"
    ),
    "code made by hand": "print(eval(compile('open({secret!r}).read()', 'x', 'eval')))",
    "a crash": "import ctypes\nctypes.string_at(0)",
    "an end of the interpreter": "import os\nos._exit(0)",
    "an abort": "import os\nos.abort()",
    "input": "print(input())",
    "its own pipe, garbage": "import os\nos.write(3, b'\\xff' * 40)",
    "its own pipe, a second end": (
        "import os, struct\nos.write(3, struct.pack('!cI', b'e', 5) + b'0done' + struct.pack('!cI', b'e', 5) + b'0done')"
    ),
    "its own pipe, an endless frame": "import os, struct\nos.write(3, struct.pack('!cI', b'o', 2**32 - 1))",
    "the harness's socket": "import os\nfor fd in range(4, 200):\n  os.write(fd, b'kill')",
    "memory by doubling": "rows = ['x']\nwhile True:\n  rows = rows + rows",
    "memory at once": "a = 'x' * 10**11",
    "recursion": "def f(n):\n  return f(n + 1)\nf(0)",
    "a flood": "while True:\n  print('flood of output')",
    "a flood on the other stream": "import sys\nwhile True:\n  print('flood of output', file=sys.stderr)",
    "a flood in one piece": "print('x' * 2_000_000)",
    "no flush of a flood": "while True:\n  print('flood', end='')",
    "a large error": "raise ValueError('x' * 3_000_000)",
    "half a character": "print('\\ud800' + 1)",
}  # fmt: skip


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_fails_and_leaves_nothing(
    tier: Box, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FHIRTASKS_SECRET", SECRET)
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        code = ATTEMPTS[name].format(secret=str(secret), folder=str(tmp_path), port=server.getsockname()[1])
        done = run(tier, code)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert done.end in HARMLESS, done
    told = done.output + done.error
    assert SECRET not in told
    assert len(told) < 2 * QUICK.shown + 300
    assert os.listdir(tmp_path) == ["secret.txt"]
    assert secret.read_text() == SECRET
    assert run(tier, "print('alive')").output == "alive\n"


@pytest.mark.parametrize(
    "code", ["while True:\n  pass", "try:\n  while True:\n    pass\nexcept BaseException:\n  print(1)"]
)
def test_an_endless_run_is_stopped(tier: Box, code: str) -> None:
    start = time.monotonic()
    done = run(tier, code, SHORT)
    assert (done.end, done.reproducible) == ("time", False)
    assert time.monotonic() - start < 5
    assert run(tier, "print('alive')").output == "alive\n"


@pytest.mark.parametrize(
    "code",
    ["import re\nre.match('(a+)+$', 'a' * 5000 + 'b')", "print(len(str(9 ** 9 ** 9)))", "sum(range(10**18))"],
)
def test_what_takes_for_ever_inside_one_call_is_stopped(tier: Box, code: str) -> None:
    start = time.monotonic()
    run(tier, code, SHORT)
    assert time.monotonic() - start < 5
    assert run(tier, "print('alive')").output == "alive\n"


def test_an_endless_wait_is_stopped(cpython: Box) -> None:
    done = run(
        cpython, "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()", Limits(seconds=0.1)
    )
    assert (done.end, done.reproducible) == ("time", False)


def test_another_episodes_data_is_not_there(cpython: CpythonSandbox) -> None:
    """Not under a name, not in any object, and not in the memory that a later run is forked from."""
    mark = "a-mark-of-an-earlier-run"
    assert run(cpython, f"kept = {mark!r}\nprint(given)", names={"given": f'"{mark}"'}).output == f"{mark}\n"
    look = "import gc\nprint([1 for o in gc.get_objects() if isinstance(o, dict) and ('kept' in o or 'given' in o)])"
    assert run(cpython, look).output == "[]\n"
    for pid in cpython.processes:
        try:
            memory = _memory(pid)
        except PermissionError:
            pytest.skip("only root may read the zygote's memory")
        assert b"PYTHONHASHSEED" in memory  # it was read
        assert mark.encode() not in memory


def test_nothing_that_one_run_may_write_is_there_for_the_next(cpython: CpythonSandbox) -> None:
    """The library's code is shared memory: no right to write it can be had. The rest is each run's own."""
    for pid in cpython.processes:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            assert not (line.split()[1].endswith("s") and "w" in line.split()[1]), line
    code = (
        "import ctypes, sys\n"
        "class Buffer(ctypes.Structure):\n"
        "  _fields_ = [('start', ctypes.c_void_p), ('rest', ctypes.c_char * 200)]\n"
        "memory = sys.meta_path[-1]._memory\nview = Buffer()\n"
        "ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(memory), ctypes.byref(view), 0)\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.mprotect(ctypes.c_void_p(view.start), 4096, 3), ctypes.get_errno())"
    )
    assert run(cpython, code).output == "-1 13\n"


def _memory(pid: int) -> bytes:
    """What the process may write to and read."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as file:
        for line in maps:
            span, rights = line.split()[:2]
            if rights.startswith("rw"):
                start, end = (int(part, 16) for part in span.split("-"))
                file.seek(start)
                found.append(file.read(end - start))
    return b"".join(found)


def test_zygotes_hold_no_environment_and_no_files_of_ours(cpython: CpythonSandbox) -> None:
    for pid in cpython.processes:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert environment in (b"PYTHONHASHSEED=0\0", b"")
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        open_files = {os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")[0] for fd in os.listdir(f"/proc/{pid}/fd")}
        assert open_files == {"/dev/null", "socket", "/memfd"}  # the socket to us, and the library


def test_a_zygote_that_dies_is_replaced(cpython: CpythonSandbox) -> None:
    (before,) = cpython.processes
    os.kill(before, signal.SIGKILL)
    assert run(cpython, "print(1)").end == "crashed"
    assert run(cpython, "print(1)").output == "1\n"
    assert before not in cpython.processes


def test_a_child_does_not_outlive_its_harness() -> None:
    """A process that runs an endless loop in the sandbox is killed: its zygote and the child end by themselves."""
    code = (
        "from fhirtasks.sandbox.forkserver import CpythonSandbox\nfrom fhirtasks.sandbox.execution import Limits\n"
        "box = CpythonSandbox().__enter__()\nprint(*box.processes, flush=True)\n"
        "box.session('2141-03-05T08:30:00Z', 's', Limits(seconds=60)).run('while True: pass')"
    )
    root = Path(__file__).parents[2]
    harness = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root)
    assert harness.stdout is not None and harness.stderr is not None
    told = harness.stdout.readline().split()
    if not told:
        pytest.skip(harness.stderr.read().decode()[-200:])
    zygote = int(told[0])
    child = _until(lambda: _children(zygote))[0]
    harness.kill()
    harness.communicate()
    assert _until(lambda: not Path(f"/proc/{zygote}").exists() and not Path(f"/proc/{child}").exists())


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _until(found: Callable[[], Any]) -> Any:
    """What is found once there is something; else the last look, after 20 seconds."""
    end = time.monotonic() + 20
    while not (seen := found()) and time.monotonic() < end:
        time.sleep(0.02)
    return seen
