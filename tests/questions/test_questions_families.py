"""Every question family: the expert, who reads raw JSON, agrees with the truth, which is SQL; wrong answers fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.types import Episode
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.questions import QUESTIONS
from fhirtasks.tasks.questions.families import family
from fhirtasks.tasks.questions.pool import pool
from fhirtasks.tasks.questions.types import Question
from fhirtasks.tasks.types import Task, Verdict
from fhirtasks.tasks.wording import word_overlap
from solvers import solver

EACH = 3
NAMES = [question.name for question in QUESTIONS]
BY_NAME = {question.name: question for question in QUESTIONS}


def supported(question: Question, world: World) -> None:
    lacks = family(question).missing(world)
    if lacks is not None:
        pytest.skip(f"{question.name}: {lacks}")


def played(question: Question, world: World) -> Iterator[tuple[Task, Episode, graders.Truth]]:
    tasks = [draw(question.name, world, branch, n) for branch in question.branches for n in range(EACH)]
    truths = graders.truths(tasks, world)
    for task in tasks:
        yield task, play(task, world, solver(task.family)), truths[task.id]


def submitted(task: Task, episode: Episode, world: World, answer: Json, truth: graders.Truth) -> Verdict:
    """The verdict on the episode with another answer."""
    call = {"name": "submit_answer", "arguments": answer}
    raws = [*episode.raws[:-1], dumps({"content": "", "tool_calls": [call]})]
    return graders.grade(task, replay_task(task, world, raws), world, truth)


def arguments(answer: Json) -> dict[str, Json]:
    assert isinstance(answer, dict)
    return {**answer, "value": dumps(answer["value"])}


@pytest.mark.parametrize("name", NAMES)
def test_the_expert_agrees_with_the_truth(name: str, population: World) -> None:
    question = BY_NAME[name]
    supported(question, population)
    for task, episode, truth in played(question, population):
        verdict = graders.grade(task, episode, population, truth)
        failed = [(check.name, check.detail) for check in verdict.checks if not check.passed]
        assert verdict.passed, (task.slots, failed, episode.messages[-2].content[-500:])
        assert replay_task(task, population, episode.raws) == episode


@pytest.mark.parametrize("name", NAMES)
def test_gold_is_what_the_expert_says_and_is_never_looked_at(name: str, population: World) -> None:
    question = BY_NAME[name]
    supported(question, population)
    for task, episode, truth in played(question, population):
        assert isinstance(task.gold, dict)
        right = submitted(task, episode, population, arguments(task.gold), truth)
        assert right.passed, right.checks


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_fail(name: str, population: World) -> None:
    question = BY_NAME[name]
    supported(question, population)
    for task, episode, truth in played(question, population):
        gold = arguments(task.gold)
        for kind, wrong in wrong_answers(gold):
            verdict = submitted(task, episode, population, wrong, truth)
            assert not verdict.passed, (kind, gold, wrong)
            assert verdict.score < 1


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_was_not_read_fails(name: str, population: World) -> None:
    question = BY_NAME[name]
    supported(question, population)
    for task, _, truth in played(question, population):
        call = {"name": "submit_answer", "arguments": arguments(task.gold)}
        episode = replay_task(task, population, [dumps({"content": "", "tool_calls": [call]})])
        verdict = graders.grade(task, episode, population, truth)
        assert not verdict.passed or not question.hops, task.slots


@pytest.mark.parametrize("name", NAMES)
def test_answers_vary_and_slots_are_shown(name: str, population: World) -> None:
    question = BY_NAME[name]
    supported(question, population)
    found = pool(question, population)
    for branch, rows in found.items():
        if question.answer not in ("boolean", "choice") and branch not in ("none", "zero", "empty") and len(rows) > 8:
            assert max(Counter(truth.value for _, truth in rows).values()) <= max(2, len(rows) // 2), branch
    for branch in question.branches:
        for number in range(EACH):
            task = draw(name, population, branch, number)
            for value in task.slots.values():
                assert value in task.instruction or value in task.context, (value, task.instruction, task.context)


@pytest.mark.parametrize("name", NAMES)
def test_wordings_are_different_sentences(name: str) -> None:
    wordings = BY_NAME[name].wordings
    assert len(wordings) >= 4
    for one, other in combinations(wordings, 2):
        assert word_overlap(one, other) <= 0.6, (one, other)


def test_names_and_codes_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)
    codes = Counter(question.code for question in QUESTIONS)
    assert {code for code, count in codes.items() if count > 1} == set()


def wrong_answers(gold: dict[str, Json]) -> Iterator[tuple[str, dict[str, Json]]]:
    """The answer with its value, type or unit damaged."""
    value = loads(str(gold["value"]))
    kind = gold["type"]
    yield "empty", {**gold, "type": "string", "value": '""'}
    if kind != "none":
        yield "none", {"type": "none", "value": '"no_matching_record"', "unit": "", "evidence": []}
    else:
        yield "zero for none", {"type": "integer", "value": "0", "unit": "", "evidence": []}
        yield "false for none", {"type": "boolean", "value": "false", "unit": "", "evidence": []}
    if isinstance(value, bool):
        yield "negated", {**gold, "value": dumps(not value)}
    elif isinstance(value, int | float) or hasattr(value, "as_tuple"):
        step = 2 if kind == "duration" else 1
        yield "one more", {**gold, "value": dumps(value + step)}  # type: ignore[operator]
        if value:
            yield "other sign", {**gold, "value": dumps(-value)}  # type: ignore[operator]
        if gold["unit"]:
            yield "other unit", {**gold, "unit": f"{gold['unit']}/h"}
            yield "no unit", {**gold, "unit": ""}
    elif isinstance(value, list):
        yield "extra item", {**gold, "value": dumps([*value, "something else"])}
        if value:
            yield "dropped item", {**gold, "value": dumps(value[:-1])}
        if kind == "list" and len(value) > 1 and value[0] != value[-1]:
            yield "reversed", {**gold, "value": dumps(value[::-1])}
    elif isinstance(value, dict):
        yield "dropped key", {**gold, "value": dumps(dict(list(value.items())[:-1]))}
        yield "extra key", {**gold, "value": dumps({**value, "something": 1})}
    elif isinstance(value, str) and kind == "datetime":
        yield (
            "another hour",
            {**gold, "value": dumps(f"{value[:11]}{'01' if value[11:13] == '00' else '00'}{value[13:]}")},
        )
    elif isinstance(value, str) and kind != "none":
        yield "other text", {**gold, "value": dumps(value[:-1] + ("0" if not value.endswith("0") else "1"))}
