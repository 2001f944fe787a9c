"""What a data file is: its packing, kind and encoding, by its first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from pathlib import PurePosixPath
from typing import IO, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["parquet", "arrow", "jsonl", "json", "csv", "xml", "text"]
HEAD: Final = 1 << 16
"""Bytes from which a file's kind is told."""
_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_TABLES: Final = frozenset((".csv", ".tsv"))
_LINES: Final = frozenset((".jsonl", ".ndjson"))


def opened(file: IO[bytes]) -> tuple[IO[bytes], bytes]:
    """The file, or what a gzip, bzip2, xz or Zstandard file holds, at its beginning; and its first :data:`HEAD` bytes."""
    head = _unpacked(file).read(HEAD)
    file.seek(0)
    return _unpacked(file), head


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    head = file.read(6)
    file.seek(0)
    packing = next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)
    if packing == "gzip":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if packing == "bz2":
        return bz2.BZ2File(file)
    if packing == "xz":
        return lzma.LZMAFile(file)
    if packing == "zstd":
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(_Borrowed(file), mode="r"), "zstd"))
    return file


class _Borrowed:
    """A file that Arrow may read but not close."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        """Leaves the file open."""


def is_packed(head: bytes) -> bool:
    """True for the first bytes of a compressed file."""
    return any(head.startswith(magic) for magic in _COMPRESSED)


def kind_of(name: str, head: bytes) -> Kind | None:
    """What a file is by its first bytes (after :func:`opened`); None for what holds no text."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    encoding = encoding_of(head)
    if encoding is None:
        return None
    start = head.decode(encoding, "ignore").lstrip()
    suffixes = set(PurePosixPath(name).suffixes)
    if start.startswith("{"):
        lines = _is_json(start.split("\n", 1)[0]) or bool(suffixes & _LINES)
        return "jsonl" if lines and encoding == "utf-8-sig" else "json"
    if start.startswith("["):
        return "json" if start[1:].lstrip()[:1] in ("{", "[", '"', "]") or ".json" in suffixes else "text"
    if start.startswith("<") and not suffixes & _TABLES:
        return "xml"
    return "csv" if suffixes & _TABLES else "text"


def encoding_of(head: bytes) -> str | None:
    """The encoding of a text by its first bytes; None for bytes that are no text. A stray NUL makes no text unreadable."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\x00" in head:
        return _with_nuls(head)
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        cut = len(head) - error.start < 4 and error.end == len(head)  # a character at the very end is not whole
        printable = sum(byte >= 0x20 or byte in b"\t\r\n" for byte in head)
        return "utf-8-sig" if cut else "cp1252" if printable > 0.99 * len(head) else None
    return "utf-8-sig"


def _with_nuls(head: bytes) -> str | None:
    """The encoding of bytes with NULs: UTF-16 without a mark, or UTF-8 with a few; None for bytes that are no text."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    for encoding, most, least in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if most > max(3, 0.4 * (len(head) // 2)) and least < 0.01 * len(head):
            text = head[: len(head) // 2 * 2].decode(encoding, "replace")
            if sum(letter.isprintable() or letter in "\t\r\n" for letter in text) > 0.99 * len(text):
                return encoding
    controls = sum(byte < 0x20 and byte not in b"\t\r\n" for byte in head)
    if controls > max(1, len(head) // 500):
        return None
    rest = encoding_of(head.replace(b"\x00", b""))
    return rest if rest == "utf-8-sig" else None  # in another encoding almost any bytes are a text


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
