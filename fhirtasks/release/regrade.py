"""Rows of a release replayed and graded again on the worlds that its charts make, with the code at hand."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graders
from fhirtasks.errors import UserError
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.release.processes import close_worlds, open_world, runner
from fhirtasks.release.read import DamagedShard, open_shard, row_group, shards_of, tables
from fhirtasks.release.rows import message_of, verdict_json
from fhirtasks.tasks.codec import task_from_json
from fhirtasks.tasks.play import raws_of, replay_task
from fhirtasks.tasks.types import Task

PARALLEL_FROM = 1_000
"""Rows from which on it pays to start other processes."""


@dataclass(frozen=True, slots=True)
class Job:
    """Those rows of a row group of ``sft`` whose content hash is ``wanted``."""

    folder: Path
    path: Path
    group: int
    world: Path
    wanted: frozenset[str]


def grade_again(
    folder: Path, wanted: frozenset[str], *, workers: int = 1, progress: Callable[[str], None] | None = None
) -> dict[str, str]:
    """Content hash -> what is wrong, for those of the ``wanted`` rows that would not pass today.

    It says ``graded: <checks>``, ``replay differs``, ``verdict differs`` or ``cannot be replayed``. UserError if the
    release cannot be read.
    """
    say = progress or (lambda message: None)
    if not wanted:
        return {}
    problems: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="fhirtasks-regrade-") as temporary:
        try:
            jobs = list(_jobs(folder, wanted, Path(temporary)))
            done = 0
            with runner(workers if len(wanted) >= PARALLEL_FROM else 1) as run:
                for rows, found in run(do, jobs):
                    done += rows
                    problems |= found
                    say(f"graded {done:,} of {len(wanted):,} rows again")
        except DamagedShard as damaged:
            raise UserError(f"{folder}: {damaged}; take a whole copy of the release.") from None
        finally:
            close_worlds()
    return problems


def do(job: Job) -> tuple[int, dict[str, str]]:
    """How many rows a job looked at, and the problems by content hash."""
    rows = [
        row
        for row in row_group(job.folder, job.path, "sft", job.group).to_pylist()
        if row["content_hash"] in job.wanted
    ]
    world = open_world(job.world)
    tasks = [_task(row) for row in rows]
    truths = _truths([task for task in tasks if task is not None], world)
    problems = {}
    for row, task in zip(rows, tasks, strict=True):
        problem = "cannot be replayed" if task is None else _problem(row, task, world, truths.get(task.id))
        if problem is not None:
            problems[row["content_hash"]] = problem
    return len(rows), problems


def _jobs(folder: Path, wanted: frozenset[str], temporary: Path) -> Iterator[Job]:
    for split in sorted({path.name.split("-")[0] for path in (folder / "sft").glob("*.parquet")}):
        world = temporary / f"{split}.duckdb"
        for path in shards_of(folder, "sft", split):
            file = open_shard(folder, path, "sft")
            for group in range(file.num_row_groups):
                mine = wanted.intersection(file.read_row_group(group, columns=["content_hash"]).column(0).to_pylist())
                if mine:
                    if not world.exists():
                        write_world_from_charts(_charts(folder, split), split, world)
                    yield Job(folder, path, group, world, mine)


def _charts(folder: Path, split: str) -> Iterator[tuple[str, str, str | None, str]]:
    for table in tables(folder, "charts", split, 4096):
        for row in table.to_pylist():
            yield row["type"], row["id"], row["patient"], row["raw"]


def _task(row: dict[str, Any]) -> Task | None:
    try:
        return task_from_json(row["task"])
    except (ValueError, RecursionError, TypeError):
        return None


def _truths(tasks: list[Task], world: World) -> dict[str, Any]:
    """The truths of all, or none where one task spoils it: each is then looked up on its own."""
    try:
        return graders.truths(tasks, world)
    except (ImportError, MemoryError):
        raise
    except Exception:  # as below
        return {}


def _problem(row: dict[str, Any], task: Task, world: World, truth: Any) -> str | None:
    try:
        messages = [message_of(message) for message in row["messages"]]
        episode = replay_task(task, world, raws_of(messages, task.protocol))
        if list(episode.messages) != messages:
            return "replay differs"
        verdict = graders.grade(task, episode, world, truth)
    except (ImportError, MemoryError):
        raise
    except Exception:  # another version's task may break a service or grader anywhere: that is the question
        return "cannot be replayed"
    if not verdict.passed:
        return "graded: " + ", ".join(check.name for check in verdict.checks if not check.passed)
    return None if verdict_json(verdict) == row["verdict"] else "verdict differs"
