"""A small graph for the room's builds, and a release of it, each made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthesis_support import BASE

from fhirtasks.population.populate import populate
from fhirtasks.synthesis.build import BuildConfig, build


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "g.duckdb"
    populate(path, patients=45, seed=51)
    return path


@pytest.fixture(scope="session")
def base(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of 72 rows in three splits."""
    out = tmp_path_factory.mktemp("base") / "ds"
    assert build(BuildConfig(out, graph, **BASE)).kept == 72
    return out
