"""The audit of any dataset: every text of every row of every file searched for what is held out.

An auditor trusts nothing but the rows: the files are found by looking, their kinds by their content, and what could not
be read is named. Rows are searched in processes side by side, in memory that does not grow with them, and the audit
measures itself on leaks planted in copies of the very rows that it searched (:mod:`fhirtasks.leakage.selftest`).
"""

from __future__ import annotations

import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

from fhirtasks.benchmarks.files import Heading
from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.holdouts import read_heldout, read_sealed
from fhirtasks.errors import UserError
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.keyed import open_sealed
from fhirtasks.leakage.matcher import Match, Matcher
from fhirtasks.leakage.ngrams import common_phrases
from fhirtasks.leakage.policy import read_policy
from fhirtasks.leakage.reading import Dataset, Part, find_parts, part_rows, row_texts
from fhirtasks.leakage.selftest import CLEAN, EACH, SelfTest, measure
from fhirtasks.leakage.splits import Overlap, overlaps
from fhirtasks.planting.rows import Row
from fhirtasks.processes import runner

LISTED: Final = 1_000
"""Findings that a report lists; all are counted."""
EXCERPT: Final = 60
"""Characters shown on either side of what was found."""
SAMPLED: Final = 96
"""Rows, about, from all over the dataset: what they repeat is its template, and the self-test plants in them."""
LARGEST: Final = 200_000
"""Characters of a sampled row at most."""
PARALLEL_FROM: Final = 4
"""Parts from which on it pays to start other processes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One held-out item in one row, and the evidence.

    ``row`` counts from 0 within config and split over all their files, as ``load_dataset`` does; it is None for prose and
    for what a file says beside its rows. ``column`` is the place in the row (``messages[2].content``), ``span`` [start, end) in
    the text there. A finding that is not ``decisive`` is worth a look and does not fail the audit.
    """

    file: str
    config: str
    split: str
    row: int | None
    column: str
    matcher: str
    item: str
    span: tuple[int, int]
    evidence: str
    excerpt: str
    decisive: bool


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was searched and found. ``leaks`` and ``doubts`` count all findings, decisive or not; ``findings`` lists the first.

    ``leaking`` counts the rows, and pieces of prose, that have leaks. ``holdouts`` is the digest of what was held out,
    ``items`` its counts by kind; ``splits`` is what two splits of a release of ours share.
    """

    dataset: str
    commit: str | None
    findings: tuple[Finding, ...]
    leaks: int
    leaking: int
    doubts: int
    matchers: dict[str, int]
    rows: dict[str, int]
    characters: int
    unsearched: tuple[str, ...]
    holdouts: str
    items: dict[str, int]
    policy: dict[str, Any]
    notes: tuple[str, ...]
    splits: tuple[Overlap, ...]
    self_test: SelfTest | None

    @property
    def clean(self) -> bool:
        """True if nothing held out was found for certain, and no two splits share what they must not."""
        return not self.leaks and not self.splits

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON value."""
        return {
            "clean": self.clean,
            **asdict(replace(self, findings=(), splits=(), self_test=None)),
            "findings": [{**asdict(finding), "span": list(finding.span)} for finding in self.findings],
            "unsearched": list(self.unsearched),
            "notes": list(self.notes),
            "splits": [{**asdict(overlap), "splits": list(overlap.splits)} for overlap in self.splits],
            "self_test": self.self_test.as_json() if self.self_test else None,
        }


class Finder(Protocol):
    """What finds held-out items in the texts of a row."""

    def find(self, texts: Sequence[str]) -> list[Match]: ...


@dataclass(frozen=True, slots=True)
class Job:
    """One part to search with what a file holds (holdouts, sealed ones, policy, templates)."""

    number: int
    part: Part
    setup: str


@dataclass(slots=True)
class Outcome:
    """What a job found; ``row`` of its findings counts from the part's first."""

    number: int
    rows: int = 0
    characters: int = 0
    leaks: int = 0
    leaking: int = 0
    doubts: int = 0
    matchers: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def audit(
    dataset: str | Path,
    sources: Sequence[str | Path],
    policy: Path | None = None,
    *,
    key: bytes | None = None,
    workers: int = 1,
    each: int = EACH,
    clean: int = CLEAN,
    progress: Callable[[str], None] = lambda message: None,
) -> AuditReport:
    """Searches a folder, a file or a Hub dataset (``org/name[@revision]``) for what the sources hold out.

    All texts of a row count together, so that a name in one message and the birth date in another are found. What is
    found does not depend on ``workers``. The self-test plants ``each`` leaks per kind of fact and disguise, and ``clean``
    texts that are none. ``key`` opens sealed holdouts that need one. UserError for a source, policy or dataset that cannot be read.
    """
    rules = read_policy(policy)
    known = {str(source): read_sealed(source) for source in sources}
    sealed = [value for value in known.values() if value is not None]
    items = [item for source in sources if known[str(source)] is None for item in read_heldout(source)]
    for value in sealed:
        open_sealed(value, key)  # what is wrong with it is told before anything is read
    holdouts = Holdouts.of(items)
    progress("looking at the dataset's files")
    found = find_parts(dataset)
    sample = _sample(found.parts)
    matcher = Matcher(holdouts, rules)
    templates = common_phrases(
        ([text for _, text in row] for row in sample if not _is_verbatim(matcher, row)),
        (text for item in items for text in item.texts),
    )
    with tempfile.TemporaryDirectory(prefix="fhirtasks-audit-") as folder:
        setup = Path(folder) / "setup"
        setup.write_bytes(pickle.dumps((holdouts, sealed, key, rules, templates)))
        jobs = [Job(number, part, str(setup)) for number, part in enumerate(found.parts)]
        outcomes: list[Outcome] = []
        try:
            with runner(workers if len(jobs) >= PARALLEL_FROM else 1) as run:
                for outcome in run(search, jobs):
                    outcomes.append(outcome)
                    _bound(outcomes)
                    total, leaks = sum(one.rows for one in outcomes), sum(one.leaks for one in outcomes)
                    progress(f"audited {total:,} rows, {len(outcomes)} of {len(jobs)} parts; {leaks:,} leaks so far")
            test = None
            if items:
                progress("planting leaks in copies of rows, to measure what is found")
                finders = _finders(str(setup))
                rows_ = [row for row in sample if not any(_leaks(finder, row) for finder in finders)]
                test = measure(finders[0], items, rows_ or [[("text", "")]], each=each, clean=clean, progress=progress)
        finally:
            _opened.clear()
    outcomes.sort(key=lambda outcome: outcome.number)
    rows, findings = _placed(found.parts, outcomes)
    if not sum(rows.values()) and not sum(outcome.characters for outcome in outcomes):
        raise UserError(f"{dataset} holds no rows and no text; give a dataset with something to search.")
    return AuditReport(
        dataset=str(dataset),
        commit=found.commit,
        findings=tuple(findings[:LISTED]),
        leaks=sum(outcome.leaks for outcome in outcomes),
        leaking=sum(outcome.leaking for outcome in outcomes),
        doubts=sum(outcome.doubts for outcome in outcomes),
        matchers=dict(sorted(sum((outcome.matchers for outcome in outcomes), Counter[str]()).items())),
        rows=rows,
        characters=sum(outcome.characters for outcome in outcomes),
        unsearched=found.unsearched,
        holdouts=holdouts.digest,
        items=holdouts.counts,
        policy=rules.as_json(),
        notes=tuple(_notes(sealed, items, found)),
        splits=_shared(dataset, found),
        self_test=test,
    )


def search(job: Job) -> Outcome:
    """Searches one part; a pure function of the job and its setup."""
    finders = _finders(job.setup)
    outcome = Outcome(job.number)
    for row in part_rows(job.part):
        beside = isinstance(row, Heading)
        texts = row_texts(row)
        strings = [text for _, text in texts]
        before = outcome.leaks
        for finder in finders:
            for match in finder.find(strings):
                if match.decisive:
                    outcome.leaks += 1
                else:
                    outcome.doubts += 1
                outcome.matchers[match.matcher] += 1
                if len(outcome.findings) < LISTED:
                    number = None if job.part.prose or beside else outcome.rows
                    outcome.findings.append(_finding(job.part, number, texts, match))
        outcome.leaking += outcome.leaks > before
        outcome.characters += sum(map(len, strings))
        outcome.rows += not (job.part.prose or beside)
    return outcome


_opened: dict[str, list[Finder]] = {}


def _finders(setup: str) -> list[Finder]:
    """The matchers of a setup, made once in each process; the first searches for what is known in the open."""
    if setup not in _opened:
        holdouts, sealed, key, policy, templates = pickle.loads(Path(setup).read_bytes())
        _opened[setup] = [Matcher(holdouts, policy, templates), *(open_sealed(value, key) for value in sealed)]
    return _opened[setup]


def _finding(part: Part, row: int | None, texts: Row, match: Match) -> Finding:
    place, text = texts[match.text]
    excerpt = " ".join(text[max(0, match.start - EXCERPT) : match.end + EXCERPT].split())
    return Finding(
        part.name, part.config, part.split, row, place or part.name, match.matcher, match.item, (match.start, match.end),
        match.evidence, excerpt, match.decisive,
    )  # fmt: skip


def _bound(outcomes: list[Outcome]) -> None:
    """Keeps no more findings than a report can list: those of the first parts."""
    listed = 0
    for outcome in sorted(outcomes, key=lambda one: one.number):
        del outcome.findings[max(0, LISTED - listed) :]
        listed += len(outcome.findings)


def _placed(parts: Sequence[Part], outcomes: Sequence[Outcome]) -> tuple[dict[str, int], list[Finding]]:
    """Rows by config and split, and the findings with rows counted over all parts of theirs."""
    rows: dict[str, int] = {}
    findings: list[Finding] = []
    for part, outcome in zip(parts, outcomes, strict=True):
        if part.prose:
            findings += outcome.findings
            continue
        key = f"{part.config}/{part.split}" if part.config else part.split
        first = rows.setdefault(key, 0)
        rows[key] += outcome.rows
        findings += [
            found if found.row is None else replace(found, row=first + found.row) for found in outcome.findings
        ]
    return rows, findings


def _sample(parts: Sequence[Part]) -> list[Row]:
    """Rows from all over the dataset, about as many of each config and split."""
    groups: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        groups.setdefault((part.config, part.split), []).append(part)
    each = max(1, SAMPLED // len(groups))
    sampled: list[Row] = []
    for group in groups.values():
        chosen = group[:: -(-len(group) // 4)]
        for part in chosen:
            rows = (texts for row in part_rows(part) if not isinstance(row, Heading) and (texts := _named(row, part)))
            sampled += islice(rows, -(-each // len(chosen)))
    return sampled


def _named(row: Any, part: Part) -> Row:
    """A row's texts as the self-test takes them: prose named by its file, and of a huge row the beginning."""
    texts, left = [], LARGEST
    for place, text in row_texts(row):
        texts.append((part.name if part.prose else place or part.name, text[:left]))
        left -= len(text)
        if left <= 0:
            break
    return texts


def _leaks(finder: Finder, row: Row) -> bool:
    return any(match.decisive for match in finder.find([text for _, text in row]))


def _is_verbatim(matcher: Matcher, row: Row) -> bool:
    """Whether a row has a held-out text whole: what such rows repeat is a leak, however often, and no template."""
    return any(match.matcher in ("exact", "normalised") for match in matcher.find([text for _, text in row]))


def _shared(dataset: str | Path, found: Dataset) -> tuple[Overlap, ...]:
    """What two splits share, where the dataset is laid out as a release of ours on this machine."""
    return tuple(overlaps(Path(dataset))) if found.commit is None and _is_release(found.parts) else ()


def _is_release(parts: Sequence[Part]) -> bool:
    return {"charts", "sft"} <= {part.config for part in parts}


def _notes(sealed: Sequence[dict[str, Any]], items: Sequence[HeldOut], found: Dataset) -> list[str]:
    notes = []
    if sealed:
        notes.append(
            "sealed holdouts are compared by hashes of identities, parameter tuples and whole normalised texts alone: "
            "disguises are not seen through there"
        )
    if not items:
        notes.append(
            "only sealed holdouts were given, so nothing could be planted and what the audit misses is not measured"
        )
    if found.commit is not None and _is_release(found.parts):
        notes.append(
            "splits of a dataset on the Hub are not compared with each other; pull it and audit the folder for that"
        )
    return notes
