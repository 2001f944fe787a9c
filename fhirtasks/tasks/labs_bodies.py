"""Edits on the raw text of a result: a value, a time, an id. Everything else stays as the record wrote it."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timedelta

from fhirtasks.tasks.labs_charts import zone

_QUANTITY = re.compile(r'("valueQuantity":\{[^{}]*?"value":)(-?[0-9][0-9.eE+-]*)')
_TIMES = re.compile(r'("(?:effectiveDateTime|effectiveInstant|issued)":")([^"]+)(")')
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_IDENTIFIERS = re.compile(r'"identifier":\[[^\]]*\]')
_IDENTIFIER_VALUE = re.compile(r'("value":")([^"]*)(")')


def editable(raw: str, identifier: str) -> bool:
    """Whether the edits below are safe on this text: one id, one quantity, no component, full times only."""
    return (
        raw.count(f'"id":"{identifier}"') == 1
        and raw.count('"valueQuantity":') == 1
        and len(_QUANTITY.findall(raw)) == 1
        and '"component":' not in raw
        and '"effectivePeriod":' not in raw
        and all(_TIME.fullmatch(text) for _, text, _ in _TIMES.findall(raw))
    )


def value_text(raw: str) -> str:
    """The digits of the quantity."""
    match = _QUANTITY.search(raw)
    assert match is not None, "asked of editable texts only"
    return match.group(2)


def with_value(raw: str, digits: str) -> str:
    """The text with other digits in its quantity."""
    return _QUANTITY.sub(lambda match: match.group(1) + digits, raw)


def judged_like(raw: str, digits: str, donor: str) -> bool:
    """Whether ``donor`` is a result of these digits with the same reference range: its interpretation fits them."""
    if '"valueQuantity":' not in donor or value_text(donor) != digits:
        return False
    return _part(raw, "referenceRange") == _part(donor, "referenceRange")


def interpreted(raw: str) -> str:
    """The interpretation (high, low, normal …) as the text has it, empty if it has none."""
    return _part(raw, "interpretation")


def with_interpretation_of(raw: str, donor: str) -> str:
    """The text with the donor's interpretation in the place of its own; both have one."""
    return raw.replace(f'"interpretation":{interpreted(raw)}', f'"interpretation":{interpreted(donor)}', 1)


def _part(raw: str, key: str) -> str:
    place = raw.find(f'"{key}":')
    if place < 0:
        return ""
    start = place + len(key) + 3
    return raw[start : json.JSONDecoder().raw_decode(raw, start)[1]]


def with_id(raw: str, old: str, new: str) -> str:
    """The text with another resource id."""
    return raw.replace(f'"id":"{old}"', f'"id":"{new}"')


def shifted(raw: str, delta: int, offset: str) -> str:
    """The text with its times moved by ``delta`` µs, in its own precision; a written UTC offset becomes ``offset``."""
    return _TIMES.sub(lambda match: match.group(1) + _moved(match.group(2), delta, offset) + match.group(3), raw)


def effective_text(raw: str) -> str:
    """The clinical time as the text has it."""
    for head, text, _ in _TIMES.findall(raw):
        if "effective" in head:
            return str(text)
    raise AssertionError("asked of dated texts only")


def with_identifiers_of(raw: str, other: str) -> str:
    """The text with the business identifiers of another, if both have some."""
    theirs = _IDENTIFIERS.search(other)
    return raw if theirs is None else _IDENTIFIERS.sub(lambda _: theirs.group(0), raw)


def renumbered(raw: str, salt: str) -> str:
    """The text with business identifiers that nothing else carries, of the same shape."""

    def values(match: re.Match[str]) -> str:
        return _IDENTIFIER_VALUE.sub(lambda one: one.group(1) + like(one.group(2), salt) + one.group(3), match.group(0))

    return _IDENTIFIERS.sub(values, raw)


def like(identifier: str, salt: str) -> str:
    """Another identifier of the same shape, by hash: digits stay digits, hex letters hex letters, the rest stays.

    A UUID's version and variant stay; a number keeps its first digit's place (no leading zero appears).
    """
    digest = hashlib.sha256(f"{salt}\n{identifier}".encode()).hexdigest() * (len(identifier) // 64 + 1)
    uuid = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", identifier)
    out = []
    for place, (old, new) in enumerate(zip(identifier, digest, strict=False)):
        if uuid:
            out.append(old if old == "-" or place in (14, 19) else new)
        elif old.isdigit():
            digit = int(new, 16) % 10
            out.append(str(digit or 1) if place == 0 and old != "0" else str(digit))
        else:
            out.append(old)
    return "".join(out)


def _moved(text: str, delta: int, offset: str) -> str:
    match = _TIME.fullmatch(text)
    assert match is not None, "asked of editable texts only"
    moved = datetime.fromisoformat(text) + timedelta(microseconds=delta)
    fraction = match.group(1) or ""
    if match.group(2) != "Z":
        moved = moved.astimezone(zone(offset))
    head = moved.replace(tzinfo=None, microsecond=0).isoformat()
    digits = f".{moved.microsecond:06d}"[: len(fraction)] if fraction else ""
    return head + digits + (match.group(2) if match.group(2) == "Z" else offset)
