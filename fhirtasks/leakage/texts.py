"""The texts of a row, whatever it is, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from fhirtasks.benchmarks.kinds import encoding_of
from fhirtasks.fhir.jsontext import dumps

_ROLES: Final = frozenset(("system", "user", "assistant", "tool", "developer", "human", "gpt"))


def row_texts(row: Any) -> list[tuple[str, str]]:
    """Every text of a row with its place: ``messages[2].content``, ``raw``; numbers and dates as one would write them.

    A FHIR resource that is an object is one text, its JSON, because charts are known by whole resources. Names of roles are
    left out, so that a message's text and the next one's are neighbours. A key that has a digit in it is a text too: it
    may be a record number.
    """
    found: list[tuple[str, str]] = []
    _collect(found, "", row)
    return found


def _collect(found: list[tuple[str, str]], place: str, value: Any) -> None:
    if isinstance(value, str):
        if value and value not in _ROLES and not value.isspace():
            found.append((place, value))
    elif isinstance(value, dict):
        if isinstance(value.get("resourceType"), str):
            found.append((place or "resource", dumps(_told(value))))
            return
        for key, item in value.items():
            inner = f"{place}.{key}" if place else str(key)
            if type(key) is str and place and not key.isalpha() and any(letter.isdigit() for letter in key):
                found.append((f"{inner} (key)", key))
            _collect(found, inner, item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _collect(found, f"{place}[{number}]", item)
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, bytes):
        encoding = encoding_of(value[:4096])
        if encoding:
            found.append((place, value.decode(encoding, "replace")))
    elif isinstance(value, datetime | date | time):
        found.append((place, value.isoformat()))
    elif isinstance(value, Mapping):
        _collect(found, place, dict(value))
    elif isinstance(value, Decimal):
        found.append((place, format(value, "f") if value.is_finite() else str(value)))
    elif not isinstance(value, timedelta):
        found.append((place, repr(value)))


def _told(value: Any) -> Any:
    """A value as JSON has it: without members that are null because a table's other rows have them."""
    if isinstance(value, dict):
        return {key: _told(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    plain = isinstance(value, str | int | bool | Decimal) or (isinstance(value, float) and isfinite(value))
    return value if plain else str(value)
