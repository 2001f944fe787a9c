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
    """One resource as stored. ``available`` in µs; ``printed`` caches its text by style, shared by all episodes."""

    __slots__ = ("available", "id", "patient", "printed", "raw", "type")

    def __init__(self, type: str, id: str, patient: str | None, raw: str, available: int | None) -> None:
        self.type, self.id, self.patient, self.raw = type, id, patient, raw
        self.available = ALWAYS if available is None else available
        self.printed: dict[Any, str] = {}

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
    """Records of one type, in id order."""

    __slots__ = ("_columns", "_indexes", "_prefixes", "_sorts", "records")

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self._columns: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        self._indexes: dict[tuple[str, str], dict[str, list[int]]] = {}
        self._sorts: dict[tuple[str, bool], list[Any]] = {}
        self._prefixes: dict[tuple[str, str], tuple[list[str], list[int]]] = {}

    def select(self, criteria: Iterable[Criterion], now: int | None) -> list[int]:
        """Positions of the records that meet every criterion and are seen at ``now``, in id order."""
        self._need([(c.param, c.form) for c in criteria])
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
        for criterion in rest:
            column, test = self._columns[criterion.param.name, criterion.form], criterion.test
            positions = [p for p in positions if test(column[p])]
        if now is not None:
            records = self.records
            positions = [p for p in positions if records[p].available <= now]
        return positions

    def sort_column(self, key: SortKey) -> list[Any]:
        """The value that a key sorts each record by (its least, or greatest if descending); None where it has none."""
        name = (key.param.name, key.descending)
        column = self._sorts.get(name)
        if column is None:
            self._need([(key.param, "")])
            by_code = key.param.kind in ("token", "reference", "patient")  # by code or id alone
            best = max if key.descending else min
            column = self._sorts[name] = []
            for found in self._columns[key.param.name, ""]:
                usable = tuple(value for value in found if value.startswith("\0")) if by_code else found
                column.append(best(usable) if usable else None)
        return column

    def _need(self, wanted: list[tuple[SearchParam, str]]) -> None:
        lacking = [(param, form) for param, form in wanted if (param.name, form) not in self._columns]
        if not lacking:
            return
        new: list[list[tuple[Any, ...]]] = [[] for _ in lacking]
        for record in self.records:
            resource = top_level(record.raw) if any(param.name != "_id" for param, _ in lacking) else {}
            resource["id"] = record.id
            for column, (param, form) in zip(new, lacking, strict=True):
                column.append(values(resource, param, form))
        for column, (param, form) in zip(new, lacking, strict=True):
            self._columns[param.name, form] = column

    def _by_keys(self, criterion: Criterion) -> list[int]:
        name = (criterion.param.name, criterion.form)
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = {}
            for position, found in enumerate(self._columns[name]):
                for key in dict.fromkeys(found):
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
            entries = sorted((value, position) for position, found in enumerate(self._columns[name]) for value in found)
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

        resource = json.loads(raw)
    return resource if isinstance(resource, dict) else {}
