"""Questions without an answer: each has an answerable twin, words do not tell them apart, and what is missing was looked for."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import get_args

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.code import PARAMETERS
from fhirtasks.episodes.types import Call
from fhirtasks.fhir.jsontext import Json, dumps
from fhirtasks.graph.views import HELD_BACK, views
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.tasks.floors import FLOORS, floor
from fhirtasks.tasks.play import open_environment, play, replay_task
from fhirtasks.tasks.questions import BY_NAME, unanswerable
from fhirtasks.tasks.questions.families import drafted
from fhirtasks.tasks.questions.pool import pool
from fhirtasks.tasks.questions.types import Question, Reason
from fhirtasks.tasks.types import Task, Verdict
from solvers import solver

EACH = 2
NAMES = [question.name for question in unanswerable.QUESTIONS]
BY_NATURE = ("element_of_resource", "latest_day_of_type", "day_or_advice")
"""Families whose twins differ by what is asked for; in the others the same words are asked with and without an answer."""
ANY_LOOK = ("day_for_patient_id", "day_or_advice")
"""Families whose none is shown by any look at the record."""


@pytest.fixture(scope="session")
def held_back(population: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Twenty of the patients; of a quarter of their measured values the record says only that they are unknown or masked."""
    path = tmp_path_factory.mktemp("held_back") / "world.duckdb"
    few = list(population.patients[:20])
    query = "SELECT type, id, patient, raw FROM resource WHERE patient IS NULL OR list_contains(?::VARCHAR[], patient)"
    rows = population.db.execute(query, [few]).fetchall()
    write_world_from_charts([(*row[:3], _without_value(*row)) for row in rows], "train", path)
    return World.open(path)


def _without_value(kind: str, id_: str, patient: str | None, raw: str) -> str:
    resource = json.loads(raw)
    if kind != "Observation" or "valueQuantity" not in resource or id_[0] not in "0123":
        return raw
    del resource["valueQuantity"]
    system = "http://terminology.hl7.org/CodeSystem/"
    if id_[0] in "01":
        resource["dataAbsentReason"] = {"coding": [{"system": f"{system}data-absent-reason", "code": "unknown"}]}
    else:
        coding = {"system": f"{system}v3-NullFlavor", "code": "MSK", "display": "masked"}
        resource["valueCodeableConcept"] = {"coding": [coding]}
    return json.dumps(resource, separators=(",", ":"), ensure_ascii=False)


@pytest.fixture
def world(request: pytest.FixtureRequest, population: World) -> World:
    """The world in which the test's family (``name``) has both branches."""
    if request.getfixturevalue("name") != "value_at_time":
        return population
    found: World = request.getfixturevalue("held_back")
    return found


def tasks_of(name: str, world: World, branches: tuple[str, ...] = ("none", "answerable")) -> Iterator[Task]:
    for branch in branches:
        for number in range(EACH):
            yield draw(name, world, branch, number)


def submitted(task: Task, world: World, calls: list[Call], answer: dict[str, Json]) -> Verdict:
    """The verdict on an episode of these calls and this answer."""
    said = [{"name": call.name, "arguments": dict(call.arguments)} for call in calls]
    said.append({"name": "submit_answer", "arguments": {**answer, "value": dumps(answer["value"])}})
    raws = [dumps({"content": "", "tool_calls": [call]}) for call in said]
    return graders.grade(task, replay_task(task, world, raws), world)


def coverage(task: Task) -> Call:
    return Call("coverage", {"patient": task.slots["patient"]})


@pytest.mark.parametrize("name", NAMES)
def test_the_expert_agrees_with_the_truth_and_floors_do_not_pass(name: str, world: World) -> None:
    tasks = list(tasks_of(name, world))
    truths = graders.truths(tasks, world)
    for task in tasks:
        episode = play(task, world, solver(name))
        verdict = graders.grade(task, episode, world, truths[task.id])
        assert verdict.passed, (task.slots, [check for check in verdict.checks if not check.passed])
        assert replay_task(task, world, episode.raws) == episode
    for one in FLOORS:
        lazy = floor(one, tasks)
        assert not any(graders.grade(t, play(t, world, lazy), world, truths[t.id]).passed for t in tasks), one


@pytest.mark.parametrize("name", NAMES)
def test_another_reason_is_wrong_and_gets_a_part(name: str, world: World) -> None:
    task = draw(name, world, "none", 0)
    assert isinstance(task.gold, dict)
    for reason in get_args(Reason):
        verdict = submitted(task, world, [coverage(task)], {**task.gold, "value": reason})
        if reason != task.gold["value"]:
            assert not verdict.passed
            assert verdict.score == pytest.approx(0.7)


@pytest.mark.parametrize("name", NAMES)
def test_none_counts_only_after_a_look(name: str, world: World) -> None:
    for task in tasks_of(name, world, ("none",)):
        assert isinstance(task.gold, dict)
        assert not submitted(task, world, [], task.gold).passed
        looked = submitted(task, world, [coverage(task)], task.gold)
        if name in ANY_LOOK:
            assert looked.passed, looked.checks
        elif name not in ("first_day_in_window", "first_day_past_or_future", "latest_day_of_type"):
            # In those coverage may tell by itself that there is nothing.
            assert not looked.passed


@pytest.mark.parametrize("name", NAMES)
def test_for_every_question_without_an_answer_there_is_a_twin(name: str, world: World) -> None:
    question, found = BY_NAME[name], pool(BY_NAME[name], world)
    assert set(question.branches) == {"none", "answerable"}
    assert {truth.branch for _, truth in found["none"]} == {"none"}
    assert all(truth.value is None and truth.reason for _, truth in found["none"])
    assert all(truth.value is not None for _, truth in found["answerable"])
    for names in question.twins:
        cells = [
            Counter(tuple({"patient": one.patient, **one.slots}[slot] for slot in names) for one, _ in found[branch])
            for branch in question.branches
        ]
        assert cells[0] == cells[1]
    assert bool(question.twins) == (name not in BY_NATURE or name == "day_or_advice")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BY_NATURE])
def test_words_do_not_tell_whether_there_is_an_answer(name: str, world: World) -> None:
    right = share_told_by_words(BY_NAME[name], world)
    number = sum(map(len, pool(BY_NAME[name], world).values()))
    assert right <= 0.5 + 3 * math.sqrt(0.25 / number), (right, number)


def share_told_by_words(question: Question, world: World) -> float:
    """The share of instructions whose branch a naive Bayes classifier on their words tells, in five parts by turns."""
    rows = []
    for branch, found in pool(question, world).items():
        for number, (asked, truth) in enumerate(found):
            drawn = drafted(question, asked, truth, question.wordings[number % len(question.wordings)], 0)
            rows.append((frozenset(re.findall(r"\w+", drawn.instruction.casefold())), branch))
    random.Random(3).shuffle(rows)
    right = 0
    for part in range(5):
        held_out = rows[part::5]
        known = [row for place, row in enumerate(rows) if place % 5 != part]
        size = Counter(branch for _, branch in known)
        said = {branch: Counter(word for words, one in known if one == branch for word in words) for branch in size}
        for words, branch in held_out:
            scores = {
                one: math.log(size[one]) + sum(math.log((said[one][word] + 0.5) / (size[one] + 1)) for word in words)
                for one in said
            }
            right += max(scores, key=lambda one: scores[one]) == branch
    return right / len(rows)


@pytest.mark.parametrize("name", ["day_for_patient_id"])
def test_the_tools_say_that_a_patient_is_unknown(name: str, world: World) -> None:
    for task in tasks_of(name, world, ("none",)):
        assert task.slots["patient"] not in world.patients
        assert set(task.patients) <= set(world.patients)
        environment = open_environment(task, world)
        for call in (coverage(task), Call("fetch", {"patient": task.slots["patient"], "resource_type": "Patient"})):
            seen = environment.dispatch(call)
            assert seen.status == 404
            assert "no such patient" in seen.text
    kinds = {_shape(one.patient) for rows in pool(BY_NAME[name], world).values() for one, _ in rows}
    assert len(kinds) == 1, "an id's shape tells whether it is a patient's"


def _shape(text: str) -> str:
    return re.sub("[0-9a-z]", "x", text)


@pytest.mark.parametrize("name", ["latest_day_of_type"])
def test_the_tools_say_whether_the_record_or_the_server_lacks_a_type(name: str, world: World) -> None:
    reasons = set()
    for one, truth in pool(BY_NAME[name], world)["none"][:40]:
        task = draw(name, world, "none", 0)
        environment = open_environment(task, world)
        call = Call("fetch", {"patient": task.slots["patient"], "resource_type": one.slots["type"]})
        told = json.loads(environment.dispatch(call).text)
        assert told.get("on_server", True) == (truth.reason == "no_matching_record")
        reasons.add(truth.reason)
    assert reasons == {"no_matching_record", "not_recorded"}


@pytest.mark.parametrize("name", ["day_for_named_person"])
def test_a_question_about_another_person_tells_of_two_patients(name: str, world: World) -> None:
    for task in tasks_of(name, world):
        assert set(task.patients) <= set(world.patients)
        assert task.patients[0] == task.slots["patient"]
        assert len(task.patients) == (2 if task.branch == "none" else 1)


@pytest.mark.parametrize("name", ["first_day_past_or_future"])
def test_the_future_is_asked_about_in_one_family_only(name: str, world: World) -> None:
    for other in (name, "nth_drug_ordered", "aggregate_of_values"):
        for branch, rows in pool(BY_NAME[other], world).items():
            ahead = [one.slots["t_from"] > one.now[:19] for one, _ in rows]
            assert rows
            assert all(ahead) if (other, branch) == (name, "none") else not any(ahead), (other, branch)


def test_what_is_held_back_is_not_said_to_be_nothing(held_back: World) -> None:
    codes = set(views(held_back).execute(f"SELECT patient, code FROM observation WHERE {HELD_BACK}").fetchall())
    assert codes
    for name in ("nth_value", "aggregate_of_values"):
        for one, truth in pool(BY_NAME[name], held_back).get("none", ()):
            assert (one.patient, one.slots["code"]) not in codes, (one, truth)


def test_every_reason_is_defined_in_the_prompt(population: World) -> None:
    task = draw("day_or_advice", population, "none", 0)
    prompt = open_environment(task, population).prompt
    named = re.findall(r"^- (\w+):", prompt, re.MULTILINE)
    assert sorted(named) == sorted(get_args(Reason))
    for reason in named:
        assert f'"{reason}"' in PARAMETERS["submit_answer"]["value"]["description"]


@pytest.mark.proof
@pytest.mark.parametrize("name", NAMES)
def test_the_expert_agrees_on_the_whole_pool(name: str, world: World) -> None:
    question = BY_NAME[name]
    for branch in question.branches:
        tasks = [draw(name, world, branch, number) for number in range(100)]
        truths = graders.truths(tasks, world)
        for task in tasks:
            verdict = graders.grade(task, play(task, world, solver(name)), world, truths[task.id])
            assert verdict.passed, (task.slots, [check for check in verdict.checks if not check.passed])
