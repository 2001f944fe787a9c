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


_ASIDE: Final = frozenset(
    ("id", "type", "name", "tool_call_id", "call_id", "index", "weight", "train", "loss", "finish_reason", "timestamp",
     "status")
)  # fmt: skip
"""Members of a message, and of the calls in it, that say nothing in the conversation."""
_INNER: Final = frozenset(("content", "tool_calls", "function_call", "function"))
"""Members of a message that have such members of their own."""


def row_texts(row: Any, *, keys: bool = False) -> list[tuple[str, str]]:
    """Every text of a row with its place: ``messages[2].content``, ``raw``; numbers and dates as one would write them.

    A FHIR resource that is an object is one text, its JSON, because charts are known by whole resources. What is said in
    messages that follow each other is neighbours: names of roles are left out, and ids, types and names of tools stand
    after all that is said. So do keys that may be somebody's: with a digit or white space in them. ``keys`` counts those
    of the row itself too, which in tables are the names of columns.
    """
    found: list[tuple[str, str]] = []
    later: list[tuple[str, str]] = []
    _collect(found, later, "", row, keys=keys)
    return found + later


def _collect(
    found: list[tuple[str, str]],
    later: list[tuple[str, str]],
    place: str,
    value: Any,
    *,
    keys: bool = True,
    message: bool = False,
) -> None:
    """``later`` takes what is no neighbour of the texts around it; ``message`` says that the value belongs to a message."""
    if isinstance(value, str):
        if value and value not in _ROLES and not value.isspace():
            found.append((place, value))
    elif isinstance(value, dict):
        if isinstance(value.get("resourceType"), str):
            found.append((place or "resource", dumps(_told(value))))
            return
        said = message or "role" in value or ("from" in value and "value" in value)
        for key, item in value.items():
            inner = f"{place}.{key}" if place else str(key)
            if keys and type(key) is str and not key.isalpha() and any(one.isdigit() or one.isspace() for one in key):
                later.append((f"{inner} (key)", key))
            aside = said and key in _ASIDE
            _collect(later if aside else found, later, inner, item, message=said and key in _INNER)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _collect(found, later, f"{place}[{number}]", item, message=message)
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, bytes):
        encoding = encoding_of(value[:4096])
        if encoding:
            found.append((place, value.decode(encoding, "replace")))
    elif isinstance(value, datetime | date | time):
        found.append((place, value.isoformat()))
    elif isinstance(value, Mapping):
        _collect(found, later, place, dict(value), keys=keys, message=message)
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
