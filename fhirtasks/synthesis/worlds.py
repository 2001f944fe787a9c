"""The worlds of a release, one per split, with nothing of a holdout in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fhirtasks.graph.world import World, write_world, write_world_from_charts
from fhirtasks.leakage.matcher import Matcher

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


def charts(world: World, batch: int = 2_000) -> Iterator[list[Chart]]:
    """Every resource of a world as (type, id, patient, raw), by patient, type and id."""
    cursor = world.db.cursor()
    cursor.execute("SELECT type, id, patient, raw FROM resource ORDER BY patient NULLS LAST, type, id")
    while rows := cursor.fetchmany(batch):
        yield rows


def _clean(world: World, matcher: Matcher) -> Iterator[Chart]:
    for rows in charts(world):
        for row in rows:
            if not matcher.find(row[3]):
                yield row
