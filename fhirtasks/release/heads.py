"""What stands on the Hub before a push: whether a version may be put upon it, and what the version before is."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fhirtasks.errors import UserError
from fhirtasks.release.history import VERSIONS, Version, read_versions
from fhirtasks.release.hub import Head, Remote, RemoteFile, hidden
from fhirtasks.release.manifest import AT_PUSH, NAME
from fhirtasks.release.versioning import numbers

CARD = "README.md"


def check_place(remote: Remote, head: Head, public: bool) -> None:
    """UserError where a push has no business: a dataset is private unless it is said to be public, and what is there stays
    what it is."""
    if not head.private and not public:
        raise UserError(f"{remote.name} is public; say --public to publish there, or push to another name.")
    if head.private and public:
        raise UserError(f"{remote.name} is private; make it public in its settings ({remote.url}/settings) first.")
    if ".gitignore" in head.files:
        raise UserError(
            f"{remote.name} has a .gitignore, which would leave files out; delete it there, then push again."
        )
    known = {name for name in head.files if not hidden(name)} - {CARD}
    if known and NAME not in known:
        shown = ", ".join(sorted(known)[:3])
        raise UserError(f"{remote.name} holds something else than a release ({shown}); push to another name.")


def recorded(remote: Remote, head: Head) -> list[Version]:
    """The versions that VERSIONS.json of main records, oldest first; none where there is no such file."""
    if VERSIONS not in head.files:
        return []
    return read_versions(read_file(remote, head, VERSIONS), f"{remote.name} (main)")


def tag_before(head: Head, versions: Sequence[Version]) -> str | None:
    """The tag before: the greatest of those at the head, else the last one that was recorded."""
    here = [name for name, commit in head.tags.items() if commit == head.commit]
    greatest: tuple[tuple[int, int, int], str] | None = None
    for name in here:
        with suppress(UserError):
            greatest = max(greatest or (numbers(name), name), (numbers(name), name))
    if greatest is not None:
        return greatest[1]
    return versions[-1].tag if versions else None


def holds(there: Mapping[str, RemoteFile], local: Mapping[str, Path | bytes]) -> bool:
    """Whether a commit holds just these files, besides what a push writes."""
    names = {name for name in there if not hidden(name)} - set(AT_PUSH)
    return names == set(local) and all(
        (isinstance(content, bytes) or content.is_file()) and there[name].same(content)
        for name, content in local.items()
    )


def is_finished(remote: Remote, folder: Path, head: Head, last: Version, tag: str | None) -> bool:
    """True if the head is a whole version that is tagged, or that ``tag`` will tag; False if it is not whole, and so may be
    replaced. UserError for a whole version whose tag is missing.
    """
    if last.tag in head.tags or last.tag == tag:
        return True
    if not _whole(remote, head, last):
        return False
    name = remote.name
    if tag is not None:
        finish = f"fhirtasks push {folder} {name} --tag {last.tag}"
        raise UserError(f"{name} holds this release as {last.tag}, not tagged yet; finish that first: {finish}")
    raise UserError(
        f"{name} holds {last.tag}, which is not tagged: its push is under way, or was cut off; wait, or finish it with "
        f"fhirtasks pull {name} --out COPY and fhirtasks push COPY {name} --tag {last.tag}."
    )


def _whole(remote: Remote, head: Head, last: Version) -> bool:
    """Whether the head holds what the manifest says that the last version recorded; by its listing, nothing is downloaded."""
    if NAME not in head.files:
        return False
    content = read_file(remote, head, NAME)
    if hashlib.sha256(content).hexdigest() != last.manifest:
        return False
    wanted = json.loads(content)["files"]
    there = {name: file for name, file in head.files.items() if not hidden(name)}
    return set(there) == {*wanted, NAME, *AT_PUSH} and all(
        there[name].size == about.get("bytes") and there[name].sha256 in (None, about.get("sha256"))
        for name, about in wanted.items()
    )


def fetch_release(remote: Remote, commit: str, folder: Path, place: Path) -> Path:
    """A version's folder; what the new one has just as it was is taken from there."""
    for name, file in remote.files(commit).items():
        if hidden(name) or name in AT_PUSH:
            continue
        if (folder / name).is_file() and file.same(folder / name):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).symlink_to((folder / name).absolute())
        else:
            remote.fetch(name, commit, place)
    shutil.rmtree(place / ".cache", ignore_errors=True)
    return place


def read_file(remote: Remote, head: Head, name: str) -> bytes:
    """A file of main."""
    with tempfile.TemporaryDirectory(prefix="fhirtasks-") as scratch:
        return remote.fetch(name, head.commit, Path(scratch)).read_bytes()
