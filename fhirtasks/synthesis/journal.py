"""The journal beside a release: what a build has finished, so that a killed one goes on where it stopped.

Everything in it appears whole or not at all (a temporary name, then a rename). It belongs to one build: other options,
another graph or other code refuse to go on with it.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fhirtasks.errors import UserError

_IDENTITY = "build.json"
_LOCK = "lock"


class Journal:
    """The folder ``<out>.journal``, locked against a second build for as long as it is open (a context manager).

    ``identity`` is all that decides the release's bytes. UserError if the folder is another build's, or in use.
    """

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
        self.folder = journal_of(out)
        self.identity = identity
        self._lock: IO[str] | None = None

    def __enter__(self) -> Journal:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except NotADirectoryError:
            raise UserError(f"{self.folder.parent} is no folder: give an --out that can be made.") from None
        except FileExistsError:
            raise UserError(f"{self.folder} is in the way of the build's journal: move it away.") from None
        self._refuse_foreign()
        self._lock = (self.folder / _LOCK).open("a", encoding="utf-8")
        _lock(self._lock, self.folder)
        self._belongs()
        for name in ("worlds", "partitions"):
            (self.folder / name).mkdir(exist_ok=True)
        for left in self.folder.rglob("*.part*"):
            left.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def path(self, *parts: str) -> Path:
        """A path inside the journal."""
        return self.folder.joinpath(*parts)

    def staging(self) -> Path:
        """An empty folder to put the release together in."""
        folder = self.path("release")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def remove(self) -> None:
        """Removes the journal; what says whose it is goes last, so that a kill leaves nothing unknown."""
        for entry in sorted(self.folder.iterdir()):
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name not in (_IDENTITY, _LOCK):
                entry.unlink()
        self.path(_IDENTITY).unlink(missing_ok=True)
        self.path(_LOCK).unlink(missing_ok=True)
        self.folder.rmdir()

    def _refuse_foreign(self) -> None:
        """Before anything of ours is put into the folder."""
        names = {entry.name for entry in self.folder.iterdir()}
        if _IDENTITY not in names and names - {_LOCK, f"{_IDENTITY}.part"}:
            raise UserError(f"{self.folder} is in the way and is no build's journal: move it away.")

    def _belongs(self) -> None:
        path = self.path(_IDENTITY)
        if not path.exists():
            write_whole(path, json.dumps(self.identity, indent=1, sort_keys=True).encode())
            return
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            found = {}
        if found != self.identity:
            names = sorted(
                name for name in self.identity.keys() | found.keys() if found.get(name) != self.identity.get(name)
            )
            raise UserError(
                f"{self.folder} holds an unfinished build that differs in: {', '.join(names)}. "
                f"Run that one again to finish it, or delete {self.folder} to begin anew."
            )


def journal_of(out: Path) -> Path:
    """Where the journal of a release folder lies."""
    return out.with_name(out.name + ".journal")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that it appears whole or not at all, even if the power fails."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _lock(file: IO[str], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this platform: two builds at once are then the user's to avoid
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"Another build is at work in {folder}: wait until it has finished.") from None
    except OSError:  # nor are there on this file system
        return
