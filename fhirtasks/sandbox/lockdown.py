"""What the kernel takes away from a process: files and network (Landlock), system calls (seccomp), privileges, namespaces.

Everything goes through ctypes to Linux on x86_64; nothing here can be undone by the process that it was done to. The zygote
calls :func:`confine` once, every child :func:`limit` and :func:`seal` before it runs a line of foreign code.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF, _CAPSET = 444, 446, 126
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_NEW_USER, _NEW_NET, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000
_SIGKILL = 9

_FILE_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
"""Landlock's ABI -> every right on files that it knows of; from ABI 5 on there is one more (devices' ioctl)."""

_AUDIT_ARCH_X86_64: Final = 0xC000003E
_ALLOWED: Final = {
    "read": 0, "write": 1, "close": 3, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28,
    "exit": 60, "sigaltstack": 131, "futex": 202, "restart_syscall": 219, "exit_group": 231,
}  # fmt: skip
"""All that a child may ask of the kernel: memory, its one pipe, and its end. The rest is answered EPERM."""
_ZERO: Final = {"getpid": 39, "gettid": 186}
"""Calls that are answered 0, so that they are the same in every run."""


def confine() -> None:
    """Takes files, core dumps, network and privileges from this process and from all that it forks. OSError with the reason."""
    _unshare()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    _check(_LIBC.syscall(_CAPSET, struct.pack("Ii", 0x20080522, 0), bytes(24)), "capset")
    _landlock()
    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK):
        resource.setrlimit(kind, (0, 0))


def limit(*, processor: int, memory: int) -> None:
    """Bounds of this process: seconds of processor, bytes of address space; no new descriptor, no process.

    The process dies with the one that forked it.
    """
    for kind, most in (
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(kind, (most, most))
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def seal() -> None:
    """Leaves this process the system calls of the list above. OSError if the kernel has no seccomp filters."""
    _check(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(_FILTER), 0, 0), "seccomp")


def landlock_abi() -> int:
    """The version of Landlock that this kernel offers; 0 for none."""
    return max(0, int(_LIBC.syscall(_LANDLOCK_CREATE_RULESET, None, 0, 1)))


def _landlock() -> None:
    """A ruleset with every right and no rule: no file can be opened, made, listed or removed, no port connected or bound."""
    abi = landlock_abi()
    if not abi:
        raise OSError(errno.EOPNOTSUPP, "this kernel has no Landlock")
    files = _FILE_RIGHTS.get(abi, (1 << 16) - 1)
    ports = 3 if abi >= 4 else 0
    scopes = 3 if abi >= 6 else 0  # abstract sockets and signals to processes outside
    handled = struct.pack("QQQ", files, ports, scopes)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _LIBC.syscall(_LANDLOCK_CREATE_RULESET, handled, len(handled), 0)
    _check(ruleset, "Landlock")
    _check(_LIBC.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def _unshare() -> None:
    """A user, network and IPC namespace of its own where the platform lets one be made; the rest holds without them."""
    if _LIBC.unshare(_NEW_USER | _NEW_NET | _NEW_IPC) != 0:
        _LIBC.unshare(_NEW_NET | _NEW_IPC)


def _prctl(option: int, value: int) -> None:
    _check(_LIBC.prctl(option, value, 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


class _Program(ctypes.Structure):
    """struct sock_fprog: how many instructions, and where."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter() -> _Program:
    """The filter in classic BPF. Another architecture's calls (also the 32-bit ones of this machine) end the process."""
    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse, kill, zero = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000, 0x00050000
    tests = [(number, allow) for number in _ALLOWED.values()] + [(number, zero) for number in _ZERO.values()]
    lines = [(load, 0, 0, 4), (equal, 1, 0, _AUDIT_ARCH_X86_64), (answer, 0, 0, kill), (load, 0, 0, 0)]
    for number, verdict in tests:
        lines += [(equal, 0, 1, number), (answer, 0, 0, verdict)]
    lines.append((answer, 0, 0, refuse))
    code = b"".join(struct.pack("HBBI", *line) for line in lines)
    return _Program(len(lines), code)


_FILTER: Final = _filter()
