"""The small world of ``service_doubles`` as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from service_doubles import charts

from fhirtasks.graph.world import World, write_world_from_charts


@pytest.fixture(scope="session")
def world_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("service") / "world.duckdb"
    write_world_from_charts(charts(), "train", path)
    return path


@pytest.fixture(scope="session")
def world(world_path: Path) -> Iterator[World]:
    opened = World.open(world_path, threads=1)
    yield opened
    opened.close()
