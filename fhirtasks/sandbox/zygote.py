"""The process that forks a child for every run. It holds the interpreter warm, and never sees what a run is about.

It is started with an empty environment and speaks with the harness over one socket of messages: it says ``ready`` or
``refused`` and why, is sent the length of a request with two descriptors (the request, the result pipe), answers with
how the child ended, tells its ``pid`` when it is asked, and kills it when it is told ``kill`` or when the harness is gone.
Request and result pass it by: the child reads the one and writes the other, so nothing of a run is left for the next.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import io
import json
import linecache
import marshal
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback
from types import ModuleType
from typing import Any, Final, NoReturn, TextIO

from fhirtasks.sandbox import fixed, library, lockdown

RESULT: Final = 3
"""The descriptor of a child's result pipe: the only one that is open besides 0, 1 and 2, which are /dev/null."""
_FRAME: Final = 1 << 16
_BALLAST: Final = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
"""What is set free once memory is short, so that this can be told. Not shared: children would find each other's there."""


def main(control: int) -> None:
    """Serves the harness at the other end of ``control`` until it goes away."""
    with socket.socket(fileno=control) as harness:
        try:
            base = _prepare()
        except Exception as error:
            harness.send(f"refused {getattr(error, 'strerror', None) or repr(error)}".encode()[:1000])
            return
        harness.send(b"ready")
        while True:
            message, fds, _, _ = socket.recv_fds(harness, 16, 2)
            if not message or message == b"quit":
                return
            if fds:
                _serve(harness, fds, int.from_bytes(message, "big"), base)


def _prepare() -> int:
    """Warms the interpreter and gives up all that it will not need. The size of the address space, in bytes."""
    library.install()
    fixed.install()
    os.environ.clear()
    sys.modules["posix"].environ.clear()
    sys.prefix = sys.exec_prefix = sys.base_prefix = sys.base_exec_prefix = "/usr"
    sys.executable, sys.argv, sys.orig_argv = "", ["code.py"], ["python", "code.py"]
    out = io.TextIOWrapper(io.BufferedWriter(_Pipe(), _FRAME), encoding="utf-8", newline="\n")
    for name, stream in (("stdin", io.StringIO("")), ("stdout", out), ("stderr", out)):
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    builtins.__dict__.update(exit=sys.exit, quit=sys.exit)
    with open("/proc/self/statm", encoding="ascii") as file:
        base = int(file.read().split()[0]) * resource.getpagesize()
    lockdown.confine()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # a fork copies what is held, also what nobody uses
    gc.freeze()
    return base


def _serve(harness: socket.socket, fds: list[int], size: int, base: int) -> None:
    """One run: forks, waits for the end or for the order to bring it about, tells how it ended."""
    pid = os.fork()
    if pid == 0:
        _child(fds[0], fds[1], size, base)
    for fd in fds:
        os.close(fd)
    watch = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(harness, select.POLLIN)
    poll.register(watch, select.POLLIN)
    gone = False
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if watch in ready:
            break
        message = harness.recv(16)
        if message == b"pid":
            harness.send(struct.pack("!ci", b"p", pid))
            continue
        os.kill(pid, signal.SIGKILL)
        if not message:
            gone = True
            poll.unregister(harness)
    os.close(watch)
    _, status, _ = os.wait4(pid, 0)
    if not gone:
        harness.send(struct.pack("!ci", b"s", status))


def _child(request: int, result: int, size: int, base: int) -> NoReturn:
    """Reads the request, gives up the rest of the system, runs the code, tells the end, exits."""
    try:
        given = os.read(request, size)
        while len(given) < size:  # a read gives 2 GiB at most
            given += os.read(request, size - len(given))
        os.close(request)
        os.dup2(result, RESULT)
        os.closerange(RESULT + 1, 1 << 16)
        head = 8 + int.from_bytes(given[:8], "big")
        about, rest = marshal.loads(given[8:head]), given[head:]
        fixed.begin(about["now"], about["zone"], about["seed"])
        lockdown.limit(processor=about["processor"], memory=base + about["memory"] + 2 * size)
        sys.setrecursionlimit(about["depth"])
        del given
        lockdown.seal()
        _tell(b"e", _run(about["code"], about["names"], rest, sys.stdout))
    finally:
        os._exit(1)


def _run(code: str, names: list[tuple[str, int]], data: bytes, out: TextIO) -> bytes:
    """Runs the code as the module ``__main__``; how it ended (``0`` well, ``1`` an exception, ``2`` no memory) and why."""
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__["__builtins__"] = builtins
    try:
        try:
            start = 0
            for name, size in names:
                module.__dict__[name] = json.loads(data[start : start + size])
                start += size
            exec(compile(code, "code.py", "exec", dont_inherit=True), module.__dict__)
            out.flush()
        except SystemExit as end:
            out.flush()
            if end.code not in (None, 0):
                return b"1SystemExit: " + str(end.code).encode("utf-8", "backslashreplace")
        except UnicodeEncodeError as error:
            if error.object is code:
                return b"1SyntaxError: the code is not UTF-8 text"
            raise
    except MemoryError:
        _BALLAST.close()
        module.__dict__.clear()
        out.flush()
        return b"2"
    except BaseException as error:
        out.flush()
        linecache.cache["code.py"] = (len(code), None, code.splitlines(True), "code.py")
        lines = traceback.TracebackException(type(error), error, _own(error)).format()
        return b"1" + "".join(lines).encode("utf-8", "backslashreplace")
    return b"0"


def _own(error: BaseException) -> Any:
    """The traceback from the code's own frames on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") == __name__:
        trace = trace.tb_next
    return trace


class _Pipe(io.RawIOBase):
    """What is printed goes into the result pipe, in frames."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Sends all of it."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _FRAME):
            _tell(b"o", bytes(view[start : start + _FRAME]))
        return len(view)


def _tell(kind: bytes, text: bytes) -> None:
    """One frame: its kind (``o`` output, ``e`` the end), its length, its bytes (of an end, the first and the last)."""
    if len(text) > _FRAME:
        text = text[: _FRAME // 2] + text[-_FRAME // 2 :]
    frame = struct.pack("!cI", kind, len(text)) + text
    while frame:
        frame = frame[os.write(RESULT, frame) :]
