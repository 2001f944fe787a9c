"""What counts and what is refused as unclear; edits on raw text."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fhirtasks.fhir.jsontext import loads
from fhirtasks.tasks import labs_bodies as bodies
from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks.analytes import ANALYTES, BY_CODE
from fhirtasks.tasks.labs_charts import DAY, HOUR, SECOND, Chart, Lab, Result, Timeline, instant, offset_of
from fhirtasks.tasks.labs_rules import MAGNESIUM_RULES, POTASSIUM_DEPTH, POTASSIUM_RULES

NOW = 1_600_000_000 * SECOND
LAB = Lab(ANALYTES[0], "K", "mmol/L", 1, False, (), {}, {}, frozenset())
CLINICAL = cases.Query(LAB, "clinical", "highest", 24 * HOUR)
TIMELINE = Timeline((NOW - DAY,), ("+00:00",), NOW - DAY, (None,) * 53)


def result(ago: int, value: str | None, identifier: str = "a", plain: bool = True, length: int = SECOND) -> Result:
    number = None if value is None else Decimal(value)
    return Result(NOW - ago, identifier, NOW - ago + length, "", number, NOW - ago, plain)


def read(query: cases.Query, *results: Result) -> cases.Reading | None:
    return cases.read(cases.Case(Chart("p", TIMELINE, ()), NOW, "+00:00", sorted(results)), query)


def answer(query: cases.Query, *results: Result) -> Any:
    reading = read(query, *results)
    assert reading is not None
    return None if reading.answer is None else str(reading.answer.value)


def test_the_edge_is_inside_and_a_second_more_is_not() -> None:
    assert answer(CLINICAL, result(DAY, "4.1")) == "4.1"
    assert answer(CLINICAL, result(DAY - SECOND, "4.1")) == "4.1"
    assert answer(CLINICAL, result(DAY + SECOND, "4.1")) is None


def test_future_results_count_in_compat_only() -> None:
    ahead, past = result(-HOUR, "5", "b"), result(HOUR, "4", "a")
    assert answer(CLINICAL, ahead, past) == "4"
    assert answer(replace(CLINICAL, mode="compat", tie="first"), ahead, past) == "5"
    assert answer(CLINICAL, result(0, "6")) == "6"


def test_ties() -> None:
    two = result(HOUR, "4.0", "b"), result(HOUR, "4.2", "c"), result(2 * HOUR, "9", "a")
    assert answer(CLINICAL, *two) == "4.2"
    assert answer(replace(CLINICAL, tie="lowest"), *two) == "4.0"
    assert answer(replace(CLINICAL, tie="first"), *two) == "4.0"


def test_what_is_no_plain_number_makes_a_case_unclear_where_it_matters() -> None:
    unclear = result(HOUR, None, "b", plain=False)
    ever = replace(CLINICAL, window=None)
    assert read(CLINICAL, unclear, result(2 * HOUR, "4")) is None
    assert read(ever, unclear, result(2 * HOUR, "4")) is None
    assert read(ever, unclear, result(HOUR, "4", "c")) is None
    assert answer(ever, result(3 * HOUR, None, "b", plain=False), result(2 * HOUR, "4")) == "4"
    assert answer(CLINICAL, result(30 * HOUR, None, "b", plain=False), result(2 * HOUR, "4")) == "4"
    # The public grader reads a value from every result, so compat wants one in each.
    assert read(replace(CLINICAL, mode="compat"), result(30 * HOUR, None, "b", plain=False), result(HOUR, "4")) is None


def test_a_day_long_date_blurs_the_window() -> None:
    day = result(DAY + HOUR, "4", "b", plain=False, length=DAY)
    assert read(CLINICAL, day, result(HOUR, "5")) is None
    assert read(replace(CLINICAL, window=None), day, result(20 * HOUR, "5")) is None


@pytest.mark.parametrize(
    ("now", "months", "limit"),
    [
        ("2024-03-10T08:00:00+00:00", 12, "2023-03-10T08:00:00+00:00"),
        ("2024-02-29T08:00:00-05:00", 12, "2023-02-28T08:00:00-05:00"),
        ("2023-08-31T08:00:00+00:00", 6, "2023-02-28T08:00:00+00:00"),
        ("2023-01-15T23:30:00+02:00", 6, "2022-07-15T23:30:00+02:00"),
    ],
)
def test_calendar_months(now: str, months: int, limit: str) -> None:
    from datetime import datetime

    offset = offset_of(now)
    assert offset is not None
    at = int(datetime.fromisoformat(now).timestamp()) * SECOND
    assert instant(cases.earlier(at, offset, months), offset) == limit


RAW = (
    '{"resourceType":"Observation","id":"1f2e3d4c-0a1b-4c2d-8e3f-405162738495","identifier":[{"system":"u","value":"609"}],'
    '"effectiveDateTime":"2180-08-10T12:00:00-04:00","issued":"2180-08-10T12:53:00.456-04:00",'
    '"valueQuantity":{"code":"mEq/L","value":5.30,"unit":"mEq/L"},"interpretation":[{"coding":[{"code":"H"}]}],'
    '"referenceRange":[{"low":{"value":3.3},"high":{"value":5.1}}]}'
)


def test_a_value_edit_changes_digits_only() -> None:
    identifier = "1f2e3d4c-0a1b-4c2d-8e3f-405162738495"
    assert bodies.editable(RAW, identifier)
    assert bodies.value_text(RAW) == "5.30"
    assert bodies.with_value(RAW, "3.40").replace("3.40", "5.30") == RAW
    assert bodies.interpreted(RAW) == '[{"coding":[{"code":"H"}]}]'


def test_times_move_with_precision_and_offset() -> None:
    moved = loads(bodies.shifted(RAW, 120 * DAY, "-05:00"))
    assert moved["effectiveDateTime"] == "2180-12-08T11:00:00-05:00"
    assert moved["issued"] == "2180-12-08T11:53:00.456-05:00"
    zulu = RAW.replace("-04:00", "Z")
    assert loads(bodies.shifted(zulu, HOUR, "-05:00"))["effectiveDateTime"] == "2180-08-10T13:00:00Z"


@pytest.mark.parametrize("identifier", ["1f2e3d4c-0a1b-4c2d-8e3f-405162738495", "40917", "lab-0012-b", "609"])
def test_made_up_ids_have_the_shape_of_the_graphs(identifier: str) -> None:
    made = [bodies.like(identifier, str(salt)) for salt in range(50)]
    for one in made:
        assert len(one) == len(identifier)
        assert [a.isdigit() or a in "abcdef" for a in one] == [a.isdigit() or a in "abcdef" for a in identifier]
        assert one[0] != "0" or identifier[0] == "0" or "-" in identifier
    assert len(set(made)) > 40


def test_unsafe_texts_are_left_alone() -> None:
    identifier = "1f2e3d4c-0a1b-4c2d-8e3f-405162738495"
    assert not bodies.editable(RAW.replace('"issued"', '"component":[],"issued"'), identifier)
    assert not bodies.editable(RAW.replace("2180-08-10T12:00:00-04:00", "2180-08-10"), identifier)
    assert not bodies.editable(RAW.replace("5.30", '"x"'), identifier)


def test_rules_stay_within_their_limits() -> None:
    for rule in MAGNESIUM_RULES:
        severe, moderate, low = (
            Decimal(text) for text in (rule.severe_below, rule.moderate_below, rule.low_at_or_below)
        )
        assert Decimal("0.9") <= severe < moderate < low <= Decimal("1.9")
        for dose, hours in (rule.mild, rule.moderate, rule.severe):
            assert Decimal(dose) <= Decimal(hours)
        doses = [Decimal(tier[0]) for tier in (rule.mild, rule.moderate, rule.severe)]
        assert doses == sorted(set(doses))
        assert doses[-1] <= 8
        assert [rule.tier(value) for value in (severe, moderate, low, low + Decimal("0.01"))] == [
            rule.moderate, rule.mild, rule.mild, None,
        ]  # fmt: skip
    for potassium in POTASSIUM_RULES:
        threshold = Decimal(potassium.threshold)
        assert Decimal("3.4") <= threshold <= 4
        assert potassium.dose(threshold - POTASSIUM_DEPTH) <= 120
        assert potassium.dose(threshold) == 0


def test_codes_belong_to_one_analyte() -> None:
    assert sum(len(analyte.codes) for analyte in ANALYTES) == len(BY_CODE)
    for code in (
        "K",
        "MG",
        "GLU",
        "A1C",
        "6298-4",
        "2339-0",
        "2947-0",
        "50971",
        "50960",
        "50931",
        "50852",
        "50912",
        "50983",
    ):
        assert code in BY_CODE
