"""The worlds of two releases compared: patients that came, went or changed sides, and the resources of each split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.release.diff_rows import scan

_KEY = ["split", "type", "id"]


@dataclass(frozen=True, slots=True)
class Worlds:
    """``added`` and ``removed`` are ids of patients, ``moved`` is (id, split before, split after).

    ``resources`` counts added, removed and changed resources by split; ``places`` is patient -> split after; ``touched``
    holds the patients with a resource that differs.
    """

    added: list[str]
    removed: list[str]
    moved: list[tuple[str, str, str]]
    resources: dict[str, dict[str, int]]
    places: Any
    touched: Any


def compare_worlds(before: Path, after: Path) -> Worlds:
    """Compares the ``charts`` of two releases by split, type, id and text. UserError if one has none."""
    import polars as pl

    slim = [
        scan(folder, "charts")
        .select("split", "type", "id", "patient", pl.col("raw").hash())
        .collect(engine="streaming")
        for folder in (before, after)
    ]
    patients = [
        side.filter(pl.col("type") == "Patient").select("id", "split").unique("id", keep="first").sort("id")
        for side in slim
    ]
    one, other = slim
    gone, come = one.join(other, on=[*_KEY, "raw"], how="anti"), other.join(one, on=[*_KEY, "raw"], how="anti")
    changed = gone.join(come, on=_KEY, how="semi")
    counts = {
        "added": come.join(changed, on=_KEY, how="anti"),
        "removed": gone.join(changed, on=_KEY, how="anti"),
        "changed": changed,
    }
    resources: dict[str, dict[str, int]] = {}
    for name, frame in counts.items():
        for split, count in frame.group_by("split").len().rows():
            resources.setdefault(split, dict.fromkeys(counts, 0))[name] = count
    both = patients[0].join(patients[1], on="id", suffix="_after")
    return Worlds(
        added=patients[1].join(patients[0], on="id", how="anti").get_column("id").to_list(),
        removed=patients[0].join(patients[1], on="id", how="anti").get_column("id").to_list(),
        moved=both.filter(pl.col("split") != pl.col("split_after")).rows(),
        resources=resources,
        places=patients[1],
        touched=pl.concat([gone, come]).select("patient").drop_nulls().unique(),
    )
