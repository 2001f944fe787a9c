"""The public benchmark's leniency, rule by rule, and its retrieval metrics on cases worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from graders.agentbench import Retrieval, cells, correct, means, retrieval

PASS: list[tuple[Any, Any]] = [
    ("[[87.]]", "The final answer is: 87"),
    ("[[87.4]]", Decimal("86.9")),
    ("[[38.]]", "a drop to nothing\nThe final answer is: -38 mmHg"),
    ("[['F']]", "f"),
    ("[[0]]", "no"),
    ("no answer", {"type": "none", "value": "no_matching_record", "unit": "", "evidence": []}),
    ("[]", {"type": "boolean", "value": False, "unit": "", "evidence": []}),
    ("[[0.4]]", 0),
    ("[[1]]", "yes"),
    ("[[1]]", {"type": "boolean", "value": True}),
    ("[['2150-03-01 10:00:00']]", "2150-03-01"),
    ("[['2150-03-01 10:00:00']]", "2150-03-01T23:59:00+00:00"),
    ("[['aspirin']\n ['heparin']]", ["Heparin", "aspirin"]),
    ("[['aspirin']\n ['heparin']]", {"type": "set", "value": ["heparin", "aspirin"]}),
    ([["a b"]], "A  B."),
    ("[[1234.]]", "1,234 mL"),
    (None, ""),
]
FAIL: list[tuple[Any, Any]] = [
    ("[[87.]]", "88"),
    ("[[87.]]", "no answer"),
    ("[]", "87"),
    ("[['F']]", "M"),
    ("[['2150-03-01 10:00:00']]", "2150-03-02"),
    ("[['2150-03-01 10:00:00']]", "2150"),
    ("[['aspirin']\n ['heparin']]", "aspirin"),
    ("[['aspirin']]", ["aspirin", "heparin"]),
    ("[[5.]\n [5.]]", "5"),
    ("[[1]]", "no"),
    ("[['URGENT']]", "UR"),
]


@pytest.mark.parametrize(("expected", "given"), PASS)
def test_what_its_judge_lets_pass(expected: Any, given: Any) -> None:
    assert correct(expected, given)


@pytest.mark.parametrize(("expected", "given"), FAIL)
def test_what_it_does_not(expected: Any, given: Any) -> None:
    assert not correct(expected, given)


def test_the_time_of_day_counts_where_it_is_asked_for() -> None:
    gold = "[['2150-03-01 10:00:00']]"
    assert correct(gold, "2150-03-01T10:00:59", time_of_day=True)
    assert not correct(gold, "2150-03-01T10:02:00", time_of_day=True)
    assert not correct(gold, "2150-03-02T10:00:00", time_of_day=True)


def test_printed_arrays_are_read_cell_by_cell() -> None:
    assert cells("[['a b' 3.5]\n ['it\\'s' 2]]") == ["a b", "3.5", "it\\'s", "2"]
    assert cells('[["x", 2.5]]') == ["x", "2.5"]
    assert cells("[[nan]]") == []


def test_retrieval_by_hand() -> None:
    gold = {"Observation/1", "Observation/2"}
    assert retrieval(gold, ["Observation/1", "Observation/2", "Patient/9"]) == Retrieval(1.0, 1.0)
    assert retrieval(gold, ["Observation/1", "Observation/3", "Observation/4", "Observation/5"]) == Retrieval(0.0, 0.25)
    assert retrieval(gold, ["Patient/9"]) == Retrieval(0.0, None)
    assert retrieval([], ["Patient/9"]) == Retrieval(1.0, 1.0)
    rows = [Retrieval(1.0, 0.5), Retrieval(0.0, None), Retrieval(1.0, 1.0), Retrieval(0.0, 0.0)]
    assert means(rows) == {"recall": 0.5, "precision": 0.5, "f1": 0.5}
    assert means([]) == {"recall": 0.0, "precision": 0.0, "f1": 0.0}
