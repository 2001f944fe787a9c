"""FHIR dates as ranges, against Python's datetime and against the SQL that the graph computes them with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirtasks.fhir.dates import DAY, SECOND, instant, parse_range, render, search_range
from fhirtasks.graph.columns import high_sql, low_sql

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(timezones=OFFSETS).filter(lambda moment: 1 < moment.year < 9999)


def fhir(moment: datetime, digits: int) -> str:
    text = moment.strftime("%m-%dT%H:%M:%S")
    fraction = f".{moment.microsecond:06}"[: digits + 1] if digits else ""
    offset = moment.strftime("%z")
    return f"{moment.year:04}-{text}{fraction}{offset[:3]}:{offset[3:5]}"


@given(MOMENTS, st.integers(0, 6))
def test_a_time_is_datetimes_own_and_as_wide_as_its_last_digit(moment: datetime, digits: int) -> None:
    width = 10 ** (6 - digits)
    low = us(moment) // width * width if digits else us(moment.replace(microsecond=0))
    assert parse_range(fhir(moment, digits)) == (low, low + width)
    assert instant(fhir(moment, digits)) == low


@given(st.dates())
def test_days_months_and_years(day: object) -> None:
    text = str(day)
    low = us(datetime.fromisoformat(text).replace(tzinfo=UTC))
    assert parse_range(text) == (low, low + DAY)
    month, year = parse_range(text[:7]), parse_range(text[:4])
    assert month is not None and year is not None
    assert year[0] <= month[0] <= low < low + DAY <= month[1] <= year[1]
    assert 28 * DAY <= month[1] - month[0] <= 31 * DAY
    assert year[1] - year[0] in (365 * DAY, 366 * DAY)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2015-02-07T13:28:17-05:00", datetime(2015, 2, 7, 18, 28, 17, tzinfo=UTC), timedelta(seconds=1)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC), timedelta(seconds=1)),
        (
            "2015-02-07T00:00:00.1+14:00",
            datetime(2015, 2, 6, 10, 0, 0, 100_000, tzinfo=UTC),
            timedelta(milliseconds=100),
        ),
        (
            "2015-02-07T00:00:00.123456789Z",
            datetime(2015, 2, 7, 0, 0, 0, 123_456, tzinfo=UTC),
            timedelta(microseconds=1),
        ),
        ("2024-02", datetime(2024, 2, 1, tzinfo=UTC), timedelta(days=29)),
        ("1900", datetime(1900, 1, 1, tzinfo=UTC), timedelta(days=365)),
    ],
)
def test_known_ranges(text: str, low: datetime, high: timedelta) -> None:
    assert parse_range(text) == (us(low), us(low + high))


ILLEGAL = [
    "", "2015-2-7", "15-02-07", "2015-02-30", "2015-13", "0000", "2015-02-07T24:00:00Z", "2015-02-07T13:28Z",
    "2015-02-07T13:28:17", "2015-02-07 13:28:17Z", "2015-02-07T13:28:61Z", "2015-02-07T13:28:17+14:30",
    "2015-02-07T13:28:17.Z", "2015-02-07T13:28:17z", "2015-02-07\n", "２０１５", "2015-02-30T00:00:00Z", "now",
]  # fmt: skip


@pytest.mark.parametrize("text", ILLEGAL)
def test_what_is_no_fhir_date(text: str) -> None:
    assert parse_range(text) is None
    with pytest.raises(ValueError, match="is not an instant"):
        instant(text)


def test_an_instant_needs_a_time() -> None:
    with pytest.raises(ValueError, match="is not an instant"):
        instant("2015-02-07")


def test_a_search_may_leave_out_seconds_and_offset() -> None:
    minute = parse_range("2015-02-07T13:28:00Z")
    assert minute is not None
    assert search_range("2015-02-07T13:28") == (minute[0], minute[0] + 60 * SECOND)
    assert search_range("2015-02-07T13:28:00") == minute
    assert search_range("2015-02") == parse_range("2015-02")
    assert search_range("2015-02-07T13") is None


@given(MOMENTS, st.integers(0, 6), MOMENTS)
def test_render_is_the_inverse_in_the_form_of_any_other(moment: datetime, digits: int, other: datetime) -> None:
    text = fhir(moment, digits)
    assert render(instant(text), text) == text
    like = fhir(other, 6)
    assert instant(render(instant(text), like)) == instant(text)
    assert render(instant(text), like)[-6:] == like[-6:]


def test_render_of_partial_dates() -> None:
    at = instant("2015-02-07T23:28:17-05:00")
    assert render(at, "2010") == "2015"
    assert render(at, "2010-10") == "2015-02"
    assert render(at, "2010-10-10") == "2015-02-08"
    assert render(at, "2010-10-10T00:00:00.000Z") == "2015-02-08T04:28:17.000Z"
    with pytest.raises(ValueError, match="is not a FHIR date"):
        render(at, "yesterday")
    with pytest.raises(ValueError, match="outside 1 to 9999"):
        render(2**60, "2010")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(MOMENTS, st.integers(0, 6), st.sampled_from([4, 7, 10, 40])), min_size=1, max_size=40))
def test_the_graphs_sql_gives_the_same_ranges(cases: list[tuple[datetime, int, int]]) -> None:
    texts = [fhir(moment, digits)[:length] for moment, digits, length in cases]
    check_sql([text.replace("+00:00", "Z") for text in texts])


def test_the_graphs_sql_refuses_the_same_texts() -> None:
    check_sql(
        [*ILLEGAL, "2016-12-31T23:59:60Z", "2016-12-31T23:59:60.5-05:00", "9999-12-31T23:59:59-14:00", "9999", "0001"]
    )


def check_sql(texts: list[str]) -> None:
    with duckdb.connect() as db:
        query = f"select t, {low_sql('t')}, {high_sql('t')} from (select unnest(?::varchar[]) as t)"
        for text, low, high in db.execute(query, [texts]).fetchall():
            assert (low, high) == (parse_range(text) or (None, None)), text
