"""A patient's record as the ``code`` protocol shows it: what is there, told in few words, and the resources themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

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


def code_summary(resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """``codes``: the most frequent main codings with display, unit and count; ``more_codes``: how many others there are."""
    counted: Counter[tuple[str, str, str, str]] = Counter()
    for resource in resources:
        found = codings(resource)
        if not found:
            continue
        quantity = resource.get("valueQuantity")
        unit = quantity.get("unit") if isinstance(quantity, dict) else None
        about = (found[0].get(name) for name in ("system", "code", "display"))
        counted[*(value if isinstance(value, str) else "" for value in (*about, unit))] += 1  # type: ignore[index]
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    named = [
        {name: value for name, value in zip(("system", "code", "display", "unit"), key, strict=True) if value}
        | {"count": count}
        for key, count in ordered[:CODES_SHOWN]
    ]
    return {"codes": named, "more_codes": len(ordered) - len(named)}


def keys(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """The top-level elements that occur, the commonest first."""
    counted = Counter(name for resource in resources for name in resource if name != "resourceType")
    return [name for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]


def span(resources: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """``first`` and ``last`` time, as written; nothing where there is none."""
    times = sorted(time for resource in resources if (time := when(resource)))
    return {"first": times[0], "last": times[-1]} if times else {}
