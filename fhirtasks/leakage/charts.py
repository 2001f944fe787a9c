"""Held-out resources in charts and replies: by their whole content, or by what is clinical in them.

The clinical part of a resource leaves out what a copy would change: id, meta, narrative, identifiers, references, and
what only displays a code. It counts if it tells enough: several values, one of them a time of day.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from fhirtasks.fhir.jsontext import canonical, content_hash, loads
from fhirtasks.leakage.folding import squeezed
from fhirtasks.leakage.policy import Policy

_LEFT_OUT: Final = frozenset(
    ("id", "meta", "text", "implicitRules", "language", "identifier", "fullUrl", "display", "userSelected", "contained",
     "note", "extension", "issued")
)  # fmt: skip
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?")
_NEEDLE: Final = 12
MOST_FAILURES: Final = 1_000
"""Braces of a text that may open no JSON before the rest is given up: real replies have a few."""


class Charts:
    """The held-out resources, by hash; ``needles`` are texts of which each of them has one."""

    def __init__(self, resources: Sequence[tuple[str, str]], policy: Policy) -> None:
        self._least = policy.whole("chart", "values")
        self._whole: dict[str, str] = {}
        self._clinical: dict[str, str] = {}
        self.needles: set[bytes] = set()
        for item, text in resources:
            resource = loads(text)
            self._whole.setdefault(_hash(resource), item)
            part = clinical(resource)
            if tells(part, self._least):
                self._clinical.setdefault(_hash(part), item)
            self.needles |= _needles(resource, part)

    def find(self, text: str) -> Iterator[tuple[str, int, int, str]]:
        """(held-out item, start, end, evidence) of every held-out resource in a text."""
        for resource, start, end in resources_in(text):
            item = self._whole.get(_hash(resource))
            if item is not None:
                yield item, start, end, f"the same {resource['resourceType']}, whole"
                continue
            part = clinical(resource)
            if tells(part, self._least):
                item = self._clinical.get(_hash(part))
                if item is not None:
                    yield item, start, end, f"a {resource['resourceType']} of the same clinical content"


def clinical(resource: dict[str, Any]) -> dict[str, Any]:
    """What of a resource is clinical, in a normal form: times in UTC, numbers by value, lists in one order."""
    found = _normal(resource)
    return found if isinstance(found, dict) else {}


def tells(part: dict[str, Any], least: int = 4) -> bool:
    """Whether a clinical part is enough to know a resource by: ``least`` values, one of them a time of day."""
    values = list(_values(part))
    return len(values) >= least and any(_TIME.fullmatch(one) for one in values)


def resources_in(text: str) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Every resource in a text with its place: alone, in a Bundle, contained, or as JSON within JSON.

    A resource inside another has the place of the outermost.
    """
    for version in (text, text.replace('\\"', '"')) if '\\"' in text else (text,):
        start = failures = 0
        found = False
        while (start := version.find("{", start)) >= 0 and failures < MOST_FAILURES:
            try:
                value, end = _DECODER.raw_decode(version, start)
            except (ValueError, RecursionError):
                start, failures = start + 1, failures + 1
                continue
            for resource in _inside(value):
                found = True
                yield resource, min(start, len(text) - 1), min(end, len(text))
            start = end
        if found:
            return


def _inside(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("resourceType"), str) and value["resourceType"] != "Bundle":
            yield value
        for item in value.values():
            yield from _inside(item)
    elif isinstance(value, list):
        for item in value:
            yield from _inside(item)
    elif isinstance(value, str) and "resourceType" in value:
        try:
            inner = loads(value)
        except (ValueError, RecursionError):
            for resource, _, _ in resources_in(value):
                yield resource
        else:
            yield from _inside(inner)


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {name: _normal(item) for name, item in value.items() if name not in _LEFT_OUT}
        kept = {name: item for name, item in inner.items() if item not in ({}, [], None)}
        return {} if "reference" in value else kept
    if isinstance(value, list):
        return sorted((item for item in map(_normal, value) if item not in ({}, [])), key=canonical)
    if isinstance(value, str):
        return _instant(value) if _TIME.fullmatch(value) else " ".join(value.split()).casefold()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(str(value))
        return format(
            number.normalize() if abs(number.adjusted()) < 40 else number, "f" if abs(number.adjusted()) < 40 else ""
        )
    return value


def _instant(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (moment.astimezone(UTC) if moment.tzinfo else moment).isoformat()


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _values(item)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item)
    elif value is not None:
        yield str(value)


def _needles(resource: dict[str, Any], part: dict[str, Any]) -> set[bytes]:
    """Texts of which the resource, copied, must still have one: a time as written or in UTC, its id, its longest value."""
    times = [one for one in _values(_kept(resource)) if _TIME.fullmatch(one)]
    if times:
        first = min(times)
        return {squeezed(text[:16]).encode() for text in (first, _instant(first))}
    id_ = squeezed(str(resource.get("id") or ""))
    if len(id_) >= 6:
        return {id_.encode()[:_NEEDLE]}
    longest = max(map(squeezed, _values(part)), key=len, default="")
    return {longest.encode()[:32]} if len(longest) >= _NEEDLE else set()


def _kept(value: Any) -> Any:
    """A resource as written, without what is not clinical."""
    if isinstance(value, dict):
        return {name: _kept(item) for name, item in value.items() if name not in _LEFT_OUT}
    return [_kept(item) for item in value] if isinstance(value, list) else value


def _hash(value: Any) -> str:
    return content_hash(_text_numbers(value))


def _text_numbers(value: Any) -> Any:
    """A value with its fractions as text, which canonical JSON needs."""
    if isinstance(value, dict):
        return {name: _text_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_text_numbers(item) for item in value]
    return str(value) if isinstance(value, Decimal | float) else value


_DECODER: Final = json.JSONDecoder(parse_float=Decimal)
