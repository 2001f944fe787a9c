"""Searches a release for what looks like credentials: keys, tokens, passwords in URLs, in every text of every file.

``credentials.json`` holds the patterns, each with where its form is documented. They name forms that are given to secrets
and to nothing else, so that ids, hashes, base64 attachments and clinical text do not trip them: a bare random string is no
finding. Arrow's regular expressions look through whole columns; only what they hit is looked at one by one. What was found is
never shown: a finding names file, row and kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from fhirtasks.errors import UserError

_TABLE = Path(__file__).with_name("credentials.json")
_START = r"(?:^|[^\w+-]|\\[nrtbf])"
"""A secret begins where a word begins, so never within base64; or after an escape of JSON text."""
_PLACEHOLDER = re.compile(r"example|placeholder|your|xxxx|\.\.\.|…|REDACTED", re.IGNORECASE)
_ROWS = 512
"""Rows or lines that are looked at together."""
_SHOWN = 1_000


class Form(msgspec.Struct, frozen=True):
    """What a kind of secret looks like: a pattern for both RE2 and Python, and where the form is documented."""

    kind: str
    pattern: str
    source: str


@dataclass(frozen=True, slots=True)
class Credential:
    """Something that looks like a secret: in which file, which row of it (or line, from 0), which column, of what kind."""

    file: str
    row: int
    column: str
    kind: str

    def __str__(self) -> str:
        place = f"row {self.row}, {self.column}" if self.column else f"line {self.row + 1}"
        return f"{self.file}, {place}: {self.kind}"


@cache
def forms() -> tuple[Form, ...]:
    """The table."""
    return msgspec.json.decode(_TABLE.read_bytes(), type=tuple[Form, ...])


def kinds_in(text: str) -> list[str]:
    """The kinds of secrets that a text seems to hold, in the order of the table."""
    found = []
    for kind, pattern in _compiled():
        if any(not _PLACEHOLDER.search(match[0]) for match in pattern.finditer(text)):
            found.append(kind)
    return found


def find_credentials(folder: Path, files: Iterable[str]) -> list[Credential]:
    """What looks like a secret in these files of a folder, at most 1,000 of them. UserError for a file that cannot be read."""
    found = (one for name in files for one in _in_file(folder, name))
    return list(islice(found, _SHOWN))


@cache
def _compiled() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((form.kind, re.compile(_START + f"(?:{form.pattern})", re.MULTILINE)) for form in forms())


@cache
def _any() -> str:
    """All forms in one pattern for RE2."""
    return f"(?m){_START}(?:" + "|".join(form.pattern for form in forms()) + ")"


def _in_file(folder: Path, name: str) -> Iterator[Credential]:
    import pyarrow as pa

    try:
        columns = _parquet(folder / name) if name.endswith(".parquet") else _lines(folder / name)
        for column, rows, texts in columns:
            for row, text in _hits(rows, texts):
                for kind in kinds_in(text):
                    yield Credential(name, row, column, kind)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{folder / name} cannot be read ({error}); build or download the release again.") from None


def _hits(rows: Any, texts: Any) -> Iterator[tuple[int, str]]:
    import pyarrow.compute as pc

    hit = pc.match_substring_regex(texts, pattern=_any())
    if pc.any(hit).as_py():
        yield from zip(rows.filter(hit).to_pylist(), texts.filter(hit).to_pylist(), strict=True)


def _lines(path: Path) -> Iterator[tuple[str, Any, Any]]:
    import pyarrow as pa

    first = 0
    with path.open("r", encoding="utf-8", errors="replace", newline="\n") as file:
        while lines := list(islice(file, _ROWS)):
            yield "", pa.array(range(first, first + len(lines))), pa.array(lines, pa.large_string())
            first += len(lines)


def _parquet(path: Path) -> Iterator[tuple[str, Any, Any]]:
    """(column, row numbers, texts) of every text in a shard, its metadata first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        metadata = [value.decode("utf-8", "replace") for value in (file.schema_arrow.metadata or {}).values()]
        yield "metadata", pa.array([0] * len(metadata), pa.int64()), pa.array(metadata, pa.string())
        first = 0
        for batch in file.iter_batches(batch_size=_ROWS):
            rows = pa.array(range(first, first + len(batch)))
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                yield from _texts(name, rows, column)
            first += len(batch)


def _texts(name: str, rows: Any, values: Any) -> Iterator[tuple[str, Any, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        yield from _texts(name, rows, values.dictionary_decode())
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _texts(f"{name}.{field.name}", rows, pc.struct_field(values, field.name))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _texts(name, rows.take(pc.list_parent_indices(values)), pc.list_flatten(values))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield name, rows, values
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = [None if value is None else value.decode("utf-8", "replace") for value in values.to_pylist()]
        yield name, rows, pa.array(texts, pa.large_string())
