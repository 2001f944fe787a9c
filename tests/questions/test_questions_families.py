"""Every question family: the expert, who reads raw JSON, agrees with the truth, which is SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.types import Episode
from fhirtasks.fhir.jsontext import Json, dumps
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
