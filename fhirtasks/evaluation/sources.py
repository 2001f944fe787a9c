"""Where tasks to be run or judged come from: a release folder with its charts, or a benchmark's file and a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TypeAlias

import graders
from fhirtasks.benchmarks import fhir_agentbench_tasks, medagentbench
from fhirtasks.episodes.types import Episode
from fhirtasks.errors import UserError
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.tasks.codec import task_from_json
from fhirtasks.tasks.types import Task, Verdict

Benchmark: TypeAlias = Literal["medagentbench", "fhir_agentbench"]


@dataclass(slots=True)
class TaskSet:
    """Tasks and the worlds that they run on; ``benchmark`` is the public benchmark whose file was given, if one was."""

    tasks: tuple[Task, ...]
    benchmark: Benchmark | None
    _release: Path | None
    _folder: Path
    _worlds: dict[str, World] = field(default_factory=dict)
    _truths: dict[str, dict[str, graders.Truth]] = field(default_factory=dict)

    def world(self, task: Task) -> World:
        """The world of the task: its split's charts, or the whole graph of a benchmark."""
        if task.split not in self._worlds:
            assert self._release is not None, "a benchmark's one world is opened with it"
            self._worlds[task.split] = _world_of(self._release, task.split, self._folder)
        return self._worlds[task.split]

    def grade(self, task: Task, episode: Episode) -> Verdict:
        """The verdict on an episode; the truth of all tasks of a split is looked up at once."""
        world = self.world(task)
        if task.split not in self._truths:
            self._truths[task.split] = graders.truths([one for one in self.tasks if one.split == task.split], world)
        return graders.grade(task, episode, world, self._truths[task.split][task.id])

    def close(self) -> None:
        for world in self._worlds.values():
            world.close()


@contextmanager
def open_tasks(path: Path, graph: Path | None = None, split: str | None = None) -> Iterator[TaskSet]:
    """Opens a release folder, one of its ``rl`` shards, or a benchmark's task file.

    A release brings its own charts and needs no graph; a benchmark's tasks run on the whole ``graph``, which must have
    every patient of the file and shows everything, as the benchmark's server does. UserError says what is missing.
    """
    with TemporaryDirectory(prefix="fhirtasks-") as temporary:
        if is_release(path):
            found = _release(path, split, Path(temporary))
        else:
            found = _benchmark(path, graph, split, Path(temporary))
        try:
            yield found
        finally:
            found.close()


def is_release(path: Path) -> bool:
    """Whether a path can only be a release's folder or one of its shards, and no benchmark's file."""
    return path.is_dir() or path.suffix == ".parquet"


def release_of(path: Path) -> Path:
    """The release's folder."""
    return path if path.is_dir() else path.parent.parent


def release_name(path: Path) -> str:
    """The name of the release's folder."""
    return release_of(path).resolve().name


def _release(path: Path, split: str | None, temporary: Path) -> TaskSet:
    folder = release_of(path)
    shards = sorted((folder / "rl").glob("*.parquet")) if path.is_dir() else [path]
    if not shards or not (folder / "charts").is_dir():
        raise UserError(
            f"{path} is no release: it has no rl and charts shards; give a folder that fhirtasks build wrote."
        )
    tasks = []
    for shard in shards:
        for number, text in enumerate(_columns(shard, ["task"])[0]):
            try:
                task = task_from_json(text)
            except (ValueError, TypeError) as error:
                raise UserError(f"{shard}, row {number} holds no task ({error}); build the release anew.") from error
            if split in (None, task.split):
                tasks.append(task)
    if not tasks:
        where = f" in the split {split!r}" if split else ""
        raise UserError(f"{path} holds no tasks{where}.")
    return TaskSet(tuple(tasks), None, folder, temporary)


def _benchmark(path: Path, graph: Path | None, split: str | None, temporary: Path) -> TaskSet:
    benchmark: Benchmark = "fhir_agentbench" if fhir_agentbench_tasks.is_table(path) else "medagentbench"
    if benchmark == "fhir_agentbench":
        tasks = tuple(fhir_agentbench_tasks.read_tasks(path))
    else:
        tasks = tuple(map(medagentbench.to_task, medagentbench.read_tasks(path)))
    if split is not None:
        raise UserError("--split is for releases; a benchmark's task file has no splits.")
    if graph is None:
        raise UserError(f"{path} is a benchmark's task file: give --graph, a graph that has its patients.")
    world = World.open(graph)
    wanted = sorted({patient for task in tasks for patient in task.patients})
    known = set(world.patients)
    lacking = [patient for patient in wanted if patient not in known]
    if lacking:
        world.close()
        raise UserError(
            f"{graph} lacks {len(lacking)} of the {len(wanted)} patients of {path.name} (such as {lacking[0]}): "
            f"{_SOURCE[benchmark]}."
        )
    return TaskSet(tasks, benchmark, None, temporary, {task.split: world for task in tasks})


_SOURCE: Final[dict[Benchmark, str]] = {
    "medagentbench": "load the benchmark's server into it, or for a dry run make charts with fhirtasks populate --patients-from",
    "fhir_agentbench": "load the MIMIC-IV demo on FHIR into it",
}
"""Where a benchmark's records come from."""


def _world_of(release: Path, split: str, temporary: Path) -> World:
    shards = sorted((release / "charts").glob(f"{split}-*.parquet"))
    if not shards:
        raise UserError(f"{release} has no charts of the split {split!r}; build the release anew.")
    out = temporary / f"{split}.duckdb"
    rows = (row for shard in shards for row in zip(*_columns(shard, ["type", "id", "patient", "raw"]), strict=True))
    write_world_from_charts(rows, split, out)
    return World.open(out)


def _columns(shard: Path, names: list[str]) -> list[list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(shard, columns=names)
        return [table.column(name).to_pylist() for name in names]
    except FileNotFoundError:
        raise UserError(f"There is no file {shard}; give a release folder.") from None
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise UserError(f"{shard} cannot be read as a release's shard ({str(error).splitlines()[0]}).") from error
