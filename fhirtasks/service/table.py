"""Resources of one type held in memory: columns and indexes of what search parameters find, made when first asked
for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

import orjson

from fhirtasks.fhir.searchparams import SearchParam
from fhirtasks.fhir.searchvalues import values
from fhirtasks.service.query import Criterion, SortKey

ALWAYS = -(2**63)
"""``available`` of a resource that is always seen."""


class Record:
    """One resource as stored. ``available`` in µs; ``printed`` caches its text, or the pieces of it, by style, ``about`` what a
    summary needs of it: both are shared by all episodes.

    ``members`` are those of the parsed text where they are kept: by an episode's own layer, which is small and whose tables are
    made again and again.
    """

    __slots__ = ("_found", "about", "available", "id", "members", "patient", "printed", "raw", "type")

    def __init__(
        self,
        type: str,
        id: str,
        patient: str | None,
        raw: str,
        available: int | None,
        members: dict[str, Any] | None = None,
    ) -> None:
        self.type, self.id, self.patient, self.raw, self.members = type, id, patient, raw, members
        self.available = ALWAYS if available is None else available
        self.printed: dict[Any, Any] = {}
        self.about: Any = None
        self._found: dict[tuple[str, str], tuple[Any, ...]] | None = None if members is None else {}

    def found(self, param: SearchParam, form: str) -> tuple[Any, ...]:
        """What a search parameter finds in this resource, in a form."""
        if self._found is None:
            members = top_level(self.raw) if param.name != "_id" else {}
            members["id"] = self.id
            return values(members, param, form)
        key = (param.name, form)
        if key not in self._found:
            self._found[key] = values({**(self.members or {}), "id": self.id}, param, form)
        return self._found[key]

    @property
    def body(self) -> str:
        """The JSON text as served: as stored, with the id spliced in where the stored text lacks it."""
        if self.raw.startswith((f'{{"resourceType":"{self.type}","id":"{self.id}"', f'{{"id":"{self.id}"')):
            return self.raw
        if top_level(self.raw).get("id") is not None:
            return self.raw
        head = f'{{"resourceType":"{self.type}"'
        if self.raw.startswith(head):
            return f'{head},"id":"{self.id}"{self.raw[len(head) :]}'
        return f'{{"id":"{self.id}",{self.raw[1:]}'


class Table:
    """Records of one type, in id order. What a parameter finds in a record is read when it is first looked at."""

    __slots__ = ("_columns", "_indexes", "_last", "_prefixes", "_sorts", "records")

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self._last = max((record.available for record in records), default=ALWAYS)
        self._columns: dict[tuple[str, str], dict[int, tuple[Any, ...]]] = {}
        self._indexes: dict[tuple[str, str], dict[str, list[int]]] = {}
        self._sorts: dict[tuple[str, bool], dict[int, Any]] = {}
        self._prefixes: dict[tuple[str, str], tuple[list[str], list[int]]] = {}

    def select(self, criteria: Iterable[Criterion], now: int | None) -> list[int]:
        """Positions of the records that meet every criterion and are seen at ``now``, in id order."""
        positions: list[int] | None = None
        rest: list[Criterion] = []
        for criterion in criteria:
            if positions is None and criterion.keys is not None:
                positions = self._by_keys(criterion)
            elif positions is None and criterion.prefix is not None:
                positions = self._by_prefix(criterion)
            else:
                rest.append(criterion)
        if positions is None:
            positions = list(range(len(self.records)))
        if now is not None and now < self._last:
            records = self.records
            positions = [p for p in positions if records[p].available <= now]
        for criterion in rest:
            column, test = self._column(criterion.param, criterion.form, positions), criterion.test
            positions = [p for p in positions if test(column[p])]
        return positions

    def sort_values(self, key: SortKey, positions: list[int]) -> dict[int, Any]:
        """The value that a key sorts these records (and perhaps others) by; None where one has none.

        It is the least that the parameter finds, or the greatest if descending.
        """
        known = self._sorts.setdefault((key.param.name, key.descending), {})
        lacking = [p for p in positions if p not in known]
        if lacking:
            by_code = key.param.kind in ("token", "reference", "patient")  # by code or id alone
            best = max if key.descending else min
            column = self._column(key.param, "", lacking)
            for p in lacking:
                found = column[p]
                usable = tuple(value for value in found if value.startswith("\0")) if by_code else found
                known[p] = best(usable) if usable else None
        return known

    def _column(self, param: SearchParam, form: str, positions: Iterable[int]) -> dict[int, tuple[Any, ...]]:
        """What the parameter finds in the records at these positions (and perhaps others)."""
        column = self._columns.setdefault((param.name, form), {})
        for p in positions:
            if p not in column:
                column[p] = self.records[p].found(param, form)
        return column

    def _by_keys(self, criterion: Criterion) -> list[int]:
        name = (criterion.param.name, criterion.form)
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = {}
            column = self._column(criterion.param, criterion.form, range(len(self.records)))
            for position in range(len(self.records)):
                for key in dict.fromkeys(column[position]):
                    index.setdefault(key, []).append(position)
        keys = criterion.keys or frozenset()
        if len(keys) == 1:
            (key,) = keys
            return index.get(key, [])
        return sorted({position for key in keys for position in index.get(key, ())})

    def _by_prefix(self, criterion: Criterion) -> list[int]:
        name, prefix = (criterion.param.name, criterion.form), criterion.prefix or ""
        pair = self._prefixes.get(name)
        if pair is None:
            column = self._column(criterion.param, criterion.form, range(len(self.records)))
            entries = sorted((value, position) for position, found in column.items() for value in found)
            pair = self._prefixes[name] = ([value for value, _ in entries], [position for _, position in entries])
        first = bisect_left(pair[0], prefix)
        last = bisect_left(pair[0], prefix + "\U0010ffff")
        return sorted(set(pair[1][first:last]))


def top_level(raw: str) -> dict[str, Any]:
    """A resource's members; numbers may lose precision (searching looks at none)."""
    try:
        resource = orjson.loads(raw)
    except ValueError:  # numbers that orjson refuses (beyond a double) are legal JSON
        import json

        resource = json.loads(raw, parse_int=float)
    return resource if isinstance(resource, dict) else {}
