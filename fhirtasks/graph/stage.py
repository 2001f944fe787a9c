"""Records on their way into a graph: read, checked, and put into a staging table with their search columns.

One DuckDB statement pulls batches from a Python generator, so that reading and checking (one thread at a time) overlap with
the computing of columns (all threads).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import msgspec

from fhirtasks.errors import UserError
from fhirtasks.graph.bundles import Deleted, Found, Opened, minified, resources_in
from fhirtasks.graph.columns import MOST_LINKS, columns_query
from fhirtasks.graph.server import is_server, pages
from fhirtasks.graph.sources import Part, Skipped, parts_of, reading

_BATCH_BYTES = 4_000_000
_BOM = b"\xef\xbb\xbf"
_QUOTE = 34
_START = re.compile(rb'\{"resourceType":"([A-Za-z]+)","id":"')
REFERENCE = b'"reference":"'
"""What stands before every reference string in minified JSON, and nowhere else: in a string the quotes would be escaped."""

STAGE = """
create temp table stage (
    source integer, type varchar, id varchar, raw varchar, subject varchar, codes varchar[], categories varchar[],
    status varchar, date_lo bigint, date_hi bigint, effective varchar, value varchar, unit varchar, pointers integer, {links});
"""
"""``pointers`` counts the reference strings in the text, ``link_0`` … are those at the places that ``columns`` knows."""

_LINKS = [f"link_{i}" for i in range(MOST_LINKS + 1)]
STAGE = STAGE.replace("{links}", ", ".join(f"{link} varchar" for link in _LINKS))
_NAMES = "source, type, id, raw, subject, codes, categories, status, date_lo, date_hi, effective, value, unit"
_NAMES += ", pointers, " + ", ".join(_LINKS)


@dataclass(slots=True)
class Reader:
    """Reads sources into batches. ``numbers`` are the sources' own; what is no resource is collected beside the batches."""

    sources: Sequence[str]
    numbers: Sequence[int]
    progress: Callable[[str], None]
    notes: dict[int, set[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    bundles: set[tuple[str, str | None]] = field(default_factory=set)
    full_urls: set[tuple[str, str, str, str]] = field(default_factory=set)
    deleted: set[tuple[str, str, int, int]] = field(default_factory=set)
    _raws: list[bytes] = field(default_factory=list)
    _types: list[str] = field(default_factory=list)
    _pointers: list[int] = field(default_factory=list)
    _size: int = 0

    def batches(self) -> Iterator[Any]:
        """pyarrow record batches of ``source, type, raw, pointers``. UserError names file, line and reason."""
        for number, source in zip(self.numbers, self.sources, strict=True):
            for _ in self._source(source, self.notes.setdefault(number, set())):
                if self._size >= _BATCH_BYTES:
                    yield self._batch(number)
            yield self._batch(number)

    def _source(self, source: str, notes: set[str]) -> Iterator[None]:
        """Yields whenever a batch may be taken."""
        if is_server(source):
            for url, text in pages(source):
                self.progress(f"reading {url}")
                self._document(url, text, paged=True)
                yield
            return
        for part in parts_of(source):
            if isinstance(part, Skipped):
                self.skipped.append(part.name)
                if re.search(r"licen[cs]e|copying|readme", part.name.rpartition("/")[2], re.IGNORECASE):
                    notes.add(part.name.partition("/")[2])
                continue
            self.progress(f"reading {part.name}")
            with reading(part.name):
                yield from self._lines(part) if part.lines else self._whole(part)

    def _lines(self, part: Part) -> Iterator[None]:
        """The quick way through NDJSON: a line that starts as the one before did, with type and id, needs no second look."""
        squeeze, raws, types, pointers = msgspec.json.format, self._raws, self._types, self._pointers
        start, type_, at = b"\n", "", 0
        with part.open() as file:
            for number, line in enumerate(file, 1):
                try:
                    text = squeeze(line, indent=-1)
                except (msgspec.DecodeError, RecursionError):
                    text = b""
                if not text.startswith(start):
                    begin = _START.match(text)
                    if begin and begin[1] != b"Bundle":
                        start, type_, at = begin[0], begin[1].decode(), begin.end()
                    else:
                        self._careful(f"{part.name}, line {number}", line, first=number == 1)
                        text = b""
                if text:
                    if text[at] == _QUOTE or not text.isascii() or (b"\\" in text and b"\\u" in text):
                        self._careful(f"{part.name}, line {number}", line, first=number == 1)
                    else:
                        raws.append(text)
                        types.append(type_)
                        pointers.append(text.count(REFERENCE))
                        self._size += len(text)
                if self._size >= _BATCH_BYTES:
                    yield

    def _careful(self, where: str, line: bytes, *, first: bool) -> None:
        """A line that is not plain sailing: Bundles, no id, escapes, other scripts, a byte order mark, blank, or wrong."""
        line = line.removeprefix(_BOM) if first else line
        if not line.strip():
            return
        try:
            self._document(where, minified(line))
        except ValueError as error:
            raise UserError(f"{where} {error}; mend or remove it.") from None

    def _whole(self, part: Part) -> Iterator[None]:
        with part.open() as file:
            data = file.read().removeprefix(_BOM)
        if not data.strip():
            raise UserError(f"{part.name} is empty; give a file with a FHIR resource or Bundle.")
        try:
            text = minified(data)
        except ValueError as error:
            # Some exporters call NDJSON .json: if the first line stands alone, every line must.
            lines = data.splitlines()
            try:
                minified(lines[0])
            except ValueError:
                at = re.search(r"byte (\d+)", str(error))
                line = f", line {data[: int(at[1])].count(10) + 1}," if at else ""
                raise UserError(f"{part.name}{line} {error}; mend or remove it.") from None
            for number, line_ in enumerate(lines, 1):
                self._careful(f"{part.name}, line {number}", line_, first=False)
                yield
            return
        self._document(part.name, text)
        yield

    def _document(self, where: str, text: bytes, *, paged: bool = False) -> None:
        try:
            text.decode()
            for item in resources_in(text, paged=paged):
                self._take(item)
        except UnicodeDecodeError as error:
            raise UserError(f"{where} is not UTF-8 (byte {error.start}); convert it and load again.") from None
        except ValueError as error:
            raise UserError(f"{where} {error}; mend or remove it.") from None

    def _take(self, item: Found | Deleted | Opened) -> None:
        if isinstance(item, Opened):
            self.bundles.add((item.hash, item.type))
        elif isinstance(item, Deleted):
            self.deleted.add((item.type, item.id, item.version, item.updated))
        else:
            self._raws.append(item.raw)
            self._types.append(item.type)
            self._pointers.append(item.raw.count(REFERENCE))
            self._size += len(item.raw)
            if item.bundle and item.full_url and not item.full_url.endswith(f"{item.type}/{item.id}"):
                self.full_urls.add((item.bundle, item.full_url, item.type, item.id))

    def _batch(self, source: int) -> Any:
        import pyarrow as pa

        arrays = [
            pa.array([source] * len(self._raws), pa.int32()),
            pa.array(self._types, pa.string()),
            pa.array(self._raws, pa.binary()).view(pa.string()),
            pa.array(self._pointers, pa.int32()),
        ]
        self._size = 0
        for column in (self._raws, self._types, self._pointers):
            column.clear()
        return pa.record_batch(arrays, names=["source", "type", "raw", "pointers"])


def stage(db: duckdb.DuckDBPyConnection, reader: Reader) -> None:
    """Fills the temporary table ``stage`` from ``reader``; its errors come through as they are."""
    import pyarrow as pa

    failure: list[BaseException] = []

    def batches() -> Iterator[Any]:
        try:
            yield from reader.batches()
        except BaseException as error:  # DuckDB would wrap it into its own words
            failure.append(error)
            raise

    schema = pa.schema([("source", pa.int32()), ("type", pa.string()), ("raw", pa.string()), ("pointers", pa.int32())])
    db.register("incoming", pa.RecordBatchReader.from_batches(schema, batches()))
    try:
        db.execute(f"insert into stage select {_NAMES} from ({columns_query('incoming', links=True)})")
    except duckdb.Error:
        if failure:
            raise failure[0] from None
        raise
    finally:
        db.unregister("incoming")


def stage_graph(db: duckdb.DuckDBPyConnection) -> None:
    """Puts the bodies of the attached graph ``old`` into ``stage`` too.

    The new table ``source`` already has the old sources, under numbers of their own.
    """
    count = f"(length(b.raw) - length(replace(b.raw, '{REFERENCE.decode()}', ''))) // {len(REFERENCE)}"
    relation = f"""(select new.source, b.type, b.raw, {count} as pointers
        from (select source, type, raw from old.resource union all select source, type, raw from old.superseded) b
        join old.source o on o.source = b.source
        join source new on new.name = o.name and new.licence is not distinct from o.licence
            and new.origin is not distinct from o.origin)"""
    db.execute(f"insert into stage select {_NAMES} from ({columns_query(relation, links=True)})")
