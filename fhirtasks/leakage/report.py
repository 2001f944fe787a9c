"""What an audit reports: findings with their evidence, counts, and what it measured of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from fhirtasks.leakage.selftest import SelfTest
from fhirtasks.leakage.splits import Overlap


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
