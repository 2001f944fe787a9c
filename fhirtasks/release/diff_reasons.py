"""Why a row left: the first reason that the two releases themselves give, from the hardest to the mildest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fhirtasks.release.diff_rows import RowSets, scan
from fhirtasks.release.diff_worlds import Worlds
from fhirtasks.release.features import NOTHING

UNKNOWN = "neither release says why"
NO_LONGER = "no longer verifies: "
DROPPED = "dropped: "


def why(
    rows: RowSets,
    worlds: Worlds,
    before: dict[str, Any],
    after: dict[str, Any],
    folder: Path,
    failed: dict[str, str],
) -> dict[str, Any]:
    """For ``removed`` and ``changed`` rows: counts by reason, and rows with theirs, one of every reason and branch first.

    ``before`` and ``after`` are manifests, ``folder`` is the later release, ``failed`` is content hash -> what is wrong
    with the row when it is replayed and graded again. A changed row that is the same episode needs no reason.
    """
    import polars as pl

    def reasons(frame: Any) -> Any:
        known = _facts(frame, rows, worlds, folder, failed)
        return known.with_columns(reason=pl.coalesce([*_chain(before, after), pl.lit(UNKNOWN)]))

    removed = reasons(rows.removed)
    changed = reasons(rows.changed)
    changed = changed.with_columns(reason=pl.when(~pl.col("same")).then(pl.col("reason")))
    kept = ["id", "family", "branch", "split"]
    return {
        "removed": _told(removed, [*kept, "reason", "by"]),
        "changed": _told(changed, [*kept, "what", "reason"]),
    }


def _facts(frame: Any, rows: RowSets, worlds: Worlds, folder: Path, failed: dict[str, str]) -> Any:
    """The frame with what is known of each row: dropped, failed, patient, other split, touched, and ``by`` (its successor)."""
    import polars as pl

    drops = (
        scan(folder, "dropped")
        .filter((pl.col("content_hash") != "") & (pl.col("reason") != NOTHING))
        .select("content_hash", pl.col("reason").alias("dropped"))
        .join(frame.select("content_hash").lazy(), on="content_hash", how="semi")
        .collect(engine="streaming")
        .unique("content_hash", keep="first", maintain_order=True)
    )
    problems = pl.DataFrame(
        {"content_hash": list(failed), "failed": list(failed.values())},
        schema={"content_hash": pl.String, "failed": pl.String},
    )
    patients = (
        frame.select("content_hash", "split", patient="patients")
        .explode("patient")
        .drop_nulls("patient")
        .join(worlds.places.rename({"id": "patient", "split": "place"}), on="patient", how="left")
        .join(worlds.touched.with_columns(touched=True), on="patient", how="left")
        .group_by("content_hash")
        .agg(
            lost=pl.col("patient").is_in(worlds.removed).any(),
            elsewhere=pl.col("place").filter(pl.col("place") != pl.col("split")).first(),
            touched=pl.col("touched").any(),
        )
    )
    successors = (
        rows.added.filter(pl.col("seed").is_not_null())
        .select("seed", by="id")
        .unique("seed", keep="first", maintain_order=True)
    )
    facts = frame
    for other, on in (
        (drops, "content_hash"),
        (problems, "content_hash"),
        (patients, "content_hash"),
        (successors, "seed"),
    ):
        facts = facts.join(other, on=on, how="left", maintain_order="left")
    return facts


def _chain(before: dict[str, Any], after: dict[str, Any]) -> list[Any]:
    """Reasons as expressions, the first that is not null counts."""
    import polars as pl

    options = before["options"], after["options"]
    families = after["families"]
    unsupported = after["unsupported"]
    versions = options[1].get("families") or {}

    def given(condition: Any, text: Any) -> Any:
        return pl.when(condition).then(text if isinstance(text, pl.Expr) else pl.lit(text))

    chain = [
        pl.lit(DROPPED) + pl.col("dropped"),
        pl.lit(NO_LONGER) + pl.col("failed"),
    ]
    for name in ("mode", "protocol"):
        if options[0].get(name) != options[1].get(name) and isinstance(options[1].get(name), str):
            chain.append(
                given(pl.col(name) != options[1][name], f"{name} {options[0].get(name)} is now {options[1][name]}")
            )
    for name, lack in unsupported.items():
        chain.append(given(pl.col("family") == name, f"the records no longer show {name}: {lack}"))
    chain.append(given(~pl.col("family").is_in(list(families)), "its family is no longer built"))
    branches = [
        f"{family}/{branch}"
        for family, entry in families.items()
        for branch, row in entry["branches"].items()
        if row["kept"]
    ]
    chain.append(given(~(pl.col("family") + "/" + pl.col("branch")).is_in(branches), "its branch is no longer built"))
    for split in before["splits"]:
        if split not in after["splits"]:
            chain.append(given(pl.col("split") == split, f"the split {split} is left out"))
    for family, version in versions.items():
        own = given(
            (pl.col("family") == family) & (pl.col("version") != version),
            pl.format("family version {} is now " + version.replace("{", "(").replace("}", ")"), pl.col("version")),
        )
        chain.append(own)
    chain += [
        given(pl.col("lost"), "its patient is in no world"),
        pl.lit("its patient moved to ") + pl.col("elsewhere"),
        given(pl.col("origin") == "model", "the build was not given its recorded episode"),
        given(pl.col("touched"), "its patient's records changed"),
    ]
    if options[0].get("seed") != options[1].get("seed"):
        chain.append(pl.lit(f"the build's seed {options[0].get('seed')} is now {options[1].get('seed')}"))
    if before["graph"] != after["graph"]:
        chain.append(given(pl.col("by").is_not_null(), "the records changed, and another case was drawn in its place"))
    if options[0].get("per_family") != options[1].get("per_family"):
        chain.append(pl.lit(f"per_family {options[0].get('per_family')} is now {options[1].get('per_family')}"))
    if before["graph"] != after["graph"]:
        chain.append(pl.lit("the graph changed, and other cases were drawn"))
    for split, about in before["splits"].items():
        if after["splits"].get(split, about)["world"] != about["world"]:
            chain.append(given(pl.col("split") == split, "the world of its split changed"))
    if before["versions"].get("code") != after["versions"].get("code"):
        chain.append(pl.lit("other code made it"))
    return chain


def _told(frame: Any, columns: list[str]) -> dict[str, Any]:
    """Counts by reason, and rows, the first of every reason and branch before the second of any."""
    import polars as pl

    counted = frame.drop_nulls("reason").group_by("reason").len().sort("len", "reason", descending=[True, False])
    turn = pl.int_range(pl.len()).over("reason", "family", "branch")
    ordered = frame.sort(turn, "reason", maintain_order=True)
    found = ordered.head(1_000).select(columns).to_dicts()
    rows = [{name: value for name, value in row.items() if value is not None} for row in found]
    return {"reasons": dict(counted.rows()), "rows": rows}
