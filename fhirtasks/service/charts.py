"""The two tiers that a search can run on: charts in memory, patient by patient, and DuckDB for what no patient bounds.

Both end in the same matcher (:class:`fhirtasks.service.table.Table`), so they give the same answers; SQL only narrows
what the matcher has to look at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from fhirtasks.graph.world import World
from fhirtasks.service.query import Criterion, Query
from fhirtasks.service.table import Record, Table

CHART_BYTES = 256 * 2**20
"""Charts kept in memory per world: the least recently used leave beyond this many bytes of resource text."""

_BATCH = 5_000
_SCANS = 8
_RECENT = 4_096


@dataclass(slots=True)
class Found:
    """Matches in id order, and, if the search sorts, the values of its sort keys by id."""

    records: list[Record] = field(default_factory=list)
    keys: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _ordered: list[Record] | None = None
    """What :meth:`ordered` gave last."""

    def add(self, table: Table, query: Query, patients: frozenset[str] | None, now: int | None) -> None:
        """Adds the matches of one table; with ``patients`` only theirs."""
        self._ordered = None
        positions = table.select(query.criteria, now)
        records = table.records
        if patients is not None:
            positions = [p for p in positions if records[p].patient in patients]
        self.records += [records[p] for p in positions]
        if query.sort:
            columns = [table.sort_values(key, positions) for key in query.sort]
            self.keys.update((records[p].id, tuple([column[p] for column in columns])) for p in positions)

    def sort_by_id(self) -> None:
        """Restores the id order after several tables were added."""
        self._ordered = None
        self.records.sort(key=attrgetter("id"))

    def ordered(self, query: Query) -> list[Record]:
        """In the search's order: its sort keys, then id; what lacks a key's value comes last either way."""
        if self._ordered is None:
            self._ordered = self._in_order(query)
        return self._ordered

    def _in_order(self, query: Query) -> list[Record]:
        records, keys = self.records, self.keys
        for place, key in reversed(list(enumerate(query.sort))):
            having = [record for record in records if keys[record.id][place] is not None]
            having.sort(key=lambda record: keys[record.id][place], reverse=key.descending)
            records = having + [record for record in records if keys[record.id][place] is None]
        return records


class Charts:
    """One world's charts, shared by every episode that runs on it."""

    def __init__(self, world: World) -> None:
        self._db = world.db
        self._available = "available" if world.has_available else "NULL"
        self._columns = f"type, id, patient, raw, {self._available}"
        self._charts: OrderedDict[str, tuple[dict[str, Table], int]] = OrderedDict()
        self._bytes = 0
        self._people: Table | None = None
        self._identifiers: dict[str, dict[str, list[str]]] = {}
        self._records: OrderedDict[tuple[str, str], Record | None] = OrderedDict()
        self._scans: OrderedDict[Any, Found] = OrderedDict()
        self._recent: OrderedDict[Any, Found] = OrderedDict()
        self.types = tuple(
            row[0] for row in self._db.execute("SELECT DISTINCT type FROM resource ORDER BY type").fetchall()
        )

    @staticmethod
    def of(world: World) -> Charts:
        """The world's charts; made on the first call."""
        key = ("fhirtasks.service.charts",)
        charts = world.memo.get(key)
        if charts is None:
            charts = world.memo[key] = Charts(world)
        assert isinstance(charts, Charts)
        return charts

    def chart(self, patient: str) -> dict[str, Table]:
        """The patient's whole compartment by type: one query on first touch."""
        found = self._charts.get(patient)
        if found is not None:
            self._charts.move_to_end(patient)
            return found[0]
        rows = self._db.execute(
            f"SELECT {self._columns} FROM resource WHERE patient = ? ORDER BY type, id",
            [patient],
        ).fetchall()
        by_type: dict[str, list[Record]] = {}
        for row in rows:
            by_type.setdefault(row[0], []).append(Record(*row))
        chart = {type: Table(records) for type, records in by_type.items()}
        size = sum(len(row[3]) for row in rows)
        self._charts[patient] = (chart, size)
        self._bytes += size
        while self._bytes > CHART_BYTES and len(self._charts) > 1:
            self._bytes -= self._charts.popitem(last=False)[1][1]
        return chart

    def texts(self, type: str, patient: str, ids: Collection[str]) -> dict[str, str]:
        """The JSON texts of some resources of one type in the patient's chart, by id."""
        table = self.chart(patient).get(type)
        return {} if table is None else {record.id: record.raw for record in table.records if record.id in ids}

    def people(self) -> Table:
        """Every Patient of the world."""
        if self._people is None:
            rows = self._db.execute(
                f"SELECT {self._columns} FROM resource WHERE type = 'Patient' ORDER BY id"
            ).fetchall()
            self._people = Table([Record(*row) for row in rows])
        return self._people

    def read(self, type: str, id: str) -> Record | None:
        """One resource by type and id, whatever its time."""
        key = (type, id)
        if key in self._records:
            self._records.move_to_end(key)
            return self._records[key]
        row = self._db.execute(f"SELECT {self._columns} FROM resource WHERE id = ? AND type = ?", [id, type]).fetchone()
        record = self._records[key] = None if row is None else Record(*row)
        while len(self._records) > _BATCH:
            self._records.popitem(last=False)
        return record

    def prefetch(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Reads resources by type and id in one query a type, so that :meth:`read` finds them."""
        lacking: dict[str, dict[str, None]] = {}
        for type, id in wanted:
            if (type, id) not in self._records:
                lacking.setdefault(type, {})[id] = None
        for type, ids in lacking.items():
            rows = self._db.execute(
                f"SELECT {self._columns} FROM resource WHERE id IN (SELECT unnest(?)) AND type = ?", [list(ids), type]
            ).fetchall()
            there = {row[1]: Record(*row) for row in rows}
            self._records.update({(type, id): there.get(id) for id in ids})

    def identified(self, type: str, token: str) -> list[str]:
        """Ids of the resources of this type with the identifier ``system|value``; one index per type, on first touch."""
        index = self._identifiers.get(type)
        if index is None:
            index = self._identifiers[type] = {}
            rows = self._db.execute(
                """SELECT id, i->>'system', i->>'value' FROM (
                    SELECT id, unnest(json_extract(raw, '$.identifier[*]')) AS i FROM resource WHERE type = ?)
                ORDER BY id""",
                [type],
            ).fetchall()
            for id, system, value in rows:
                for known in {f"{system or ''}|{value}", str(value)}:
                    if id not in index.setdefault(known, []):
                        index[known].append(id)
        return index.get(token, [])

    def in_memory(self, query: Query, patients: frozenset[str] | None, now: int | None) -> Found:
        """Matches among all Patients, or in the charts of ``patients``; in id order.

        The last results are kept: an episode is replayed right after it was made, and replayed in what-if worlds when
        the partition's other episodes are there too.
        """
        if not query.encoded:  # everything, or the inner half of a chained search: these have no text to know them by
            return self._look_up(query, patients, now)
        key = (query.type, query.encoded, patients, now)
        found = self._recent.get(key)
        if found is None:
            found = self._recent[key] = self._look_up(query, patients, now)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return found

    def _look_up(self, query: Query, patients: frozenset[str] | None, now: int | None) -> Found:
        if query.type == "Patient":
            tables = [self.people()]
        else:
            tables = [t for patient in sorted(patients or ()) if (t := self.chart(patient).get(query.type)) is not None]
        found = Found()
        for table in tables:
            found.add(table, query, patients if query.type == "Patient" else None, now)
        if len(tables) > 1:
            found.sort_by_id()
        return found

    def in_sql(self, query: Query, patients: frozenset[str] | None, now: int | None) -> Found:
        """As :meth:`in_memory`, by a scan of the world in DuckDB; in id order. The records are bare: see
        :meth:`filled`.

        The last few results are kept, so that the further pages of a search cost no further scan.
        """
        key = (query.type, query.encoded, patients, now)
        found = self._scans.get(key)
        if found is None:
            found = Found()
            for table in self._candidates(query, patients, now):
                found.add(table, query, None, now)
                for record in table.records:
                    record.raw = ""
            self._scans[key] = found
            if len(self._scans) > _SCANS:
                self._scans.popitem(last=False)
        else:
            self._scans.move_to_end(key)
        return found

    def filled(self, records: list[Record]) -> list[Record]:
        """The same records, those that are bare replaced by ones with their text."""
        bare = [record for record in records if not record.raw]
        if not bare:
            return records
        rows = self._db.execute(
            f"SELECT {self._columns} FROM resource WHERE id IN (SELECT unnest(?)) AND type = ?",
            [[record.id for record in bare], bare[0].type],
        ).fetchall()
        whole = {row[1]: Record(*row) for row in rows}
        return [record if record.raw else whole[record.id] for record in records]

    def _candidates(self, query: Query, patients: frozenset[str] | None, now: int | None) -> Iterator[Table]:
        """Records that may match, in batches, in id order: SQL narrows by patient, id, code, category and time."""
        where: list[str] = ["type = ?"]
        values: list[Any] = [query.type]
        if patients is not None:
            where.append("list_contains(?, patient)")
            values.append(sorted(patients))
        if now is not None and self._available == "available":
            where.append("(available IS NULL OR available <= ?)")
            values.append(now)
        for criterion in query.criteria:
            if (condition := _narrowing(query.type, criterion)) is not None:
                where.append(condition[0])
                values.append(condition[1])
        columns = self._columns if query.criteria or query.sort else self._columns.replace("raw", "''")
        cursor = self._db.cursor()
        cursor.execute(
            f"SELECT {columns} FROM resource WHERE {' AND '.join(where)} ORDER BY id",
            values,
        )
        while rows := cursor.fetchmany(_BATCH):
            yield Table([Record(*row) for row in rows])


_CODES = {
    "Observation",
    "Condition",
    "MedicationRequest",
    "Procedure",
    "ServiceRequest",
    "Immunization",
    "DiagnosticReport",
}
"""Types whose column ``codes`` holds all that their parameter code (vaccine-code) looks at."""


def _narrowing(type: str, criterion: Criterion) -> tuple[str, Any] | None:
    """A condition that every match meets, with its value; None where the columns cannot tell."""
    if criterion.keys is None:
        return None
    name = criterion.param.name
    if name == "_id":
        return "list_contains(?, id)", [key.removeprefix("\0").rpartition("|")[2] for key in criterion.keys]
    column = "codes" if name in ("code", "vaccine-code") and type in _CODES else None
    if column is None or any(key.startswith("\1") for key in criterion.keys):
        return None
    if any(key.startswith("\0") for key in criterion.keys):
        wanted = [key.removeprefix("\0").rpartition("|")[2] for key in criterion.keys]
        return f"list_has_any(list_transform({column}, lambda c: regexp_extract(c, '[^|]*$')), ?)", wanted
    return f"list_has_any({column}, ?)", sorted(criterion.keys)
