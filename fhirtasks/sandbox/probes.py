"""The self-test of the fork-server: what a run must not be able to do is tried, each time the sandbox is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fhirtasks.sandbox.execution import End


@dataclass(frozen=True, slots=True)
class Probe:
    """An attempt: what it is about, the code, and what must come of it."""

    name: str
    code: str
    output: str = "held"
    end: End = "ok"


def _refused(name: str, *attempts: str) -> Probe:
    """Statements each of which must raise OSError."""
    lines = ["import os, socket, subprocess, resource, threading, signal, time", "kept = True"]
    for attempt in attempts:
        lines += ["try:", f"  {attempt}", f"  kept = False; print({attempt!r})", "except OSError:", "  pass"]
    return Probe(name, "\n".join([*lines, "if kept: print('held')"]))


_RAW = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"

PROBES: Final = (
    _refused(
        "files", "open('/etc/passwd')", "open('/tmp/probe', 'w')", "os.listdir('/')", "os.stat('/')", "os.mkdir('/tmp/probe')",
        "os.readlink('/proc/self/exe')", "os.symlink('/etc/passwd', '/tmp/probe')", "os.unlink('/tmp')", "os.getcwd()",
        "os.chdir('/')", "os.open('.', os.O_RDONLY)", "os.memfd_create('probe')", "os.pipe()", "os.dup(1)",
    ),
    _refused("environment", "open('/proc/self/environ')", "open('/proc/1/environ')", "open('/proc/self/mem')"),
    Probe("no variables", "import os, posix\nprint('held' if not os.environ and not posix.environ else os.environ)"),
    _refused("network", "socket.socket()", "socket.socket(socket.AF_UNIX)", "socket.socketpair()"),
    _refused(
        "processes", "os.fork()", "os.execv('/bin/sh', ['sh'])", "subprocess.run(['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
    ),
    _refused(
        "signals", "os.kill(1, 0)", "os.kill(0, 9)", "os.kill(os.getppid(), 9)",
        "signal.pthread_kill(threading.get_ident(), 9)",
    ),
    _refused("limits", "os.sched_setaffinity(0, {0})", "os.setuid(0)", "os.nice(-1)"),
    Probe(
        "descriptors",
        "import os\ndef there(fd):\n  try:\n    os.lseek(fd, 0, 0)\n  except OSError as error:\n    return error.errno != 9\n"
        "  return True\nheld = [fd for fd in range(1024) if there(fd)]\nprint('held' if held == [0, 1, 2, 3] else held)",
    ),
    Probe("threads", "import threading\ntry: threading.Thread(target=print).start()\nexcept RuntimeError: print('held')"),
    Probe(
        "raw system calls",
        # ptrace, process_vm_readv, setrlimit, unshare, mount, bpf, userfaultfd, io_uring, openat2, clone, x32 open
        f"{_RAW}calls = (101, 310, 160, 272, 165, 321, 323, 425, 437, 56, 0x40000002)\n"
        "done = [n for n in calls if libc.syscall(n, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != 1]\n"
        "print('held' if not done else done)",
    ),
    Probe("forged result", "import os\nos.write(3, b'garbage' * 3)\nprint('x')", output="", end="exception"),
    Probe("its end alone", "import os\nprint('x')\nos._exit(0)", output="", end="exception"),
    Probe("memory", "x = bytearray(1 << 30)", output="", end="memory"),
    Probe(
        "clock and chance",
        "import datetime, os, random, time, uuid\n"
        "print(time.time(), datetime.datetime.now(), datetime.date.today(), hash('a'), random.randrange(1000), "
        "os.urandom(2).hex(), uuid.uuid4())",
        output="5401776600.0 2141-03-05 08:30:00 2141-03-05 4644417185603328019 636 956a dbe3e624-5319-4ffe-9a68-0827ddafa219",
    ),
)  # fmt: skip
