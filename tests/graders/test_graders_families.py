"""Every family, branch and mode on embedded patients: the expert passes, its mutants trip their checks, its variants pass.

Families and experts are black boxes here; what they do is judged by the graders' own truths.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

import graders
from fhirtasks.episodes.types import Episode
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.registry import families
from fhirtasks.tasks.seeds import rng, task_id, task_seed
from fhirtasks.tasks.types import Family, Task
from graders import alternatives, mutants
from graders.damage import Played, said_in
from solvers import solver

DRAWS = 12
Rows = list[tuple[Task, Episode]]


def draw(world: World, family: Family, branch: str, mode: str, protocol: str = "text") -> Task | None:
    for index in range(DRAWS):
        at = ("graders-test", family.name, family.version, f"{branch}-{mode}-{protocol}", index, 0)
        seed = task_seed(*at)
        drawn = family.sample(world, rng(seed), branch, mode)  # type: ignore[arg-type]
        if drawn is not None:
            return Task(
                id=task_id(*at), family=family.name, version=family.version, domain=family.domain, kind=family.kind,
                mode=mode, protocol=protocol, branch=branch, split="train", now=drawn.now, instruction=drawn.instruction,  # type: ignore[arg-type]
                context=drawn.context, slots=drawn.slots, params=drawn.params, gold=drawn.gold, patients=drawn.patients,
                scenario=drawn.scenario, difficulty=drawn.difficulty, seed=seed,
            )  # fmt: skip
    return None


@pytest.fixture(scope="module")
def rows(population: World) -> Rows:
    """One task for every family, branch, mode and protocol, played by its expert."""
    tasks = [
        task
        for family in families(protocol="text")
        if family.missing(population) is None
        for mode in family.modes
        for protocol in (family.protocols if mode == "clinical" else ("text",))
        for branch in family.branches
        if (task := draw(population, family, branch.name, mode, protocol)) is not None
    ]
    return [(task, play(task, population, solver(task.family))) for task in tasks]


@pytest.fixture(scope="module")
def truths(rows: Rows, population: World) -> dict[str, graders.Truth]:
    return graders.truths([task for task, _ in rows], population)


def where(task: Task) -> str:
    return f"{task.family} {task.mode} {task.protocol} {task.branch}"


def test_every_family_is_there_in_both_modes(rows: Rows) -> None:
    assert {(task.family, task.mode) for task, _ in rows} == {
        (f.name, mode) for f in families(protocol="text") for mode in f.modes
    }


def test_the_experts_episodes_pass(rows: Rows, truths: dict[str, graders.Truth], population: World) -> None:
    wrong = {}
    for task, episode in rows:
        verdict = graders.grade(task, episode, population, truths[task.id])
        if not verdict.passed:
            wrong[where(task)] = [check for check in verdict.checks if not check.passed]
    assert not wrong


def test_gold_is_never_looked_at(rows: Rows, population: World) -> None:
    spoilt = [replace(task, gold={"rubbish": [task.id]}, branch="", difficulty={}) for task, _ in rows]
    found = graders.truths(spoilt, population)
    for task, (_, episode) in zip(spoilt, rows, strict=True):
        assert graders.grade(task, episode, population, found[task.id]).passed, where(task)


def test_verdicts_without_precomputed_truth_are_the_same(
    rows: Rows, truths: dict[str, graders.Truth], population: World
) -> None:
    for task, episode in rows[::9]:
        assert graders.grade(task, episode, population) == graders.grade(task, episode, population, truths[task.id])


def test_do_nothing_never_passes_in_clinical_mode(
    rows: Rows, truths: dict[str, graders.Truth], population: World
) -> None:
    for task, _ in rows:
        if task.mode == "clinical":
            for finish in ("FINISH([])", "FINISH([-1])", 'FINISH(["Patient not found"])'):
                episode = replay_task(task, population, said_in(task, (finish,)))
                assert not graders.grade(task, episode, population, truths[task.id]).passed, where(task)


def test_every_mutant_trips_its_check(
    rows: Rows, truths: dict[str, graders.Truth], population: World, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    wrong = {}
    for task, episode in rows:
        for mutant in mutants.mutants(task, episode, population):
            made.append((task, mutant))
            verdict = mutants.run_mutant(task, population, mutant, truths[task.id])
            failed = {check.name for check in verdict.checks if not check.passed}
            of_form = mutant.kind.startswith("form_")
            if mutant.check not in failed or (failed & {"protocol", "completed"} and not of_form):
                wrong[where(task), mutant.kind] = (mutant.check, failed, mutant.raws)
    assert not wrong
    with capsys.disabled():
        print(f"\n{mutants.table(made)}\n{len(made)} mutants of {len(rows)} episodes")
    kinds = defaultdict(set)
    for task, mutant in made:
        kinds[task.family, task.mode].add(mutant.kind)
    assert {place: len(found) for place, found in kinds.items() if len(found) < 15} == {}
    assert {task.family for task, _ in rows} == {family for family, _ in kinds}
    assert {mutant.kind for _, mutant in made} == set(mutants.KINDS)


def test_the_kinds_that_look_at_results_are_named(
    rows: Rows, population: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = set()
    results = Played.results
    for kind in mutants.KINDS:
        monkeypatch.setattr(Played, "results", lambda *given, kind=kind: looked.add(kind) or results(*given))
        for task, episode in rows[::3]:
            mutants.mutant(Played(task, episode, population), kind)
    assert looked == mutants.LOOKING


def test_every_alternative_passes(rows: Rows, truths: dict[str, graders.Truth], population: World) -> None:
    wrong = {}
    kinds = set()
    for task, episode in rows:
        for variant in alternatives.alternatives(task, episode, population):
            kinds.add(variant.kind)
            verdict = alternatives.run_alternative(task, population, variant, truths[task.id])
            if not verdict.passed:
                wrong[where(task), variant.kind] = [check for check in verdict.checks if not check.passed]
    assert not wrong
    assert kinds == set(alternatives.KINDS)


def test_a_mutant_is_another_episode_and_parses(rows: Rows, population: World) -> None:
    for task, episode in rows[::7]:
        for mutant in mutants.mutants(task, episode, population):
            assert mutant.raws != episode.raws
            assert replay_task(task, population, mutant.raws).raws == mutant.raws
