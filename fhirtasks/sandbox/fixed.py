"""Clock and randomness that are the task's: every way to the time gives its ``now``, every way to chance its seed."""

from __future__ import annotations

import ctypes
import datetime
import gc
import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any


class _State:
    """What the patched functions answer by."""

    now = 0.0
    seed = b""
    drawn = 0


def install() -> None:
    """Puts the fixed functions in the place of the system's, for every module that was or will be imported."""
    for name in ("time", "monotonic", "perf_counter"):
        setattr(time, name, lambda: _State.now)
        setattr(time, f"{name}_ns", lambda: int(_State.now) * 1_000_000_000)
    for name in ("process_time", "thread_time"):
        setattr(time, name, lambda: 0.0)
        setattr(time, f"{name}_ns", lambda: 0)
    time.clock_gettime = lambda clock: _State.now
    time.clock_gettime_ns = lambda clock: int(_State.now) * 1_000_000_000
    time.sleep = lambda seconds: None
    _default_time("localtime", "gmtime", "ctime")
    _default_moment()
    _patch_dates()
    _patch_chance()


def begin(now: float, zone: str, seed: int) -> None:
    """A run begins: the clock stands at ``now`` (seconds since the epoch), local time is that of ``zone`` (as POSIX writes
    it, so that no file is asked), chance is ``seed``'s.
    """
    _State.now, _State.seed, _State.drawn = now, seed.to_bytes(32, "big"), 0
    os.putenv("TZ", zone)
    time.tzset()
    random.seed(seed)


def _urandom(size: int) -> bytes:
    """The next ``size`` bytes of the seed's stream."""
    _State.drawn += 1
    return hashlib.shake_256(b"%d/%s" % (_State.drawn, _State.seed)).digest(size)


def _default_time(*names: str) -> None:
    """Functions whose seconds may be left out."""

    def at(real: Callable[[float], Any], seconds: float | None = None) -> Any:
        return real(_State.now if seconds is None else seconds)

    for name in names:
        setattr(time, name, partial(at, getattr(time, name)))


def _default_moment() -> None:
    """Functions whose broken-down time may be left out."""
    strftime, asctime = time.strftime, time.asctime
    time.strftime = lambda form, moment=None: strftime(form, moment or time.localtime())
    time.asctime = lambda moment=None: asctime(moment or time.localtime())


def _patch_dates() -> None:
    """``now``, ``utcnow`` and ``today``. The classes are written in C: their dictionaries are changed from below."""

    def now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return cls.fromtimestamp(_State.now, tz)

    def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
        return cls.fromtimestamp(_State.now, datetime.UTC).replace(tzinfo=None)

    def today(cls: type[datetime.date]) -> datetime.date:
        return cls.fromtimestamp(_State.now)

    changes: tuple[tuple[type, dict[str, Callable[..., Any]]], ...] = (
        (datetime.datetime, {"now": now, "utcnow": utcnow, "today": today}),
        (datetime.date, {"today": today}),
    )
    for kind, functions in changes:
        (own,) = gc.get_referents(kind.__dict__)
        own.update({name: classmethod(function) for name, function in functions.items()})
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def _patch_chance() -> None:
    os.urandom = _urandom
    os.getrandom = lambda size, flags=0: _urandom(size)
    random._urandom = _urandom  # type: ignore[attr-defined]
    seeded = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        seeded(self, int.from_bytes(_urandom(32), "big") if a is None else a, version)

    random.Random.seed = seed  # type: ignore[method-assign]
    random.seed = random._inst.seed
    # Ways around os.urandom and the clock, in C.
    for name in ("_generate_time_safe", "_UuidCreate"):
        setattr(uuid, name, None)
    setattr(uuid, "_node", 0x010000000001)  # noqa: B010
