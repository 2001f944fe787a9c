"""Reads the shards of a release and says clearly what is wrong with a file that is not one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.release.features import has_calls, schema


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is not as it must be. ``row`` counts from 0 within config and split, as ``load_dataset`` does."""

    problem: str
    file: str | None = None
    config: str | None = None
    split: str | None = None
    row: int | None = None
    id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The failure as plain JSON, without what is not known."""
        names = ("config", "split", "row", "id", "file", "problem")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class DamagedShard(Exception):
    """A shard that cannot be read, or whose columns are not its config's."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.problem)
        self.failure = failure


def shards_of(folder: Path, config: str, split: str) -> list[Path]:
    """The shards of a config and split that are there, in their order."""
    return sorted((folder / config).glob(f"{split}-*.parquet"))


def open_shard(folder: Path, path: Path, config: str) -> Any:
    """The ``pyarrow.parquet.ParquetFile`` of a shard; :class:`DamagedShard` if it is none with the config's columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = path.relative_to(folder).as_posix()
    try:
        file = pq.ParquetFile(path)
        found = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedShard(Failure(f"cannot be read as Parquet: {_line(error)}", file=name, config=config)) from None
    wanted = schema(config, has_calls(found))
    if not found.equals(wanted):
        missing = [field.name for field in wanted if field not in list(found)]
        extra = [field.name for field in found if field not in list(wanted)]
        problem = f"has other columns than {config}: lacks or types otherwise {missing}, has besides {extra}"
        raise DamagedShard(Failure(problem, file=name, config=config))
    if (found.metadata or {}).get(b"huggingface") != wanted.metadata[b"huggingface"]:
        raise DamagedShard(Failure("does not carry the features of its config", file=name, config=config))
    return file


def row_group(folder: Path, path: Path, config: str, number: int, columns: tuple[str, ...] | None = None) -> Any:
    """One row group as a table, whole or some columns of it; :class:`DamagedShard` where its bytes are damaged."""
    import pyarrow as pa

    file = open_shard(folder, path, config)
    try:
        # One thread, and what it needed on the way given back: Arrow's pool keeps for each thread what it once took.
        found = file.read_row_group(number, columns=None if columns is None else list(columns), use_threads=False)
        pa.default_memory_pool().release_unused()
        return found
    except (pa.ArrowException, OSError, ValueError) as error:
        name = path.relative_to(folder).as_posix()
        raise DamagedShard(Failure(f"cannot be read as Parquet: {_line(error)}", file=name, config=config)) from None


def tables(folder: Path, config: str, split: str, rows: int, columns: tuple[str, ...] | None = None) -> Iterator[Any]:
    """The rows of a config and split as tables of at most so many rows; :class:`DamagedShard` as above."""
    for path in shards_of(folder, config, split):
        for number in range(open_shard(folder, path, config).num_row_groups):
            table = row_group(folder, path, config, number, columns)
            for start in range(0, len(table), rows):
                yield table.slice(start, rows)


class Rows:
    """The rows of a config and split as one stream, taken a few at a time."""

    def __init__(self, folder: Path, config: str, split: str) -> None:
        self._tables = tables(folder, config, split, 4096)
        self._left: Any = None
        self._empty: Any = schema(config).empty_table()

    def take(self, count: int) -> Any:
        """The next ``count`` rows, fewer at the end."""
        import pyarrow as pa

        while (self._left is None or len(self._left) < count) and (more := next(self._tables, None)) is not None:
            self._left = more if self._left is None else pa.concat_tables([self._left, more])
        if self._left is None:
            return self._empty
        taken, self._left = self._left.slice(0, count), self._left.slice(count)
        return taken


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
