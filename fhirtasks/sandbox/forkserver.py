"""The second sandbox: full CPython in a process of its own for every run, forked from one that is warm, held by the kernel.

A run has its standard library and nothing else: no file, network, process, thread, environment or clock of the machine
(:mod:`fhirtasks.sandbox.lockdown`). What it sends back is one pipe of untrusted bytes. Where the platform cannot give all of
this, opening the sandbox is refused with the reason: it never falls back to less.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import marshal
import os
import platform
import queue
import re
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Final

from fhirtasks.errors import UserError
from fhirtasks.sandbox.execution import Capture, End, Execution, Limits, shortened
from fhirtasks.sandbox.probes import PROBES
from fhirtasks.sandbox.results import Result

_PATIENCE = 60.0
"""Seconds that a run waits for a zygote that is free before TimeoutError."""
_GRACE = 5.0
"""Seconds that a zygote has to start, to end or to kill a child, before it is given up."""
_WALL = 4.0
"""A run is killed for the wall clock at this many times its seconds of processor, half a second more."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,16}")
_IMPORTER = re.compile(r'  File "[^"\n]*sandbox/library\.py", line .*\n')
_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep
_ROOT: Final = str(Path(__file__).parents[2])
_START: Final = "import sys; sys.path.append({root!r}); from fhirtasks.sandbox.zygote import main; main({control})"


class CpythonSandbox:
    """Warm zygotes, ``workers`` of them: so many runs at a time. Use with ``with``.

    Entering starts them and runs the probes: UserError with the reason where the platform does not hold them all.
    """

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._idle: queue.Queue[_Zygote] = queue.Queue()

    @property
    def version(self) -> str:
        """The interpreter and its version, for a row's provenance."""
        return f"cpython {platform.python_version()}"

    def __enter__(self) -> CpythonSandbox:
        reason = _unsupported()
        if reason:
            raise refusal(reason)
        try:
            for _ in range(self._workers):
                self._idle.put(_Zygote())
            self._check()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    @property
    def processes(self) -> list[int]:
        """The zygotes that are free."""
        return [zygote.pid for zygote in self._idle.queue]

    def session(self, now: str, seed: str, limits: Limits | None = None) -> CpythonSession:
        """Runs whose clock stands at ``now`` (ISO 8601 with an offset) and whose randomness is ``seed``'s."""
        return CpythonSession(self._idle, now, seed, limits or Limits())

    def _check(self) -> None:
        """The self-test: what must not be possible here is tried."""
        session = self.session("2141-03-05T08:30:00-05:00", "probe", Limits(seconds=2.0, memory=64 << 20))
        for probe in PROBES:
            done = session.run(probe.code)
            if (done.end, done.output.strip()) != (probe.end, probe.output):
                raise refusal(
                    f"the probe {probe.name!r} did not hold ({done.end}: {(done.output + done.error)[-200:]!r})"
                )


class CpythonSession:
    """What the runs of one episode share: time, seed and limits. Each is a process of its own, so no name persists."""

    def __init__(self, idle: queue.Queue[_Zygote], now: str, seed: str, limits: Limits) -> None:
        self._idle, self._limits = idle, limits
        moment = datetime.fromisoformat(now)
        self._about = {
            "now": moment.timestamp(),
            "zone": _zone(moment.utcoffset() or timedelta()),
            "seed": int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big"),
            "memory": limits.memory,
            "depth": limits.depth,
            "processor": int(limits.seconds) + 2,
        }

    def run(self, code: str, names: Mapping[str, str] | None = None) -> Execution:
        """Runs ``code`` with ``names`` bound before it, each given as JSON text. Never raises for anything the code does."""
        texts = [(name, text.encode()) for name, text in (names or {}).items()]
        head = marshal.dumps(self._about | {"code": code, "names": [(name, len(text)) for name, text in texts]})
        request = b"".join((len(head).to_bytes(8, "big"), head, *(text for _, text in texts)))
        try:
            zygote = self._idle.get(timeout=_PATIENCE)
        except queue.Empty:
            raise TimeoutError("no interpreter of this sandbox became free") from None
        try:
            return zygote.run(request, self._limits)
        except (OSError, EOFError):
            zygote.close()
            zygote = _Zygote()
            return Execution("crashed", "", "the interpreter broke", 0)
        finally:
            self._idle.put(zygote)

    def close(self) -> None:
        """There is nothing to give back."""


class _Zygote:
    """The harness's end of one zygote."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            start = _START.format(root=_ROOT, control=theirs.fileno())
            # The hash seed is read from the environment alone, which is empty besides and emptied then.
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", start],
                env={"PYTHONHASHSEED": "0"}, cwd="/", pass_fds=[theirs.fileno()], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._socket.settimeout(_PATIENCE)
        try:
            said = self._socket.recv(1024).decode()
        except OSError as error:
            said = f"refused the interpreter does not start ({error})"
        if said != "ready":
            self.close()
            raise refusal(said.removeprefix("refused ") or "the interpreter does not start")
        self._socket.settimeout(_GRACE)

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, request: bytes, limits: Limits) -> Execution:
        """One run in a child. OSError or EOFError if the zygote broke: it is of no use any more."""
        result = Result(limits.printed)
        pipe, theirs = os.pipe()
        try:
            given = os.memfd_create("request")
            try:
                rest = memoryview(request)
                while rest:
                    rest = rest[os.write(given, rest) :]
                os.lseek(given, 0, os.SEEK_SET)
                socket.send_fds(self._socket, [len(request).to_bytes(8, "big")], [given, theirs])
            finally:
                os.close(given)
                os.close(theirs)
            os.set_blocking(pipe, False)
            broke, late = self._watch(pipe, result, limits)
            _drain(pipe, result)
        finally:
            os.close(pipe)
        return _execution(result, broke, late, limits)

    def _watch(self, pipe: int, result: Result, limits: Limits) -> tuple[bool, bool]:
        """Reads until the child is gone, and kills it if need be. Whether it died by itself, and whether it was too late."""
        start = time.monotonic()
        wall = start + limits.seconds * _WALL + 0.5
        check = start + limits.seconds
        late, killed, asked, pid = False, 0.0, False, 0
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        poll.register(self._socket, select.POLLIN)
        while True:
            until = killed + _GRACE if killed else check
            for fd, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000 + 1):
                if fd == self._socket.fileno():
                    message = self._socket.recv(64)
                    if not message:
                        raise EOFError
                    kind, number = struct.unpack("!ci", message)
                    if kind == b"s":
                        return not killed and os.WIFSIGNALED(number), late
                    pid = number
                elif not _read(pipe, result):
                    poll.unregister(pipe)
                    check = min(check, time.monotonic() + 0.05)
            instant = time.monotonic()
            if killed:
                if instant > killed + _GRACE:
                    raise EOFError
                continue
            if instant >= check and not pid and not asked:
                self._socket.send(b"pid")
                asked, check = True, instant + 0.01
                continue
            used = _processor(pid) if instant >= check else 0.0
            late = instant >= check and not result.closed and (used >= limits.seconds or instant >= wall)
            if late or result.full or (result.closed and instant >= check):
                self._socket.send(b"kill")
                killed = instant
            elif instant >= check:
                check = min(wall, instant + max(0.01, limits.seconds - used))

    def close(self) -> None:
        """Ends the zygote, and with it a child. In a process that was forked from its owner, only lets go of it."""
        if os.getpid() == self._owner and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._socket.send(b"quit")
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._socket.close()


def _drain(pipe: int, result: Result) -> None:
    """Reads what a child that is gone has left in the pipe."""
    while not result.full and not result.closed:
        try:
            _read(pipe, result)
        except BlockingIOError:
            return


def _read(pipe: int, result: Result) -> bool:
    """Reads once, so that who writes faster than this reads is looked at in between; False once the other end is closed."""
    data = os.read(pipe, 1 << 16)
    if data:
        result.feed(data)
    else:
        result.closed = True
    return bool(data)


def _processor(pid: int) -> float:
    """Seconds of processor that a process has used; 0 before it is known."""
    if not pid:
        return 0.0
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _zone(offset: timedelta) -> str:
    """An offset as TZ has it: POSIX counts westwards."""
    hours, minutes = divmod(abs(int(offset.total_seconds())) // 60, 60)
    east = offset >= timedelta()
    return f"<{'+' if east else '-'}{hours:02}{minutes:02}>{'-' if east else '+'}{hours:02}:{minutes:02}"


def _execution(result: Result, broke: bool, late: bool, limits: Limits) -> Execution:
    end, error = _end(result, broke, late, limits)
    capture = Capture(limits)
    with contextlib.suppress(OverflowError):
        capture.write(_plain(result.text))
    return Execution(end, capture.text(), error, min(result.printed, limits.printed + 1))


def _end(result: Result, broke: bool, late: bool, limits: Limits) -> tuple[End, str]:
    if result.flooded:
        return "output", "the code printed too much; print a small table"
    if result.forged:
        return "exception", "PermissionError: the code wrote to a descriptor that is not its own; print instead"
    if late:  # whatever it said of its end before
        return "time", f"the code ran for more than {limits.seconds:g} s; do less at once"
    if result.end is not None:
        kind, text = result.end
        if kind == "memory":
            return "memory", f"MemoryError: more than {limits.memory >> 20} MiB"
        return kind, shortened(_plain(text.rstrip("\n")), limits)
    if broke:
        return "crashed", "the interpreter broke"
    return "exception", "SystemExit: the code ended the interpreter"


def _plain(text: str) -> str:
    """The text without addresses, and with the library's files by their names alone."""
    return _IMPORTER.sub("", _ADDRESS.sub(" at 0x…", text)).replace(_LIBRARY, "")


def _unsupported() -> str:
    """Why this machine cannot have the sandbox at all; empty if it may."""
    if sys.platform != "linux":
        return "it needs Linux"
    if platform.machine() != "x86_64" or sys.maxsize < 2**32:
        return f"its list of system calls is for x86_64, this machine is {platform.machine()}"
    if sys.implementation.name != "cpython" or not sys.executable:
        return "it needs the CPython that this program runs on"
    return ""


def refusal(reason: str) -> UserError:
    """Full CPython is refused here, and why."""
    return UserError(f"The cpython sandbox is not safe on this machine: {reason}. Use the embedded one.")


def run_once(code: str, names: Mapping[str, str], *, now: str, seed: str) -> Execution:
    """Runs code in this process's own sandbox, which is started, and refused, on the first call."""
    return own(os.getpid()).session(now, seed).run(code, names)


@lru_cache(maxsize=1)
def own(process: int) -> CpythonSandbox:
    """One sandbox per process: zygotes that a fork took along belong to the parent."""
    box = CpythonSandbox()
    box.__enter__()
    atexit.register(box.__exit__, None, None, None)
    return box
