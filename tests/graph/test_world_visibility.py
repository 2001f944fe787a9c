"""``available`` against a straightforward walk over the parsed body."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirtasks.fhir.dates import parse_range
from fhirtasks.graph.visibility import DATE_KEYS, available_sql

DB = duckdb.connect()
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def available(raw: str) -> int | None:
    row = DB.execute(f"SELECT {available_sql('raw')} FROM (SELECT ?::VARCHAR AS raw)", [raw]).fetchone()
    assert row is not None
    return row[0]


def walk(node: Any, key: str = "") -> list[int]:
    if isinstance(node, dict):
        return [t for k, v in node.items() for t in walk(v, k)]
    if isinstance(node, list):
        return [t for v in node for t in walk(v, "")]
    if not isinstance(node, str) or key in ("birthDate", "lastUpdated"):
        return []
    span = parse_range(node)
    if span is None or (len(node) < 10 and not re.fullmatch(DATE_KEYS, key)):
        return []
    return [span[0] if "T" in node else span[1] - 1]


DATES = st.sampled_from([
    "2023", "2023-11", "2023-11-12", "2024-02-29", "2023-02-30", "2023-11-12T10:15:00Z",
    "2023-11-12T10:15:00.716-05:00",
    "2016-12-31T23:59:60Z", "9999-12-31", "0001-01-01", "2023-11-12T10:15:00+14:00", "1234", "12345-6", "2023-13",
    "2023-1-1",
])  # fmt: skip
TEXTS = st.one_of(
    DATES,
    DATES.map(lambda d: f'seen "{d}" and'),
    DATES.map(lambda d: f'"issued":"{d}"'),
    DATES.map(lambda d: f",{d}"),
    st.text(max_size=12),
)
KEYS = st.sampled_from(
    [
        "issued",
        "start",
        "end",
        "birthDate",
        "lastUpdated",
        "value",
        "postalCode",
        "valueDate",
        "authoredOn",
        "xDate",
        "a",
    ]
)
BODIES = st.recursive(
    TEXTS | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(KEYS, BODIES, max_size=5), st.booleans())
def test_available_is_the_end_of_the_latest_date(body: dict[str, Any], escaped: bool) -> None:
    raw = json.dumps(body, separators=(",", ":"), ensure_ascii=escaped)
    assert available(raw) == max(walk(body), default=None)


def test_examples() -> None:
    assert available('{"issued":"2023-11-13T10:15:00+00:00"}') == 1_699_870_500_000_000
    assert (
        available('{"effectiveDateTime":"2023-11-13T05:15:00-05:00","meta":{"lastUpdated":"2030-01-01T00:00:00Z"}}')
        == 1_699_870_500_000_000
    )
    assert available('{"date":"2023-11-13"}') == 1_699_919_999_999_999
    assert available('{"issued":"2023\\u002d11-13T10:15:00Z"}') == 1_699_870_500_000_000
    assert available('{"resourceType":"Patient","birthDate":"1950-01-01"}') is None
    assert available('{"text":{"div":"<div>on 2030-01-01 or \\"2030-01-01\\"</div>"}}') is None
    assert available('{"address":[{"postalCode":"2999"}]}') is None


@pytest.mark.parametrize("name", ["dateAsserted", "dateTime", "dateWritten", "lastOccurrence", "onset", "receivedTime"])
def test_a_month_counts_in_every_element_that_r4_types_as_a_date(name: str) -> None:
    """MedicationStatement, NutritionOrder, VisionPrescription, AllergyIntolerance and its reaction, Specimen."""
    assert available(f'{{"x":{{"{name}":"2023-11"}}}}') == 1_701_388_799_999_999
    assert available(f'{{"x":{{"{name}":"12345"}}}}') is None


@pytest.mark.shared
def test_available_on_real_records() -> None:
    files = sorted(SHARED.glob("*/*.ndjson.gz"))
    if not files:
        pytest.skip("the public records are not beside the checkout")
    for file in files:
        rows = DB.execute(
            f"""SELECT raw, {available_sql("raw")}
                FROM (SELECT json(json)::VARCHAR AS raw FROM read_ndjson_objects(?) LIMIT 200)""",
            [str(file)],
        ).fetchall()
        for raw, found in rows:
            assert found == max(walk(json.loads(raw)), default=None), raw
