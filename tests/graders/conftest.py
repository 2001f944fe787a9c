"""Worlds for the graders' tests: a chart made by hand, and a small embedded population."""

from __future__ import annotations

import json

import duckdb
import pytest
from graders_doubles import LABS, PATIENTS

from fhirtasks.graph.world import World, write_world, write_world_from_charts


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The hand-made chart of ``graders_doubles``."""
    out = tmp_path_factory.mktemp("graders") / "chart.duckdb"
    rows = [("Patient", str(body["id"]), str(body["id"]), json.dumps(body, separators=(",", ":"))) for body in PATIENTS]
    for raw in LABS:
        body = json.loads(raw)
        rows.append(("Observation", body["id"], body["subject"]["reference"].partition("/")[2], raw))
    write_world_from_charts(rows, "train", out)
    return World.open(out)


@pytest.fixture(scope="session")
def population(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world of embedded synthetic patients."""
    from fhirtasks.population.populate import populate

    folder = tmp_path_factory.mktemp("population")
    populate(folder / "graph.duckdb", patients=60, seed=3)
    with duckdb.connect(str(folder / "graph.duckdb"), read_only=True) as graph:
        ids = [row[0] for row in graph.execute("SELECT id FROM resource WHERE type = 'Patient' ORDER BY id").fetchall()]
    write_world(folder / "graph.duckdb", ids, "train", folder / "world.duckdb")
    return World.open(folder / "world.duckdb")
