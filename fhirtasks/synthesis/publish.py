"""The last step: documents and manifest beside the shards, everything on the disk, then one rename."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fhirtasks.graph.store import open_graph, sources
from fhirtasks.release.code import versions
from fhirtasks.release.derived import draw, jobs, together
from fhirtasks.release.documents import documents
from fhirtasks.release.features import FORMAT, SPLITS
from fhirtasks.release.lengths import quantiles
from fhirtasks.release.licences import published, remarks
from fhirtasks.release.manifest import HOLDOUTS, files_of, manifest_bytes
from fhirtasks.release.manifest import NAME as MANIFEST
from fhirtasks.release.processes import Runner, open_world
from fhirtasks.release.writer import Shard, sha256_of
from fhirtasks.synthesis.earlier import quota_table
from fhirtasks.synthesis.jobs import write_split
from fhirtasks.synthesis.merge import Merged, Part, coverage, write_jobs
from fhirtasks.tasks.quotas import Quota


def write_shards(
    staging: Path,
    parts: Sequence[Part],
    merged: Merged,
    worlds: dict[str, Path],
    run: Runner,
    say: Callable[[str], None],
) -> tuple[list[Shard], dict[str, Any]]:
    """Writes the release's shards into ``staging``; gives them, and what each split holds."""
    shards: list[Shard] = []
    writing = write_jobs(staging, parts, merged, worlds)
    for number, (config, split, written) in enumerate(run(write_split, writing), 1):
        shards += written
        say(f"wrote {config}/{split} ({number} of {len(writing)})")
    splits = {}
    for split, path in worlds.items():
        world = open_world(path)
        splits[split] = {
            "patients": len(world.patients),
            "resources": sum(shard.rows for shard in shards if shard.path.startswith(f"charts/{split}-")),
            "rows": merged.kept(split),
            "world": world.fingerprint,
        }
    return shards, splits


def describe(
    *, decided: dict[str, Any], stated: Sequence[dict[str, Any]], fingerprint: str, merged: Merged,
    splits: dict[str, Any], quotas: Sequence[Quota], unsupported: dict[str, str], notes: Sequence[str],
    shards: Sequence[Shard], lineage: Sequence[dict[str, Any]] = (), rollouts: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:  # fmt: skip
    """The manifest of a release, but for its documents and floors. ``stated`` are the sources, ``fingerprint`` the graph's."""
    families = coverage(quotas, merged)
    lengths: dict[str, Any] = {}
    for family in families:
        lengths[family] = {"characters": quantiles(merged.lengths.get(family, ()))}
        if family in merged.tokens:
            lengths[family]["tokens"] = quantiles(merged.tokens[family])
    ordered = sorted(splits, key=SPLITS.index)
    return {
        "format": FORMAT,
        "versions": versions(),
        "options": decided,
        "graph": fingerprint,
        "sources": list(stated),
        "splits": {split: splits[split] for split in ordered},
        "kept": merged.kept(),
        "families": families,
        "quotas": quota_table(quotas),
        "models": dict(sorted(merged.models.items())),
        "rollouts": list(rollouts),
        "lineage": list(lineage),
        "unsupported": {name: why for name, why in unsupported.items() if name not in families},
        "dropped": merged.reasons(),
        "notes": list(notes),
        "lengths": lengths,
        "row_sets": {
            split: {"episodes": merged.row_sets[split], "charts": splits[split]["world"]} for split in ordered
        },
        "files": files_of(sorted(shards, key=lambda shard: shard.path)),
    }


def finish(
    staging: Path, manifest: dict[str, Any], out: Path, worlds: dict[str, Path], run: Runner, say: Callable[[str], None],
    sealed: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Measures the floors, writes documents, holdouts and manifest, makes sure of every file, and lets the folder appear.

    ``sealed`` are the sealed holdouts (:func:`~fhirtasks.leakage.keyed.seal`), None where nothing was held out.
    """
    say("measuring the floors, writing card and report")
    drawn = together(run(draw, jobs(staging, manifest, worlds)))
    manifest["floors"] = drawn.get("floors")
    manifest["holdouts"] = None if sealed is None else sealed["holdouts"]
    manifest["policy"] = None if sealed is None else sealed.get("policy")
    written = list(documents(staging, manifest, drawn["figures"]))
    if sealed is not None:
        written.append((HOLDOUTS, (json.dumps(sealed, indent=1) + "\n").encode()))
    for name, data in written:
        file = staging / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        manifest["files"][name] = {"rows": 0, "bytes": len(data), "sha256": sha256_of(file)}
    (staging / MANIFEST).write_bytes(manifest_bytes(manifest))
    for path in sorted(staging.rglob("*")):
        _sync(path)
    _sync(staging)
    os.replace(staging, out)
    _sync(out.parent)


def stated_sources(graph: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What the manifest says of a graph's sources, and where it is not what was said at loading."""
    with open_graph(graph) as db:
        rows = sources(db)
    stated = [published(row) for row in rows]
    return [row for place, row in enumerate(stated) if row not in stated[:place]], remarks(rows)


def _sync(path: Path) -> None:
    """Makes sure that a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
