"""The default sandbox: a Python interpreter of its own (Monty), in a worker process that is thrown away if it breaks.

The interpreter has no files, no network, no environment, no processes and no foreign modules to begin with, so there is
nothing to close off. Clock, randomness and hashing are fixed. What it cannot do is told by its errors: classes that inherit,
``yield``, and modules beyond json, re, datetime, math, collections, itertools, functools, decimal and a few more.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import Any, Literal

from fhirtasks.errors import UserError
from fhirtasks.sandbox.execution import Capture, End, Execution, Limits, shortened

_GRACE = 1.0
"""Seconds past the time limit after which a worker that does not stop by itself is killed."""
_PATIENCE = 60.0
"""Seconds that a new session waits for a worker before TimeoutError: others are open and none is closed."""
_CALLS = 1_000_000
"""Name look-ups and host calls of one session; the interpreter's own default would stop long episodes."""
_TERMINATED = "MemoryError: the worker exceeded its memory limit"
"""What is said of a worker that ended because one allocation was larger than all that is left: it is gone then."""
_FLOOD = "the code printed too much; print a small table"
_FILE = re.compile(r'  File "<python-input-\d+>", line')


class EmbeddedSandbox:
    """A pool of warm workers, one per open session at most ``workers``. Use with ``with``."""

    def __init__(self, workers: int = 1) -> None:
        try:
            import pydantic_monty
        except ImportError as error:
            raise UserError(
                f"The embedded interpreter is not installed ({error}); pip install pydantic-monty."
            ) from error
        self._monty = pydantic_monty
        self._pool = pydantic_monty.Monty(
            min_processes=1,
            max_processes=workers,
            checkout_timeout=_PATIENCE,
            feed_duration_limit_grace=_GRACE,
            turn_duration_limit_grace=_GRACE,
        )

    @property
    def version(self) -> str:
        """The interpreter and its version, for a row's provenance."""
        return interpreter()

    def __enter__(self) -> EmbeddedSandbox:
        self._pool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.__exit__(kind, error, trace)

    def session(self, now: str, seed: str, limits: Limits | None = None) -> EmbeddedSession:
        """A fresh interpreter whose clock stands at ``now`` (ISO 8601 with an offset) and whose randomness is ``seed``'s."""
        return EmbeddedSession(self._monty, self._pool, now, seed, limits or Limits())


class EmbeddedSession:
    """One episode's interpreter: names persist from run to run until :meth:`close`."""

    def __init__(self, monty: Any, pool: Any, now: str, seed: str, limits: Limits) -> None:
        self._monty, self._limits = monty, limits
        self._session = pool.checkout(
            script_name="code.py",
            limits={
                "max_feed_duration_secs": limits.seconds,
                "max_memory": limits.memory,
                "max_recursion_depth": limits.depth,
                "max_suspensions": _CALLS,
            },
            os_policy={
                "datetime": datetime.fromisoformat(now),
                "sleep": "zero",
                "process_time": "zero",
                "random_start": {"seed": seed},
            },
            # With CPython's own texts, so that what a model learns here holds elsewhere.
            assert_message_annotations=False,
            print_flush_interval=0.05,
        )
        self._session.__enter__()
        self._broken: Execution | None = None

    def run(self, code: str, names: Mapping[str, str] | None = None) -> Execution:
        """Runs ``code`` with ``names`` bound (again) before it: each is given as JSON text, which is read inside, several
        times faster than handing values over. Never raises for anything that the code does.

        After a run that was stopped for time or output, or that broke the worker, every further run reports the same end.
        """
        if self._broken is not None:
            return self._broken
        capture = Capture(self._limits)
        worker = self._session.worker_pid  # asked now: during a run there is no answer

        def write(stream: Literal["stdout", "stderr"], text: str) -> None:
            try:
                capture.write(text)
            except OverflowError:
                # The interpreter goes on to its time limit whatever is raised here.
                if worker is not None:
                    os.kill(worker, signal.SIGKILL)
                raise

        end: End = "ok"
        error = ""
        try:
            if names:
                lines = ["import json as _json", *(f"{name} = _json.loads(_given[{name!r}])" for name in names)]
                self._session.feed_run("\n".join(lines), inputs={"_given": dict(names)})
            self._session.feed_run(code, print_callback=write)
        except self._monty.MontyCrashedError as crash:
            end = "output" if capture.flooded else "time" if crash.timed_out else "crashed"
            error = (
                _FLOOD if capture.flooded else "the code was stopped" if crash.timed_out else "the interpreter broke"
            )
        except (self._monty.MontyRuntimeError, self._monty.MontySyntaxError) as failure:
            end, error = self._failure(failure, capture)
        except UnicodeError:
            end, error = "exception", "SyntaxError: the code is not UTF-8 text"
        # Where a flood was stopped is chance, and so is the count at that moment.
        done = Execution(end, capture.text(), error, min(capture.printed, self._limits.printed + 1))
        if not done.reproducible or capture.flooded or self._session.worker_pid is None:
            self._broken = done
        return done

    def close(self) -> None:
        """Gives the worker back; the next session starts with a clean interpreter."""
        self._session.__exit__(None, None, None)

    def _failure(self, failure: Any, capture: Capture) -> tuple[End, str]:
        text: str = failure.display()
        # The interpreter's own stop has no traceback: code that raises the same words does.
        if capture.flooded:
            return "output", _FLOOD
        if text.startswith("TimeoutError: feed time limit exceeded"):
            return "time", f"the code ran for more than {self._limits.seconds:g} s; do less at once"
        if text.startswith(_TERMINATED) or "MemoryError: memory limit exceeded" in text.rsplit("\n", 1)[-1]:
            return "memory", f"MemoryError: more than {self._limits.memory >> 20} MiB"
        return "exception", shortened(_FILE.sub('  File "code.py", line', text), self._limits)


@cache
def interpreter() -> str:
    """The interpreter that runs the Python of released rows, and its version."""
    return f"monty {version('pydantic-monty')}"


def run_once(code: str, names: Mapping[str, str], *, now: str, seed: str) -> Execution:
    """Runs code in a fresh namespace of this process's own sandbox, which is started on the first call."""
    session = _own(os.getpid()).session(now, seed)
    try:
        return session.run(code, names)
    finally:
        session.close()


@lru_cache(maxsize=1)
def _own(process: int) -> EmbeddedSandbox:
    """One sandbox per process: workers that a fork took along belong to the parent."""
    box = EmbeddedSandbox()
    box.__enter__()
    atexit.register(box.__exit__, None, None, None)
    return box
