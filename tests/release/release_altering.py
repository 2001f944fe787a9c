"""Releases altered by hand and made consistent again, as another build would have written them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fhirtasks.fhir.jsontext import content_hash
from fhirtasks.release.manifest import manifest_bytes
from fhirtasks.release.writer import sha256_of

Rows = list[dict[str, Any]]


def shard(folder: Path, config: str, split: str = "train") -> Path:
    (path,) = (folder / config).glob(f"{split}-*.parquet")
    return path


def alter(folder: Path, config: str, change: Callable[[Rows], Any], split: str = "train") -> None:
    """Lets ``change`` edit the rows of a config and split (or return other ones), and brings the manifest up to date."""
    path = shard(folder, config, split)
    table = pq.read_table(path)
    rows = table.to_pylist()
    changed = change(rows)
    pq.write_table(pa.Table.from_pylist(rows if changed is None else changed, schema=table.schema), path)
    reseal(folder)


def columns(folder: Path, config: str, change: Callable[[pa.Table], pa.Table], split: str = "train") -> None:
    """As :func:`alter`, for the table as a whole."""
    path = shard(folder, config, split)
    pq.write_table(change(pq.read_table(path)), path)
    reseal(folder)


def manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Lets ``change`` edit the manifest."""
    found = json.loads((folder / "manifest.json").read_text())
    change(found)
    (folder / "manifest.json").write_bytes(manifest_bytes(found))


def reseal(folder: Path) -> None:
    """Makes the manifest's files those that are there."""

    def change(found: dict[str, Any]) -> None:
        known = found["files"]
        found["files"] = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"):
            name = path.relative_to(folder).as_posix()
            rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else known[name]["rows"]
            found["files"][name] = {"rows": rows, "bytes": path.stat().st_size, "sha256": sha256_of(path)}

    manifest(folder, change)


def said(row: dict[str, Any], place: int, text: str) -> None:
    """Changes what a message of an ``sft`` row says, and the row's content hash with it."""
    row["messages"][place]["content"] = text
    row["content_hash"] = content_hash({"protocol": row["protocol"], "tools": [], "messages": row["messages"]})


def dropped(row: dict[str, Any], reason: str) -> dict[str, str]:
    """The row of ``dropped`` for an ``sft`` row."""
    return {name: row[name] for name in ("content_hash", "family", "branch", "split")} | {"reason": reason}
