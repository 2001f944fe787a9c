"""Publishes a release as a version: one commit that holds all of it, upon the head that was looked at, then the tag.

Nothing of a version is to be seen before its commit, and the commit is made by the Hub whole or not at all; so a push that is
cut off, killed or refused leaves the version before as it was, and running it again goes on. A head that moved meanwhile is a
conflict and is reported. A commit that its push could not tag any more is tagged by running that push again; until then no
other is put upon it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.release.changelog import changelog
from fhirtasks.release.credentials import kinds_in
from fhirtasks.release.diff import diff
from fhirtasks.release.heads import (
    CARD,
    check_place,
    fetch_release,
    holds,
    is_finished,
    read_file,
    recorded,
    tag_before,
)
from fhirtasks.release.history import CHANGELOG, VERSIONS, Version, versions_bytes
from fhirtasks.release.hub import Conflict, Head, NotThere, Remote, RemoteFile, hidden
from fhirtasks.release.manifest import HOLDOUTS, NAME, read_manifest
from fhirtasks.release.preflight import Check, content_checks, has_people, stated_checks
from fhirtasks.release.versioning import check_tag, classify, numbers
from fhirtasks.release.writer import sha256_of


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
    if head is not None:
        check_place(remote, head, public)
    if head is not None and tag in head.tags:
        raise UserError(f"{repository} has the tag {tag} already; a version stays what it is: give another tag.")
    local: dict[str, Path | bytes] = {name: folder / name for name in manifest["files"]}
    local[NAME] = (folder / NAME).read_bytes()
    versions = [] if head is None else recorded(remote, head)
    report = PushReport(
        repository, tag, remote.url, not public, dry_run, head is None, tag_before(head, versions) if head else None
    )
    if head is not None and versions:
        same = holds(head.files, local)
        if is_finished(remote, folder, head, versions[-1], tag if same else None):
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
        before = fetch_release(remote, commit, folder, scratch / "before")
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
        text = read_file(remote, head, CHANGELOG).decode("utf-8", "replace")
    version = Version(report.tag, date, sha256_of(folder / NAME), previous, acknowledgement)
    return {
        VERSIONS: versions_bytes([*versions, version]),
        CHANGELOG: changelog(before, folder, report.tag, date, text, found).encode(),
    }, report


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
