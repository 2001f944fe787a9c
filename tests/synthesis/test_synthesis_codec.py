"""A task survives its text: digits, order of nothing, unicode; a damaged text names its field."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.graph.scenario import Scenario
from fhirtasks.tasks.codec import task_from_json, task_to_json
from fhirtasks.tasks.types import Task

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
number = st.integers(-(10**12), 10**12) | st.decimals(allow_nan=False, allow_infinity=False, places=3)
json_values = st.recursive(
    st.none() | st.booleans() | number | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
strings = st.lists(text, max_size=3).map(tuple)
tasks = st.builds(
    Task,
    id=text, family=text, version=text, domain=text, kind=st.sampled_from(["query", "action", "conditional"]),
    mode=st.sampled_from(["clinical", "compat"]), protocol=st.just("text"), branch=text, split=text, now=text,
    instruction=text, context=text, slots=st.dictionaries(text, text, max_size=4),
    params=st.dictionaries(text, text, max_size=4),
    gold=json_values, patients=strings, scenario=st.builds(Scenario, add=strings, hide=strings),
    difficulty=st.dictionaries(text, json_values, max_size=3), seed=text,
)  # fmt: skip


@given(tasks)
def test_a_task_survives_its_text(task: Task) -> None:
    line = task_to_json(task)
    assert task_from_json(line) == task
    assert task_to_json(task_from_json(line)) == line
    assert json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == line


def example(**changes: object) -> Task:
    values = {
        "id": "t", "family": "f", "version": "1", "domain": "d", "kind": "query", "mode": "clinical",
        "protocol": "text",
        "branch": "b", "split": "train", "now": "n", "instruction": "i", "context": "", "slots": {}, "params": {},
        "gold": None, "patients": (), "scenario": Scenario(), "difficulty": {}, "seed": "s",
    }  # fmt: skip
    return Task(**(values | changes))  # type: ignore[arg-type]


def test_digits_stay() -> None:
    back = task_from_json(task_to_json(example(gold=[Decimal("1.10"), -1, Decimal("1E+3")])))
    assert [str(item) for item in back.gold] == ["1.10", "-1", "1E+3"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("now", 1), ("slots", {"a": 1}), ("patients", "p"), ("scenario", {"add": []}), ("gold", [1]), ("kind", None)],
)
def test_a_damaged_text_names_its_field(field: str, value: object) -> None:
    damaged = json.loads(task_to_json(example())) | {field: value}
    with pytest.raises(ValueError, match=field):
        task_from_json(json.dumps(damaged))


@pytest.mark.parametrize("line", ["[]", "{}", "nonsense", '{"id":"x"}'])
def test_no_task(line: str) -> None:
    with pytest.raises(ValueError, match=r"task|Expecting"):
        task_from_json(line)
