"""What a build is asked for, and what it reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fhirtasks.episodes.types import Mode, Protocol

PATIENTS = 200
"""Of the embedded population, where nobody says how many."""


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """What to build. Without ``graph``, an embedded population of ``patients`` is made for it.

    ``families`` are names or globs (none: all that speak the protocol); ``tokenizer`` is a tokenizer.json or its folder, and
    ``max_tokens`` how many tokens by it the messages of an episode may have. ``extend`` is the release that this one follows:
    where neither graph nor patients are given, its charts are the records, where no families are, its own. ``rollouts`` are
    files of recorded transcripts of models. ``test_families`` (names or globs) are asked in the test split alone, which then
    has no others; with ``test_wordings`` that split has wordings of its own. ``difficulty`` are families and the share of
    ``per_family`` that each is asked for (those not named: all of it).
    """

    out: Path
    graph: Path | None = None
    patients: int | None = None
    families: tuple[str, ...] = ()
    mode: Mode = "clinical"
    protocol: Protocol = "text"
    per_family: int = 240
    seed: int = 0
    holdouts: tuple[Path, ...] = ()
    policy: Path | None = None
    workers: int = 1
    tokenizer: Path | None = None
    max_tokens: int | None = None
    extend: Path | None = None
    rollouts: tuple[Path, ...] = ()
    test_families: tuple[str, ...] = ()
    test_wordings: bool = False
    difficulty: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build made. Where ``missed`` names a branch, nothing was written.

    ``families`` is name -> branches -> branch -> quota, kept, native, overlaid, model; ``dropped`` counts by reason;
    ``rollouts`` are the manifest's.
    """

    kept: int
    dropped: dict[str, int]
    unsupported: dict[str, str]
    families: dict[str, Any]
    splits: dict[str, Any]
    fingerprint: str
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    rollouts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """True if every branch is within 20 % of its quota."""
        return not self.missed

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return asdict(self)
