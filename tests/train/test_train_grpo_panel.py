"""Panels and alarms on made-up rollouts in which each known failure occurs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.errors import UserError
from train.curriculum import Standing, read_curriculum, select, write_curriculum
from train.guards import RULES, WINDOW, alarms
from train.panel import Rollout, degenerate, panel

GOOD = Rollout(
    task_id="t", family="latest_lab", tokens=100, clipped=False, turns=3, calls=("GET", "GET", "FINISH"), errors=0,
    finished=True, passed=True, degenerate=False, reward=1.0, components={"outcome": 1.0, "partial": 1.0, "grounded": 1.0},
)  # fmt: skip
WRONG = replace(GOOD, passed=False, reward=0.0, components={"outcome": 0.0, "partial": 0.5, "grounded": None})
HEALTHY = (GOOD, WRONG, GOOD, WRONG)


def figures(*rollouts: Rollout, group: int = 2, **more: float) -> dict[str, float]:
    return {**panel(rollouts, group), "entropy": 1.0, "grad_norm": 0.5, **more}


def history(early: dict[str, float], late: dict[str, float]) -> list[dict[str, float]]:
    return [early] * WINDOW + [late] * WINDOW


def test_a_panel_counts_what_happened() -> None:
    cut = replace(WRONG, tokens=400, clipped=True, finished=False, turns=1, calls=(), errors=0)
    lost = replace(WRONG, calls=("GET",), errors=1, finished=False, reward=0.0, floor=0.5, reachable=False)
    found = panel([GOOD, WRONG, cut, lost], 2)
    assert found["length/mean"] == 175 and found["length/p95"] == 400 and found["length/clipped"] == 0.25
    assert found["turns"] == 2.5 and found["calls/all"] == 1.25 and found["errors"] == pytest.approx(1 / 5)
    assert found["calls/GET"] == 1.25 and found["calls/FINISH"] == 0.5
    assert found["finished"] == 0.5 and found["unanswered"] == 0.25 and found["inactive"] == 0.0
    assert found["accuracy"] == 0.25 and found["ceiling"] == 0.75
    assert found["reward"] == 0.25 and found["floor"] == 0.125
    assert found["zero_variance"] == 0.5 and found["varies/outcome"] == 0.5 and found["varies/partial"] == 0.5
    assert found["components/grounded"] == 1.0, "what cannot be earned or lost is left out"
    assert found["varies/grounded"] == 0.0


def test_a_panel_is_of_whole_groups() -> None:
    with pytest.raises(ValueError, match="3 rollouts are no groups of 2"):
        panel([GOOD, GOOD, GOOD], 2)


@pytest.mark.parametrize(
    ("raws", "expected"),
    [
        (["GET a", "FINISH([1])"], False),
        ([], True),
        (["GET a", "  "], True),
        (["GET a"] * 4, True),
        (["GET a"] * 3, False),
        (["the same four words " * 20], True),
        ([" ".join(str(number) for number in range(200))], False),
    ],
)
def test_degenerate_messages_are_told(raws: list[str], expected: bool) -> None:
    assert degenerate(raws) is expected


def test_a_healthy_run_raises_nothing() -> None:
    assert alarms(history(figures(*HEALTHY), figures(*HEALTHY))) == []
    assert alarms([figures(*HEALTHY)]) == []


IDLE = replace(WRONG, calls=("FINISH",), turns=1)
FAILURES: dict[str, Callable[[], list[dict[str, float]]]] = {
    "inaction": lambda: history(figures(*HEALTHY), figures(IDLE, IDLE, IDLE, GOOD)),
    "format": lambda: history(
        figures(*(replace(one, reward=0.2) for one in (WRONG, WRONG)), replace(WRONG, reward=0.0), WRONG),
        figures(*(replace(one, reward=0.6) for one in (WRONG, WRONG)), replace(WRONG, reward=0.4), WRONG),
    ),
    "length": lambda: history(figures(*HEALTHY), figures(*(replace(one, tokens=300) for one in HEALTHY))),
    "tools": lambda: history(figures(*HEALTHY), figures(GOOD, *[replace(IDLE, calls=()) for _ in range(3)])),
    "variance": lambda: [figures(WRONG, WRONG, GOOD, GOOD)] * WINDOW,
    "truncation": lambda: [figures(GOOD, replace(WRONG, clipped=True, finished=False, calls=(), turns=1))] * WINDOW,
    "degenerate": lambda: [figures(GOOD, replace(WRONG, degenerate=True))] * WINDOW,
    "entropy": lambda: history(figures(*HEALTHY), figures(*HEALTHY, entropy=0.1)),
    "gradient": lambda: history(figures(*HEALTHY), figures(*HEALTHY, grad_norm=9.0)),
}


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_each_known_failure_raises_its_alarm(name: str) -> None:
    found = {alarm.name: alarm.sentence for alarm in alarms(FAILURES[name]())}
    assert name in found and found[name].endswith((".", "curriculum.", "length."))


def test_every_rule_has_its_failure() -> None:
    assert set(FAILURES) == set(RULES)


def test_a_reward_that_pays_inaction_is_said_to() -> None:
    paid = replace(IDLE, reward=0.5, floor=0.5)
    (found,) = [
        alarm for alarm in alarms([figures(paid, replace(paid, reward=0.45))] * WINDOW) if alarm.name == "inaction"
    ]
    assert "doing nothing earns 0.50" in found.sentence


def test_experts_that_do_not_fit_are_said() -> None:
    short = [figures(GOOD, replace(WRONG, reachable=False))] * WINDOW
    assert "Only 50% of the experts' episodes" in next(
        one.sentence for one in alarms(short) if one.name == "truncation"
    )


def test_a_gradient_that_is_no_number_is_said() -> None:
    broken = [figures(*HEALTHY)] * (WINDOW - 1) + [figures(*HEALTHY, grad_norm=float("nan"))]
    assert [alarm.name for alarm in alarms(broken)] == ["gradient"]


def test_a_curriculum_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    stated = {"b": Standing("solved", 0.25), "a": Standing("rl", 1.0)}
    write_curriculum(path, stated, k=8)
    assert read_curriculum(path) == stated
    assert path.read_text(encoding="utf-8").startswith('{\n "k": 8,')


def test_a_curriculum_takes_its_share_of_each_family() -> None:
    families = ["a"] * 10 + ["b"] * 10 + ["c"] * 4 + ["d"] * 3
    ids = [f"{family}{number}" for number, family in enumerate(families)]
    chosen = select(families, ids, {"a": Standing("sft", 1.0), "b": Standing("solved", 0.25), "c": Standing("rl", 1.5)})
    counts = {name: [families[place] for place in chosen].count(name) for name in "abcd"}
    assert counts == {"a": 0, "b": 3, "c": 6, "d": 3}
    assert chosen == sorted(chosen)
    order = sorted(range(len(ids)), key=lambda place: ids[place], reverse=True)
    again = select(
        [families[place] for place in order], [ids[place] for place in order], {"b": Standing("solved", 0.25)}
    )
    taken = {ids[order[place]] for place in again if families[order[place]] == "b"}
    assert taken == {ids[place] for place in chosen if families[place] == "b"}, "the rows do not depend on their order"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "There is no file"),
        ("{", "is not JSON"),
        ("[]", "has no object of families"),
        ('{"families": {"a": {"verdict": "done", "weight": 1}}}', "the verdict of a is 'done'"),
        ('{"families": {"a": {"verdict": "rl", "weight": -1}}}', "the weight of a is -1"),
        ('{"families": {"a": {"verdict": "rl", "weight": true}}}', "the weight of a is True"),
        ('{"families": {"a": {"verdict": "rl", "weight": 1e308}}}', "a number from 0 to 1000"),
        ('{"families": {"a": {"verdict": "rl", "weight": NaN}}}', "the weight of a is nan"),
    ],
)
def test_a_bad_curriculum_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_curriculum(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_curriculum(tmp_path)


def test_a_curriculum_that_leaves_nothing_is_refused() -> None:
    stated: dict[str, Any] = {"a": Standing("sft", 1.0)}
    with pytest.raises(UserError, match="leaves no rows"):
        select(["a", "a"], ["1", "2"], stated)
