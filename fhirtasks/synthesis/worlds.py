"""The worlds of a release, one per split, with nothing of a holdout in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from fhirtasks.graph.conflicts import rank, read_body
from fhirtasks.graph.connection import connect
from fhirtasks.graph.world import World, write_world, write_world_from_charts
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.release.read import shards_of

Chart = tuple[str, str, str | None, str]


def make_world(graph: Path, patients: Sequence[str], split: str, out: Path, matcher: Matcher | None) -> None:
    """Writes the world of these patients, less every resource whose text tells of a holdout."""
    if matcher is None:
        write_world(graph, patients, split, out)
        return
    whole = out.with_name(out.name + ".part")
    try:
        write_world(graph, patients, split, whole)
        world = World.open(whole)
        try:
            write_world_from_charts(_clean(world, matcher), split, out)
        finally:
            world.close()
    finally:
        whole.unlink(missing_ok=True)


def unite_worlds(
    releases: Sequence[Path],
    patients: Sequence[str],
    split: str,
    out: Path,
    holdouts: Holdouts | None,
    matcher: Matcher | None,
) -> None:
    """Writes the world of these patients from the charts that releases have of the split.

    Of several bodies of one resource the graph's rule (``fhirtasks.graph.conflicts``) says which is current. Other
    patients' charts are left out, and what is no patient's own but points into them; so is what is held out.
    """
    part = out.with_name(out.name + ".part.db")
    part.unlink(missing_ok=True)
    try:
        with connect(part) as db:
            _gather(db, releases, split)
            for key, current in _several(db):
                db.execute("DELETE FROM resource WHERE type = ? AND id = ? AND raw <> ?", [*key, current])
            wanted = set(patients)
            if holdouts is not None:
                wanted -= holdouts.excluded_patients(db)
            _leave_out(db, wanted)
            cursor = db.execute("SELECT type, id, patient, raw FROM resource")
            rows = (row for rows in iter(lambda: cursor.fetchmany(2_000), []) for row in rows)
            clean = rows if matcher is None else (row for row in rows if matcher.leak(row[3]) is None)
            write_world_from_charts(clean, split, out)
    finally:
        part.unlink(missing_ok=True)
        part.with_name(part.name + ".wal").unlink(missing_ok=True)


def conflicts(releases: Sequence[Path], split: str) -> int:
    """How many resources have different bodies in the releases' charts of a split."""
    with connect() as db:
        row = db.execute(
            """SELECT count(*) FROM (SELECT type, id FROM read_parquet(?::VARCHAR[])
                GROUP BY type, id HAVING count(DISTINCT hash(raw)) > 1)""",
            [_charts_of(releases, split)],
        ).fetchone()
    return int(row[0]) if row else 0


def _charts_of(releases: Sequence[Path], split: str) -> list[str]:
    return [str(path) for release in releases for path in shards_of(release, "charts", split)]


def _gather(db: duckdb.DuckDBPyConnection, releases: Sequence[Path], split: str) -> None:
    """Table ``resource`` (type, id, patient, raw): every chart of the split, equal ones once."""
    db.execute(
        "CREATE TABLE resource AS SELECT DISTINCT type, id, patient, raw FROM read_parquet(?::VARCHAR[])",
        [_charts_of(releases, split)],
    )


def _several(db: duckdb.DuckDBPyConnection) -> Iterator[tuple[tuple[str, str], str]]:
    """(type, id) of each resource with several texts, and the text that is current."""
    rows = db.execute(
        """WITH twin AS (SELECT type, id FROM resource GROUP BY type, id HAVING count(*) > 1)
        SELECT type, id, list(raw) FROM resource SEMI JOIN twin USING (type, id) GROUP BY type, id ORDER BY type, id"""
    ).fetchall()
    for type_, id_, texts in rows:
        yield (type_, id_), rank(read_body(text) for text in texts)[0].text


def _leave_out(db: duckdb.DuckDBPyConnection, wanted: set[str]) -> None:
    """Deletes the charts of patients who are not wanted, and what is outside compartments and refers into them."""
    db.execute("CREATE TEMP TABLE wanted AS SELECT unnest(?::VARCHAR[]) AS id", [sorted(wanted)])
    db.execute("""CREATE TEMP TABLE gone AS SELECT type || '/' || id AS reference FROM resource
        WHERE patient IS NOT NULL AND patient NOT IN (FROM wanted)""")
    db.execute("DELETE FROM resource WHERE patient IS NOT NULL AND patient NOT IN (FROM wanted)")
    db.execute("""DELETE FROM resource WHERE patient IS NULL AND list_has_any(
        regexp_extract_all(raw, '"reference":"([^"]*)"', 1), (SELECT coalesce(list(reference), []) FROM gone))""")


def charts(world: World, batch: int = 2_000) -> Iterator[list[Chart]]:
    """Every resource of a world as (type, id, patient, raw), by patient, type and id."""
    cursor = world.db.cursor()
    cursor.execute("SELECT type, id, patient, raw FROM resource ORDER BY patient NULLS LAST, type, id")
    while rows := cursor.fetchmany(batch):
        yield rows


def _clean(world: World, matcher: Matcher) -> Iterator[Chart]:
    for rows in charts(world):
        for row in rows:
            if matcher.leak(row[3]) is None:
                yield row
