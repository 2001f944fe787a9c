"""On public records: for every question family the truth, which is SQL, and the expert, who reads raw JSON, agree."""

from __future__ import annotations

from itertools import chain, islice, zip_longest
from pathlib import Path
from time import perf_counter

import pytest

import graders
from fhirtasks.graph.load import load
from fhirtasks.graph.world import World, write_world
from fhirtasks.tasks.play import play
from fhirtasks.tasks.questions import QUESTIONS
from fhirtasks.tasks.questions.families import drafted, family
from fhirtasks.tasks.questions.pool import pool
from fhirtasks.tasks.questions.types import Question
from fhirtasks.tasks.types import Task
from solvers import solver

MOST = 200
"""Tasks of one family that are played, its branches in turn."""
RECORDS = {"hospital": ("mimic-iv-demo-fhir",), "synthetic": ("synthea-ndjson", "synthea-bundles")}


@pytest.mark.proof
@pytest.mark.shared
@pytest.mark.parametrize("records", RECORDS)
def test_two_routes_to_the_truth_agree_on_every_task(records: str, shared: Path, tmp_path: Path) -> None:
    world = whole(records, shared, tmp_path)
    wrong: list[str] = []
    for question in QUESTIONS:
        started = perf_counter()
        lacks = family(question).missing(world)
        if lacks is not None:
            print(f"{records} {question.code} {question.name}: not asked, {lacks}")
            continue
        tasks = asked(question, world)
        truths = graders.truths(tasks, world)
        failed = []
        for task in tasks:
            verdict = graders.grade(task, play(task, world, solver(task.family)), world, truths[task.id])
            failed += [f"{task.family} {task.slots} {check}" for check in verdict.checks if not check.passed]
        spent = perf_counter() - started
        print(f"{records} {question.code} {question.name}: {len(tasks)} tasks, {len(failed)} differ, {spent:.1f} s")
        wrong += failed
    world.close()
    assert not wrong, (len(wrong), wrong[:5])


def whole(records: str, shared: Path, folder: Path) -> World:
    """A world of all patients of the records."""
    load([str(shared / name) for name in RECORDS[records]], folder / "graph.duckdb", licence="see the folder")
    graph = World.open(folder / "graph.duckdb")
    patients = list(graph.patients)
    graph.close()
    write_world(folder / "graph.duckdb", patients, "train", folder / "world.duckdb")
    return World.open(folder / "world.duckdb", threads=1)


def asked(question: Question, world: World) -> list[Task]:
    """The pool's questions as tasks, branches in turn, at most :data:`MOST`."""
    found = pool(question, world)
    turns = zip_longest(*([(branch, row) for row in found.get(branch, ())] for branch in question.branches))
    rows = [row for row in chain.from_iterable(turns) if row is not None]
    one = family(question)
    tasks = []
    for number, (branch, (put, truth)) in enumerate(islice(rows, MOST)):
        drawn = drafted(question, put, truth, question.wordings[number % len(question.wordings)], number % 4)
        tasks.append(
            Task(
                id=f"{question.name}-{number}", family=question.name, version=one.version, domain=one.domain, kind=one.kind,
                mode="clinical", protocol="code", branch=branch, split="train", now=drawn.now, instruction=drawn.instruction,
                context=drawn.context, slots=drawn.slots, params=drawn.params, gold=drawn.gold, patients=drawn.patients,
                scenario=drawn.scenario, difficulty=drawn.difficulty, seed="",
            )
        )  # fmt: skip
    return tasks
