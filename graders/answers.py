"""Typed answers, and the one way to compare them with what was given.

"none", 0 and false are three things; a boolean is no number; 1.10 equals 1.1; the string "1.1" equals neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from fhirtasks.fhir.dates import parse_range
from fhirtasks.fhir.jsontext import Json, dumps


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number within ``tolerance`` (inclusive); with ``unit``, the object ``{"value": number, "unit": unit}``."""

    value: Decimal
    tolerance: Decimal = Decimal(0)
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """A JSON number without a fraction (2 and 2.0 alike), 0 or more."""

    value: int


@dataclass(frozen=True, slots=True)
class Boolean:
    """``true`` or ``false``, never 1 or 0."""

    value: bool


@dataclass(frozen=True, slots=True)
class Text:
    """A string, letter by letter."""

    value: str


@dataclass(frozen=True, slots=True)
class Date:
    """A FHIR date or dateTime: the same time at the same precision, whatever the offset it is written with."""

    value: str


@dataclass(frozen=True, slots=True)
class Code:
    """A bare code; with ``system``, the object ``{"system": system, "code": code}`` (a ``display`` may be there)."""

    code: str
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is no answer, for a stated reason; it is given as the agreed ``sentinel`` (a number or a string)."""

    reason: str
    sentinel: int | str


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, item by item."""

    items: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class SetOf:
    """A list in any order; what is given twice counts twice."""

    items: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with exactly these keys."""

    items: Mapping[str, Expected] = field(default_factory=dict)


Expected: TypeAlias = Number | Count | Boolean | Text | Date | Code | Nothing | ListOf | SetOf | MapOf


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wrong with a given answer: ``shape`` if it is not of the kind, ``value`` if it is another one; else empty."""

    shape: str = ""
    value: str = ""

    @property
    def none(self) -> bool:
        return not self.shape and not self.value


SAME = Difference()


def number(given: Json) -> Decimal | None:
    """A JSON number as an exact Decimal; None for anything else, booleans included."""
    if isinstance(given, bool):
        return None
    if isinstance(given, float):  # of foreign parsers; ours gives Decimal
        given = Decimal(repr(given))
    if isinstance(given, int):
        return Decimal(given)
    return given if isinstance(given, Decimal) and given.is_finite() else None


def compare(expected: Expected, given: Json) -> Difference:
    """How ``given`` (parsed JSON) differs from ``expected``."""
    if isinstance(expected, Number):
        return _number(expected, given)
    if isinstance(expected, Count):
        found = number(given)
        if found is None or found < 0 or found != found.to_integral_value():
            return _shape("a count", given)
        return SAME if found == expected.value else _value(str(expected.value), given)
    if isinstance(expected, Boolean):
        if not isinstance(given, bool):
            return _shape("true or false", given)
        return SAME if given is expected.value else _value(dumps(expected.value), given)
    if isinstance(expected, Text):
        if not isinstance(given, str):
            return _shape("a string", given)
        return SAME if given == expected.value else _value(dumps(expected.value), given)
    if isinstance(expected, Date):
        return _date(expected, given)
    if isinstance(expected, Code):
        return _code(expected, given)
    if isinstance(expected, Nothing):
        if isinstance(expected.sentinel, str):
            return compare(Text(expected.sentinel), given)
        return compare(Number(Decimal(expected.sentinel)), given)
    if isinstance(expected, MapOf):
        return _map(expected, given)
    if not isinstance(given, list):
        return _shape("a list", given)
    if len(given) != len(expected.items):
        return _shape(f"a list of {len(expected.items)}", given)
    return _set(expected, given) if isinstance(expected, SetOf) else _first(map(compare, expected.items, given))


def _number(expected: Number, given: Json) -> Difference:
    if expected.unit is not None:
        if not isinstance(given, dict) or given.keys() != {"value", "unit"} or not isinstance(given["unit"], str):
            return _shape('{"value": number, "unit": text}', given)
        inner = _number(Number(expected.value, expected.tolerance), given["value"])
        same_unit = given["unit"] == expected.unit
        return inner if inner.shape or same_unit else _value(f"{expected.value} {expected.unit}", given)
    found = number(given)
    if found is None:
        return _shape("a number", given)
    return SAME if abs(found - expected.value) <= expected.tolerance else _value(str(expected.value), given)


def _date(expected: Date, given: Json) -> Difference:
    span = parse_range(given) if isinstance(given, str) else None
    if span is None:
        return _shape("a FHIR date", given)
    return SAME if span == parse_range(expected.value) else _value(expected.value, given)


def _code(expected: Code, given: Json) -> Difference:
    if expected.system is None:
        return compare(Text(expected.code), given)
    if not isinstance(given, dict) or not {"system", "code"} <= given.keys() <= {"system", "code", "display"}:
        return _shape("an object with system and code", given)
    same = (given["system"], given["code"]) == (expected.system, expected.code)
    return SAME if same else _value(f"{expected.system}|{expected.code}", given)


def _map(expected: MapOf, given: Json) -> Difference:
    if not isinstance(given, dict) or given.keys() != expected.items.keys():
        return _shape(f"an object with {', '.join(expected.items) or 'no keys'}", given)
    return _first(compare(item, given[key]) for key, item in expected.items.items())


def _set(expected: SetOf, given: list[Json]) -> Difference:
    """Matches every expected item with a given one of its own, by augmenting paths: tolerances may overlap."""
    fits = [[compare(item, other).none for other in given] for item in expected.items]
    taken: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if fit and column not in tried:
                tried.add(column)
                if column not in taken or place(taken[column], tried):
                    taken[column] = row
                    return True
        return False

    if all(place(row, set()) for row in range(len(fits))):
        return SAME
    for other in given:
        kinds = [compare(item, other) for item in expected.items]
        if all(kind.shape for kind in kinds):
            return kinds[0]
    return Difference(value=f"the items are others: {_short(given)}")


def _first(differences: Iterable[Difference]) -> Difference:
    """The first difference of shape, else the first of value."""
    found = list(differences)
    wrong = [one for one in found if one.shape] or [one for one in found if one.value]
    return wrong[0] if wrong else SAME


def _shape(wanted: str, given: Json) -> Difference:
    return Difference(shape=f"expected {wanted}, found {_short(given)}")


def _value(wanted: str, given: Json) -> Difference:
    return Difference(value=f"expected {wanted}, found {_short(given)}")


def _short(given: Json) -> str:
    try:
        text = dumps(given)
    except (TypeError, ValueError):
        text = repr(given)
    return text if len(text) <= 80 else text[:77] + "..."
