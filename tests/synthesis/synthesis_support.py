"""Reading releases and writing transcripts, for the room's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fhirtasks.release.manifest import manifest_bytes, read_manifest
from fhirtasks.release.writer import sha256_of

BASE: dict[str, Any] = {
    "families": ("patient_lookup", "record_blood_pressure", "latest_lab"),
    "per_family": 24,
    "seed": 51,
}
"""Options of the room's release."""
SPLITS = ("train", "validation", "test")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path, config: str = "sft", split: str | None = None) -> list[dict[str, Any]]:
    """The rows of a config, split by split."""
    paths = [path for one in SPLITS if split in (None, one) for path in sorted((folder / config).glob(f"{one}-*"))]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def patients(folder: Path, split: str) -> set[str]:
    """The ids of a split's patients."""
    return {row["id"] for row in rows(folder, "charts", split) if row["type"] == "Patient"}


def write_lines(path: Path, lines: list[Any]) -> Path:
    """A JSONL file; bytes are written as they are."""
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return path


def told(row: dict[str, Any], change: Any, **more: Any) -> dict[str, Any]:
    """The transcript of a row with every assistant text changed."""
    messages = [
        {"role": one["role"], "content": change(one["content"]) if one["role"] == "assistant" else one["content"]}
        for one in row["messages"]
    ]
    return {"id": row["id"], "messages": messages, **more}


def rewrite(folder: Path, config: str, split: str, change: Any) -> None:
    """Changes rows of a release and its manifest's hashes with them, as somebody who makes releases could."""
    (path,) = (folder / config).glob(f"{split}-*.parquet")
    table = pq.read_table(path)
    listed = table.to_pylist()
    change(listed)
    pq.write_table(pa.Table.from_pylist(listed, schema=table.schema), path)
    manifest = read_manifest(folder)
    manifest["files"][path.relative_to(folder).as_posix()]["sha256"] = sha256_of(path)
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
