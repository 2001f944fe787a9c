"""Every damage to a question's episode trips the check that it was made for, and every other right way passes.

Families are sampled so that every kind occurs; all of them have their turn in ``make proof``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.types import Episode
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.questions import QUESTIONS
from fhirtasks.tasks.questions.families import family
from fhirtasks.tasks.questions.types import Question
from fhirtasks.tasks.types import Task
from graders import alternatives, alternatives_code, mutants, mutants_code
from graders.mutants import Mutant
from solvers import solver

SAMPLE = (
    *("signed_change", "active_conditions", "nth_time_beyond", "which_first", "who_saw_patient", "all_in_range"),
    *("monthly_means", "vaccinated", "diagnoses_of_visit"),
)
"""Families in which every kind of damage and of alternative occurs."""

Played = tuple[Task, Episode, graders.Truth]


def played(questions: tuple[Question, ...], world: World) -> Iterator[Played]:
    """An episode of every branch of those of the families that the world supports."""
    for question in questions:
        if family(question).missing(world) is None:
            tasks = [draw(question.name, world, branch, 3) for branch in question.branches]
            truths = graders.truths(tasks, world)
            for task in tasks:
                yield task, play(task, world, solver(task.family)), truths[task.id]


def misses(rows: list[Played], world: World) -> tuple[list[tuple[Task, Mutant]], list[object]]:
    """All mutants, and those that their check lets through, or whose form is wrong where it should not be."""
    made: list[tuple[Task, Mutant]] = []
    wrong: list[object] = []
    for task, episode, truth in rows:
        for mutant in mutants.mutants(task, episode, world, truth):
            verdict = mutants.run_mutant(task, world, mutant, truth)
            failed = {check.name: check.detail for check in verdict.checks if not check.passed}
            of_form = mutant.kind.startswith("form_")
            made.append((task, mutant))
            if mutant.check not in failed or (failed.keys() & {"protocol", "completed"} and not of_form):
                wrong.append((task.family, task.branch, mutant, failed))
            assert verdict.score < 1 and not verdict.passed
    return made, wrong


def rejected(rows: list[Played], world: World) -> tuple[set[str], list[object]]:
    """The kinds of alternatives that apply, and those that do not pass."""
    kinds: set[str] = set()
    wrong: list[object] = []
    for task, episode, truth in rows:
        for other in alternatives.alternatives(task, episode, world, truth):
            kinds.add(other.kind)
            verdict = alternatives.run_alternative(task, world, other, truth)
            if not verdict.passed:
                failed = [check for check in verdict.checks if not check.passed]
                wrong.append((task.family, task.branch, other, failed))
    return kinds, wrong


@pytest.fixture(scope="module")
def sample(population: World) -> list[Played]:
    return list(played(tuple(one for one in QUESTIONS if one.name in SAMPLE), population))


def test_every_mutant_of_the_sample_trips_its_check(sample: list[Played], population: World) -> None:
    made, wrong = misses(sample, population)
    assert not wrong
    assert {mutant.kind for _, mutant in made} == mutants_code.KINDS.keys()
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for task, mutant in made:
        kinds[task.family].add(mutant.kind)
        assert mutant.raws != next(one.raws for other, one, _ in sample if other is task)
    assert all(len(found) >= 15 for found in kinds.values())


def test_every_alternative_of_the_sample_passes(sample: list[Played], population: World) -> None:
    kinds, wrong = rejected(sample, population)
    assert not wrong
    assert kinds == alternatives_code.KINDS.keys()


@pytest.mark.proof
def test_every_family_has_its_mutants_rejected_and_its_alternatives_accepted(
    population: World, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(played(QUESTIONS, population))
    made, wrong = misses(rows, population)
    kinds, refused = rejected(rows, population)
    assert not wrong and not refused
    with capsys.disabled():
        print(
            f"\n{mutants.table(made)}\n{len(made)} mutants and {len(kinds)} kinds of alternatives, {len(rows)} episodes"
        )


def test_a_mutant_keeps_its_raw_texts(sample: list[Played], population: World) -> None:
    for task, episode, truth in sample[::3]:
        for mutant in mutants.mutants(task, episode, population, truth):
            raws = replay_task(task, population, mutant.raws).raws
            assert raws == mutant.raws[: len(raws)] and len(raws) >= 1
