"""The processes that do the jobs of a build or a check, and the worlds that each of them keeps open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhirtasks.graph.world import World
from fhirtasks.processes import Runner
from fhirtasks.processes import runner as plain_runner

__all__ = ["Runner", "close_worlds", "open_world", "runner"]

_worlds: dict[Path, World] = {}


@contextmanager
def runner(workers: int) -> Iterator[Runner]:
    """A runner of so many processes; 1 works here and starts none, and closes its worlds. UserError if one is killed."""
    try:
        with plain_runner(workers) as run:
            yield run
    finally:
        if workers == 1:
            close_worlds()


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
