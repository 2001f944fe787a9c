"""Records on their way into a graph: read, checked, and put into a table with their search columns.

One DuckDB statement pulls batches from a Python generator: one thread reads, the others take the texts apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import msgspec

from fhirtasks.errors import UserError
from fhirtasks.graph.bundles import Deleted, Found, Opened, decode_head, minified, resources_in, too_deep
from fhirtasks.graph.columns import MOST_LINKS, columns_query
from fhirtasks.graph.known import known_sql
from fhirtasks.graph.lines import Lines, blocks, read_lines
from fhirtasks.graph.server import is_server, pages
from fhirtasks.graph.sources import Part, Skipped, parts_of, reading
from fhirtasks.graph.texts import Texts

_BATCH_BYTES = 1_000_000
_BOM = b"\xef\xbb\xbf"
LOGICAL = b'"identifier":{'
"""What stands in a reference by identifier alone."""

_REFERENCE = '"reference":"'
"""What stands before every reference string in minified JSON, and nowhere else: in a string the quotes would be
escaped.
"""

LINKS = tuple(f"link_{i}" for i in range(MOST_LINKS + 1))
_SEEN = " + ".join(f"({link} is not null)::integer" for link in LINKS)
_SELECT = f"""type, id, case when type = 'Patient' then id else subject end as patient, codes, categories, status, date_lo,
    date_hi, effective, value, unit, source, place,
    len(string_split(raw, '{_REFERENCE}')) - 1 <> {_SEEN} as more, {", ".join(LINKS)}"""


@dataclass(slots=True)
class Reader:
    """Reads sources into batches. ``numbers`` are the sources' own; what is no resource is collected beside the
    batches. A ``careful`` one looks at NDJSON line by line, and at nothing else.
    """

    sources: Sequence[str]
    numbers: Sequence[int]
    texts: Texts
    progress: Callable[[str], None]
    careful: bool = False
    notes: dict[int, set[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    logical: bool = False
    bundles: set[tuple[Any, ...]] = field(default_factory=set)
    full_urls: set[tuple[Any, ...]] = field(default_factory=set)
    deleted: set[tuple[Any, ...]] = field(default_factory=set)
    _raws: list[bytes] = field(default_factory=list)
    _types: list[str] = field(default_factory=list)
    _size: int = 0

    def batches(self) -> Iterator[Any]:
        """pyarrow record batches of ``source, type, place, raw``. UserError names file, line and reason."""
        for number, source in zip(self.numbers, self.sources, strict=True):
            yield from self._source(source, number)
            yield from self._rest(number)

    def _source(self, source: str, number: int) -> Iterator[Any]:
        notes = self.notes.setdefault(number, set())
        if is_server(source):
            for url, text in pages(source) if not self.careful else ():
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
                if part.lines:
                    yield from self._lines(part, number)
                elif not self.careful:
                    self._whole(part)
                yield from self._full(number)

    def keep(self, raws: Any) -> Any:
        """The places of further texts, both pyarrow arrays of strings and numbers."""
        import numpy as np

        raws = raws.combine_chunks()
        _, offsets, data = raws.buffers()
        ends = np.frombuffer(offsets, np.int32)[raws.offset : raws.offset + len(raws) + 1]
        return self.texts.add(data, ends[:-1], np.diff(ends))[0]

    def _full(self, source: int) -> Iterator[Any]:
        if self._size >= _BATCH_BYTES:
            yield from self._rest(source)

    def _rest(self, source: int) -> Iterator[Any]:
        if self._raws:
            yield self._batch(source, self._types, self._raws)
            self._types, self._raws, self._size = [], [], 0

    def _lines(self, part: Part, source: int) -> Iterator[Any]:
        number, loose = 1, False
        with part.open() as file:
            for block, size in blocks(file):
                batch, odd, count, loose = self._most(block, size, source, loose)
                if batch is not None:
                    yield batch
                for at, text in odd:
                    self._careful(f"{part.name}, line {number + at}", text, first=number + at == 1)
                    yield from self._full(source)
                number += count

    def _most(
        self, block: bytearray, size: int, source: int, loose: bool
    ) -> tuple[Any, Sequence[tuple[int, bytes]], int, bool]:
        """A batch of the lines that need no care; the others, counted from 0; how many there are in all; whether to
        expect that few of the next are plain.
        """
        if not (loose or self.careful):
            lines = read_lines(block, size)
            plain = lines.kinds >= 0
            if plain.mean() > 0.5:
                self.logical = self.logical or block.find(LOGICAL, 0, size) >= 0
                odd = [(int(at), bytes(block[lines.starts[at] : lines.ends[at]])) for at in (~plain).nonzero()[0]]
                return self._plain(memoryview(block)[:size], lines, source), odd, len(plain), False
        texts = bytes(block[: size - 1]).split(b"\n")
        if not self.careful and (found := _ordinary(texts)) is not None:
            self.logical = self.logical or any(LOGICAL in text for text in found[1])
            return self._batch(source, *found), (), len(texts), True
        return None, list(enumerate(texts)), len(texts), loose

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
                minified(next(filter(bytes.strip, lines)))
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

    def _plain(self, block: memoryview, lines: Lines, source: int) -> Any:
        import pyarrow as pa

        plain = (lines.kinds >= 0).nonzero()[0]
        types = pa.array(lines.types, pa.string()).take(pa.array(lines.kinds[plain]))
        starts = lines.starts[plain]
        return _record_batch(source, types, *self.texts.add(block, starts, lines.ends[plain] - starts))

    def _batch(self, source: int, types: Sequence[str], raws: Sequence[bytes]) -> Any:
        import numpy as np
        import pyarrow as pa

        lengths = np.fromiter(map(len, raws), np.int64, len(raws))
        added = self.texts.add(b"".join(raws), np.cumsum(lengths) - lengths, lengths)
        return _record_batch(source, pa.array(types, pa.string()), *added)


def _record_batch(source: int, types: Any, places: Any, raws: Any) -> Any:
    import pyarrow as pa

    sources = pa.repeat(pa.scalar(source, pa.int32()), len(types))
    return pa.record_batch([sources, types, places, raws], names=_INCOMING)


def _ordinary(texts: Sequence[bytes]) -> tuple[list[str], list[bytes]] | None:
    """The types and minified texts of lines that may have white space and any order of keys; None if one of them holds
    no resource, a Bundle, or one without an id.
    """
    try:
        raws = [msgspec.json.format(text, indent=-1) for text in texts]
        heads = list(map(decode_head, raws))
        for raw in raws:
            if not raw.isascii():
                raw.decode()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if any(map(too_deep, raws)):
        return None
    types = [head.resource_type for head in heads]
    letters = all(type_.isascii() and type_.isalpha() for type_ in set(types))
    return (types, raws) if letters and "Bundle" not in types and all(head.id for head in heads) else None


def fill(db: duckdb.DuckDBPyConnection, reader: Reader, *, old: bool) -> None:
    """Makes the table ``work.staging`` of what ``reader`` gives and, with ``old``, of all bodies of the attached
    graph of that name.

    It has the columns of ``resource``, but for ``raw`` the text's ``place``, then ``known``, the known collection whose
    mark the text has, and, for the building of edges, ``link_0`` …, the reference strings at the places that ``columns``
    knows, and ``more``, whether the text has others.
    The view ``work.staged`` has ``raw`` too. Errors of the reader come through as they are.
    """
    import pyarrow as pa

    failure: list[BaseException] = []

    def watched() -> Iterator[Any]:
        try:
            yield from reader.batches()
        except BaseException as error:  # DuckDB would wrap it into its own words
            failure.append(error)
            raise

    schema = pa.schema(list(zip(_INCOMING, (pa.int32(), pa.string(), pa.int64(), pa.string_view()), strict=True)))
    db.register("incoming", pa.RecordBatchReader.from_batches(schema, watched()))
    db.create_function("keep", reader.keep, ["VARCHAR"], "BIGINT", type="arrow", null_handling="special")
    db.create_function("text_at", reader.texts.at, ["BIGINT"], "VARCHAR", type="arrow", null_handling="special")
    relation = f"(from incoming union all {_OLD})" if old else "incoming"
    try:
        db.execute(f"""create table work.staging as select {_SELECT}, {known_sql("raw")} as known
            from ({columns_query(relation, links=True)})""")
    except duckdb.Error:
        if failure:
            raise failure[0] from None
        # A line that looked plain is no JSON; which one, and why, the careful way says.
        for _ in Reader(reader.sources, reader.numbers, reader.texts, lambda message: None, careful=True).batches():
            pass
        raise
    finally:
        db.unregister("incoming")
    db.execute("create view work.staged as select *, text_at(place) as raw from work.staging")


_INCOMING = ("source", "type", "place", "raw")

# The new table ``source`` has the old sources too, under numbers of their own.
_OLD = """
    select new.source, b.type, keep(b.raw), b.raw
    from (select source, type, raw from old.resource union all select source, type, raw from old.superseded) b
    join old.source o on o.source = b.source
    join source new on new.name = o.name and new.licence is not distinct from o.licence
        and new.origin is not distinct from o.origin"""
