"""Downloads a version of a release and checks it against its own manifest; the folder appears whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.release.history import VERSIONS, read_versions
from fhirtasks.release.hub import Remote, RemoteFile, hidden
from fhirtasks.release.manifest import AT_PUSH, NAME, file_failures, read_manifest

_THREADS = 4


@dataclass(frozen=True, slots=True)
class PullReport:
    """What was pulled: ``commit`` is that of the tag, or of main (``tag`` None). ``kept`` counts the ``sft`` rows."""

    repository: str
    tag: str | None
    commit: str
    folder: str
    files: int
    bytes: int
    kept: int

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON value."""
        return asdict(self)


def pull(
    repository: str, out: Path, *, tag: str | None = None, progress: Callable[[str], None] | None = None
) -> PullReport:
    """Downloads a tag (None: main) of a dataset ``ORG/NAME`` to the new folder ``out`` and compares every hash.

    What was downloaded before a pull was cut off is not downloaded again. UserError where the version is not there, is no
    release, or is not what its manifest says; then ``out`` is not made.
    """
    say = progress or (lambda message: None)
    out = Path(os.path.abspath(out))
    if out.is_symlink() or out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"{out} is there already; give --out a folder that is not.")
    remote = Remote(repository)
    say(f"looking at {remote.url}")
    commit = remote.commit_of(tag)
    what = f"{repository} {tag or 'main'}"
    files = {name: file for name, file in remote.files(commit).items() if not hidden(name)}
    if NAME not in files:
        raise UserError(
            f"{what} holds no release (there is no {NAME}); give the name of a dataset that fhirtasks pushed."
        )
    with _workplace(out) as folder:
        _download(remote, commit, {name: files[name] for name in (NAME, *AT_PUSH) if name in files}, folder, say)
        manifest = read_manifest(folder)
        _listed(manifest, files, folder, what)
        _download(remote, commit, files, folder, say)
        for name in _others(folder, files):
            (folder / name).unlink()
        say("comparing hashes")
        wrong = file_failures(folder, manifest)
        if wrong:
            (folder / wrong[0]["file"]).unlink(missing_ok=True)
            raise UserError(
                f"{what} is damaged: {wrong[0]['file']} {wrong[0]['problem']}; pull again, or take another tag."
            )
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        _appear(folder, out)
    total = sum(file.size for file in files.values())
    return PullReport(repository, tag, commit, str(out), len(files), total, manifest["kept"])


def _listed(manifest: dict[str, Any], files: Mapping[str, RemoteFile], folder: Path, what: str) -> None:
    """UserError if the Hub holds other files than the manifest lists, or the manifest is not the one that was pushed."""
    missing = sorted(set(manifest["files"]) - set(files))
    extra = sorted(set(files) - {*manifest["files"], NAME, *AT_PUSH})
    for names, problem in ((missing, "is missing"), (extra, "is not in the manifest")):
        if names:
            raise UserError(f"{what} is damaged: {names[0]} {problem}; take another tag.")
    if VERSIONS in files:
        versions = read_versions((folder / VERSIONS).read_bytes(), what)
        digest = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
        if not versions or versions[-1].manifest != digest:
            raise UserError(f"{what} is damaged: {NAME} is not the one that {VERSIONS} records; take another tag.")


def _download(
    remote: Remote, commit: str, files: Mapping[str, RemoteFile], folder: Path, say: Callable[[str], None]
) -> None:
    """Fetches what is not there as it must be."""
    wanted = [
        name for name, file in sorted(files.items()) if not ((folder / name).is_file() and file.same(folder / name))
    ]
    for name in wanted:
        (folder / name).unlink(missing_ok=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = [pool.submit(remote.fetch, name, commit, folder) for name in wanted]
        try:
            for number, done in enumerate(waiting, 1):
                done.result()
                say(f"downloaded {number:,} of {len(wanted):,} files")
        finally:
            pool.shutdown(cancel_futures=True)


def _others(folder: Path, files: Mapping[str, RemoteFile]) -> list[str]:
    """What another version, whose pull was cut off, left in the workplace."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in found if name not in files and not hidden(name)]


@contextmanager
def _workplace(out: Path) -> Iterator[Path]:
    """A folder beside ``out``, kept where a pull fails, so that the next one goes on; one pull at a time uses it."""
    folder = out.with_name(f".{out.name}.pulling")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{out} cannot be made ({error.strerror}); choose another place.") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{out} is being pulled by another process; wait until it is done.") from None
        yield folder
    finally:
        os.close(lock)


def _appear(folder: Path, out: Path) -> None:
    """Makes sure that everything is on the disk, then gives the folder its name."""
    for path in [*sorted(folder.rglob("*")), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    os.replace(folder, out)
