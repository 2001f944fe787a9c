"""The last step: manifest and card beside the shards, everything on the disk, then one rename."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fhirtasks.graph.store import open_graph, sources
from fhirtasks.release.card import NAME as CARD
from fhirtasks.release.card import card
from fhirtasks.release.features import FORMAT, SPLITS
from fhirtasks.release.licences import published, remarks
from fhirtasks.release.manifest import NAME as MANIFEST
from fhirtasks.release.manifest import files_of, manifest_bytes
from fhirtasks.release.writer import Shard, sha256_of
from fhirtasks.synthesis.identity import versions
from fhirtasks.synthesis.merge import Merged


def describe(
    *, decided: dict[str, Any], graph: Path, fingerprint: str, merged: Merged, splits: dict[str, Any],
    families: dict[str, Any], unsupported: dict[str, str], notes: Sequence[str], shards: Sequence[Shard],
) -> dict[str, Any]:  # fmt: skip
    """The manifest of a release, but for the card's own hash."""
    lengths: dict[str, Any] = {}
    for family in families:
        lengths[family] = {"characters": _quantiles(merged.lengths.get(family))}
        if family in merged.tokens:
            lengths[family]["tokens"] = _quantiles(merged.tokens[family])
    ordered = sorted(splits, key=SPLITS.index)
    stated, said = stated_sources(graph)
    return {
        "format": FORMAT,
        "versions": versions(),
        "options": decided,
        "graph": fingerprint,
        "sources": stated,
        "splits": {split: splits[split] for split in ordered},
        "kept": merged.kept(),
        "families": families,
        "unsupported": unsupported,
        "dropped": merged.reasons(),
        "notes": [*notes, *said],
        "lengths": lengths,
        "row_sets": {
            split: {"episodes": merged.row_sets[split], "charts": splits[split]["world"]} for split in ordered
        },
        "files": files_of(sorted(shards, key=lambda shard: shard.path)),
    }


def finish(staging: Path, manifest: dict[str, Any], out: Path) -> None:
    """Writes card and manifest, makes sure of every file, and lets the folder appear."""
    text = card(manifest).encode()
    (staging / CARD).write_bytes(text)
    manifest["files"][CARD] = {"rows": 0, "bytes": len(text), "sha256": sha256_of(staging / CARD)}
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
    return [published(row) for row in rows], remarks(rows)


def _quantiles(values: array[int] | None) -> dict[str, int]:
    ordered = sorted(values or [0])
    last = len(ordered) - 1
    return {"median": ordered[last // 2], "p95": ordered[round(last * 0.95)], "longest": ordered[-1]}


def _sync(path: Path) -> None:
    """Makes sure that a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
