"""Search conditions: one ``name=value`` of a query string, read by its parameter's kind.

The meaning is R4's (https://hl7.org/fhir/R4/search.html); where R4 leaves a choice, the benchmark's server (HAPI
FHIR) decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fhirtasks.fhir.dates import DAY, search_range
from fhirtasks.fhir.references import ID_PATTERN, TYPE_PATTERN, parse_reference
from fhirtasks.fhir.searchparams import SearchParam, params_of
from fhirtasks.fhir.searchvalues import normalised, token_key
from fhirtasks.service.query import Criterion, PatientCriterion, Query, SearchError


def unknown_parameter(type: str, name: str) -> SearchError:
    """The refusal of a parameter that the type does not have."""
    known = ", ".join(sorted(params_of(type)))
    return SearchError(400, "invalid", f"Unknown search parameter {name!r} for {type}; known are: {known}.")


@lru_cache(maxsize=4_096)
def criterion_of(type: str, name: str, value: str) -> Criterion | PatientCriterion:
    """The condition that ``name=value`` puts on a type. SearchError (400) for what a server refuses."""
    plain, _, chain = name.partition(".")
    plain, _, modifier = plain.partition(":")
    param = params_of(type).get(plain)
    if param is None:
        raise unknown_parameter(type, name)
    if modifier == "missing":
        if value not in ("true", "false") or chain:
            raise SearchError(400, "invalid", f"{name}={value}: :missing takes true or false.")
        return Criterion(param, _is_empty if value == "true" else bool)
    if param.kind == "patient":
        found = _patient(param, name, modifier, chain, value)
        if found is not None:
            return found
    if chain:
        raise SearchError(
            400, "not-supported", f"The chained parameter {name!r} is not supported; only patients are chained."
        )
    if param.kind == "token":
        return _token(param, name, modifier, value)
    if param.kind == "string":
        return _string(param, name, modifier, value)
    if param.kind == "date":
        return _date(param, name, modifier, value)
    return _reference(param, name, modifier, value)


def _is_empty(values: tuple[Any, ...]) -> bool:
    return not values


def _bad_modifier(name: str) -> SearchError:
    return SearchError(400, "not-supported", f"The modifier of {name!r} is not supported.")


def split_escaped(text: str, mark: str) -> list[str]:
    """Splits at ``mark`` where no backslash stands before it (FHIR's escape); the escapes stay in the parts."""
    if "\\" not in text:
        return text.split(mark)
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == mark:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


def _unescape(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text) if "\\" in text else text


def _token(param: SearchParam, name: str, modifier: str, value: str) -> Criterion:
    if modifier == "text":
        wanted = tuple(normalised(_unescape(part)) for part in split_escaped(value, ",") if part)
        if not wanted:
            raise SearchError(400, "invalid", f"{name}={value} asks for nothing.")
        return Criterion(param, lambda values: any(v.startswith(wanted) for v in values), form=":text")
    if modifier not in ("", "not"):
        raise _bad_modifier(name)
    keys = set()
    for part in split_escaped(value, ","):
        pieces = [_unescape(piece) for piece in split_escaped(part, "|")]
        if len(pieces) > 2 or not any(pieces):
            raise SearchError(
                400, "invalid", f"{name}={value}: {part!r} is no token; write code, system|code, |code or system|."
            )
        if len(pieces) == 1:
            keys.add(token_key(None, pieces[0]))
        else:
            keys.add(token_key(pieces[0], pieces[1] or None))
    if modifier == "not":
        return Criterion(param, keys.isdisjoint)
    return Criterion(param, lambda values: not keys.isdisjoint(values), keys=frozenset(keys))


def _string(param: SearchParam, name: str, modifier: str, value: str) -> Criterion:
    parts = [_unescape(part) for part in split_escaped(value, ",") if part.strip()]
    if not parts:
        raise SearchError(400, "invalid", f"{name}={value} asks for nothing.")
    if modifier == "exact":
        exact = frozenset(parts)
        return Criterion(param, lambda values: not exact.isdisjoint(values), form=":exact", keys=exact)
    wanted = [normalised(part) for part in parts]
    if modifier == "contains":
        return Criterion(param, lambda values: any(w in v for v in values for w in wanted))
    if modifier:
        raise _bad_modifier(name)
    starts = tuple(wanted)
    # R4 leaves the search over a whole name or address to the server: here every word starts a word of one of its parts.
    if param.name in ("name", "address") and any(" " in start for start in starts):
        words = [start.split() for start in starts]

        def every_word(values: tuple[str, ...]) -> bool:
            if any(v.startswith(starts) for v in values):
                return True
            found = [word for v in values for word in v.split()]
            return any(all(any(one.startswith(word) for one in found) for word in need) for need in words)

        return Criterion(param, every_word)
    prefix = starts[0] if len(starts) == 1 else None
    return Criterion(param, lambda values: any(v.startswith(starts) for v in values), prefix=prefix)


def _date(param: SearchParam, name: str, modifier: str, value: str) -> Criterion:
    if modifier:
        raise _bad_modifier(name)
    # An unescaped + arrives as a space: the benchmark's server answers such a search, so it is read as the + that was
    # meant.
    text = re.sub(r" (\d\d:\d\d)$", r"+\1", value) if " " in value else value
    prefix, digits = (text[:2], text[2:]) if text[:2].isalpha() else ("eq", text)
    span = search_range(digits)
    if span is None or prefix not in _COMPARE:
        prefixes = ", ".join(sorted(_COMPARE))
        raise SearchError(
            400,
            "invalid",
            f"{name}={value} is no date search; write a date such as 2023-11-13 or 2023-11-13T10:15:00Z, "
            f"with or without one of {prefixes} before it.",
        )
    compare, (lo, hi) = _COMPARE[prefix], span

    def test(values: tuple[tuple[int, int], ...]) -> bool:
        for low, high in values:  # noqa: SIM110 - a generator costs more than what it would test
            if compare(low, high, lo, hi):
                return True
        return False

    return Criterion(param, test)


_NEAR = DAY
"""``ap`` widens the asked time by this much on both sides (R4 leaves the measure to the server)."""

_COMPARE: dict[str, Callable[[int, int, int, int], bool]] = {
    # (low, high) is the resource's range, (lo, hi) the asked one; https://hl7.org/fhir/R4/search.html#prefix
    "eq": lambda low, high, lo, hi: lo <= low and high <= hi,
    "ne": lambda low, high, lo, hi: not (lo <= low and high <= hi),
    "gt": lambda low, high, lo, hi: high > hi,
    "lt": lambda low, high, lo, hi: low < lo,
    "ge": lambda low, high, lo, hi: high > hi or (lo <= low and high <= hi),
    "le": lambda low, high, lo, hi: low < lo or (lo <= low and high <= hi),
    "sa": lambda low, high, lo, hi: low >= hi,
    "eb": lambda low, high, lo, hi: high <= lo,
    "ap": lambda low, high, lo, hi: low < hi + _NEAR and high > lo - _NEAR,
}


def _reference(param: SearchParam, name: str, modifier: str, value: str) -> Criterion:
    keys: set[str] = set()
    for part in split_escaped(value, ","):
        text = _unescape(part)
        reference = parse_reference(text)
        if param.name == "_profile" and reference.kind == "absolute" and not modifier:  # a canonical URL names no id
            keys.add(f"\3{text}")
        elif modifier and re.fullmatch(TYPE_PATTERN, modifier):
            text = text.rpartition("/")[2]
            keys |= {f"{modifier}/{text}", f"\2{text}"}
        elif modifier:
            raise _bad_modifier(name)
        elif reference.id is not None and reference.type is not None:
            keys |= {f"{reference.type}/{reference.id}", f"\2{reference.id}", f"\3{text}"}
        elif reference.kind == "urn":
            keys.add(f"\0{text.rpartition(':')[2]}")
        elif re.fullmatch(ID_PATTERN, text):
            keys.add(f"\0{text}")
        elif text:
            keys.add(f"\3{text}")
        else:
            raise SearchError(400, "invalid", f"{name}={value} asks for nothing.")
    return Criterion(param, lambda values: not keys.isdisjoint(values), keys=frozenset(keys))


def _patient(param: SearchParam, name: str, modifier: str, chain: str, value: str) -> PatientCriterion | None:
    """None if the reference is to something else than a patient (``subject=Group/1``)."""
    if modifier and modifier != "Patient":
        if chain or not re.fullmatch(TYPE_PATTERN, modifier):
            raise _bad_modifier(name)
        return None
    if chain:
        inner = criterion_of("Patient", chain, value)
        if isinstance(inner, PatientCriterion):
            raise _bad_modifier(name)
        people = Query("Patient", (inner,), (), (), 0, 0, True, False, None, "", "")
        return PatientCriterion(param, chained=people)
    ids = set()
    for part in split_escaped(value, ","):
        text = _unescape(part)
        reference = parse_reference(text)
        if reference.type is not None and reference.id is not None:
            if reference.type == "Patient":
                ids.add(reference.id)
            elif param.name != "patient":
                return None
        elif text:
            ids.add(text.removeprefix("urn:uuid:"))
        else:
            raise SearchError(400, "invalid", f"{name}={value} asks for nothing.")
    return PatientCriterion(param, frozenset(ids))
