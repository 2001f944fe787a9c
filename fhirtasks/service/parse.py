"""The query string of a search, parsed and checked once against the table of search parameters.

Parsing depends on nothing but the type and the query string, so compiled queries are shared by all episodes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote_plus

from fhirtasks.fhir.searchparams import SearchParam, params_of
from fhirtasks.service.criteria import criterion_of, unknown_parameter
from fhirtasks.service.query import Criterion, PatientCriterion, Query, SearchError, SortKey

PAGE = 20
"""Entries per page unless ``_count`` says otherwise: the default of the benchmark's server."""
MAX_COUNT = 5_000
"""A larger ``_count`` gives pages of this size."""

_SAFE = "-._~!$'()*,:@/|"


def encode(pairs: list[tuple[str, str]]) -> str:
    """A query string; what a URL may hold unescaped stays readable, ``+`` and ``&`` are escaped."""
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in pairs])


@lru_cache(maxsize=4_096)
def _quoted(text: str) -> str:
    return quote(text, safe=_SAFE)


def split_pairs(text: str) -> list[tuple[str, str]]:
    """``a=1&b=2`` to pairs, percent-decoded, ``+`` as space; empty values are dropped, as the benchmark's server
    does."""
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
            criterion = criterion_of(type, name, value)
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
        type=type,
        criteria=tuple(criteria),
        patients=tuple(patients),
        sort=tuple(sort),
        count=count,
        offset=offset,
        total_only=total_only or count == 0,
        want_total=want_total,
        pretty=pretty,
        encoded=encode(kept),
        encoded_formats=encode(formats),
    )


def _sort_key(type: str, params: dict[str, SearchParam], text: str) -> SortKey:
    name = text.removeprefix("-")
    if name not in params:
        raise unknown_parameter(type, text or "_sort")
    return SortKey(params[name], text.startswith("-"))


def _whole(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise SearchError(400, "invalid", f"{name}={value} is not a whole number of at least 0.")
    return int(value)
