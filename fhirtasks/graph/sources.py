"""What a SOURCE argument holds: files, folders and archives of NDJSON and JSON, whatever is inside what.

A part is one text file, named as a person would find it (``folder/Patient.ndjson.gz``, ``export.zip/a/b.json``).
Nothing is ever extracted to disk, so names inside archives cannot reach outside.
"""

from __future__ import annotations

import errno
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self

from fhirtasks.errors import UserError

LINES = (".ndjson", ".jsonl")
DOCUMENT = (".json",)
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
_KNOWN = "NDJSON (.ndjson, .jsonl) or JSON (.json), also .gz, a folder, .zip, .tar, .tgz, or a server's http(s):// URL"


@dataclass(frozen=True, slots=True)
class Part:
    """One text file. ``open`` gives its plain bytes; ``lines`` says whether each line is a document of its own."""

    name: str
    lines: bool
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is no record: licence texts, read-me files, anything of another kind."""

    name: str


def parts_of(source: str) -> Iterator[Part | Skipped]:
    """Everything in a file, folder or archive, in the order of its names. UserError if it cannot be read."""
    path = Path(source)
    if path.is_dir():
        yield from _folder(path.resolve().name, path, frozenset([path.resolve()]))
        return
    if not path.exists():
        raise UserError(f"{source} does not exist; give {_KNOWN}.")
    if not path.is_file():
        raise UserError(f"{source} is no file or folder; give {_KNOWN}.")
    for part in _file(path.name, partial(_open, path)):
        if isinstance(part, Skipped) and part.name == path.name:
            raise UserError(f"{source} is of a kind that fhirtasks does not read; give {_KNOWN}.")
        yield part


def _folder(name: str, folder: Path, above: frozenset[Path]) -> Iterator[Part | Skipped]:
    """What lies in a folder, links followed; ``above`` are the folders around it, which a link may lead back into."""
    with reading(name):
        entries = sorted(folder.iterdir())
    for entry in entries:
        inside = f"{name}/{entry.name}"
        if entry.is_dir():
            if (real := entry.resolve()) not in above:
                yield from _folder(inside, entry, above | {real})
        elif entry.is_file():
            yield from _file(inside, partial(_open, entry))
        else:
            yield Skipped(inside.encode("utf-8", "replace").decode())


def _file(name: str, opener: Callable[[], IO[bytes]]) -> Iterator[Part | Skipped]:
    name = name.encode("utf-8", "replace").decode()
    lower = name.lower()
    if PurePosixPath(name).name.startswith("."):
        yield Skipped(name)
    elif lower.endswith(".zip"):
        yield from _zip(name, opener)
    elif lower.endswith(ARCHIVES):
        yield from _tar(name, opener)
    else:
        stem = lower.removesuffix(".gz")
        if not stem.endswith(LINES + DOCUMENT):
            yield Skipped(name)
            return
        yield Part(name, stem.endswith(LINES), opener if stem == lower else partial(_gunzip, opener))


def _zip(name: str, opener: Callable[[], IO[bytes]]) -> Iterator[Part | Skipped]:
    with reading(name), opener() as file, zipfile.ZipFile(file) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                raise UserError(
                    f"{name}/{info.filename} is encrypted; unpack the archive yourself and load its folder."
                )
            yield from _file(f"{name}/{info.filename}", partial(archive.open, info))


def _tar(name: str, opener: Callable[[], IO[bytes]]) -> Iterator[Part | Skipped]:
    with reading(name), opener() as file, tarfile.open(fileobj=file, mode="r:*", tarinfo=_Member) as archive:
        for member in archive:  # in the order of the archive: a compressed one cannot go back cheaply
            if member.isfile():
                content = partial(_content, archive, member)
                yield from _file(f"{name}/{member.name}", content)


class _Member(tarfile.TarInfo):
    """A member of a tar archive, whose reader would take a damaged header, or none, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined, unused-ignore]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, where a file or the end mark is due") from None


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return archive.extractfile(member) or io.BytesIO()


def _gunzip(opener: Callable[[], IO[bytes]]) -> IO[bytes]:
    return gzip.GzipFile(fileobj=opener(), mode="rb")  # type: ignore[return-value]


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns what may go wrong while bytes are read into one sentence about the file ``name``."""
    try:
        yield
    except EOFError:
        raise UserError(f"{name} is cut off: it ends in the middle of its compressed data; fetch it again.") from None
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{name} is damaged, or not what its name says ({error}); fetch it again.") from None
    except (NotImplementedError, RuntimeError) as error:
        raise UserError(f"{name} cannot be unpacked here ({error}); unpack it yourself and load its folder.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # where the graph is written, not where it is read from
            raise
        raise UserError(f"{name} cannot be read ({error.strerror or error}).") from None
