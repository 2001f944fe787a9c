"""The processes that do the jobs of a build or a check. Who does a job changes nothing in what comes of it."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.graph.world import World

Runner = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
"""Runs a function over jobs and yields the results as they come, in any order."""

_worlds: dict[Path, World] = {}


@contextmanager
def runner(workers: int) -> Iterator[Runner]:
    """A runner of so many processes; 1 works here and starts none. UserError if a process is killed."""
    if workers == 1:
        try:
            yield map
        finally:
            close_worlds()
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_with_parent) as pool:

        def run(function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
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


def open_world(path: Path) -> World:
    """The world of a file, kept open in this process until :func:`close_worlds`."""
    if path not in _worlds:
        # One thread: partitions run side by side, and no answer may depend on how many threads there are.
        _worlds[path] = World.open(path, threads=1)
    return _worlds[path]


def close_worlds() -> None:
    """Closes what :func:`open_world` keeps."""
    while _worlds:
        _worlds.popitem()[1].close()


def _leave_with_parent() -> None:
    """A worker whose parent was killed ends too."""
    parent, leaving = os.getppid(), threading.Event()

    def watch() -> None:
        while not leaving.wait(0.5):
            if os.getppid() != parent:
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()

    def leave() -> None:  # a thread that is still there when Python ends makes DuckDB's bindings complain
        leaving.set()
        thread.join()

    atexit.register(leave)
