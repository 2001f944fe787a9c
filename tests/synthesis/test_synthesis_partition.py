"""One partition: what is dropped, why, and that it is drawn again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import graders
from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.episodes.types import Episode, Message
from fhirtasks.graph.world import World, write_world
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.synthesis import partition as module
from fhirtasks.synthesis.partition import OVER_BUDGET, ROUNDS, make
from fhirtasks.synthesis.plan import Partition, plan_partitions, plan_quotas
from fhirtasks.tasks.registry import families
from fhirtasks.tasks.types import Check, Task, Verdict


@pytest.fixture(scope="module")
def world(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    path = tmp_path_factory.mktemp("world") / "train.duckdb"
    everyone = World.open(graph)
    patients = everyone.patients
    everyone.close()
    write_world(graph, patients, "train", path)
    return World.open(path, threads=1)


def plan(*names: str, rows: int = 12) -> Partition:
    chosen = families(names, "text")
    quotas = plan_quotas(chosen, rows, ["train"], lambda family, split: True)
    (part,) = plan_partitions(quotas, chosen, mode="clinical", protocol="text", seed=3, graph="g")
    return part


def test_rows_come_in_the_plans_order_and_repeat(world: World) -> None:
    part = plan("patient_*", "latest_lab")
    one, two = make(part, world), make(part, world)
    assert [row.task.id for row in one.kept] == [row.id for row in part.rows()]
    assert [(row.content_hash, row.task, row.verdict) for row in one.kept] == [
        (row.content_hash, row.task, row.verdict) for row in two.kept
    ]
    assert one.dropped == two.dropped == []


def test_a_rejected_episode_is_dropped_and_drawn_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    part = plan("patient_age")
    grade, judged = graders.grade, Counter[str]()

    def strict(task: Task, *rest: Any) -> Verdict:
        judged[task.id] += 1
        if judged[task.id] == 1 and task.id == part.rows()[0].id:
            return Verdict.of([Check("answer", False, "because"), Check("evidence", False), Check("completed", True)])
        return grade(task, *rest)

    monkeypatch.setattr(graders, "grade", strict)
    made = make(part, world)
    assert len(made.kept) == 12
    (drop,) = made.dropped
    assert drop.reason == "graded: answer, evidence" and drop.content_hash not in {
        row.content_hash for row in made.kept
    }


def characters(episode: Episode) -> int:
    return sum(len(message.content) for message in episode.messages)


def test_what_is_longer_than_the_budget_is_dropped_and_drawn_again(world: World) -> None:
    part = plan("latest_lab", rows=24)
    free = make(part, world, count_tokens=characters)
    budget = sorted(row.tokens or 0 for row in free.kept)[12]
    made = make(part, world, count_tokens=characters, max_tokens=budget)
    assert made.kept and all(row.tokens is not None and row.tokens <= budget for row in made.kept)
    assert [row.tokens for row in made.kept] == [characters(row.episode) for row in made.kept]
    reasons = Counter(drop.reason for drop in made.dropped)
    assert reasons[OVER_BUDGET] >= sum((row.tokens or 0) > budget for row in free.kept) > 0
    assert {row.content_hash for row in free.kept if (row.tokens or 0) <= budget} <= {
        row.content_hash for row in made.kept
    }


def test_what_never_passes_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graders, "grade", lambda *_: Verdict.of([Check("answer", False)]))
    made = make(plan("patient_age"), world)
    assert made.kept == [] and len(made.dropped) == 12 * ROUNDS


def test_a_replay_that_differs_is_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = module.replay_task

    def changed(task: Task, world: World, raws: Any) -> Any:
        episode = replay(task, world, raws)
        messages = (*episode.messages[:-1], Message("assistant", episode.messages[-1].content + " "))
        return type(episode)(episode.task_id, messages, episode.turns, episode.status, episode.result, episode.writes)

    monkeypatch.setattr(module, "replay_task", changed)
    made = make(plan("patient_age"), world)
    assert made.kept == [] and {drop.reason for drop in made.dropped} == {"replay differs"}


def test_an_expert_that_breaks_is_a_drop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("entry")

    monkeypatch.setattr(module, "play", broken)
    made = make(plan("patient_age"), world)
    assert made.kept == [] and {drop.reason for drop in made.dropped} == {"expert failed: KeyError"}


def test_a_family_that_breaks_is_a_drop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw", lambda *_: {}["effectiveDateTime"])
    made = make(plan("patient_age"), world)
    assert made.kept == [] and {drop.reason for drop in made.dropped} == {"sampling failed: KeyError"}


def test_equal_contents_are_kept_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    part = plan("patient_age")
    first = part.rows()[0]
    draw = module.draw

    def same(row: Any, partition: Partition, world: World, attempt: int) -> Task | None:
        return draw(first if attempt == 0 else row, partition, world, attempt)

    monkeypatch.setattr(module, "draw", same)
    made = make(part, world)
    assert len({row.content_hash for row in made.kept}) == len(made.kept) == 12
    assert Counter(drop.reason for drop in made.dropped) == {"duplicate": 11}


def test_a_branch_without_a_case_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw", lambda *_: None)
    made = make(plan("patient_age"), world)
    assert {(drop.reason, drop.content_hash) for drop in made.dropped} == {("no case found", "")}


def test_held_out_texts_are_dropped(world: World) -> None:
    part = plan("patient_age")
    named = make(part, world).kept[0].task.slots["mrn"]
    made = make(part, world, matcher=Matcher(Holdouts.of([HeldOut("held.json", "1", identifiers=(named,))])))
    assert "holdout: identifier" in {drop.reason for drop in made.dropped}
    for row in made.kept:
        assert not any(named in message.content for message in row.episode.messages)
