"""Rows of two releases matched by content and by id, with polars: of a row that is the same in both, 24 bytes are held.

Texts are compared through polars' 64-bit hashes within one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError

LABELS = ("family", "branch", "split", "mode", "protocol", "origin")
_APART = ("id", "content_hash", "messages")
_PARTS = ("prompt", "actions", "observations")
"""The parts of a conversation: its first message, what the assistant said, what it was told after that."""
_KEYS = {"preference": ("id", "mutant", "check"), "privileged": ("id", "turn")}
"""Configs that hold more than ``sft`` decides, and what names a row in them."""


@dataclass(frozen=True, slots=True)
class RowSets:
    """Rows of ``sft`` before and after, as polars frames of those that are not the same in both.

    ``removed`` and ``added`` have id, content_hash, labels, ``seed``, ``version`` and ``patients``. ``changed`` has
    these of the row before, ``id_after``, ``split_after``, ``same`` (the same episode) and ``what`` (a list of names).
    """

    counts: tuple[int, int]
    unchanged: int
    removed: Any
    added: Any
    changed: Any

    @property
    def verdicts(self) -> int:
        """Equal episodes whose verdict differs."""
        return _count(self.changed, "verdict")

    @property
    def moved(self) -> int:
        """Equal episodes that stand in another split."""
        return _count(self.changed, "split")

    def what(self) -> dict[str, int]:
        """How many changed rows differ in what."""
        counted = (
            self.changed.select("what")
            .explode("what")
            .group_by("what")
            .len()
            .sort("len", "what", descending=[True, False])
        )
        return dict(counted.rows())

    def gone(self) -> frozenset[str]:
        """Content hashes of the rows before whose episode is not there after."""
        import polars as pl

        left = self.changed.filter(~pl.col("same")).get_column("content_hash").to_list()
        return frozenset([*self.removed.get_column("content_hash").to_list(), *left])

    @staticmethod
    def by_branch(frame: Any) -> dict[str, int]:
        """Counts by ``family/branch``."""
        return {
            f"{family}/{branch}": count
            for family, branch, count in frame.group_by("family", "branch").len().sort("family", "branch").rows()
        }

    @staticmethod
    def labels(frame: Any, limit: int) -> list[dict[str, str]]:
        """The first rows of every branch in turn."""
        import polars as pl

        turn = pl.int_range(pl.len()).over("family", "branch")
        shown = frame.sort("family", "branch", "id").sort(turn, maintain_order=True).head(limit)
        found: list[dict[str, str]] = shown.select("id", "family", "branch", "split").to_dicts()
        return found


def compare_rows(before: Path, after: Path) -> RowSets:
    """Matches the ``sft`` rows of two releases. UserError where one repeats ids or contents, or cannot be read."""
    import polars as pl

    one, other = scan(before, "sft"), scan(after, "sft")
    common = [name for name in one.collect_schema().names() if name in other.collect_schema().names()]
    row = {
        "content": pl.col("content_hash").hash(),
        "name": pl.col("id").hash(),
        "about": pl.struct([name for name in common if name not in _APART]).hash(),
    }
    slim = [_collect(side.with_row_index("place").select("place", **row)) for side in (one, other)]
    for side, folder in zip(slim, (before, after), strict=True):
        if any(side.get_column(name).n_unique() < len(side) for name in ("name", "content")):
            raise UserError(f"{folder} repeats ids or contents in sft; see what fhirtasks verify says of it.")
    lefts = slim[0].join(slim[1], on=list(row), how="anti").get_column("place")
    rights = slim[1].join(slim[0], on=list(row), how="anti").get_column("place")
    counts = len(slim[0]), len(slim[1])
    del slim
    left, right = (_details(folder, places, common) for folder, places in ((before, lefts), (after, rights)))
    same = left.join(right, on="content_hash", suffix="_after", coalesce=False)
    rest = left.join(same, on="content_hash", how="anti"), right.join(same, on="content_hash", how="anti")
    task = rest[0].join(rest[1], on="id", suffix="_after", coalesce=False)
    labels = [name for name in rest[0].columns if not name.startswith("#")]
    return RowSets(
        counts,
        counts[0] - len(left),
        rest[0].join(task, on="id", how="anti").select(labels).sort("family", "branch", "id"),
        rest[1].join(task, on="id", how="anti").select(labels).sort("family", "branch", "id"),
        pl.concat([_changed(frame, common, labels, kept) for frame, kept in ((same, True), (task, False))]).sort(
            "family", "branch", "id"
        ),
    )


def compare_columns(before: Path, after: Path, config: str) -> dict[str, list[str]]:
    """Columns of a config that came, went, or have another type; all of them where a side lacks the config."""
    one, other = (
        dict(scan(folder, config).collect_schema()) if any((folder / config).glob("*.parquet")) else {}
        for folder in (before, after)
    )
    both = one.keys() & other.keys()
    return {
        "added": sorted(other.keys() - one.keys()),
        "removed": sorted(one.keys() - other.keys()),
        "retyped": sorted(name for name in both if one[name] != other[name]),
    }


def compare_config(before: Path, after: Path, config: str) -> dict[str, int]:
    """Rows added, removed and changed of a config that ``sft`` does not decide; nothing for the others."""
    import polars as pl

    if config not in _KEYS or not all(any((folder / config).glob("*.parquet")) for folder in (before, after)):
        return {}
    schemas = [scan(folder, config).collect_schema().names() for folder in (before, after)]
    common = [name for name in schemas[0] if name in schemas[1]]
    keys = [name for name in _KEYS[config] if name in common]
    key = pl.struct(keys).hash()
    row = pl.struct([name for name in common if name not in keys]).hash()
    place = pl.int_range(pl.len()).over("key")  # a key may name several rows
    one, other = (
        _collect(scan(folder, config).select(key=key, row=row)).with_columns(place=place) for folder in (before, after)
    )
    both = one.join(other, on=["key", "place"], suffix="_after")
    return {
        "added": len(other) - len(both),
        "removed": len(one) - len(both),
        "changed": both.filter(pl.col("row") != pl.col("row_after")).height,
    }


def scan(folder: Path, config: str) -> Any:
    """A config of a release, of all splits, as a polars LazyFrame. UserError if it has no shard."""
    import polars as pl

    return pl.scan_parquet(shards(folder, config))


def shards(folder: Path, config: str) -> list[Path]:
    """The shards of all splits of a config, in one order. UserError if there is none."""
    paths = sorted((folder / config).glob("*.parquet"))
    if not paths:
        raise UserError(f"{folder} has no {config}; give the folder of a release, whole.")
    return paths


def _details(folder: Path, places: Any, common: list[str]) -> Any:
    """Labels, and a hash of each column and part of the conversation, of the rows at these places of ``sft``."""
    import numpy as np
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pl.element().struct.field("content")
    said = pl.element().struct.field("role") == "assistant"
    messages = pl.col("messages").list
    parts = {
        "prompt": messages.first().struct.field("content"),
        "actions": messages.eval(content.filter(said)),
        "observations": messages.slice(1).list.eval(content.filter(~said)),
    }
    provenance = pl.col("provenance").str
    columns = [
        "id",
        "content_hash",
        *LABELS,
        provenance.json_path_match("$.seed").alias("seed"),
        provenance.json_path_match("$.family_version").alias("version"),
        pl.col("task").str.json_decode(pl.Struct({"patients": pl.List(pl.String)})).struct.field("patients"),
        *(pl.col(name).hash().alias(f"#{name}") for name in common if name not in _APART),
        *(part.hash().alias(f"#{name}") for name, part in parts.items()),
    ]
    nothing = pl.scan_parquet(shards(folder, "sft")).head(0)
    found = []
    wanted, first = np.sort(places.to_numpy()), 0
    with _readable():
        # One row group in memory at a time: polars would hold the messages of all rows on the way.
        for path in shards(folder, "sft"):
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                last = first + file.metadata.row_group(group).num_rows
                mine = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, last)] - first
                if len(mine):
                    rows = pl.from_arrow(file.read_row_group(group).take(pa.array(mine)))
                    found.append(_labelled(rows).select(columns))
                first = last
        return pl.concat(found) if found else _labelled(nothing.collect()).select(columns)


def _labelled(rows: Any) -> Any:
    """The rows with every label: null where another format has not the column."""
    import polars as pl

    return rows.with_columns(pl.lit(None, pl.String).alias(name) for name in LABELS if name not in rows.columns)


def _changed(frame: Any, common: list[str], labels: list[str], same: bool) -> Any:
    """Pairs of rows with the names of what differs between them."""
    import polars as pl

    names = [*_PARTS, *(name for name in common if name not in _APART)]
    differ = [pl.when(pl.col(f"#{name}").ne_missing(pl.col(f"#{name}_after"))).then(pl.lit(name)) for name in names]
    if same:
        differ.append(pl.when(pl.col("id") != pl.col("id_after")).then(pl.lit("id")))
    what = pl.concat_list(differ).list.drop_nulls().alias("what")
    return frame.select(*labels, "id_after", "split_after", pl.lit(same).alias("same"), what)


def _count(changed: Any, name: str) -> int:
    import polars as pl

    return int(changed.filter(pl.col("same") & pl.col("what").list.contains(name)).height)


def _collect(frame: Any) -> Any:
    with _readable():
        return frame.collect(engine="streaming")


@contextmanager
def _readable() -> Iterator[None]:
    import polars as pl
    import pyarrow as pa

    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, KeyError) as error:
        raise UserError(
            f"the rows cannot be compared ({str(error).splitlines()[0][:200]}); see what fhirtasks verify says of both "
            "folders."
        ) from None
