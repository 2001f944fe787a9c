"""The search columns, computed in DuckDB from a resource's text."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirtasks.fhir.dates import END, parse_range
from fhirtasks.fhir.jsontext import minify
from fhirtasks.graph.columns import columns_query

LOINC = "http://loinc.org"


def columns(*resources: dict[str, Any] | str) -> list[dict[str, Any]]:
    texts = [minify(text if isinstance(text, str) else json.dumps(text)) for text in resources]
    with duckdb.connect() as db:
        db.execute("create table t as select unnest(?::varchar[]) as raw, unnest(?::varchar[]) as type",
                   [texts, [json.loads(text)["resourceType"] for text in texts]])  # fmt: skip
        names = "subject, codes, categories, status, date_lo, date_hi, effective, value, unit"
        rows = db.execute(f"select {names} from ({columns_query('t')})").fetchall()
    return [dict(zip(names.split(", "), row, strict=True)) for row in rows]


def test_an_observation() -> None:
    (row,) = columns(
        """{"resourceType": "Observation", "id": "1", "status": "final",
        "category": [{"coding": [{"system": "c", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}, {"code": "K"}, {"display": "no code"}]},
        "subject": {"reference": "Patient/p"}, "effectiveDateTime": "2023-11-13T10:15:00+00:00",
        "valueQuantity": {"comparator": "<", "value": 3.10, "unit": "mmol/L"}}"""
    )
    low, high = parse_range("2023-11-13T10:15:00+00:00") or (0, 0)
    assert row == {
        "subject": "p", "codes": [f"{LOINC}|2823-3", "|K"], "categories": ["c|laboratory"], "status": "final",
        "date_lo": low, "date_hi": high, "effective": "2023-11-13T10:15:00+00:00", "value": "3.10", "unit": "mmol/L",
    }  # fmt: skip


NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from(["", "extension", "component"])), max_size=20))
def test_value_has_the_digits_of_the_observations_own_quantity(cases: list[tuple[str, str, str]]) -> None:
    texts = []
    for own, other, place in cases:
        decoy = f'{{"extension":[],"valueQuantity":{{"value":{other},"unit":"}}]{{[\\""}}}}'
        inner = f'"{place}":[{decoy}],' if place else ""
        texts.append(
            f'{{"resourceType":"Observation",{inner}"note":[{{"text":"[ \\"valueQuantity\\":{{\\"value\\":9"}}],'
            f'"valueQuantity":{{"unit":"]{{","value":{own}}},"method":{{"text":"]"}}}}'
        )
    assert [row["value"] for row in columns(*texts)] == [own for own, _, _ in cases]


def test_a_component_alone_is_no_value() -> None:
    (row,) = columns({"resourceType": "Observation", "component": [{"valueQuantity": {"value": 80, "unit": "mm[Hg]"}}]})
    assert (row["value"], row["unit"]) == (None, None)


@pytest.mark.parametrize(
    ("extra", "effective", "low", "high"),
    [
        ({"effectivePeriod": {"start": "2020", "end": "2021-02"}}, "2020", "2020", "2021-02"),
        ({"effectivePeriod": {"start": "2020"}}, "2020", "2020", END),
        ({"effectivePeriod": {"end": "2020"}}, "2020", -END, "2020"),
        ({"effectiveInstant": "2020-01-01T00:00:00.5Z"}, "2020-01-01T00:00:00.5Z", "2020-01-01T00:00:00.5Z", None),
        ({"effectiveTiming": {"event": ["2020-01-01"]}}, "2020-01-01", "2020-01-01", None),
        ({"effectiveDateTime": "2020-02-30"}, "2020-02-30", "none", "none"),
        ({"issued": "2020-01-01T00:00:00Z"}, None, "none", "none"),
        ({}, None, "none", "none"),
    ],
)
def test_clinical_times(extra: dict[str, Any], effective: str | None, low: Any, high: Any) -> None:
    (row,) = columns({"resourceType": "Observation", **extra})

    def bound(value: Any, side: int) -> int | None:
        span = parse_range(str(value))
        return value if isinstance(value, int) else span[side] if span else None

    assert row["effective"] == effective
    assert row["date_lo"] == bound(low, 0)
    assert row["date_hi"] == bound(low if high is None else high, 1)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ({"resourceType": "MedicationRequest", "authoredOn": "2020-01-01",
          "medicationCodeableConcept": {"coding": [{"code": "m"}]}, "subject": {"reference": "http://h/fhir/Patient/p/_history/2"}},
         {"codes": ["|m"], "effective": "2020-01-01", "subject": "p"}),
        ({"resourceType": "Condition", "clinicalStatus": {"coding": [{"code": "active"}]}, "recordedDate": "2020",
          "category": [{"coding": [{"code": "a"}]}, {"coding": [{"system": "s", "code": "b"}]}]},
         {"status": "active", "effective": "2020", "categories": ["|a", "s|b"]}),
        ({"resourceType": "Encounter", "class": {"code": "AMB"}, "type": [{"coding": [{"code": "1"}]},
          {"coding": [{"code": "2"}]}], "period": {"start": "2020-01-01", "end": "2020-01-02"}},
         {"codes": ["|1", "|2"], "effective": "2020-01-01"}),
        ({"resourceType": "Procedure", "category": {"coding": [{"system": "s", "code": "x"}]},
          "performedPeriod": {"start": "2019"}},
         {"categories": ["s|x"], "effective": "2019"}),
        ({"resourceType": "Immunization", "patient": {"reference": "Patient/p"}, "vaccineCode": {"coding": [{"code": "v"}]}},
         {"subject": "p", "codes": ["|v"]}),
        ({"resourceType": "Observation", "subject": {"reference": "Group/1"}}, {"subject": None}),
        ({"resourceType": "Observation", "subject": {"reference": "urn:uuid:1"}}, {"subject": None}),
        ({"resourceType": "Unheard", "code": {"coding": [{"code": "c"}]}, "date": "2020"}, {"codes": ["|c"], "effective": "2020"}),
        ({"resourceType": "Observation", "code": {"text": "no coding"}}, {"codes": [], "categories": []}),
    ],
)  # fmt: skip
def test_types(resource: dict[str, Any], expected: dict[str, Any]) -> None:
    (row,) = columns(resource)
    assert {name: row[name] for name in expected} == expected
