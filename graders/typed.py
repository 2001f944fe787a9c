"""Typed answers of the question families, and how far a given one is right.

"none", 0, false and an empty set are four things. A wrong type, unit or sign is wrong however near the number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fhirtasks.fhir.jsontext import Json, dumps
from graders.answers import number

FRACTION = Decimal("0.001")
"""Relative tolerance of derived numbers: EHRSQL compares at three decimals (Lee et al., EHRSQL, 2022)."""
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800, "years": 31557600}
_UCUM = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "wk": "weeks", "a": "years"}
_WORDS = {"yes": True, "true": True, "no": False, "false": False}
_WHEN = re.compile(r"\d{4}(-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?)?)?")
"""A date, year, month or time as FHIR, ISO 8601 and Python write it."""


@dataclass(frozen=True, slots=True)
class Compared:
    """``shape`` or ``value`` says what is wrong (both empty: nothing); ``score`` is 1 if right, partial credit else."""

    shape: str = ""
    value: str = ""
    score: float = 1.0

    @property
    def right(self) -> bool:
        return not self.shape and not self.value


RIGHT = Compared()


def compare(kind: str, expected: Json, unit: str, given: Json) -> Compared:
    """A submitted answer (type, value, unit) against the expected value of this kind."""
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        return Compared(shape="no typed answer was given", score=0.0)
    if given["type"] != kind:
        return Compared(shape=f"expected type {kind}, found {given['type']}", score=0.0)
    value = given.get("value")
    if kind == "none":
        return RIGHT if value == expected else _wrong(expected, value, 0.7)
    if kind == "boolean":
        if isinstance(value, str):
            value = _WORDS.get(_folded(value), value)
        if not isinstance(value, bool):
            return _shape("true or false", value)
        return RIGHT if value is expected else _wrong(expected, value)
    if kind in ("quantity", "duration") and not _same_unit(kind, unit, given.get("unit")):
        return Compared(value=f"expected unit {unit!r}, found {given.get('unit')!r}", score=0.0)
    if kind in ("integer", "number", "quantity", "duration"):
        return _number(kind, expected, unit, value)
    if kind in ("date", "datetime"):
        return _time(kind, expected, value)
    if kind in ("set", "list"):
        return _many(kind, expected, value)
    if kind in ("map", "record"):
        return _map(expected, value)
    if number(value) is not None:
        value = dumps(value)  # a code or a text of digits that was given without quotes
    if not isinstance(value, str):
        return _shape("a text", value)
    return RIGHT if _folded(value) == _folded(str(expected)) else _wrong(expected, value)


def _number(kind: str, expected: Json, unit: str, value: Json) -> Compared:
    found, wanted = number(value), number(expected)
    if found is None or wanted is None:
        return _shape("a number", value)
    away = abs(found - wanted)
    if away <= tolerance(kind, wanted, unit):
        return RIGHT
    if kind == "integer":
        return _wrong(expected, value)
    share = float(min(Decimal(1), away / max(abs(wanted), Decimal("0.000001"))))
    return _wrong(expected, value, max(0.0, 0.5 * (1 - share)) if found * wanted >= 0 else 0.0)


def tolerance(kind: str, wanted: Decimal, unit: str) -> Decimal:
    """How far from the expected number another may be."""
    exponent = wanted.as_tuple().exponent
    if kind == "integer":
        return Decimal(0)
    if kind == "duration":
        step = Decimal(_SECONDS.get(unit, 1))
        return Decimal(60) / step if step < 86400 else Decimal("0.5")
    step = Decimal(1).scaleb(exponent) if isinstance(exponent, int) and exponent < 0 else Decimal(0)
    if kind == "quantity":
        # Half of the last decimal that the record or the rounding shows.
        return max(step / 2, Decimal("0.000001"))
    # Two sums in another order may be rounded to neighbours: one step of the last decimal shown.
    return max(abs(wanted) * FRACTION, step, Decimal("0.000001"))


def _same_unit(kind: str, unit: str, given: Json) -> bool:
    """Units as they are written; those of time also in the singular and as UCUM has them."""
    if kind != "duration" or not isinstance(given, str):
        return bool(given == unit)
    told = given.strip().casefold()
    return unit in (told, f"{told}s", _UCUM.get(told))


def _time(kind: str, expected: Json, value: Json) -> Compared:
    if not isinstance(value, str):
        return _shape(f"a {kind} as text", value)
    told = value.strip()
    if not _WHEN.fullmatch(told):
        return _shape(
            "a date such as 2150-03-01" if kind == "date" else "a datetime such as 2150-03-01T10:00:00", value
        )
    wanted, found = str(expected)[:19], told[:19]
    if kind == "date":
        wanted, found = wanted[:10], found[:10]
        return RIGHT if wanted == found else _wrong(expected, value, 0.5 if wanted.startswith(found) else 0.0)
    if len(told) > 10 and told[16:17] != ":":
        found = told[:16]  # to the minute, an offset behind it
    if wanted == found:
        return RIGHT
    try:
        away = abs((datetime.fromisoformat(found) - datetime.fromisoformat(wanted)).total_seconds())
    except ValueError:
        return _shape("a datetime such as 2150-03-01T10:00:00", value)
    return RIGHT if away <= 60 else _wrong(expected, value, 0.5 if wanted[:10] == found[:10] else 0.0)


def _many(kind: str, expected: Json, value: Json) -> Compared:
    if not isinstance(value, list) or not isinstance(expected, list):
        return _shape("a list", value)
    wanted, found = [_item(one) for one in expected], [_item(one) for one in value]
    if kind == "list":
        if wanted == found:
            return RIGHT
        return _wrong(expected, value, _common(wanted, found) / max(len(wanted), len(found), 1))
    one, other = set(wanted), set(found)
    if one == other:
        return RIGHT
    return _wrong(expected, value, 2 * len(one & other) / (len(one) + len(other)))


def _map(expected: Json, value: Json) -> Compared:
    if not isinstance(value, dict) or not isinstance(expected, dict):
        return _shape("an object", value)
    folded = {_folded(key): one for key, one in value.items()}
    right = sum(1 for key, one in expected.items() if _folded(key) in folded and _alike(one, folded[_folded(key)]))
    if right == len(expected) == len(value):
        return RIGHT
    return _wrong(expected, value, right / max(len(expected), len(value), 1))


def _alike(expected: Json, value: Json) -> bool:
    wanted = number(expected)
    if wanted is not None:
        return _number("number", expected, "", value).right
    if isinstance(expected, bool) or expected is None:
        return value is expected
    if isinstance(expected, list):
        return _many("set", expected, value).right
    return isinstance(value, str) and _folded(value) == _folded(str(expected))


def _item(value: Json) -> str:
    found = number(value)
    if found is not None:
        return f"{found.normalize():f}"
    return _folded(value) if isinstance(value, str) else dumps(value)


def _common(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for item in one:
        before = 0
        for place, found in enumerate(other, 1):
            before, row[place] = row[place], before + 1 if item == found else max(row[place], row[place - 1])
    return row[-1]


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .,;:")


def _shape(wanted: str, given: Json) -> Compared:
    return Compared(shape=f"expected {wanted}, found {_short(given)}", score=0.0)


def _wrong(wanted: Json, given: Json, score: float = 0.0) -> Compared:
    return Compared(value=f"expected {_short(wanted)}, found {_short(given)}", score=min(score, 0.99))


def _short(given: Json) -> str:
    text = dumps(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
