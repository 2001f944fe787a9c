"""Zip and tar files: what is in them, each member a file that can be read from its beginning and sought in."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, Final

from fhirtasks.benchmarks.kinds import opened

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_USTAR: Final = slice(257, 262)

_PACKINGS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

ERRORS: Final = (zipfile.BadZipFile, tarfile.TarError, EOFError)
"""What is raised for an archive that is damaged, encrypted or packed in a way that cannot be read."""


def members(file: IO[bytes]) -> list[str] | None:
    """Names of the files in an archive, a compressed tar too, in its order; None for any other file, which is at its
    beginning again. One of :data:`ERRORS` for a damaged archive."""
    head = file.read(4)
    file.seek(0)
    if head in _ZIP:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        for entry in entries:
            if entry.flag_bits & 1 or entry.compress_type not in _PACKINGS:
                raise zipfile.BadZipFile(f"{entry.filename} is encrypted or packed in a foreign way")
        file.seek(0)
        return [entry.filename for entry in entries]
    inner, start = opened(file)
    found = None
    if start[_USTAR] == b"ustar" and inner.seekable():
        with tarfile.open(fileobj=inner, mode="r:") as archive_:
            found = [one.name for one in archive_ if one.isfile()]
    file.seek(0)
    return found


@contextmanager
def member(file: IO[bytes], number: int) -> Iterator[IO[bytes]]:
    """The member of an archive at this place in :func:`members`. One of :data:`ERRORS` if it cannot be read.

    It is not asked for by its name, which another one may have too.
    """
    head = file.read(4)
    file.seek(0)
    if head in _ZIP:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            with archive.open(entries[number]) as found:
                yield found
        return
    inner, _ = opened(file)
    with tarfile.open(fileobj=inner, mode="r:") as archive_:
        files = (one for one in archive_ if one.isfile())
        entry = archive_.extractfile(next(islice(files, number, None)))
        assert entry is not None, "members names files alone"
        with entry:
            yield entry
