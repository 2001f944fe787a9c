"""pass@k against brute force, what each family is said to need, and the file that GRPO and a build read."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.small_releases import release

pytestmark = pytest.mark.train

from fhirtasks.environments.source import source  # noqa: E402
from fhirtasks.episodes.tools import wire  # noqa: E402
from fhirtasks.evaluation.models import Cut, InfrastructureError, Speaker, Unasked  # noqa: E402
from train.attempts import PasskOptions, diagnose, passed_by_floors  # noqa: E402
from train.cli import app  # noqa: E402
from train.curriculum import read_curriculum, select  # noqa: E402
from train.passk import (  # noqa: E402
    Attempt,
    Tried,
    as_text,
    entropy,
    figures,
    pass_at_k,
    possible_answers,
    reliable,
    report,
    verdict,
)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_the_estimate_is_the_share_of_draws_that_hold_a_right_one(case: tuple[int, int, int]) -> None:
    n, c, k = case
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert math.isclose(pass_at_k(n, c, k), float(Fraction(sum(map(any, draws)), len(draws))), abs_tol=1e-12)


@pytest.mark.parametrize("case", [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_what_cannot_be_estimated_is_refused(case: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot tell"):
        pass_at_k(*case)


def task(right: int, n: int = 12, *, valid: bool = True, floor: bool = False, answers: str = "", **about: str) -> Tried:
    said = answers or "y" * right + "n" * (n - right)
    attempts = tuple(Attempt(place < right, valid, not valid, one) for place, one in enumerate(said))
    return Tried(about.get("id", "t"), about.get("family", "f"), about.get("difficulty", "all"), attempts, floor)


@pytest.mark.parametrize(
    ("right", "more", "needs"),
    [
        ([12, 12, 12, 11], {}, "solved"),
        ([0, 0, 0, 0], {}, "sft"),
        ([3, 6, 0, 9], {}, "rl"),
        ([12, 12, 0, 0], {}, "sft"),  # always right or never: no group has two rewards
        ([3, 6, 2, 9], {"valid": False}, "sft"),
        ([1, 1, 1, 1], {"floor": True}, "sft"),  # what guessing reaches as well
    ],
)
def test_what_a_family_needs(right: list[int], more: dict[str, Any], needs: str) -> None:
    found = figures([task(one, **more) for one in right], 12, 100)
    assert verdict(found) == needs
    assert found.signal == sum(0 < one < 12 for one in right) / 4 and found.rate == sum(right) / 48


def test_chance_is_taken_off() -> None:
    found = figures([task(1, 2), task(0, 2), task(0, 2, floor=True), task(2, 2)], 2, 100)
    assert (found.pass_at_k, found.chance) == (0.5, 0.25)
    assert math.isclose(found.corrected, (0.5 - 0.4375) / 0.5625)
    assert figures([task(2, 2, floor=True)], 2, 100).corrected == 0.0


def test_answers_that_can_be_guessed_must_come_often_and_unscattered() -> None:
    assert not reliable(task(5).attempts, 3) and reliable(task(6).attempts, 3)
    assert not reliable(task(2).attempts, 7) and reliable(task(3).attempts, 7)
    assert not reliable(task(1).attempts, 21) and reliable(task(2).attempts, 21)
    assert reliable(task(1).attempts, 22) and not reliable(task(0).attempts, 22)
    assert not reliable(task(6, answers="yyyyyyabnabn").attempts, 3), "six right, the others scattered: entropy 1.24"
    assert reliable(task(2, 4).attempts, 3) and not reliable(task(1, 4).attempts, 3), "as a share of the attempts"
    assert math.isclose(entropy("abcd"), math.log(4)) and entropy("aaa") == 0.0
    guessed = figures([task(2)] * 4, 12, 3)
    assert verdict(guessed) == "rl" and verdict(guessed, guessable=True) == "sft"


def test_the_report_is_a_curriculum(tmp_path: Path) -> None:
    tried = [task(12, family="a"), task(0, family="b"), task(5, family="c"), task(4, family="c", difficulty="hard")]
    found = report(tried, 12, {"a": 9, "b": 9, "c": 9})
    path = tmp_path / "curriculum.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    read = read_curriculum(path)
    assert {name: one.verdict for name, one in read.items()} == {"a": "solved", "b": "sft", "c": "rl"}
    chosen = select([*"aaaabbbbcccc"], [f"id{n}" for n in range(12)], read)
    assert ["aaaabbbbcccc"[place] for place in chosen] == ["a", "c", "c", "c", "c"]
    assert set(found["families"]["c"]["difficulty"]) == {"all", "hard"}
    lines = as_text(found).splitlines()
    assert (
        len(lines) == 6 and lines[1].endswith("solved") and lines[2].endswith("SFT first") and lines[3].endswith("RL")
    )


def expert(folder: Path) -> dict[str, list[str]]:
    """Task id -> what its expert says."""
    import solvers
    from fhirtasks.episodes.environment import run_solver

    found = source(folder, "train")
    said = {}
    for one in found.tasks.values():
        environment = found.open(one.id)
        said[one.id] = list(run_solver(solvers.solver(one.family), environment.task, environment).raws)
    return said


def test_a_model_is_asked_again_and_again_and_judged() -> None:
    """One family always right, the other right at every second attempt, else cut off in the middle of a word."""
    folder = release("text")
    said = expert(folder)
    begun: dict[str, int] = {}

    def speak(asked: Any) -> list[str]:
        replies = []
        for public, messages in asked:
            turn = sum(one.role == "assistant" for one in messages)
            if turn == 0:
                begun[public.id] = begun.get(public.id, 0) + 1
            wrong = public.family == "record_blood_pressure" and begun[public.id] % 2
            replies.append(Cut("GET http://loc") if wrong else said[public.id][turn])
        return replies

    found = diagnose(PasskOptions(str(folder), samples=4, limit=2), Speaker(speak, 1))
    lookup, pressure = (found["families"][name] for name in ("patient_lookup", "record_blood_pressure"))
    assert (lookup["verdict"], lookup["weight"], lookup["figures"]["rate"]) == ("solved", 0.25, 1.0)
    assert (pressure["verdict"], pressure["weight"], pressure["figures"]["rate"]) == ("rl", 1.0, 0.5)
    assert pressure["figures"]["truncated"] == 0.5 and pressure["figures"]["valid"] == 0.5
    assert pressure["figures"]["signal"] == 1.0 and found["k"] == 4 and lookup["figures"]["tasks"] == 2


def test_tasks_that_could_not_all_be_asked_are_left_out_and_counted() -> None:
    folder = release("text")
    said = expert(folder)
    lost = sorted(said)[0]

    def speak(asked: Any) -> list[str]:
        return [
            Unasked("HTTP 503")
            if public.id == lost
            else said[public.id][sum(one.role == "assistant" for one in messages)]
            for public, messages in asked
        ]

    found = diagnose(PasskOptions(str(folder), samples=2, limit=None), Speaker(speak, 3))
    assert found["unasked"] == 1 and found["k"] == 2
    assert sum(one["figures"]["tasks"] for one in found["families"].values()) == len(said) - 1
    with pytest.raises(InfrastructureError, match="HTTP 503"):
        diagnose(PasskOptions(str(folder), samples=2), Speaker(lambda asked: [Unasked("HTTP 503")] * len(asked), 3))


def test_recorded_attempts_are_judged_and_the_file_is_written(tmp_path: Path) -> None:
    folder = release("text")
    found = source(folder, "train")
    said = expert(folder)
    lines = []
    for task_id, raws in said.items():
        for n in range(3):
            environment = found.open(task_id)
            for raw in raws if n else ["FINISH([])"]:
                environment.step(raw)
            rollout = {"clipped": n == 0}
            lines.append(json.dumps({"id": task_id, "messages": wire(environment.messages), "rollout": rollout}))
    path, out = tmp_path / "rollouts.jsonl", tmp_path / "curriculum.json"
    path.write_text("\n".join([*lines, json.dumps({"id": "another", "messages": []})]), encoding="utf-8")
    run = CliRunner().invoke(
        app, ["passk", str(folder), "--rollouts", str(path), "--out", str(out), "-k", "2", "--json"]
    )
    assert run.exit_code == 0, run.output
    value = json.loads(out.read_text(encoding="utf-8"))
    assert value == json.loads(run.stdout) and value["k"] == 2
    for family in value["families"].values():
        assert family["verdict"] == "rl" and family["figures"]["pass_at_k"] == 1.0
        assert math.isclose(family["figures"]["truncated"], 1 / 3)
    assert set(read_curriculum(out)) == {"patient_lookup", "record_blood_pressure"}


def test_floors_and_answers_are_counted() -> None:
    found = source(release("text"), "train")
    tasks = list(found.tasks.values())
    assert not passed_by_floors(found, tasks), "a right answer must have been read"
    answers = possible_answers(tasks)
    assert answers["patient_lookup"] > 1 and set(answers) == {one.family for one in tasks}
