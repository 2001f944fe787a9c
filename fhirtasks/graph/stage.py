"""Records on their way into a graph: read, checked, and put into a table with their search columns.

One DuckDB statement pulls batches from a Python generator. Large NDJSON files on disk DuckDB reads itself, with all
threads, and takes if every line is plain: a resource with an id, minified, and printed as DuckDB would print it. If
any is not, the file goes the way of all others, where errors are worded and odd lines looked at one by one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from mmap import ACCESS_READ, mmap
from typing import Any

import duckdb
import msgspec

from fhirtasks.errors import UserError
from fhirtasks.graph import store
from fhirtasks.graph.bundles import Deleted, Found, Opened, minified, resources_in
from fhirtasks.graph.columns import ELEMENTS, MOST_LINKS, columns_query
from fhirtasks.graph.server import is_server, pages
from fhirtasks.graph.sources import Part, Skipped, parts_of, reading

_BATCH_BYTES = 1_000_000
_DIRECT_BYTES = 16_000_000
"""From this size on planning a query of its own for a file is cheaper than reading the file here."""

_BOM = b"\xef\xbb\xbf"
_START = re.compile(rb'\{"resourceType":"([A-Za-z]+)","id":"')
LOGICAL = b'"identifier":{'
"""What stands in a reference by identifier alone."""

REFERENCE = b'"reference":"'
"""What stands before every reference string in minified JSON, and nowhere else: in a string the quotes would be
escaped.
"""

_DEPTH = 500
"""Lines with more brackets than this go the careful way, which refuses texts that are nested too deeply to be decoded."""

_KNOWN = ", ".join(map(repr, ELEMENTS))
LINKS = tuple(f"link_{i}" for i in range(MOST_LINKS + 1))
_SEEN = " + ".join(f"({link} is not null)::integer" for link in LINKS)
_SELECT = f"""type, id, case when type = 'Patient' then id else subject end as patient, codes, categories, status, date_lo,
    date_hi, effective, value, unit, source, raw, case
        when pointers = {_SEEN} then 0 else pointers end as pointers,
    {", ".join(LINKS)}"""


@dataclass(slots=True)
class Reader:
    """Reads sources into batches. ``numbers`` are the sources' own; what is no resource is collected beside the
    batches, and so is, in ``direct``, what DuckDB may try to read itself (part, path, source).
    """

    sources: Sequence[str]
    numbers: Sequence[int]
    progress: Callable[[str], None]
    careful: bool = False
    notes: dict[int, set[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    logical: bool = False
    bundles: set[tuple[Any, ...]] = field(default_factory=set)
    full_urls: set[tuple[Any, ...]] = field(default_factory=set)
    deleted: set[tuple[Any, ...]] = field(default_factory=set)
    direct: list[tuple[Part, str, int]] = field(default_factory=list)
    _raws: list[bytes] = field(default_factory=list)
    _types: list[str] = field(default_factory=list)
    _size: int = 0

    def batches(self) -> Iterator[Any]:
        """pyarrow record batches of ``source, type, raw, pointers``. UserError names file, line and reason."""
        for number, source in zip(self.numbers, self.sources, strict=True):
            yield from self._source(source, number)
            if self._raws:
                yield self._batch(number)

    def _source(self, source: str, number: int) -> Iterator[Any]:
        notes = self.notes.setdefault(number, set())
        if is_server(source):
            for url, text in pages(source):
                self.progress(f"reading {url}")
                self._document(url, text, paged=True)
                yield from self._full(number)
            return
        for part in parts_of(source):
            if isinstance(part, Skipped):
                self.skipped.append(part.name)
                if re.search(r"licen[cs]e|copying|readme", part.name.rpartition("/")[2], re.IGNORECASE):
                    notes.add(part.name.partition("/")[2])
                continue
            self.progress(f"reading {part.name}")
            with reading(part.name):
                if not part.lines:
                    self._whole(part)
                elif not self.careful and (path := _on_disk(part)):
                    self.direct.append((part, path, number))
                else:
                    yield from self._lines(part, number)
                yield from self._full(number)

    def lines_of(self, part: Part, source: int) -> Iterator[Any]:
        """The batches of one NDJSON part."""
        with reading(part.name):
            yield from self._lines(part, source)
        if self._raws:
            yield self._batch(source)

    def _full(self, source: int) -> Iterator[Any]:
        if self._size >= _BATCH_BYTES:
            yield self._batch(source)

    def _lines(self, part: Part, source: int) -> Iterator[Any]:
        """NDJSON, some thousand lines at a time: quickly where all of them are plain, else one by one."""
        import pyarrow as pa

        squeeze = partial(msgspec.json.format, indent=-1)
        number = 1
        with part.open() as file:
            while lines := file.readlines(_BATCH_BYTES):
                try:
                    texts: list[bytes] = list(map(squeeze, lines))  # type: ignore[arg-type]
                    begin = _START.match(texts[0])
                except (msgspec.DecodeError, RecursionError):
                    begin = None
                if begin is not None and begin[1] != b"Bundle" and not self.careful:
                    raws = pa.array(texts, pa.binary())
                    whole = raws.buffers()[2].to_pybytes()
                    if _all_plain(texts, whole, begin[0]):
                        self.logical = self.logical or LOGICAL in whole
                        yield self._record_batch(source, [begin[1].decode()] * len(texts), raws, texts)
                        number += len(lines)
                        continue
                for at, line in enumerate(lines, number):
                    self._careful(f"{part.name}, line {at}", line, first=at == 1)
                    if self._size >= _BATCH_BYTES:
                        yield self._batch(source)
                number += len(lines)

    def _careful(self, where: str, line: bytes, *, first: bool) -> None:
        """A line that is not plain sailing: Bundles, no id, escapes, other scripts, a byte order mark, blank, or
        wrong.
        """
        line = line.removeprefix(_BOM) if first else line
        if not line.strip():
            return
        try:
            self._document(where, minified(line))
        except ValueError as error:
            raise UserError(f"{where} {error}; mend or remove it.") from None

    def _whole(self, part: Part) -> None:
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
            return
        self._document(part.name, text)

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
            self.logical = self.logical or LOGICAL in item.raw
            self._types.append(item.type)
            self._size += len(item.raw)
            if item.bundle and item.full_url and not item.full_url.endswith(f"{item.type}/{item.id}"):
                self.full_urls.add((item.bundle, item.full_url, item.type, item.id))

    def _batch(self, source: int) -> Any:
        import pyarrow as pa

        batch = self._record_batch(source, self._types, pa.array(self._raws, pa.binary()), self._raws)
        self._raws.clear()
        self._types.clear()
        self._size = 0
        return batch

    def _record_batch(self, source: int, types: list[str], raws: Any, texts: list[bytes]) -> Any:
        import pyarrow as pa

        if types[0] in ELEMENTS and types.count(types[0]) == len(types):
            pointers = [text.count(REFERENCE) for text in texts]
        else:  # -1 stands for a type whose links ``columns`` does not know
            pointers = [
                text.count(REFERENCE) if type_ in ELEMENTS else -1 for type_, text in zip(types, texts, strict=True)
            ]
        arrays = [
            pa.array([source] * len(types), pa.int32()),
            pa.array(types, pa.string()),
            raws.view(pa.string()),
            pa.array(pointers, pa.int32()),
        ]
        return pa.record_batch(arrays, names=["source", "type", "raw", "pointers"])


def _all_plain(texts: list[bytes], whole: bytes, start: bytes) -> bool:
    """Whether all begin with the same type and with an id, in ASCII, without ``\\u`` escapes."""
    if not whole.isascii() or (b"\\" in whole and any(b"\\u" in text for text in texts if b"\\" in text)):
        return False
    return all([text.startswith(start) for text in texts])  # noqa: C419  a list is quicker: it is nearly always all of them


def _on_disk(part: Part) -> str | None:
    """The path of a large plain file that begins as its lines should."""
    with part.open() as file:
        if not (isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO)):
            return None
        path, begin = str(file.name), _START.match(file.peek(100))
        large = file.seek(0, io.SEEK_END) >= _DIRECT_BYTES
    plain = begin is not None and begin[1] != b"Bundle" and not set(path) & set("*?[]{}\\")  # DuckDB takes patterns
    return path if large and plain else None


def fill(db: duckdb.DuckDBPyConnection, reader: Reader, *, old: bool) -> None:
    """Makes the temporary table ``staged`` of what ``reader`` gives and, with ``old``, of all bodies of the attached
    graph of that name.

    It has the columns of ``resource`` and, for the building of edges, more: ``link_0`` …, the reference strings at the
    places that ``columns`` knows, and ``pointers``, 0 if the text has no others (-1 if that is not known). Errors of the
    reader come through as they are.
    """
    links = ", ".join(f"{link} varchar" for link in LINKS)
    db.execute(
        f"create temp table staged ({store.COLUMNS.replace(' using compression zstd', '')}, pointers integer, {links})"
    )
    _stream(db, reader.batches(), f"(select * from incoming union all {_OLD})" if old else "incoming")
    for part, path, source in reader.direct:
        try:
            db.execute(_insert(_plain_lines(path, source)))
        except duckdb.Error:
            _stream(db, reader.lines_of(part, source), "incoming")
        else:
            with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
                reader.logical = reader.logical or text.find(LOGICAL) >= 0


def _stream(db: duckdb.DuckDBPyConnection, batches: Iterator[Any], relation: str) -> None:
    import pyarrow as pa

    failure: list[BaseException] = []

    def watched() -> Iterator[Any]:
        try:
            yield from batches
        except BaseException as error:  # DuckDB would wrap it into its own words
            failure.append(error)
            raise

    schema = pa.schema([("source", pa.int32()), ("type", pa.string()), ("raw", pa.string()), ("pointers", pa.int32())])
    db.register("incoming", pa.RecordBatchReader.from_batches(schema, watched()))
    try:
        db.execute(_insert(relation))
    except duckdb.Error:
        if failure:
            raise failure[0] from None
        raise
    finally:
        db.unregister("incoming")


def _insert(relation: str) -> str:
    return f"insert into staged select {_SELECT} from ({columns_query(relation, links=True)})"


def _plain_lines(path: str, source: int) -> str:
    """The lines of a file as a relation; reading it fails if any is not plain.

    What DuckDB prints as it stands is minified JSON in UTF-8, but for NaN and the like, which it allows.
    """
    begin = r'^\{"resourceType":"([A-Za-z]+)","id":"[^"]'
    return f"""(select {source} as source, type, raw,
        case when type in ('', 'Bundle') or json(raw) <> raw or contains(raw, 'NaN') or contains(raw, 'Infinity')
                or (strlen(raw) > 2 * {_DEPTH} and len(regexp_extract_all(raw, '[{{\\[]')) > {_DEPTH})
            then error('not plain')
            when type in ({_KNOWN})
            then len(regexp_extract_all(raw, '{REFERENCE.decode()}')) else -1 end::integer as pointers
        from (select json::varchar as raw, regexp_extract(json::varchar, '{begin}', 1) as type
            from read_ndjson_objects('{path.replace("'", "''")}', compression = 'uncompressed', maximum_object_size = 2000000)))"""


# The new table ``source`` has the old sources too, under numbers of their own.
_OLD = f"""
    select new.source, b.type, b.raw,
        case when b.type not in ({_KNOWN}) then -1 else
            (length(b.raw) - length(replace(b.raw, '{REFERENCE.decode()}', ''))) // {len(REFERENCE)} end::integer as pointers
    from (select source, type, raw from old.resource union all select source, type, raw from old.superseded) b
    join old.source o on o.source = b.source
    join source new on new.name = o.name and new.licence is not distinct from o.licence
        and new.origin is not distinct from o.origin"""
