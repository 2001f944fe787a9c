"""Publishes a release as a version: one commit that holds all of it, upon the head that was looked at, then the tag.

Nothing of a version is to be seen before its commit, and the commit is made by the Hub whole or not at all; so a push that is
cut off, killed or refused leaves the version before as it was, and running it again goes on. A head that moved meanwhile is a
conflict and is reported. A commit that its push could not tag any more is tagged by running that push again; until then no
other is put upon it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.release.changelog import changelog
from fhirtasks.release.credentials import kinds_in
from fhirtasks.release.diff import diff
from fhirtasks.release.history import CHANGELOG, VERSIONS, Version, read_versions, versions_bytes
from fhirtasks.release.hub import Conflict, Head, NotThere, Remote, RemoteFile, hidden
from fhirtasks.release.manifest import AT_PUSH, HOLDOUTS, NAME, read_manifest
from fhirtasks.release.preflight import Check, content_checks, has_people, stated_checks
from fhirtasks.release.versioning import check_tag, classify, numbers
from fhirtasks.release.writer import sha256_of

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did, or with ``dry_run`` would do.

    ``previous`` is the tag before (None: the first version), ``commit`` what the tag names (None in a dry run that would make
    one), ``upload`` path -> bytes of what is new or changed, ``delete`` what the version before had and this one has not.
    ``change`` is the level of the change (docs/versions.md), None for a first version.
    """

    repository: str
    tag: str
    url: str
    private: bool
    dry_run: bool
    creates: bool
    previous: str | None
    commit: str | None = None
    change: str | None = None
    upload: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    delete: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON value."""
        return asdict(self)


def push(
    folder: Path,
    repository: str,
    tag: str,
    *,
    public: bool = False,
    dry_run: bool = False,
    message: str | None = None,
    acknowledge: str | None = None,
    holdouts: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> PushReport:
    """Publishes the release in ``folder`` as ``tag`` of a dataset ``ORG/NAME``, made private if it is not there.

    With ``dry_run`` everything is looked at and nothing is changed. UserError where it may not be published, where the Hub
    refuses, and :class:`~fhirtasks.release.hub.Conflict` where somebody else was quicker.
    """
    say = progress or (lambda message: None)
    folder = Path(folder)
    numbers(tag)
    for option, text in (("--message", message), ("--acknowledge", acknowledge)):
        for kind in kinds_in(text or ""):
            raise UserError(f"{option} holds what looks like {kind}; leave it out.")
    manifest = read_manifest(folder)
    remote = Remote(repository, write=True)
    say(f"looking at {remote.url}")
    try:
        head: Head | None = remote.head()
    except NotThere:
        head = None
    _visible(remote, head, public)
    if head is not None and tag in head.tags:
        raise UserError(f"{repository} has the tag {tag} already; a version stays what it is: give another tag.")
    local: dict[str, Path | bytes] = {name: folder / name for name in manifest["files"]}
    local[NAME] = (folder / NAME).read_bytes()
    versions = [] if head is None else _versions(remote, head)
    report = PushReport(
        repository, tag, remote.url, not public, dry_run, head is None, _before(head, versions) if head else None
    )
    if head is not None and versions:
        same = _same(head.files, local)
        if _finished(remote, folder, head, versions[-1], tag if same else None):
            if same:
                return _only_tag(remote, head, versions, report)
        else:
            versions = versions[:-1]
            report = replace(report, previous=versions[-1].tag if versions else None)
    if HOLDOUTS not in manifest["files"] and not holdouts:
        unaudited = "no holdouts were given to the build or to --holdout: nothing says that no benchmark leaks into it"
        report = replace(report, warnings=[unaudited])
    report = _checked(report, stated_checks(manifest, acknowledge))
    with tempfile.TemporaryDirectory(prefix="fhirtasks-push-") as scratch:
        say("comparing with the version before")
        people = acknowledge if has_people(manifest) else None
        added, report = _added(remote, head, versions, folder, Path(scratch), report, people)
        report = _checked(report, content_checks(folder, manifest, holdouts, say))
        report = _planned(report, head.files if head else {}, local | added)
        if dry_run:
            return report
        title = message or f"{tag}: {manifest['kept']:,} trajectories"
        return _publish(remote, head, manifest, local | added, report, title, say)


def _checked(report: PushReport, found: list[Check]) -> PushReport:
    """The report with more checks. UserError if one does not hold; a dry run goes on, to show them all."""
    for check in found:
        if not check.passed and not report.dry_run:
            raise UserError(check.detail)
    return replace(report, checks=[*report.checks, *found])


def _visible(remote: Remote, head: Head | None, public: bool) -> None:
    """A dataset is private unless it was said to be public, and what is there stays what it is."""
    if head is None:
        return
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


def _versions(remote: Remote, head: Head) -> list[Version]:
    if VERSIONS not in head.files:
        return []
    return read_versions(_read(remote, head, VERSIONS), f"{remote.name} (main)")


def _before(head: Head, versions: Sequence[Version]) -> str | None:
    """The tag before: the greatest of those at the head, else the last one that was recorded."""
    here = [name for name, commit in head.tags.items() if commit == head.commit]
    greatest: tuple[tuple[int, int, int], str] | None = None
    for name in here:
        with suppress(UserError):
            greatest = max(greatest or (numbers(name), name), (numbers(name), name))
    if greatest is not None:
        return greatest[1]
    return versions[-1].tag if versions else None


def _same(there: Mapping[str, RemoteFile], local: Mapping[str, Path | bytes]) -> bool:
    """Whether a commit holds just these files, besides what a push writes."""
    names = {name for name in there if not hidden(name)} - set(AT_PUSH)
    return names == set(local) and all(
        (isinstance(content, bytes) or content.is_file()) and there[name].same(content)
        for name, content in local.items()
    )


def _finished(remote: Remote, folder: Path, head: Head, last: Version, tag: str | None) -> bool:
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
    content = _read(remote, head, NAME)
    if hashlib.sha256(content).hexdigest() != last.manifest:
        return False
    wanted = json.loads(content)["files"]
    there = {name: file for name, file in head.files.items() if not hidden(name)}
    return set(there) == {*wanted, NAME, *AT_PUSH} and all(
        there[name].size == about.get("bytes") and there[name].sha256 in (None, about.get("sha256"))
        for name, about in wanted.items()
    )


def _only_tag(remote: Remote, head: Head, versions: list[Version], report: PushReport) -> PushReport:
    """The head holds the release already: nothing is uploaded, no commit is made."""
    if report.previous == report.tag:  # a push that was cut off before its tag
        report = replace(report, previous=versions[-1].previous)
    elif report.previous is not None and numbers(report.tag) < numbers(report.previous):
        raise UserError(f"{report.tag} does not come after {report.previous}; give a greater tag.")
    unchanged = len([name for name in head.files if not hidden(name)])
    report = replace(report, commit=head.commit, change="none", unchanged=unchanged)
    if not report.dry_run:
        _tag(remote, head.commit, report)
    return report


def _added(
    remote: Remote,
    head: Head | None,
    versions: list[Version],
    folder: Path,
    scratch: Path,
    report: PushReport,
    acknowledgement: str | None,
) -> tuple[dict[str, bytes], PushReport]:
    """VERSIONS.json and CHANGELOG.md of the new version, after its tag was compared with what changed."""
    date = datetime.now(UTC).date().isoformat()
    before, found, text = None, None, ""
    previous = report.previous
    if head is not None and previous is not None and previous in head.tags:
        commit = head.tags[previous]
        before = _release(remote, commit, folder, scratch / "before")
        found = diff(before, folder, regrade=True, workers=os.cpu_count() or 1)
        change = classify(found)
        wrong = check_tag(previous, report.tag, found)
        why = f": {change.findings[0][1]}" if change.findings else ""
        said = wrong or f"{report.tag} after {previous} is right for a change that is {change.level}{why}"
        report = _checked(replace(report, change=change.level), [Check("version", wrong is None, said)])
        if head.commit != commit:
            edited = f"main of {remote.name} is not {previous} any more; what was changed there is replaced"
            report = replace(report, warnings=[*report.warnings, edited])
    if head is not None and CHANGELOG in head.files:
        text = _read(remote, head, CHANGELOG).decode("utf-8", "replace")
    version = Version(report.tag, date, sha256_of(folder / NAME), previous, acknowledgement)
    return {
        VERSIONS: versions_bytes([*versions, version]),
        CHANGELOG: changelog(before, folder, report.tag, date, text, found).encode(),
    }, report


def _release(remote: Remote, commit: str, folder: Path, place: Path) -> Path:
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


def _planned(report: PushReport, there: Mapping[str, RemoteFile], add: Mapping[str, Path | bytes]) -> PushReport:
    changed = [name for name, content in sorted(add.items()) if name not in there or not there[name].same(content)]
    sizes = {
        name: len(content) if isinstance(content, bytes) else content.stat().st_size for name, content in add.items()
    }
    return replace(
        report,
        upload={name: sizes[name] for name in changed},
        unchanged=len(add) - len(changed),
        delete=[name for name in sorted(there) if name not in add and not hidden(name)],
    )


def _publish(
    remote: Remote,
    head: Head | None,
    manifest: dict[str, Any],
    add: Mapping[str, Path | bytes],
    report: PushReport,
    title: str,
    say: Callable[[str], None],
) -> PushReport:
    if head is None:
        remote.create(private=report.private)
        head = remote.head()
        if head.private != report.private:
            raise UserError(f"{remote.name} was made otherwise than asked ({remote.url}); look at its settings.")
        if {name for name in head.files if not hidden(name)} - {CARD}:
            raise Conflict(f"{remote.name} was filled by somebody else meanwhile; see {remote.url}, then push again.")
    say(f"uploading {len(report.upload):,} files, {sum(report.upload.values()):,} bytes")
    new = {name: add[name] for name in report.upload}
    commit = remote.commit(head.commit, new, report.delete, title=title, text=f"fhirtasks push --tag {report.tag}")
    if not _arrived(remote.files(commit), manifest, add):
        raise UserError(
            f"The commit {commit} of {remote.name} does not hold the release as its manifest says, and was not tagged; leave "
            f"the folder alone while it is pushed, and push again."
        )
    report = replace(report, commit=commit)
    _tag(remote, commit, report)
    return report


def _arrived(there: Mapping[str, RemoteFile], manifest: dict[str, Any], add: Mapping[str, Path | bytes]) -> bool:
    """Whether a commit holds just what was to be added, and it is what the manifest says."""
    if {name for name in there if not hidden(name)} != set(add):
        return False
    for name, content in add.items():
        if isinstance(content, bytes):
            whole = there[name].same(content)
        else:
            wanted = manifest["files"][name]["sha256"]
            whole = (there[name].sha256 or (there[name].same(content) and sha256_of(content))) == wanted
        if not whole:
            return False
    return True


def _tag(remote: Remote, commit: str, report: PushReport) -> None:
    there = f"The release is on main of {remote.name} (commit {commit[:12]})"
    try:
        remote.tag(report.tag, commit)
    except Conflict:
        raise Conflict(
            f"{there}, but somebody else set the tag {report.tag} meanwhile; push again under another tag."
        ) from None
    except UserError as error:
        raise UserError(
            f"{there}, but the tag {report.tag} was not set: {error} To finish, run the same command again: it will only tag."
        ) from None


def _read(remote: Remote, head: Head, name: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="fhirtasks-") as scratch:
        return remote.fetch(name, head.commit, Path(scratch)).read_bytes()
