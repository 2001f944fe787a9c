"""The one merge, in task order: duplicates across partitions, counts, and the jobs that write the release's files."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fhirtasks.release.features import CONFIGS
from fhirtasks.synthesis.jobs import WriteJob, read_columns
from fhirtasks.synthesis.plan import Partition
from fhirtasks.tasks.quotas import Quota

ENOUGH = 0.8
"""A branch is filled if this share of its quota was kept."""
_LONGEST = ("sft_turns", "charts", "sft", "privileged", "preference", "rl", "dropped")
"""Configs by how long it takes to write them."""


@dataclass(slots=True)
class Merged:
    """What the partitions hold together. ``counts`` is keyed by (split, family, branch, native or overlaid)."""

    skip: dict[str, tuple[int, ...]] = field(default_factory=dict)
    counts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    drops: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    lengths: dict[str, array[int]] = field(default_factory=dict)
    tokens: dict[str, array[int]] = field(default_factory=dict)
    row_sets: dict[str, str] = field(default_factory=dict)

    def kept(self, split: str | None = None) -> int:
        """Rows kept, in one split or in all."""
        return sum(count for (where, *_), count in self.counts.items() if split in (None, where))

    def of(self, family: str, branch: str, split: str | None = None, records: str | None = None) -> int:
        """Rows kept of a branch."""
        return sum(
            count
            for (where, name, case, how), count in self.counts.items()
            if (name, case) == (family, branch) and split in (None, where) and records in (None, how)
        )

    def reasons(self) -> dict[str, int]:
        """How many were dropped, by reason."""
        return dict(sorted(Counter(drop["reason"] for drops in self.drops.values() for drop in drops).items()))


def merge(partitions: Iterable[tuple[Partition, Path]]) -> Merged:
    """Reads hashes and labels of every partition in order; of equal contents the first stays."""
    merged = Merged()
    seen: set[bytes] = set()
    digests: dict[str, hashlib._Hash] = {}
    for partition, path in partitions:
        split = partition.split
        drops = merged.drops.setdefault(split, [])
        digest = digests.setdefault(split, hashlib.sha256())
        skip = []
        rows, dropped = read_columns(path, ("content_hash", "family", "branch", "records", "characters", "tokens"))
        drops += dropped
        for place, (content, family, branch, records, characters, tokens) in enumerate(rows):
            key = bytes.fromhex(content)[:16]
            if key in seen:
                skip.append(place)
                drops.append(
                    {"content_hash": content, "family": family, "branch": branch, "split": split, "reason": "duplicate"}
                )
                continue
            seen.add(key)
            digest.update(f"{content}\n".encode())
            merged.counts[split, family, branch, records] += 1
            merged.lengths.setdefault(family, array("q")).append(characters)
            if tokens is not None:
                merged.tokens.setdefault(family, array("q")).append(tokens)
        merged.skip[path.name] = tuple(skip)
    merged.row_sets = {split: digest.hexdigest() for split, digest in digests.items()}
    return merged


def missed(quotas: Sequence[Quota], merged: Merged) -> list[tuple[Quota, int]]:
    """The quotas that were not filled, each with what was kept."""
    found = []
    for quota in quotas:
        kept = merged.of(quota.family, quota.branch, quota.split)
        if kept < ENOUGH * quota.rows:
            found.append((quota, kept))
    return found


def write_jobs(
    folder: Path, partitions: Sequence[tuple[Partition, Path]], merged: Merged, worlds: dict[str, Path]
) -> list[WriteJob]:
    """The jobs that write every config of every split into ``folder``, the longest first."""
    jobs = []
    for config in sorted(CONFIGS, key=_LONGEST.index):
        for split, world in worlds.items():
            paths = tuple(path for partition, path in partitions if partition.split == split)
            skip = tuple(merged.skip[path.name] for path in paths)
            drops = tuple(merged.drops.get(split, ())) if config == "dropped" else ()
            jobs.append(WriteJob(config, split, folder, paths, skip, world, drops))
    return jobs
