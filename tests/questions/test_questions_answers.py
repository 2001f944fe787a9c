"""Answers in other shapes than ours: what says the same passes, what hedges or falls short does not."""

from __future__ import annotations

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.tools import raw_message
from fhirtasks.episodes.types import Finish, ToolCall
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.types import Verdict
from graders.typed import compare
from solvers import solver

TIME = '"2150-03-01T10:00:00"'


def given(kind: str, value: str, unit: str = "") -> Json:
    return {"type": kind, "value": loads(value), "unit": unit, "evidence": []}


@pytest.mark.parametrize(
    ("kind", "expected", "unit", "value", "as_unit"),
    [
        ("boolean", "true", "", '"yes"', ""),
        ("boolean", "false", "", '"No."', ""),
        ("boolean", "true", "", '"True"', ""),
        ("duration", "3", "hours", "3.0", "hour"),
        ("duration", "3", "hours", "3", "h"),
        ("duration", "2", "days", "2", "Days"),
        ("datetime", TIME, "", '"2150-03-01T10:00Z"', ""),
        ("datetime", TIME, "", '"2150-03-01T10:00-05:00"', ""),
        ("datetime", TIME, "", '"2150-03-01 10:00:00.000-0500"', ""),
        ("date", '"2150-03-01"', "", '"2150-03-01T00:00:00-05:00"', ""),
        ("code", '"38341003"', "", "38341003", ""),
        ("string", '"7.10"', "", "7.10", ""),
        ("map", '{"aspirin": ["PO"]}', "", '{"Aspirin": ["PO"]}', ""),
    ],
)
def test_what_says_the_same_is_right(kind: str, expected: str, unit: str, value: str, as_unit: str) -> None:
    assert compare(kind, loads(expected), unit, given(kind, value, as_unit)).right


@pytest.mark.parametrize(
    ("kind", "expected", "unit", "value", "as_unit"),
    [
        ("boolean", "true", "", '"no"', ""),
        ("boolean", "true", "", "1", ""),
        ("boolean", "false", "", "0", ""),
        ("boolean", "false", "", '""', ""),
        ("boolean", "false", "", '"none"', ""),
        ("duration", "3", "hours", "3", "min"),
        ("duration", "3", "hours", "3", "s"),
        ("quantity", "3", "hours", "3", "h"),
        ("datetime", TIME, "", '"2150-03-01T10:00:00 or 2150-03-02T10:00:00"', ""),
        ("datetime", TIME, "", '"2150-03-01T10:02Z"', ""),
        ("date", '"2150-03-01"', "", '"2150-03-01 or 2150-03-02"', ""),
        ("date", '"2150-03-01"', "", '"2150-03-01/2150-03-05"', ""),
        ("string", '"7.1"', "", "7.10", ""),
        ("code", '"0389"', "", "389", ""),
        ("map", '{"aspirin": 1}', "", '{"Aspirin": 1, "aspirin": 2}', ""),
    ],
)
def test_what_does_not_is_wrong(kind: str, expected: str, unit: str, value: str, as_unit: str) -> None:
    found = compare(kind, loads(expected), unit, given(kind, value, as_unit))
    assert not found.right and found.score < 1


@pytest.mark.parametrize(
    ("value", "score"), [("2", 0), ("21", 0), ("2150-0", 0), ("", 0), ("2150", 0.5), ("2150-03", 0.5)]
)
def test_only_a_year_or_a_month_is_a_part_of_a_date(value: str, score: float) -> None:
    assert compare("date", "2150-03-01", "", given("date", dumps(value))).score == score


def test_what_was_read_may_be_cited_in_any_form_of_its_reference(population: World) -> None:
    task = draw("nth_value", population, "found", 0)
    episode = play(task, population, solver(task.family))
    last = episode.turns[-1].action
    assert isinstance(last, Finish) and isinstance(last.answer, dict)
    answer = {**last.answer, "value": dumps(last.answer["value"])}
    (truth,) = graders.truths([task], population).values()
    (ref,) = truth.evidence
    bare = ref.partition("/")[2]

    def verdict(*cited: str) -> Verdict:
        submitted = raw_message("", [ToolCall("submit_answer", {**answer, "evidence": list(cited)})])
        return graders.grade(task, replay_task(task, population, (*episode.raws[:-1], submitted)), population, truth)

    for form in (f"urn:uuid:{bare}", f"https://fhir.example/r4/{ref}", f"{ref}/_history/1"):
        judged = verdict(form)
        assert judged.passed and dict(judged.measures)["evidence_precision"] == 1
    for form in (bare, "", f"Observation/{bare[:-1]}", f"Patient/{bare}", "\ud800", f"{ref} "):
        assert not verdict(ref, form).passed
