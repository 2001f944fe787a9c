"""Shards of one config and split, written as they come: small row groups, zstd, page index, content-defined chunks.

Boundaries depend on the rows alone, so equal rows give equal files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.release.features import DICTIONARY, SPARSE, schema

ROW_GROUP_BYTES = 16 << 20
"""A row group is closed once its rows hold this many bytes uncompressed (the Hub's viewer gives up near 286 MB)."""
SHARD_BYTES = 384 << 20
"""A shard is closed once its row groups hold this many bytes uncompressed."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished file: its path inside the release, rows, bytes and sha256."""

    path: str
    rows: int
    bytes: int
    sha256: str


class ShardWriter:
    """Writes tables of one config and split into ``folder``; :meth:`close` names the shards and returns them.

    A split without rows still gets one shard, so that ``load_dataset`` finds it, but for the configs that may lack one.
    """

    def __init__(
        self, folder: Path, config: str, split: str, *, row_group: int = ROW_GROUP_BYTES, shard: int = SHARD_BYTES
    ) -> None:
        self.folder, self.config, self.split = folder, config, split
        self._row_group, self._shard = row_group, shard
        self._schema = schema(config)
        self._names = set(self._schema.names)
        self._pending: list[Any] = []
        self._pending_bytes = 0
        self._writer: Any = None
        self._written = 0
        self._rows: list[int] = []

    def write(self, table: Any) -> None:
        """Adds rows; they reach the disk when a row group is full."""
        if len(table) == 0:
            return
        if self._writer is None and not self._rows:  # the messages of a tool protocol have calls
            self._schema = table.schema
        self._pending.append(table)
        self._pending_bytes += table.nbytes
        if self._pending_bytes >= self._row_group:
            self._flush()

    def close(self) -> list[Shard]:
        """Writes what is left, gives every shard its final name, and says what was written."""
        if self._pending or (not self._rows and self.config not in SPARSE):
            self._flush()
        self._end_shard()
        count = len(self._rows)
        shards = []
        for number, rows in enumerate(self._rows):
            path = f"{self.config}/{self.split}-{number:05d}-of-{count:05d}.parquet"
            self._temporary(number).replace(self.folder / path)
            shards.append(Shard(path, rows, (self.folder / path).stat().st_size, sha256_of(self.folder / path)))
        return shards

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            self._rows.append(0)
            (self.folder / self.config).mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._temporary(len(self._rows) - 1),
                self._schema,
                compression="zstd",
                use_dictionary=[name for name in DICTIONARY if name.split(".")[0] in self._names],
                write_page_index=True,
                use_content_defined_chunking=True,
            )
        if self._pending:  # an empty row group is legal, and more than datasets can read
            rows = pa.concat_tables(self._pending)
            self._writer.write_table(rows, row_group_size=len(rows))
            self._rows[-1] += len(rows)
            del rows
        self._written += self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        pa.default_memory_pool().release_unused()  # it would keep what encoding took
        if self._written >= self._shard:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer, self._written = None, 0

    def _temporary(self, number: int) -> Path:
        return self.folder / self.config / f"{self.split}-{number:05d}.part"


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
