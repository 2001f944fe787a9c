"""Earlier releases that a new one is made of: to be extended, or to be merged."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.release.features import SPLITS
from fhirtasks.release.manifest import NAME, file_failures, read_manifest
from fhirtasks.release.read import DamagedShard, tables
from fhirtasks.release.writer import sha256_of
from fhirtasks.tasks.quotas import Quota
from fhirtasks.tasks.registry import families


@dataclass(frozen=True)
class Release:
    """A release folder, whole: ``digest`` is its manifest's sha256, ``patients`` says which split each is in.

    ``held`` counts the experts' rows by (split, family, branch).
    """

    folder: Path
    manifest: dict[str, Any]
    digest: str
    patients: Mapping[str, str]
    held: Counter[tuple[str, str, str]]


def open_release(folder: Path, out: Path) -> Release:
    """Reads what a release says of itself. UserError if it is none, if a file is not what its manifest says, and if
    ``out`` would stand in it."""
    manifest = read_manifest(folder)
    if Path(os.path.abspath(folder)) in out.parents:
        raise UserError(f"{out} lies in the release {folder}, which would be damaged: give another --out.")
    wrong = file_failures(folder, manifest)
    if wrong:
        raise UserError(f"{folder}: {wrong[0]['file']} {wrong[0]['problem']}; take a whole copy of the release.")
    patients: dict[str, str] = {}
    held: Counter[tuple[str, str, str]] = Counter()
    for split in manifest["splits"]:
        if split not in SPLITS:
            raise UserError(f"{folder} has a split {split!r}; there are {', '.join(SPLITS)}.")
        try:
            for type_, id_ in _columns(folder, "charts", split, ("type", "id")):
                if type_ == "Patient" and patients.setdefault(id_, split) != split:
                    raise UserError(f"{folder} has the patient {id_} in {patients[id_]} and {split}; build it anew.")
            for family, branch, origin in _columns(folder, "sft", split, ("family", "branch", "origin")):
                held[split, family, branch] += origin == "expert"
        except DamagedShard as damaged:
            raise UserError(f"{folder}: {damaged.failure.file} {damaged}; take a whole copy of the release.") from None
    return Release(folder, manifest, sha256_of(folder / NAME), patients, held)


def _columns(folder: Path, config: str, split: str, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    for table in tables(folder, config, split, 4096, names):
        yield from zip(*(table.column(name).to_pylist() for name in names), strict=True)


def quotas_of(manifest: Mapping[str, Any]) -> list[Quota]:
    """The quotas that a release was built to, in the order of families, splits and the families' branches."""
    ranks = {(family.name, branch.name): place for family in families() for place, branch in enumerate(family.branches)}
    found = [
        Quota(family, split, branch, rows)
        for split, members in manifest["quotas"].items()
        for family, branches in members.items()
        for branch, rows in branches.items()
    ]
    return sorted(
        found,
        key=lambda one: (one.family, SPLITS.index(one.split), ranks.get((one.family, one.branch), 999), one.branch),
    )


def quota_table(quotas: Iterable[Quota]) -> dict[str, Any]:
    """The manifest's ``quotas``: split -> family -> branch -> rows."""
    found: dict[str, Any] = {}
    for quota in quotas:
        if quota.rows:
            branches = found.setdefault(quota.split, {}).setdefault(quota.family, {})
            branches[quota.branch] = branches.get(quota.branch, 0) + quota.rows
    return found


def lineage_of(releases: Iterable[Release]) -> list[dict[str, Any]]:
    """The manifest's ``lineage``: these releases and those that they come from, by manifest digest, graph and worlds."""
    found: dict[str, dict[str, Any]] = {}
    for release in releases:
        own = {
            "manifest": release.digest,
            "graph": release.manifest["graph"],
            "worlds": {split: about["world"] for split, about in release.manifest["splits"].items()},
        }
        for one in (own, *release.manifest["lineage"]):
            found.setdefault(one["manifest"], one)
    return [found[digest] for digest in sorted(found)]
