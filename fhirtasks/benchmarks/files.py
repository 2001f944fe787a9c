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
from collections.abc import Iterator
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
    is damaged is a UserError that names file, row and reason; else its raw text is given, and of CSV a :class:`Heading`
    first, so that nothing goes unread. ``encoding`` is that of :func:`~fhirtasks.benchmarks.kinds.encoding_of`.
    """
    if kind == "parquet":
        return _parquet(file, name)
    if kind == "arrow":
        return _arrow(file, name)
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
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise damaged(name, error) from None


def _arrow(file: IO[bytes], name: str) -> Iterator[Any]:
    """Both forms of Arrow files: the stream that ``datasets`` saves, and the file with an index (Feather)."""
    import pyarrow as pa

    try:
        if file.read(6) == b"ARROW1":
            file.seek(0)
            with pa.ipc.open_file(file) as table:
                batches: Iterator[Any] = (table.get_batch(number) for number in range(table.num_record_batches))
                for batch in batches:
                    yield from _sliced(batch)
        else:
            file.seek(0)
            with pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    yield from _sliced(batch)
    except (pa.ArrowException, OSError) as error:
        raise damaged(name, error) from None


def _sliced(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, 256):
        yield from batch.slice(start, 256).to_pylist()


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
            yield _value(line)
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
    while True:
        while place < len(buffer) and buffer[place] in _BLANK:
            place += 1
        try:
            value, end = _FULL.raw_decode(buffer, place)
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
            yield {
                **dict(zip(names, cells, strict=False)),
                **{f"column {n}": cells[n] for n in range(len(names), len(cells))},
            }
