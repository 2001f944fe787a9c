"""The three kinds of jobs: make a world, make a partition, write one config and split of the release.

Each is a module-level function of one picklable argument, so that any engine can run it anywhere.
"""

from __future__ import annotations

import atexit
import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fhirtasks.episodes.types import Episode
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.release.features import NOTHING, has_calls, schema
from fhirtasks.release.lengths import token_counter as texts_counter
from fhirtasks.release.preference import preference_table
from fhirtasks.release.privileged import privileged_table
from fhirtasks.release.processes import open_world
from fhirtasks.release.rows import (
    integers,
    message_lists,
    message_texts,
    reference,
    rl_table,
    sft_table,
    strings,
    table,
    turns_table,
)
from fhirtasks.release.writer import Shard, ShardWriter
from fhirtasks.synthesis.partition import Made, Watch, make
from fhirtasks.synthesis.plan import Partition
from fhirtasks.synthesis.worlds import charts, make_world, unite_worlds
from fhirtasks.tasks.registry import family

SLICE = 64
"""Rows of a partition that are turned into the release's rows at once: what ``sft_turns`` repeats stays small."""


@dataclass(frozen=True, slots=True)
class WorldJob:
    """Write the world of ``patients`` to ``out`` if it is not there, and ask ``families`` what it lacks for them.

    ``records`` is a graph, or the releases whose charts of the split are united.
    """

    records: Path | tuple[Path, ...]
    patients: tuple[str, ...]
    split: str
    out: Path
    holdouts: Holdouts | None
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MakeJob:
    """Make ``partition`` on the world at ``world`` into the file ``out``; contents of ``standing`` are drawn again."""

    partition: Partition
    world: Path
    out: Path
    holdouts: Holdouts | None
    tokenizer: Path | None
    standing: tuple[Path, ...] = ()
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class WriteJob:
    """Write one config and split into ``folder``: from partition files less their rows ``skip``, or from a world."""

    config: str
    split: str
    folder: Path
    partitions: tuple[Path, ...]
    skip: tuple[tuple[int, ...], ...]
    world: Path
    drops: tuple[dict[str, str], ...] = ()


def survey_world(job: WorldJob) -> tuple[str, dict[str, str | None]]:
    """The split, and for each family what its world lacks (None: nothing)."""
    if not job.out.exists():
        matcher = None if job.holdouts is None else matcher_of(job.holdouts)
        if isinstance(job.records, Path):
            make_world(job.records, job.patients, job.split, job.out, matcher)
        else:
            unite_worlds(job.records, job.patients, job.split, job.out, job.holdouts, matcher)
    return job.split, {name: family(name).missing(open_world(job.out)) for name in job.families}


def make_partition(job: MakeJob, watch: Watch | None = None) -> int:
    """Makes a partition and writes its file whole; returns how many rows it has."""
    counter = None if job.tokenizer is None else token_counter(job.tokenizer)
    matcher = None if job.holdouts is None else matcher_of(job.holdouts)
    watch = watch or Watch()
    with no_cycle_collection():
        made = make(
            job.partition,
            open_world(job.world),
            matcher=matcher,
            count_tokens=counter,
            max_tokens=job.max_tokens,
            known=contents_of(job.standing),
            watch=watch,
        )
        write_partition(made, job.out)
    watch.lap("journal")
    return len(made.kept)


def write_partition(made: Made, out: Path, **notes: Any) -> None:
    """The journal's file of a partition: ``sft`` rows with what the merge needs; drops and notes as metadata."""
    import pyarrow as pa

    metadata = {"dropped": [asdict(drop) for drop in made.dropped], **notes}
    rows = sft_table(made.kept).replace_schema_metadata(
        {name: json.dumps(value, ensure_ascii=False) for name, value in metadata.items()}
    )
    rows = rows.append_column("reference", strings([reference(row.task) for row in made.kept]))
    rows = rows.append_column("records", strings([row.provenance["records"] for row in made.kept]))
    characters = [sum(map(len, message_texts(row.episode.messages))) for row in made.kept]
    rows = rows.append_column("characters", integers(characters))
    pairs = [made.pairs.get(row.content_hash) for row in made.kept]
    rows = rows.append_column("shared", integers([pair.shared if pair else None for pair in pairs]))
    rejected = message_lists([pair.rejected if pair else () for pair in pairs], has_calls(rows.schema))
    rows = rows.append_column("rejected", rejected)
    rows = rows.append_column("mutant", strings([pair.mutant if pair else None for pair in pairs]))
    rows = rows.append_column("check", strings([pair.check if pair else None for pair in pairs]))
    part = out.with_name(out.name + ".part")
    try:
        # Not compressed: each config of the release reads these rows, and from a mapped file that costs nothing.
        with part.open("wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=SLICE)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def read_columns(path: Path, names: tuple[str, ...]) -> tuple[list[tuple[Any, ...]], list[dict[str, str]]]:
    """Some columns of a partition file as rows, and its drops."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        wanted = pa.ipc.open_file(file).schema
        options = pa.ipc.IpcReadOptions(included_fields=[wanted.get_field_index(name) for name in names])
        rows = pa.ipc.open_file(file, options=options).read_all()
    columns = [rows.column(name).to_pylist() for name in names]
    return list(zip(*columns, strict=True)), json.loads(wanted.metadata[b"dropped"])


def read_note(path: Path, name: str) -> Any:
    """What :func:`write_partition` was given besides the rows, under this name."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        return json.loads(pa.ipc.open_file(file).schema.metadata[name.encode()])


@lru_cache(maxsize=4)
def contents_of(paths: tuple[Path, ...]) -> frozenset[str]:
    """The content hashes of all rows of these partition files."""
    return frozenset(content for path in paths for (content,) in read_columns(path, ("content_hash",))[0])


def read_slices(path: Path, skip: tuple[int, ...]) -> Iterator[Any]:
    """The rows of a partition file in slices of :data:`SLICE`, less those at the places ``skip``."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        left_out = set(skip)
        for number in range(reader.num_record_batches):
            rows = pa.Table.from_batches([reader.get_batch(number)])
            first = number * SLICE
            keep = [place for place in range(len(rows)) if first + place not in left_out]
            if len(keep) < len(rows):
                rows = rows.take(integers(keep))
            if len(rows):
                yield rows


def write_split(job: WriteJob) -> tuple[str, str, list[Shard]]:
    """Writes the shards of one config and split."""
    writer = ShardWriter(job.folder, job.config, job.split)
    if job.config == "charts":
        for rows in charts(open_world(job.world)):
            writer.write(_charts_table(job.split, rows))
    elif job.config == "dropped":
        names = schema("dropped").names
        nothing = dict.fromkeys(names, "") | {"split": job.split, "reason": NOTHING}
        drops = job.drops or (nothing,)
        writer.write(table("dropped", {name: strings([drop[name] for drop in drops]) for name in names}))
    else:
        seen: set[str] = set()
        for path, skip in zip(job.partitions, job.skip, strict=True):
            for rows in read_slices(path, skip):
                writer.write(_release_rows(job.config, rows, seen))
    return job.config, job.split, writer.close()


@contextmanager
def no_cycle_collection() -> Iterator[None]:
    """Python's cycle collector off: it would walk the charts in memory again and again, for a tenth of the time.

    What is alive at the end is frozen, so that it is not walked later either, until ``gc.unfreeze`` or the process's end.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.freeze()
            atexit.unregister(gc.unfreeze)  # else once for each time
            atexit.register(gc.unfreeze)  # DuckDB's bindings complain of what a process leaves behind
            gc.enable()


@lru_cache(maxsize=1)
def matcher_of(holdouts: Holdouts) -> Matcher:
    """The matcher of these holdouts, made once per process."""
    return Matcher(holdouts)


def token_counter(path: Path) -> Callable[[Episode], int]:
    """Counts the tokens of an episode's messages. UserError if there is no tokenizer."""
    count = texts_counter(path)
    return lambda episode: count(message_texts(episode.messages))


def _release_rows(config: str, rows: Any, seen: set[str]) -> Any:
    if config == "rl":
        return rl_table(rows, rows.column("reference").to_pylist(), seen)
    if config == "preference":
        return preference_table(rows)
    sft = table("sft", {name: rows.column(name) for name in schema("sft").names})
    if config == "privileged":
        return privileged_table(sft)
    return sft if config == "sft" else turns_table(sft)


def _charts_table(split: str, rows: list[tuple[str, str, str | None, str]]) -> Any:
    columns = {
        name: strings([row[place] for row in rows]) for place, name in enumerate(("type", "id", "patient", "raw"))
    }
    return table("charts", {"split": strings([split] * len(rows)), **columns})
