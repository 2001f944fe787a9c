"""A compiled search: plain types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhirtasks.fhir.searchparams import SearchParam


class SearchError(Exception):
    """A search that a server refuses: HTTP status and OperationOutcome code with a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition. ``test`` decides on the values that ``param`` finds in a resource (in ``form``).

    ``keys``, if not None: the test is that the values share one of them (so an index can answer it). ``prefix``: that
    a value starts with it.
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
    chained: Query | None = None


@dataclass(frozen=True, slots=True)
class SortKey:
    param: SearchParam
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled search. ``encoded`` is the query string again, normalised, without paging and format."""

    type: str
    criteria: tuple[Criterion, ...]
    patients: tuple[PatientCriterion, ...]
    sort: tuple[SortKey, ...]
    count: int
    offset: int
    total_only: bool
    want_total: bool
    pretty: bool | None
    encoded: str
    encoded_formats: str

    def url(self, base: str, *, count: int | None = None, offset: int = 0) -> str:
        """This search as an absolute URL: the self link, or another page's."""
        parts = [part for part in (self.encoded, self.encoded_formats) if part]
        if count is not None:
            parts.insert(1 if self.encoded else 0, f"_count={count}" + (f"&_offset={offset}" if offset else ""))
        return f"{base}{self.type}?{'&'.join(parts)}" if parts else f"{base}{self.type}"
