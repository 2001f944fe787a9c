"""The rows of a data file, whatever it is: Parquet, Arrow, JSON lines, JSON, CSV or text, plain or compressed.

A file's kind is taken from its first bytes; the name only decides between CSV and text, which look alike. Numbers of
JSON keep their digits as written (``Decimal``). Memory does not grow with the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import IO, Any, Final

from fhirtasks.benchmarks.kinds import Kind
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import loads

BLOCK, OVERLAP = 1 << 16, 1 << 12
"""Characters of a text that count as one row, and how many of them the next row repeats."""
LARGEST: Final = 1 << 26
"""Characters of a JSON value, and bytes of a line, from which on it is read as mere text, where that is allowed."""
_FULL: Final = json.JSONDecoder(parse_float=Decimal)
_BLANK: Final = " \t\r\n,[\ufeff"


def every_pair(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """For ``object_pairs_hook``: an object that keeps every value of a key that occurs twice, as ``key (2)``."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        name, number = key, 1
        while name in found:
            number += 1
            name = f"{key} ({number})"
        found[name] = value
    return found


_EVERY: Final = json.JSONDecoder(parse_float=Decimal, object_pairs_hook=every_pair)


class Heading(dict[str, Any]):
    """What a file says beside its rows: names of columns (the first line of a table may be no header at all), metadata."""


def rows(
    file: IO[bytes],
    kind: Kind,
    name: str,
    *,
    strict: bool,
    encoding: str | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Any]:
    """The rows of an open file, from its beginning; of ``jsonl`` only the lines that begin in bytes [start, stop).

    A row of a table is a dict, one of ``text`` or ``xml`` a text of at most :data:`BLOCK` characters. ``strict``: what
    is damaged is a UserError that names file, row and reason; else its raw text is given, of CSV and Arrow a
    :class:`Heading` first, and of a key that one object has twice both values, so that nothing goes unread.
    ``encoding`` is that of :func:`~fhirtasks.benchmarks.kinds.encoding_of`.
    """
    if kind == "parquet":
        return _parquet(file, name)
    if kind == "arrow":
        return _arrow(file, name, strict)
    if kind == "jsonl":
        return _lines(file, name, strict, start, stop)
    text = io.TextIOWrapper(
        file, encoding=encoding or "utf-8-sig", errors="strict" if strict else "replace", newline=""
    )
    if kind == "json":
        return _json(text, name, strict)
    if kind == "csv":
        return _csv(text, name, strict)
    return blocks(text)


def blocks(text: IO[str]) -> Iterator[str]:
    """A long text in pieces, each with the end of the one before, so that what lies across a border is read whole."""
    before = ""
    while piece := text.read(BLOCK - len(before)):
        yield before + piece
        before = (before + piece)[-OVERLAP:]


def _parquet(file: IO[bytes], name: str) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=256):
                yield from dicts(batch)
    except (pa.ArrowException, OSError) as error:
        raise damaged(name, error) from None


def dicts(batch: Any) -> list[dict[str, Any]]:
    """The rows of a record batch; of columns that share a name all are there, as ``name (2)``."""
    names = batch.schema.names
    if len(set(names)) < len(names):
        batch = batch.rename_columns(list(every_pair((column, None) for column in names)))
    found: list[dict[str, Any]] = batch.to_pylist()
    return found


def heading(schema: Any) -> Heading:
    """What an Arrow schema says: the columns' names, and the metadata of the table and of its fields, nested ones too."""
    metadata = schema.metadata or {}
    fields = [pair for field in schema for pair in _said_of(field)]
    return Heading(columns=schema.names, metadata=list(metadata.values()), keys=list(metadata), fields=fields)


def _said_of(field: Any) -> Iterator[bytes]:
    for pair in (field.metadata or {}).items():
        yield from pair
    for number in range(field.type.num_fields):
        if hasattr(field.type, "field"):
            yield from _said_of(field.type.field(number))


def _arrow(file: IO[bytes], name: str, strict: bool) -> Iterator[Any]:
    """Both forms of Arrow files: the stream that ``datasets`` saves, and the file with an index (Feather)."""
    import pyarrow as pa

    try:
        if file.read(6) == b"ARROW1":
            file.seek(0)
            with pa.ipc.open_file(file) as table:
                if not strict:
                    yield heading(table.schema)
                batches: Iterator[Any] = (table.get_batch(number) for number in range(table.num_record_batches))
                for batch in batches:
                    yield from _sliced(batch)
        else:
            file.seek(0)
            with pa.ipc.open_stream(file) as stream:
                if not strict:
                    yield heading(stream.schema)
                for batch in stream:
                    yield from _sliced(batch)
    except (pa.ArrowException, OSError) as error:
        raise damaged(name, error) from None


def _sliced(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, 256):
        yield from dicts(batch.slice(start, 256))


def damaged(name: str, error: Exception) -> UserError:
    """What to say of a file that cannot be read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"{name} cannot be read ({reason.rstrip('.')}); download or write it again.")


def _lines(file: IO[bytes], name: str, strict: bool, start: int, stop: int | None) -> Iterator[Any]:
    """A line belongs to the range in which it begins."""
    if start:
        file.seek(start - 1)
        start = start - 1 + len(file.readline())
    for number, line in enumerate(_read_lines(file, name), 1):
        if stop is not None and start >= stop:
            return
        start += len(line)
        line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        try:
            yield _value(line) if strict else _EVERY.decode(line.decode())
        except (ValueError, RecursionError) as error:
            if strict:
                raise UserError(
                    f"{name}, line {number}: not JSON ({str(error).rstrip('.')}); give one JSON value per line."
                ) from None
            yield line.decode("utf-8", "replace")


def _read_lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    try:
        yield from iter(lambda: file.readline(LARGEST), b"")
    except (EOFError, OSError, lzma.LZMAError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise damaged(name, error) from None


def _value(line: bytes) -> Any:
    try:
        return loads(line)
    except ValueError:
        return json.loads(line, parse_float=Decimal)  # NaN and Infinity, as Python writes them


def _json(text: IO[str], name: str, strict: bool) -> Iterator[Any]:
    """The elements of a list, or values one after the other; a single object is one row."""
    buffer, place, number, size = "", 0, 0, BLOCK
    decoder = _FULL if strict else _EVERY
    while True:
        while place < len(buffer) and buffer[place] in _BLANK:
            place += 1
        try:
            value, end = decoder.raw_decode(buffer, place)
            if end == len(buffer) and buffer[end - 1] not in '}]"':
                raise json.JSONDecodeError("a number may go on", buffer, end)
            number += 1
            place = end
            yield value
            while place < len(buffer) and buffer[place] in " \t\r\n,]":
                place += 1
            size = BLOCK
            continue
        except (ValueError, RecursionError) as error:
            try:
                more = text.read(size)
            except UnicodeDecodeError as broken:
                raise UserError(f"{name} is not UTF-8 text ({broken.reason}); give it in UTF-8.") from None
            except (EOFError, OSError) as broken:
                raise damaged(name, broken) from None
            buffer, place, size = buffer[place:] + more, 0, size * 2  # doubling: a long element is not parsed too often
            if more and (strict or len(buffer) < LARGEST):
                continue
            rest = buffer.strip(_BLANK + "]")
            if rest and strict:
                reason = str(error).split(":", 1)[0]
                raise UserError(f"{name}, row {number + 1}: not JSON ({reason}); give a list of objects.") from None
            if rest:
                yield from blocks(io.StringIO(rest))
            if more:
                yield from blocks(text)
            return


def _csv(text: IO[str], name: str, strict: bool) -> Iterator[Any]:
    csv.field_size_limit(sys.maxsize)
    head = text.readline()
    delimiter = max(",;\t|", key=head.count)
    names = next(csv.reader([head], delimiter=delimiter), [])
    table = csv.reader(text, delimiter=delimiter, strict=strict)
    if not strict:
        yield Heading(columns=names)
    number = 1
    while True:
        number += 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            raise UserError(f"{name} is not UTF-8 text ({error.reason}); give it in UTF-8.") from None
        except csv.Error as error:
            if strict:
                raise UserError(f"{name}, row {number}: bad CSV ({error}); write the file again.") from None
            continue
        if strict and cells and len(cells) != len(names):
            raise UserError(
                f"{name}, row {number} has {len(cells)} cells, the header {len(names)}; write the file again."
            )
        if cells:
            columns = [*names, *(f"column {n}" for n in range(len(names), len(cells)))]
            yield every_pair(zip(columns, cells, strict=False))
