"""How an agent went about it: what each check is tripped by, and what it lets pass."""

from __future__ import annotations

from typing import Any

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.code import CodeEnvironment
from fhirtasks.episodes.tools import raw_message
from fhirtasks.episodes.types import Episode, Finish, ToolCall
from fhirtasks.fhir.dates import instant
from fhirtasks.fhir.jsontext import Json, dumps
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import open_environment, play, replay_task
from fhirtasks.tasks.types import Task, Verdict
from graders import process
from solvers import solver

LOOK = "rows = [r['id'] for r in resources.get('Observation', [])]\nprint(len(rows))\n"


def call(name: str, **arguments: Json) -> str:
    return raw_message("", [ToolCall(name, arguments)])


def answered(task: Task, **changes: Any) -> str:
    assert isinstance(task.gold, dict)
    gold = {**task.gold, **changes}
    return call("submit_answer", **{**gold, "value": dumps(gold["value"])})


def judged(task: Task, world: World, *raws: str) -> dict[str, bool]:
    verdict = graders.grade(task, replay_task(task, world, raws), world)
    return {check.name: check.passed for check in verdict.checks}


def steps_of(task: Task, world: World, *raws: str) -> tuple[Episode, list[process.Step]]:
    episode = replay_task(task, world, raws)
    return episode, process.log(episode)


@pytest.fixture(scope="module")
def change(population: World) -> Task:
    """A question whose answer is a number that has to be worked out."""
    return draw("signed_change", population, "found", 0)


@pytest.fixture(scope="module")
def never(population: World) -> Task:
    """One that is answered with no."""
    return draw("value_ever_beyond", population, "false", 0)


def fetch(task: Task, kind: str = "Observation") -> str:
    return call("fetch", patient=task.slots["patient"], resource_type=kind)


def test_an_agent_needs_neither_python_nor_coverage(change: Task, population: World) -> None:
    assert all(judged(change, population, fetch(change), answered(change)).values())


def test_the_measures_are_there_whatever_the_answer(change: Task, population: World) -> None:
    def verdict(*raws: str) -> Verdict:
        return graders.grade(change, replay_task(change, population, raws), population)

    assert isinstance(change.gold, dict) and isinstance(change.gold["evidence"], list)
    cited = change.gold["evidence"]
    wrong = verdict(fetch(change), answered(change, value=99, evidence=[cited[0], "Patient/x"]))
    assert not wrong.passed and dict(wrong.measures) == {"evidence_recall": 1.0, "evidence_precision": 0.5}
    assert dict(verdict(answered(change, evidence=[])).measures) == {"evidence_recall": 0.0, "evidence_precision": 0.0}
    assert (
        dict(verdict(call("fetch_references", references=cited[:1]), answered(change)).measures)["evidence_recall"] < 1
    )


def test_nobody_else_is_asked_about(change: Task, population: World) -> None:
    other = next(one for one in population.patients if one != change.slots["patient"])
    for raw in (call("coverage", patient=other), call("fetch", patient=f"Patient/{other}", resource_type="Patient")):
        checks = judged(change, population, raw, fetch(change), answered(change))
        assert [name for name, passed in checks.items() if not passed] == ["scope"]
    slip = judged(change, population, call("coverage", patient=f"{other}0"), fetch(change), answered(change))
    assert all(slip.values())
    guess = judged(
        change, population, call("fetch_references", references=[f"Patient/{other}"]), fetch(change), answered(change)
    )
    assert [name for name, passed in guess.items() if not passed] == ["scope"]


def test_a_reference_is_seen_before_it_is_followed(change: Task, population: World) -> None:
    assert isinstance(change.gold, dict) and isinstance(change.gold["evidence"], list)
    ref = str(change.gold["evidence"][0])
    follow = call("fetch_references", references=[ref])
    assert judged(change, population, follow, fetch(change), answered(change))["references"] is False
    look = call("execute_python", code="for r in resources['Observation']:\n    print(r['id'])\n")
    seen = call("execute_python", code=f"print([r['id'] for r in resources['Observation'] if r['id'] == {ref[12:]!r}])")
    assert judged(change, population, fetch(change), seen, follow, answered(change))["references"] is True
    nowhere = call("fetch_references", references=["Observation/there-is-none"])
    assert judged(change, population, nowhere, fetch(change), look, answered(change))["references"] is True


def test_python_that_is_used_runs_once(change: Task, population: World) -> None:
    fails, works = call("execute_python", code="print(1)\nraise ValueError\n"), call("execute_python", code=LOOK)
    assert judged(change, population, fetch(change), fails, answered(change))["ran"] is False
    assert judged(change, population, fetch(change), fails, works, answered(change))["ran"] is True


def test_the_answer_is_not_typed(population: World) -> None:
    drawn = (draw("signed_change", population, "found", number) for number in range(40))
    change = next(one for one in drawn if not _summed_up(one, population))
    episode = play(change, population, solver(change.family))
    last = episode.turns[-1].action
    assert isinstance(last, Finish) and isinstance(last.answer, dict)
    value = last.answer["value"]
    typed = call("execute_python", code=f"x = {value}\nprint('found', x)\n")
    inside = call("execute_python", code=f"print('{{\"value\": {value}}}', len(resources))\n")
    for raw in (typed, inside):
        checks = judged(change, population, fetch(change), raw, answered(change))
        assert [name for name, passed in checks.items() if not passed] == ["literal"]
    # Once it was worked out it may be typed, and so it may if data show it after all.
    honest = episode.raws[:-1]
    assert all(judged(change, population, *honest, typed, answered(change)).values())
    assert all(judged(change, population, fetch(change), typed, *honest, answered(change)).values())
    # A constant that is no answer: the run prints the value because it is so, not because it stands there.
    kept = [*honest[:-1], call("execute_python", code=f"limit = {value}\n{_code(episode)}")]
    assert all(judged(change, population, *kept, answered(change)).values())


def _summed_up(task: Task, world: World) -> bool:
    """Whether prompt or summaries happen to hold the answer."""
    assert isinstance(task.gold, dict)
    episode, steps = steps_of(task, world, fetch(task))
    wanted = process.atoms(task.gold)
    return bool(process.holds(episode.messages[0].content, wanted)) or any(process.shows(one, wanted) for one in steps)


def _code(episode: Episode) -> str:
    runs = [turn.action for turn in episode.turns if getattr(turn.action, "name", "") == "execute_python"]
    return str(runs[-1].arguments["code"])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"type": "quantity", "value": -4.50}, {"4.5"}),
        ({"type": "set", "value": ["A", "b"]}, {"a", "b"}),
        ({"type": "map", "value": {"2150-03": 2}}, {"2150-03", "2"}),
        ({"type": "boolean", "value": True}, set()),
        ({"type": "none", "value": "future"}, set()),
        ({"type": "integer", "value": 0}, set()),
    ],
)
def test_what_an_answer_consists_of(given: dict[str, Json], wanted: set[str]) -> None:
    assert process.atoms(given) == wanted


def test_atoms_are_found_as_numbers_and_as_texts() -> None:
    assert process.holds("4.50 and 14.5, -4.5", frozenset(["4.5"])) == 2
    assert process.holds("Aspirin aspirin", frozenset(["aspirin", "4"])) == 0
    assert process.holds("Aspirin 4 aspirin 4.0 4", frozenset(["aspirin", "4"])) == 2


def test_that_there_is_nothing_has_to_be_looked_for(never: Task, population: World) -> None:
    coverage = call("coverage", patient=never.slots["patient"])
    look = call("execute_python", code=LOOK)
    assert judged(never, population, answered(never))["evidence"] is False
    assert judged(never, population, fetch(never), answered(never))["evidence"] is False
    assert judged(never, population, look, fetch(never), answered(never))["evidence"] is False
    assert judged(never, population, fetch(never, "Condition"), look, answered(never))["evidence"] is False
    assert all(judged(never, population, coverage, fetch(never), look, answered(never)).values())
    _, steps = steps_of(never, population, coverage, fetch(never))
    assert process.absence(never, (), steps) == ""
    assert process.absence(never, ("ImagingStudy",), steps[:1]) == "", "coverage names no such type"
    assert process.absence(never, ("Observation",), steps) != ""


def test_nothing_that_is_fetched_lies_after_now(population: World) -> None:
    for family, branch in (("signed_change", "found"), ("active_conditions", "some"), ("drugs_ordered", "true")):
        task = draw(family, population, branch, 0)
        environment = open_environment(task, population)
        assert isinstance(environment, CodeEnvironment)
        for raw in play(task, population, solver(family)).raws:
            environment.step(raw)
        held = [(kind, id_) for kind, ids in environment.resources.items() for id_ in ids]
        rows = population.db.execute("SELECT type, id, available FROM resource").fetchall()
        known = {(kind, id_): available for kind, id_, available in rows}
        assert held and all(known[one] is None or known[one] <= instant(task.now) for one in held)


def test_what_a_call_said_at_length_is_not_said_again_whole(change: Task, population: World) -> None:
    long = "a." * 50_000
    _, (_, followed, fetched) = steps_of(
        change,
        population,
        fetch(change),
        call("follow", resource_type="Observation", element=long),
        call("fetch_references", references=[f"Observation/{long}{n}" for n in range(20)]),
    )
    assert len(followed.text) < 1_000 and len(fetched.text) < 8_000


@pytest.mark.parametrize(
    ("family", "branch", "first", "last"),
    [
        ("diagnoses_of_visit", "empty", "Encounter", "Condition"),
        ("shared_diagnoses", "empty", "Encounter", "Condition"),
        ("mean_last_against_first", "none", "Encounter", "Observation"),
        ("first_result_after_procedure", "none", "Procedure", "Observation"),
        ("change_around_first_order", "none", "MedicationRequest", "Observation"),
        ("routes_in_visit_of_diagnosis", "none", "Condition", "MedicationRequest"),
    ],
)
def test_nothing_at_the_last_hop_has_to_be_looked_for_there(
    family: str, branch: str, first: str, last: str, population: World
) -> None:
    task = draw(family, population, branch, 1)
    whose = task.slots["patient"]
    look, run, end = call("coverage", patient=whose), call("execute_python", code="print(1)"), answered(task)
    only = judged(task, population, look, fetch(task, first), run, end)
    assert only["answer"] and not only["evidence"]
    assert all(judged(task, population, fetch(task, first), fetch(task, last), run, end).values())
