"""A small graph for the room's builds, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirtasks.population.populate import populate


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "g.duckdb"
    populate(path, patients=45, seed=51)
    return path
