"""Worlds and tasks for the tests of question families."""

from __future__ import annotations

from pathlib import Path

from fhirtasks.graph.world import World, write_world
from fhirtasks.population.populate import populate
from fhirtasks.tasks.questions import BY_NAME
from fhirtasks.tasks.questions.families import family
from fhirtasks.tasks.seeds import rng
from fhirtasks.tasks.types import Task


def population_world(folder: Path, patients: int = 80) -> World:
    populate(folder / "graph.duckdb", patients=patients, seed=5)
    graph = World.open(folder / "graph.duckdb")
    ids = list(graph.patients)
    graph.close()
    write_world(folder / "graph.duckdb", ids, "train", folder / "world.duckdb")
    return World.open(folder / "world.duckdb")


def draw(name: str, world: World, branch: str, number: int) -> Task:
    """A task of the family; the same for the same number."""
    one = family(BY_NAME[name])
    drawn = one.sample(world, rng(f"{name}/{branch}/{number}"), branch, "clinical")
    assert drawn is not None, (name, branch)
    return Task(
        id=f"{name}-{branch}-{number}", family=name, version=one.version, domain=one.domain, kind=one.kind,
        mode="clinical", protocol="code", branch=branch, split="train", now=drawn.now, instruction=drawn.instruction,
        context=drawn.context, slots=drawn.slots, params=drawn.params, gold=drawn.gold, patients=drawn.patients,
        scenario=drawn.scenario, difficulty=drawn.difficulty, seed="",
    )  # fmt: skip
