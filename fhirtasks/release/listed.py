"""Whether the manifest lists what a release has: no other files, of the sizes and rows that are theirs."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from fhirtasks.release.card import NAME as CARD
from fhirtasks.release.croissant import NAME as CROISSANT
from fhirtasks.release.features import CONFIGS
from fhirtasks.release.manifest import HOLDOUTS
from fhirtasks.release.manifest import NAME as MANIFEST
from fhirtasks.release.read import Failure
from fhirtasks.release.report import NAME as REPORT
from fhirtasks.release.traces import FOLDER

_DOCUMENTS = (CARD, CROISSANT, REPORT, HOLDOUTS)


def check_listed(folder: Path, manifest: Mapping[str, Any], changed: Container[str | None] | None) -> Iterator[Failure]:
    """What is wrong with the manifest's list of files.

    ``changed`` are files that are missing or not the manifest's, as is said elsewhere; None if nobody compared them, and
    then neither are their sizes and rows.
    """
    splits = "|".join(map(re.escape, manifest["splits"]))
    known = re.compile(
        rf"(?:{'|'.join(CONFIGS)})/(?:{splits})-\d{{5}}-of-\d{{5}}\.parquet|{FOLDER}/(?:{splits})-\d{{5}}\.jsonl"
    )
    for name, about in sorted(manifest["files"].items()):
        if name not in _DOCUMENTS and known.fullmatch(name) is None:
            yield Failure("is no file of a release, and the manifest lists it", file=name)
            continue
        file = folder / name
        if changed is None or name in changed:
            continue
        if file.stat().st_size != about.get("bytes"):
            yield Failure(f"has {file.stat().st_size} bytes, the manifest says {about.get('bytes')}", file=name)
        rows = _rows(file)
        if rows is not None and rows != about.get("rows"):
            yield Failure(f"has {rows} rows, the manifest says {about.get('rows')}", file=name)
    for split, about in manifest["splits"].items():
        if manifest["row_sets"][split].get("charts") != about["world"]:
            yield Failure(f"row_sets and splits name different worlds of {split}", file=MANIFEST)


def _rows(file: Path) -> int | None:
    """The rows that a file's place in the list has: none for documents; None for a shard that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.suffix != ".parquet":
        return 0
    try:
        rows: int = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError, ValueError):
        return None  # which is told where it is read
    return rows
