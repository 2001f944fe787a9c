"""The checks of ``preference``: the chosen episode is a row of ``sft``, the rejected one is played and judged again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graders
from fhirtasks.errors import UserError
from fhirtasks.graph.world import World
from fhirtasks.release.preference import MODEL, committed
from fhirtasks.release.processes import open_world
from fhirtasks.release.read import DamagedShard, Failure, open_shard, row_group, shards_of
from fhirtasks.release.rows import message_of
from fhirtasks.tasks.codec import task_from_json
from fhirtasks.tasks.play import raws_of, replay_task
from fhirtasks.tasks.types import Task

JOB_ROWS = 250
_ENDS = (("prompt", -1), ("chosen", 0), ("rejected", 0))
_SAME = ("id", "tools", "family", "branch", "domain", "kind", "protocol", "mode", "split")

Place = tuple[Path, int, int]
"""Where a row is: shard, row group, row in it."""


@dataclass(frozen=True, slots=True)
class PairJob:
    """Pairs from row ``start`` of a row group of ``preference`` on, the first being row ``first`` of the split.

    ``chosen`` are the places of their chosen episodes in ``sft``, None where there is none.
    """

    folder: Path
    split: str
    world: Path
    path: Path
    group: int
    start: int
    first: int
    chosen: tuple[Place | None, ...]


def pair_jobs(
    folder: Path, manifest: Mapping[str, Any], worlds: Mapping[str, Path], failures: list[Failure]
) -> Iterator[PairJob]:
    """The jobs for all pairs of the splits that have a world; adds to ``failures`` what is wrong with their number."""
    for split, world in worlds.items():
        try:
            chosen = {str(content): place for content, place in _contents(folder, "sft", split)}
            pairs = list(_contents(folder, "preference", split))
        except DamagedShard as damaged:
            failures.append(damaged.failure)
            continue
        files = manifest["files"].items()
        stated = sum(about.get("rows", 0) for name, about in files if name.startswith(f"preference/{split}-"))
        if len(pairs) != stated:
            problem = f"{len(pairs)} rows, the manifest's files have {stated}"
            failures.append(Failure(problem, config="preference", split=split))
        first = 0
        for begin in range(len(pairs)):
            _, (path, group, start) = pairs[begin]
            if begin + 1 == len(pairs) or pairs[begin + 1][1][:2] != (path, group) or begin + 1 - first == JOB_ROWS:
                mine = pairs[first : begin + 1]
                places = tuple(chosen.get(str(content)) for content, _ in mine)
                yield PairJob(folder, split, world, path, group, start + 1 - len(mine), first, places)
                first = begin + 1


def check_pairs(job: PairJob) -> list[Failure]:
    """At most one failure per pair."""
    try:
        pairs = row_group(job.folder, job.path, "preference", job.group).slice(job.start, len(job.chosen)).to_pylist()
        rows = _rows(job)
    except DamagedShard as damaged:
        return [damaged.failure]
    world = open_world(job.world)
    tasks = {place: task for place, row in rows.items() if (task := _task(row)) is not None}
    try:
        truths = graders.truths(list(tasks.values()), world)
    except (ImportError, MemoryError):
        raise
    except Exception:  # a damaged task may break a grader anywhere: each truth is then looked up on its own
        truths = {}
    failures = []
    before: Place | None = None
    for number, (pair, place) in enumerate(zip(pairs, job.chosen, strict=True), job.first):
        if place is None:
            problem: str | None = "no row of sft has its content_hash"
        elif before is not None and place <= before:
            problem = "its row of sft comes before that of the pair above"
        elif place not in tasks:
            problem = "its row of sft is damaged"
        else:
            problem = _stated(pair, rows[place]) or _again(pair, tasks[place], world, truths.get(tasks[place].id))
        if problem is not None:
            failures.append(Failure(problem, config="preference", split=job.split, row=number, id=str(pair["id"])))
        before = place or before
    return failures


def _contents(folder: Path, config: str, split: str) -> Iterator[tuple[str | None, Place]]:
    for path in shards_of(folder, config, split):
        for group in range(open_shard(folder, path, config).num_row_groups):
            column = row_group(folder, path, config, group, ("content_hash",)).column("content_hash")
            for row, content in enumerate(column.to_pylist()):
                yield content, (path, group, row)


def _rows(job: PairJob) -> dict[Place, dict[str, Any]]:
    found: dict[Place, dict[str, Any]] = {}
    places = [place for place in job.chosen if place is not None]
    for path, group in sorted({place[:2] for place in places}):
        table = row_group(job.folder, path, "sft", group)
        mine = sorted({place[2] for place in places if place[:2] == (path, group)})
        for number, row in zip(mine, table.take(mine).to_pylist(), strict=True):
            found[path, group, number] = row
    return found


def _task(row: dict[str, Any]) -> Task | None:
    try:
        return task_from_json(row["task"])
    except (ValueError, TypeError, RecursionError):
        return None


def _stated(pair: dict[str, Any], row: dict[str, Any]) -> str | None:
    """What the pair's columns say wrongly of themselves and of the row of ``sft``."""
    missing = [name for name, value in pair.items() if value is None]
    if missing:
        return f"{missing[0]} is null"
    for name in _SAME:
        if pair[name] != row[name]:
            return f"{name} is {pair[name]!r}, sft says {row[name]!r}"
    if pair["prompt"] + pair["chosen"] != row["messages"]:
        return "prompt and chosen are not the messages of its row of sft"
    ends = [side[place]["role"] for name, place in _ENDS if (side := pair[name])]
    if len(ends) < len(_ENDS) or ends[0] not in ("user", "tool") or ends[1:] != ["assistant", "assistant"]:
        return "prompt does not end with a message that both chosen and rejected answer"
    if pair["chosen"][0] == pair["rejected"][0]:
        return "prompt does not hold all that chosen and rejected share"
    if pair["mutant"] not in committed(pair["protocol"]) and pair["mutant"] != MODEL:
        return f"mutant is {pair['mutant']!r}, which is no known kind"
    return None


def _again(pair: dict[str, Any], task: Task, world: World, truth: graders.Truth | None) -> str | None:
    """What differs when the rejected episode is replayed and judged again."""
    try:
        messages = tuple(map(message_of, pair["prompt"] + pair["rejected"]))
        episode = replay_task(task, world, raws_of(messages, task.protocol))
        if episode.messages != messages:
            return "the rejected episode is not what the replay gives"
        verdict = graders.grade(task, episode, world, truth)
    except UserError as error:
        return f"the rejected episode cannot be replayed and graded: {error}"
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # as in check.py: that is the row's failure
        return f"the rejected episode cannot be replayed and graded: {type(error).__name__}: {error}"
    if pair["check"] not in {check.name for check in verdict.checks if not check.passed}:
        return f"the rejected episode does not fail the check {pair['check']!r}"
    return None
