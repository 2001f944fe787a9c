"""JSON text whose numbers keep their digits."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhirtasks.fhir.jsontext import Json, _slowly, dumps, loads, minify

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8"))
SPACE = st.text(" \t\r\n", max_size=3)


@st.composite
def spaced(draw: st.DrawFn) -> tuple[str, str]:
    """The same JSON text twice: with white space anywhere, and without."""
    pieces = draw(
        st.recursive(NUMBERS.map(lambda n: [n]) | TEXTS.map(lambda t: [json.dumps(t)]), _structures, max_leaves=12)
    )
    return "".join(draw(SPACE) + piece for piece in pieces) + draw(SPACE), "".join(pieces)


def _structures(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    def joined(parts: list[list[str]]) -> list[str]:
        return [piece for i, part in enumerate(parts) for piece in ([","] if i else []) + part]

    arrays = st.lists(inner, max_size=4).map(lambda parts: ["[", *joined(parts), "]"])
    pairs = st.dictionaries(TEXTS, inner, max_size=4)
    objects = pairs.map(lambda found: ["{", *joined([[json.dumps(k), ":", *v] for k, v in found.items()]), "}"])
    return arrays | objects


@given(spaced())
def test_minify_takes_white_space_between_tokens_and_nothing_else(texts: tuple[str, str]) -> None:
    assert minify(texts[0]) == texts[1]
    assert minify(texts[0].encode()) == texts[1]


@given(NUMBERS)
@example("0.0000001")
@example("0.0000010")
def test_a_decimal_comes_back_with_its_digits(number: str) -> None:
    value = loads(f'{{"value":{number}}}')["value"]
    text = dumps({"value": value})
    again = loads(text)["value"]
    assert again == value
    assert not value or Decimal(again).as_tuple() == Decimal(value).as_tuple()
    if "e" not in number.lower() and number.strip("-0.") != "" and "E-" not in text:
        assert dumps(value) == number
    assert "E-" not in text or Decimal(number).adjusted() < -6


@pytest.mark.parametrize("number", ["1.10", "0.00", "-5.0", "7.20", "12345678901234567890.12345678901234567890"])
def test_the_decimals_that_matter(number: str) -> None:
    assert dumps(loads(number)) == number
    assert minify(f"[ {number} ]") == f"[{number}]"


def test_minify_keeps_numbers_that_no_float_holds() -> None:
    text = '{"a":1e400,"b":-0.0,"c":1E+05,"d":0.1000000000000000000000000000000000000001}'
    assert minify(text) == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | TEXTS,
                    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20))  # fmt: skip
def test_dumps_and_loads_are_inverse(value: Json) -> None:
    again = loads(dumps(value))
    assert _plain(again) == _plain(value)


def _plain(value: Json) -> Json:
    """Whole decimals are read back as integers: the same numbers."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "[1,]", "{'a':1}", "01", "[1] x", "", '{"a":1 "b":2}'])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError):
        loads(text)
    with pytest.raises(ValueError):
        minify(text)


LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False)


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)))
def test_the_fast_way_writes_what_the_slow_one_does(value: Json) -> None:
    assert dumps(value) == _slowly(value)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_what_is_no_number_is_refused(value: Json) -> None:
    with pytest.raises(ValueError, match="JSON"):
        dumps(value)
