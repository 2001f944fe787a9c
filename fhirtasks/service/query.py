"""A search as asked: the query string parsed and checked, once, against the table of search parameters.

Parsing depends on nothing but the type and the query string, so compiled queries are shared by all episodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote_plus

from fhirtasks.fhir.dates import DAY, search_range
from fhirtasks.fhir.references import ID_PATTERN, TYPE_PATTERN, parse_reference
from fhirtasks.fhir.searchparams import SearchParam, normalised, params_of, token_key

PAGE = 20
"""Entries per page unless ``_count`` says otherwise: the default of the benchmark's server."""
MAX_COUNT = 5_000
"""A larger ``_count`` gives pages of this size."""


class SearchError(Exception):
    """A search that a server refuses: HTTP status and OperationOutcome code with a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition. ``test`` decides on the values that ``param`` finds in a resource (in ``form``).

    ``keys``, if not None: the test is that the values share one of them (so an index can answer it). ``prefix``: that a value
    starts with it.
    """

    param: SearchParam
    test: Callable[[tuple[Any, ...]], bool]
    form: str = ""
    keys: frozenset[str] | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class PatientCriterion:
    """The resource's patient is one of these ids, or one whom the chained criteria find (``patient.identifier=…``)."""

    param: SearchParam
    ids: frozenset[str] = frozenset()
    chained: Criterion | None = None


@dataclass(frozen=True, slots=True)
class SortKey:
    param: SearchParam
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled search. ``parameters`` are the accepted (name, value) pairs in the order given, paging and format apart."""

    type: str
    criteria: tuple[Criterion, ...]
    patients: tuple[PatientCriterion, ...]
    sort: tuple[SortKey, ...]
    count: int
    offset: int
    total_only: bool
    want_total: bool
    pretty: bool | None
    parameters: tuple[tuple[str, str], ...]
    formats: tuple[tuple[str, str], ...]

    def url(self, base: str, *, count: int | None = None, offset: int = 0) -> str:
        """This search as an absolute URL: the self link, or another page's."""
        pairs = list(self.parameters)
        if count is not None:
            pairs.append(("_count", str(count)))
        if offset:
            pairs.append(("_offset", str(offset)))
        pairs += self.formats
        return f"{base}{self.type}" + ("?" + encode(pairs) if pairs else "")


_SAFE = "-._~!$'()*,:@/|"


def encode(pairs: list[tuple[str, str]]) -> str:
    """A query string; what a URL may hold unescaped stays readable, ``+`` and ``&`` are escaped."""
    return "&".join(f"{quote(name, safe=_SAFE)}={quote(value, safe=_SAFE)}" for name, value in pairs)


def split_pairs(text: str) -> list[tuple[str, str]]:
    """``a=1&b=2`` to pairs, percent-decoded, ``+`` as space; empty values are dropped, as the benchmark's server does."""
    pairs = []
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        if "%" in value or "+" in value:
            value = unquote_plus(value)
        if value and name:
            pairs.append((name, value))
    return pairs


@lru_cache(maxsize=4_096)
def compile_query(type: str, text: str) -> Query:
    """The query string of a search on ``type``. SearchError (400, 406) for what a server refuses."""
    return compile_pairs(type, tuple(split_pairs(text)))


_CONTROLS = {
    "_count",
    "_offset",
    "_sort",
    "_summary",
    "_total",
    "_format",
    "_pretty",
    "_elements",
    "_include",
    "_revinclude",
}
_FORMATS = {"json", "application/json", "application/fhir+json", "application/fhir json", "text/json"}


def compile_pairs(type: str, pairs: tuple[tuple[str, str], ...]) -> Query:
    """As :func:`compile_query`, from (name, value) pairs."""
    params = params_of(type)
    criteria: list[Criterion] = []
    patients: list[PatientCriterion] = []
    sort: list[SortKey] = []
    kept: list[tuple[str, str]] = []
    formats: list[tuple[str, str]] = []
    count, offset, total_only, want_total, pretty = PAGE, 0, False, False, None
    for name, value in pairs:
        if not name.startswith("_") or name.partition(":")[0] not in _CONTROLS:
            kept.append((name, value))
            criterion = _criterion(type, params, name, value)
            if isinstance(criterion, PatientCriterion):
                patients.append(criterion)
            else:
                criteria.append(criterion)
        elif name == "_count":
            count = min(_whole(name, value), MAX_COUNT)
        elif name == "_offset":
            offset = _whole(name, value)
        elif name == "_sort":
            kept.append((name, value))
            sort += [_sort_key(type, params, part) for part in value.split(",")]
        elif name == "_summary":
            if value not in ("count", "false"):
                raise SearchError(
                    400, "not-supported", f"_summary={value} is not supported; use _summary=count or leave it out."
                )
            kept.append((name, value))
            total_only |= value == "count"
        elif name == "_total":
            if value not in ("none", "estimate", "accurate"):
                raise SearchError(400, "invalid", f"_total={value} is none of none, estimate, accurate.")
            kept.append((name, value))
            want_total |= value != "none"
        elif name == "_format":
            if value.partition(";")[0].strip() not in _FORMATS:
                raise SearchError(406, "not-supported", f"_format={value} is not supported; this server speaks JSON.")
            formats.append((name, value))
        elif name == "_pretty":
            if value not in ("true", "false"):
                raise SearchError(400, "invalid", f"_pretty={value} is neither true nor false.")
            formats.append((name, value))
            pretty = value == "true"
        else:
            raise SearchError(
                400, "not-supported", f"{name} is not supported by this server; ask for each resource by itself."
            )
    return Query(
        type, tuple(criteria), tuple(patients), tuple(sort), count, offset, total_only or count == 0, want_total, pretty,
        tuple(kept), tuple(formats),
    )  # fmt: skip


def _unknown(type: str, name: str, params: dict[str, SearchParam]) -> SearchError:
    known = ", ".join(sorted(params))
    return SearchError(400, "invalid", f"Unknown search parameter {name!r} for {type}; known are: {known}.")


def _criterion(type: str, params: dict[str, SearchParam], name: str, value: str) -> Criterion | PatientCriterion:
    plain, _, chain = name.partition(".")
    plain, _, modifier = plain.partition(":")
    param = params.get(plain)
    if param is None:
        raise _unknown(type, name, params)
    if modifier == "missing":
        if value not in ("true", "false") or chain:
            raise SearchError(400, "invalid", f"{name}={value}: :missing takes true or false.")
        return Criterion(param, _is_empty if value == "true" else bool)
    if param.kind == "patient":
        found = _patient(type, param, name, modifier, chain, value)
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
        return Criterion(param, lambda values: keys.isdisjoint(values))
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
    # R4 leaves the search over a whole name or address to the server: here every word starts one of its parts.
    if param.name in ("name", "address") and any(" " in start for start in starts):
        words = [start.split() for start in starts]

        def every_word(values: tuple[str, ...]) -> bool:
            return any(v.startswith(starts) for v in values) or any(
                all(any(v.startswith(word) for v in values) for word in need) for need in words
            )

        return Criterion(param, every_word)
    prefix = starts[0] if len(starts) == 1 else None
    return Criterion(param, lambda values: any(v.startswith(starts) for v in values), prefix=prefix)


def _date(param: SearchParam, name: str, modifier: str, value: str) -> Criterion:
    if modifier:
        raise _bad_modifier(name)
    # An unescaped + arrives as a space: the benchmark's server answers such a search, so it is read as the + that was meant.
    text = re.sub(r" (\d\d:\d\d)$", r"+\1", value)
    prefix, digits = (text[:2], text[2:]) if text[:2].isalpha() else ("eq", text)
    span = search_range(digits)
    if span is None or prefix not in _COMPARE:
        raise SearchError(
            400, "invalid",
            f"{name}={value} is no date search; write a date such as 2023-11-13 or 2023-11-13T10:15:00Z, with or without one of "
            f"{', '.join(sorted(_COMPARE))} before it.",
        )  # fmt: skip
    compare, (lo, hi) = _COMPARE[prefix], span
    return Criterion(param, lambda values: any(compare(low, high, lo, hi) for low, high in values))


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
        if modifier and re.fullmatch(TYPE_PATTERN, modifier):
            text = text.rpartition("/")[2]
            keys |= {f"{modifier}/{text}", f"\2{text}"}
        elif modifier:
            raise _bad_modifier(name)
        elif reference.id is not None and reference.type is not None:
            keys |= {f"{reference.type}/{reference.id}", f"\2{reference.id}", f"\3{text}"}
        elif re.fullmatch(ID_PATTERN, text):
            keys.add(f"\0{text}")
        elif text:
            keys.add(f"\3{text}")
        else:
            raise SearchError(400, "invalid", f"{name}={value} asks for nothing.")
    return Criterion(param, lambda values: not keys.isdisjoint(values), keys=frozenset(keys))


def _patient(
    type: str, param: SearchParam, name: str, modifier: str, chain: str, value: str
) -> PatientCriterion | None:
    """None if the reference is to something else than a patient (``subject=Group/1``)."""
    if modifier and modifier != "Patient":
        if chain or not re.fullmatch(TYPE_PATTERN, modifier):
            raise _bad_modifier(name)
        return None
    if chain:
        inner = _criterion("Patient", params_of("Patient"), chain, value)
        if isinstance(inner, PatientCriterion):
            raise _bad_modifier(name)
        return PatientCriterion(param, chained=inner)
    ids = set()
    for part in split_escaped(value, ","):
        text = _unescape(part)
        reference = parse_reference(text)
        if reference.type is not None and reference.id is not None:
            if reference.type == "Patient":
                ids.add(reference.id)
            elif len(split_escaped(value, ",")) == 1 and param.name != "patient":
                return None
        elif text:
            ids.add(text.removeprefix("urn:uuid:"))
        else:
            raise SearchError(400, "invalid", f"{name}={value} asks for nothing.")
    return PatientCriterion(param, frozenset(ids))


def _sort_key(type: str, params: dict[str, SearchParam], text: str) -> SortKey:
    name = text.removeprefix("-")
    if name not in params:
        raise _unknown(type, text or "_sort", params)
    return SortKey(params[name], text.startswith("-"))


def _whole(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise SearchError(400, "invalid", f"{name}={value} is not a whole number of at least 0.")
    return int(value)
