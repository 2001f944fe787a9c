"""Runs jobs in processes of their own. Who does a job changes nothing in what comes of it."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fhirtasks.errors import UserError

Runner = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
"""Runs a function over jobs and yields the results as they come, in any order."""


@contextmanager
def runner(workers: int) -> Iterator[Runner]:
    """A runner of so many processes; 1 works here and starts none. UserError if a process is killed."""
    if workers == 1:
        yield map
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_with, initargs=(os.getpid(),)) as pool:

        def run(function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
            with _held_back():
                futures = [pool.submit(function, job) for job in jobs]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BrokenProcessPool:
                raise UserError(
                    "A worker process was killed, as happens when memory runs out: run the same command again to go "
                    "on, with fewer --workers."
                ) from None
            finally:
                for future in futures:
                    future.cancel()

        yield run


@contextmanager
def _held_back() -> Iterator[None]:
    """Ctrl-C waits. Processes started meanwhile are not told of it before ``_leave_with`` has said how they end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_with(parent: int) -> None:
    """A worker whose parent was killed ends too, were it killed before the worker was up. Ctrl-C, which the terminal sends to
    all of them, ends it without a word: the parent says that it was stopped."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    # Its results are handed over by then. Taking a large heap apart takes seconds, and makes DuckDB's bindings complain.
    atexit.register(os._exit, 0)
