"""The one comparison of answers: kinds stay apart, equal forms are equal."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.fhir.jsontext import Json, dumps, loads
from graders.answers import Boolean, Code, Count, Date, Expected, ListOf, MapOf, Nothing, Number, SetOf, Text, compare

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1000, max_value=1000)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), decimals, st.text(max_size=4))
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
)

ONE_OF_EACH: list[Expected] = [
    Number(Decimal("1.1")), Number(Decimal(0)), Number(Decimal(1)), Number(Decimal(2), unit="g"), Count(1), Boolean(True),
    Boolean(False), Text(""), Text("1"), Date("2023-11-13"), Code("a"), Code("a", "s"), Nothing("absent", -1), ListOf(()),
    ListOf((Number(Decimal(1)),)), SetOf((Text("a"), Text("b"))), MapOf({"a": Count(1)}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "given", "verdict"),
    [
        (Number(Decimal("1.10")), "1.1", "same"),
        (Number(Decimal("1.1")), "1.100", "same"),
        (Number(Decimal(2)), "2.0", "same"),
        (Number(Decimal(20)), "2e1", "same"),
        (Number(Decimal("1.1")), '"1.1"', "shape"),
        (Number(Decimal("1.1")), "1.11", "value"),
        (Number(Decimal("1.1"), tolerance=Decimal("0.1")), "1.2", "same"),
        (Number(Decimal("1.1"), tolerance=Decimal("0.1")), "1.2001", "value"),
        (Number(Decimal(1)), "true", "shape"),
        (Number(Decimal(0)), "false", "shape"),
        (Number(Decimal(0)), "null", "shape"),
        (Number(Decimal(0)), "-0.0", "same"),
        (Number(Decimal(5), unit="mg"), '{"value":5.0,"unit":"mg"}', "same"),
        (Number(Decimal(5), unit="mg"), '{"value":5,"unit":"g"}', "value"),
        (Number(Decimal(5), unit="mg"), '{"value":5,"unit":"mg","code":"mg"}', "shape"),
        (Number(Decimal(5), unit="mg"), "5", "shape"),
        (Count(3), "3.0", "same"),
        (Count(3), "3.5", "shape"),
        (Count(0), "-1", "shape"),
        (Count(0), "false", "shape"),
        (Boolean(True), "1", "shape"),
        (Boolean(True), "true", "same"),
        (Boolean(False), "null", "shape"),
        (Boolean(False), "true", "value"),
        (Text("Patient not found"), '"patient not found"', "value"),
        (Text("1"), "1", "shape"),
        (Date("2023-11-13T10:15:00+00:00"), '"2023-11-13T05:15:00-05:00"', "same"),
        (Date("2023-11-13T10:15:00+00:00"), '"2023-11-13"', "value"),
        (Date("2023-11-13"), '"2023-11-13T00:00:00Z"', "value"),
        (Date("2023-11"), '"2023-11"', "same"),
        (Date("2023-11"), '"November"', "shape"),
        (Code("2823-3"), '"2823-3"', "same"),
        (Code("2823-3", "http://loinc.org"), '{"system":"http://loinc.org","code":"2823-3","display":"K"}', "same"),
        (Code("2823-3", "http://loinc.org"), '{"system":"urn:x","code":"2823-3"}', "value"),
        (Code("2823-3", "http://loinc.org"), '"2823-3"', "shape"),
        (Nothing("no result", -1), "-1.0", "same"),
        (Nothing("no result", -1), "0", "value"),
        (Nothing("no result", -1), "null", "shape"),
        (Nothing("nobody", "Patient not found"), '"Patient not found"', "same"),
        (ListOf((Number(Decimal(1)), Text("a"))), '[1.0,"a"]', "same"),
        (ListOf((Number(Decimal(1)), Text("a"))), '["a",1]', "shape"),
        (ListOf((Number(Decimal(1)),)), "[1,1]", "shape"),
        (ListOf((Number(Decimal(1)),)), "[[1]]", "shape"),
        (ListOf((Number(Decimal(1)),)), "1", "shape"),
        (ListOf(()), "[]", "same"),
        (SetOf((Text("a"), Text("b"))), '["b","a"]', "same"),
        (SetOf((Text("a"), Text("b"))), '["a","a"]', "value"),
        (SetOf((Text("a"),)), '["a","a"]', "shape"),
        (MapOf({"a": Count(1), "b": Boolean(True)}), '{"b":true,"a":1}', "same"),
        (MapOf({"a": Count(1)}), '{"a":1,"b":2}', "shape"),
        (MapOf({"a": Count(1)}), '{"a":2}', "value"),
    ],
)  # fmt: skip
def test_comparisons(expected: Expected, given: str, verdict: str) -> None:
    found = compare(expected, loads(given))
    assert ("shape" if found.shape else "value" if found.value else "same") == verdict


def test_overlapping_tolerances_still_find_a_match() -> None:
    close = SetOf((Number(Decimal(1), Decimal("0.5")), Number(Decimal("1.4"), Decimal("0.1"))))
    assert compare(close, [Decimal("1.45"), Decimal("0.6")]).none
    assert compare(close, [Decimal("0.6"), Decimal("1.45")]).none
    assert not compare(close, [Decimal("0.6"), Decimal("0.7")]).none


@given(decimals, st.integers(0, 4))
def test_trailing_zeros_do_not_matter(value: Decimal, zeros: int) -> None:
    longer = value.quantize(Decimal(1).scaleb(-3 - zeros))
    assert compare(Number(value), loads(dumps(longer))).none
    assert compare(Number(value), str(longer)).shape


@given(decimals, decimals)
def test_numbers_are_equal_only_if_they_are(one: Decimal, other: Decimal) -> None:
    assert compare(Number(one), other).none == (one == other)


@given(decimals, decimals, st.decimals(0, 5, places=2))
def test_tolerance_is_inclusive_and_symmetric(one: Decimal, other: Decimal, tolerance: Decimal) -> None:
    assert (
        compare(Number(one, tolerance), other).none
        == compare(Number(other, tolerance), one).none
        == (abs(one - other) <= tolerance)
    )


@given(anything)
def test_nothing_given_is_two_kinds_at_once(given: Json) -> None:
    """No given value satisfies a number and a boolean and a text: none, 0, false and "" stay apart."""
    kinds = [Number(Decimal(0)), Boolean(False), Text(""), ListOf(()), MapOf({})]
    assert sum(compare(kind, given).none for kind in kinds) <= 1


@given(anything)
def test_any_json_gets_a_verdict(given: Json) -> None:
    for expected in ONE_OF_EACH:
        difference = compare(expected, given)
        assert not (difference.shape and difference.value)


@given(st.lists(st.sampled_from("abc"), max_size=5), st.randoms())
def test_sets_do_not_mind_order(items: list[str], shuffle: random.Random) -> None:
    given = list(items)
    shuffle.shuffle(given)
    assert compare(SetOf(tuple(Text(item) for item in items)), given).none
    same_order = compare(ListOf(tuple(Text(item) for item in items)), given)
    assert same_order.none == (given == items)
