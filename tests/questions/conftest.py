from __future__ import annotations

import pytest
from questions_support import population_world

from fhirtasks.graph.world import World


@pytest.fixture(scope="session")
def population(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world of embedded synthetic patients."""
    return population_world(tmp_path_factory.mktemp("questions"))
