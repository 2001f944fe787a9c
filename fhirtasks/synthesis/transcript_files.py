"""Files of recorded transcripts, read in chunks of lines: one pass for their digests, then each chunk on its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fhirtasks.episodes.transcripts import transcript
from fhirtasks.errors import UserError

CHUNK_LINES = 200
CHUNK_BYTES = 16 << 20
"""A job takes so many lines, or fewer where they are long."""
LINE_BYTES = 64 << 20
"""A longer line is not read."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class RolloutFile:
    """A file of transcripts: its sha256, and (offset, bytes, first line) of each chunk."""

    path: Path
    digest: str
    chunks: tuple[tuple[int, int, int], ...]


def open_rollouts(paths: Iterable[Path]) -> tuple[RolloutFile, ...]:
    """The files by their contents, each once. UserError for what is no file of transcripts at all."""
    found = {file.digest: file for file in map(_survey, paths)}
    return tuple(found[digest] for digest in sorted(found))


def _survey(path: Path) -> RolloutFile:
    """One pass over a file: its digest, where its chunks begin, and that there is a transcript in it."""
    if not path.is_file():
        raise UserError(f"There is no file {path}; give a JSONL file with one transcript per line.")
    chunks: list[tuple[int, int, int]] = []
    digest = hashlib.sha256()
    start = end = 0
    first = line = 1
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            place = block.find(b"\n")
            while place >= 0:
                line += 1
                if line - first >= CHUNK_LINES or end + place + 1 - start >= CHUNK_BYTES:
                    chunks.append((start, end + place + 1 - start, first))
                    start, first = end + place + 1, line
                place = block.find(b"\n", place + 1)
            end += len(block)
    if end > start:
        chunks.append((start, end - start, first))
    found = RolloutFile(path, digest.hexdigest(), tuple(chunks))
    reason = "it is empty"
    for chunk in range(len(chunks)):
        for number, text in lines_of(found, chunk):
            try:
                transcript(number, text)
                return found
            except ValueError as error:
                reason = f"line {number} {error}".rstrip(".") if reason == "it is empty" else reason
    raise UserError(f"{path} holds no transcript ({reason}); give a JSONL file with one transcript per line.")


def lines_of(file: RolloutFile, chunk: int) -> Iterator[tuple[int, bytes]]:
    """The lines of a chunk that are not blank, with their numbers; one that is too long comes empty."""
    start, size, number = file.chunks[chunk]
    with file.path.open("rb") as opened:
        opened.seek(start)
        while size > 0 and (line := opened.readline(min(size, LINE_BYTES))):
            size -= len(line)
            if not line.endswith(b"\n") and size > 0:
                while size > 0 and not line.endswith(b"\n"):
                    line = opened.readline(min(size, LINE_BYTES))
                    size -= len(line)
                yield number, b""
            elif line.strip():
                yield number, line
            number += 1
