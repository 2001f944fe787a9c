"""The one merge, in task order: duplicates across partitions, counts, and the jobs that write the release's files."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirtasks.fhir.jsontext import loads
from fhirtasks.release.features import CONFIGS, SPLITS
from fhirtasks.synthesis.jobs import WriteJob, read_columns
from fhirtasks.tasks.quotas import Quota

ENOUGH = 0.8
"""A branch is filled if this share of its quota was kept."""
_LONGEST = ("sft_turns", "charts", "sft", "privileged", "preference", "rl", "dropped")
"""Configs by how long it takes to write them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A finished file of rows of ``split`` (None: of several). ``label`` begins the reasons of what is dropped here.

    ``foreign`` says that the rows come from elsewhere, so that ids, tasks and models are looked at too.
    """

    path: Path
    split: str | None
    label: str = ""
    foreign: bool = False


@dataclass(slots=True)
class Merged:
    """What the parts hold together. ``counts`` is keyed by (split, family, branch, native or overlaid, origin).

    ``skip`` has, for a file's name and a split, the places of rows that the split does not get from it; ``repeated``
    counts duplicates by file name and model, ``models`` the kept rows of each model, ``shared`` rows that stand in
    several releases.
    """

    skip: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    counts: Counter[tuple[str, str, str, str, str]] = field(default_factory=Counter)
    drops: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    lengths: dict[str, array[int]] = field(default_factory=dict)
    tokens: dict[str, array[int]] = field(default_factory=dict)
    row_sets: dict[str, str] = field(default_factory=dict)
    models: Counter[str] = field(default_factory=Counter)
    repeated: Counter[tuple[str, str]] = field(default_factory=Counter)
    shared: int = 0

    def kept(self, split: str | None = None) -> int:
        """Rows kept, in one split or in all."""
        return sum(count for (where, *_), count in self.counts.items() if split in (None, where))

    def of(
        self,
        family: str,
        branch: str,
        split: str | None = None,
        records: str | None = None,
        origin: str | None = None,
    ) -> int:
        """Rows kept of a branch."""
        return sum(
            count
            for (where, name, case, how, who), count in self.counts.items()
            if (name, case) == (family, branch)
            and split in (None, where)
            and records in (None, how)
            and origin in (None, who)
        )

    def reasons(self) -> dict[str, int]:
        """How many were dropped, by reason."""
        return dict(sorted(Counter(drop["reason"] for drops in self.drops.values() for drop in drops).items()))


_LABELS = ("content_hash", "family", "branch", "split", "origin", "records", "characters", "tokens")
_FOREIGN = ("id", "task", "provenance")


def merge(parts: Iterable[Part]) -> Merged:
    """Reads hashes and labels of every part in order; of equal contents, and of different tasks of one id, the first
    stays."""
    merged = Merged()
    seen: set[bytes] = set()
    tasks: dict[str, bytes] = {}
    digests: dict[str, hashlib._Hash] = {}
    for part in parts:
        rows, dropped = read_columns(part.path, (*_LABELS, *_FOREIGN) if part.foreign else _LABELS)
        for drop in dropped:
            merged.drops.setdefault(drop["split"], []).append(drop)
        places: dict[str, set[int]] = {}
        for place, (content, family, branch, split, origin, records, characters, tokens, *more) in enumerate(rows):
            model = loads(more[2]).get("model", "") if more else ""
            key = bytes.fromhex(content)[:16]
            reason = "duplicate" if key in seen else ""
            if more:
                told = hashlib.sha256(more[1].encode()).digest()[:16]
                id_ = more[0].partition("-")[0]
                if reason and tasks.get(id_) == told and part.split is not None:
                    merged.shared += 1
                    continue
                if not reason and tasks.setdefault(id_, told) != told:
                    reason = "id of another task"
            if reason:
                merged.repeated[part.path.name, model] += 1
                reason = f"{part.label}: {reason}" if part.label else reason
                drop = {"content_hash": content, "family": family, "branch": branch, "split": split, "reason": reason}
                merged.drops.setdefault(split, []).append(drop)
                continue
            seen.add(key)
            places.setdefault(split, set()).add(place)
            digests.setdefault(split, hashlib.sha256()).update(f"{content}\n".encode())
            merged.counts[split, family, branch, records, origin] += 1
            merged.lengths.setdefault(family, array("q")).append(characters)
            if model:
                merged.models[model] += 1
            if tokens is not None:
                merged.tokens.setdefault(family, array("q")).append(tokens)
        for split in SPLITS if part.split is None else (part.split,):
            mine = places.get(split, set())
            merged.skip[part.path.name, split] = tuple(place for place in range(len(rows)) if place not in mine)
    merged.row_sets = {split: digest.hexdigest() for split, digest in digests.items()}
    return merged


def missed(quotas: Sequence[Quota], merged: Merged) -> list[tuple[Quota, int]]:
    """The quotas that were not filled, each with what was kept."""
    found = []
    for quota in quotas:
        kept = merged.of(quota.family, quota.branch, quota.split, origin="expert")
        if kept < ENOUGH * quota.rows:
            found.append((quota, kept))
    return found


def coverage(quotas: Sequence[Quota], merged: Merged) -> dict[str, Any]:
    """The manifest's ``families``: per family and branch over all splits its quota, the rows kept, how many of them are
    native, how many overlaid, and how many a model's."""
    asked: Counter[tuple[str, str]] = Counter()
    for quota in quotas:
        asked[quota.family, quota.branch] += quota.rows
    for _, family, branch, *_ in sorted(merged.counts):
        asked[family, branch] += 0
    table: dict[str, Any] = {}
    for (family, branch), rows in asked.items():
        table.setdefault(family, {"branches": {}})["branches"][branch] = {
            "quota": rows,
            "kept": merged.of(family, branch),
            "native": merged.of(family, branch, records="native"),
            "overlaid": merged.of(family, branch, records="overlaid"),
            "model": merged.of(family, branch, origin="model"),
        }
    return table


def write_jobs(folder: Path, parts: Sequence[Part], merged: Merged, worlds: dict[str, Path]) -> list[WriteJob]:
    """The jobs that write every config of every split into ``folder``, the longest first.

    What was dropped from a split that there is not, or from none, is listed with the first.
    """
    homeless = [drop for split, drops in merged.drops.items() if split not in worlds for drop in drops]
    jobs = []
    for config in sorted(CONFIGS, key=_LONGEST.index):
        for split, world in worlds.items():
            paths = tuple(part.path for part in parts if part.split in (None, split))
            skip = tuple(merged.skip[path.name, split] for path in paths)
            drops = merged.drops.get(split, []) + (homeless if split == next(iter(worlds)) else [])
            jobs.append(
                WriteJob(config, split, folder, paths, skip, world, tuple(drops) if config == "dropped" else ())
            )
    return jobs
