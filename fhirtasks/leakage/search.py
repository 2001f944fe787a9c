"""The search of one part of a dataset, in any process: a pure function of the part and of what is held out."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fhirtasks.benchmarks.files import Heading
from fhirtasks.leakage.keyed import open_sealed
from fhirtasks.leakage.matcher import Match, Matcher
from fhirtasks.leakage.reading import Part, keyed, part_rows
from fhirtasks.leakage.report import Finding
from fhirtasks.leakage.selftest import Finder
from fhirtasks.leakage.texts import row_texts
from fhirtasks.planting.rows import Row

LISTED: Final = 1_000
"""Findings that a report lists; all are counted."""
EXCERPT: Final = 60
"""Characters shown on either side of what was found."""


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


def search(job: Job) -> Outcome:
    """Searches one part; a pure function of the job and its setup."""
    finders = open_finders(job.setup)
    outcome = Outcome(job.number)
    for row in part_rows(job.part):
        beside = isinstance(row, Heading)
        texts = row_texts(row, keys=keyed(job.part))
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
        outcome.characters += 0 if job.part.said else sum(map(len, strings))
        outcome.rows += not (job.part.prose or beside)
    return outcome


_opened: dict[str, list[Finder]] = {}


def open_finders(setup: str) -> list[Finder]:
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


def bound(outcomes: list[Outcome]) -> None:
    """Keeps no more findings than a report can list: those of the first parts."""
    listed = 0
    for outcome in sorted(outcomes, key=lambda one: one.number):
        del outcome.findings[max(0, LISTED - listed) :]
        listed += len(outcome.findings)


def placed(parts: Sequence[Part], outcomes: Sequence[Outcome]) -> tuple[dict[str, int], list[Finding]]:
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


def close_finders() -> None:
    """Forgets what :func:`open_finders` keeps in this process."""
    _opened.clear()
