"""A patient's record as the ``code`` protocol shows it: what is there, told in few words, and the resources themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from fhirtasks.service.table import Record

CODES_SHOWN: Final = 8
"""Codes named in a summary, the most frequent ones."""

_CONCEPTS: Final = ("code", "vaccineCode", "medicationCodeableConcept", "type", "category")
_TIMES: Final = (
    "effectiveDateTime", "effectivePeriod.start", "effectiveInstant", "occurrenceDateTime", "occurrencePeriod.start",
    "performedDateTime", "performedPeriod.start", "onsetDateTime", "authoredOn", "collection.collectedDateTime",
    "period.start", "billablePeriod.start", "recordedDate", "started", "date", "created", "dateAsserted", "issued",
    "whenHandedOver", "startDate",
)  # fmt: skip


def when(resource: Mapping[str, Any]) -> str:
    """The resource's clinical time as written; empty where it has none."""
    for path in _TIMES:
        value: Any = resource
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value
    return ""


def codings(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The codings of the main coded element."""
    for name in _CONCEPTS:
        element = resource.get(name)
        for concept in element if isinstance(element, list) else [element]:
            found = concept.get("coding") if isinstance(concept, dict) else None
            if isinstance(found, list) and found:
                return [coding for coding in found if isinstance(coding, dict)]
    return []


def references(resource: Mapping[str, Any], element: str) -> list[str]:
    """The references that stand in an element (``ingredient.itemReference``), lists being walked through."""
    found: list[Any] = [resource]
    for name in element.split("."):
        values = [one[name] for one in found if isinstance(one, dict) and name in one]
        if not values:
            return []
        found = [one for value in values for one in (value if isinstance(value, list) else [value])]
    texts = [one.get("reference") for one in found if isinstance(one, dict)]
    return [text for text in texts if isinstance(text, str) and not text.startswith("#")]


class About(NamedTuple):
    """What a summary needs of one resource: its time, its first main coding with the unit of its value, its elements."""

    when: str
    coding: tuple[str, str, str, str] | None
    keys: tuple[str, ...]


def about(record: Record) -> About:
    """The record's :class:`About`; read from its JSON once, and kept with it."""
    if record.about is None:
        resource = orjson.loads(record.raw)
        record.about = About(when(resource), _coding(resource), _elements(tuple(resource)))
    found: About = record.about
    return found


def summary(found: Iterable[About]) -> dict[str, Any]:
    """``first`` and ``last`` time; ``codes``: the most frequent codings with their counts; ``more_codes``: how many others."""
    found = list(found)
    times = sorted(one.when for one in found if one.when)
    counted = Counter(one.coding for one in found if one.coding)
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    named = [
        {name: value for name, value in zip(("system", "code", "display", "unit"), key, strict=True) if value}
        | {"count": count}
        for key, count in ordered[:CODES_SHOWN]
    ]
    span = {"first": times[0], "last": times[-1]} if times else {}
    return {**span, "codes": named, "more_codes": len(ordered) - len(named)}


def keys(found: Iterable[About]) -> list[str]:
    """The top-level elements that occur, the commonest first."""
    counted: Counter[str] = Counter()
    for names, times in Counter(one.keys for one in found).items():
        counted.update(dict.fromkeys(names, times))
    return [name for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0])) if name != "resourceType"]


def _coding(resource: Mapping[str, Any]) -> tuple[str, str, str, str] | None:
    found = codings(resource)
    if not found:
        return None
    quantity = resource.get("valueQuantity")
    told = [found[0].get(name) for name in ("system", "code", "display")]
    told.append(quantity.get("unit") if isinstance(quantity, dict) else None)
    system, code, display, unit = (value if isinstance(value, str) else "" for value in told)
    return _shared((system, code, display, unit))


@lru_cache(maxsize=100_000)
def _shared(coding: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
    """One tuple for equal ones: a world has few codings and many records."""
    return coding


@lru_cache(maxsize=10_000)
def _elements(names: tuple[str, ...]) -> tuple[str, ...]:
    return names
