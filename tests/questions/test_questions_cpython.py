"""Question tasks in the second sandbox, and the interpreter's name in the rows of the first."""

from __future__ import annotations

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.code import CPYTHON_SCHEMAS
from fhirtasks.episodes.environment import run_solver
from fhirtasks.errors import UserError
from fhirtasks.evaluation import run as evaluation
from fhirtasks.graph.world import World
from fhirtasks.release.check import told
from fhirtasks.release.rows import provenance
from fhirtasks.sandbox import forkserver
from fhirtasks.tasks.play import open_environment
from fhirtasks.tasks.questions import BY_NAME
from solvers import solver

NAMES = ("active_conditions", "nth_drug_ordered", "nth_value", "aggregate_of_values", "signed_change")


@pytest.mark.parametrize("name", NAMES)
def test_experts_pass_in_either_sandbox(name: str, population: World) -> None:
    task = draw(name, population, BY_NAME[name].branches[0], 1)
    try:
        environment = open_environment(task, population, sandbox="cpython")
        episode = run_solver(solver(name), environment.task, environment)
    except UserError as refused:
        pytest.skip(str(refused))
    assert environment.task.tools == CPYTHON_SCHEMAS
    embedded = open_environment(task, population)
    assert run_solver(solver(name), embedded.task, embedded).result == episode.result
    assert graders.grade(task, episode, population).passed


def test_an_evaluation_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch, population: World) -> None:
    forkserver.own.cache_clear()
    monkeypatch.setattr(forkserver, "_unsupported", lambda: "it needs Linux")
    with pytest.raises(UserError, match=r"not safe on this machine: it needs Linux"):
        evaluation.evaluate(evaluation.EvaluationConfig(population.path, sandbox="cpython"))


def test_a_row_of_code_names_its_interpreter(population: World) -> None:
    task = draw("nth_value", population, "found", 1)
    origin = provenance(task, "w", "g")
    assert origin["sandbox"].startswith("monty ")
    assert told("expert", origin, task)
    assert told("expert", origin | {"sandbox": "monty 9.9"}, task)  # a replay shows whether it says the same
    assert not told("expert", {name: value for name, value in origin.items() if name != "sandbox"}, task)
