"""Rows of earlier releases, judged anew on the worlds of the release to be.

A row stays as it is if the new world holds its patients, its raw texts give the same messages there, nothing in it is held
out and its grader passes it. Only the verdict is written anew, where the grader now looks at other things. Its provenance
goes on naming the graph and world that it was made on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graders
from fhirtasks.episodes.types import Episode
from fhirtasks.fhir.jsontext import loads
from fhirtasks.graph.world import World
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.release.check import batch_truths, replay_row, stated, told
from fhirtasks.release.features import NOTHING
from fhirtasks.release.preference import MODEL, Pair, pair, pairs
from fhirtasks.release.processes import open_world
from fhirtasks.release.read import open_shard, row_group, shards_of, tables
from fhirtasks.release.rows import Trajectory, hash_of, message_of, message_texts
from fhirtasks.synthesis.earlier import Release
from fhirtasks.synthesis.jobs import matcher_of, no_cycle_collection, write_partition
from fhirtasks.synthesis.partition import Drop, Made, forbidden, held_out
from fhirtasks.tasks.play import raws_of, replay_task
from fhirtasks.tasks.registry import families
from fhirtasks.tasks.types import Task

ROWS = 500
"""Rows of one job."""


@dataclass(frozen=True, slots=True)
class StandingJob:
    """Judge rows [start, stop) of a row group of a release's ``sft`` on ``world`` (None: the split is left out).

    ``label`` (``extend`` or ``merge``) begins the reasons of what is dropped; ``tokens`` says whether their counts stay.
    """

    release: Path
    split: str
    shard: Path
    group: int
    start: int
    stop: int
    world: Path | None
    out: Path
    holdouts: Holdouts | None
    label: str
    tokens: bool = True


def standing_jobs(
    release: Release,
    split: str,
    world: Path | None,
    folder: Path,
    *,
    holdouts: Holdouts | None,
    label: str,
    tokens: bool = True,
) -> Iterator[StandingJob]:
    """The jobs that judge all rows of a release's split, in their order, into files of ``folder``."""
    number = 0
    for shard in shards_of(release.folder, "sft", split):
        metadata = open_shard(release.folder, shard, "sft").metadata
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            for start in range(0, rows, ROWS):
                out = folder / f"standing-{release.digest[:12]}-{split}-{number:05d}.arrow"
                stop = min(start + ROWS, rows)
                yield StandingJob(release.folder, split, shard, group, start, stop, world, out, holdouts, label, tokens)
                number += 1


def judge_standing(job: StandingJob) -> int:
    """Does a job; returns how many rows stand."""
    rows = row_group(job.release, job.shard, "sft", job.group).slice(job.start, job.stop - job.start).to_pylist()
    if job.world is None:
        made = Made(dropped=[_drop(row, f"{job.label}: the split is left out") for row in rows])
    else:
        matcher = None if job.holdouts is None else matcher_of(job.holdouts)
        with no_cycle_collection():
            made = _judged(rows, job, open_world(job.world), matcher)
    write_partition(made, job.out)
    return len(made.kept)


def carry_drops(release: Release, folder: Path) -> Iterator[tuple[str, Path]]:
    """What a release says that it dropped, by split, as files without rows in ``folder``."""
    for split in release.manifest["splits"]:
        out = folder / f"standing-{release.digest[:12]}-{split}-dropped.arrow"
        if not out.exists():
            rows = (row for table in tables(release.folder, "dropped", split, 4096) for row in table.to_pylist())
            drops = [_drop(row, str(row["reason"])) for row in rows if row["reason"] != NOTHING]
            write_partition(Made(dropped=drops), out)
        yield split, out


def _judged(rows: list[dict[str, Any]], job: StandingJob, world: World, matcher: Matcher | None) -> Made:
    made = Made()
    played: list[tuple[dict[str, Any], Task, Episode]] = []
    for row in rows:
        found = _played(row, job, world)
        if isinstance(found, str):
            made.dropped.append(_drop(row, f"{job.label}: {found}"))
        elif reason := held_out(matcher, *found):
            made.dropped.append(_drop(row, reason))
        else:
            played.append((row, *found))
    truths = batch_truths([task for _, task, _ in played], world)
    for row, task, episode in played:
        try:
            verdict = graders.grade(task, episode, world, truths.get(task.id))
        except (ImportError, MemoryError):
            raise
        except Exception:  # a release of anyone's making may hold a task that breaks a grader anywhere
            made.dropped.append(_drop(row, f"{job.label}: cannot be graded"))
            continue
        if verdict.passed:
            tokens = row["tokens"] if job.tokens else None
            origin = loads(row["provenance"])
            made.kept.append(Trajectory(task, episode, verdict, origin, row["content_hash"], tokens))
        else:
            failed = ", ".join(check.name for check in verdict.checks if not check.passed)
            made.dropped.append(_drop(row, f"graded: {failed}"))
    made.pairs = pairs(made.kept, world, truths, forbidden(matcher))
    made.pairs |= _natural(made.kept, job, world, truths, matcher)
    return made


def _natural(
    rows: list[Trajectory], job: StandingJob, world: World, truths: Mapping[str, graders.Truth], matcher: Matcher | None
) -> dict[str, Pair]:
    """The pairs of these rows in which the release rejects what a model did, judged anew as the rows are."""
    mine = {row.content_hash: row for row in rows if row.origin == "model"}
    found = {}
    for table in tables(job.release, "preference", job.split, 4096) if mine else ():
        for told_pair in table.to_pylist():
            row = mine.get(str(told_pair["content_hash"]))
            if row is None or told_pair["mutant"] != MODEL:
                continue
            try:
                said = raws_of(map(message_of, told_pair["prompt"] + told_pair["rejected"]), row.task.protocol)
                episode = replay_task(row.task, world, said)
                verdict = graders.grade(row.task, episode, world, truths.get(row.task.id))
            except (ImportError, MemoryError):
                raise
            except Exception:  # as above
                continue
            made = pair(row.episode, episode, verdict, MODEL)
            if made is not None and not any(map(forbidden(matcher), message_texts(made.rejected))):
                found[row.content_hash] = made
    return found


def _played(row: dict[str, Any], job: StandingJob, world: World) -> tuple[Task, Episode] | str:
    """The row's task and episode on this world, or why it does not stand."""
    task, _ = stated(row, job.split)
    if task is None or not _told(row, task):
        return "columns disagree"
    known = {family.name: family for family in families()}
    if task.family not in known or task.branch not in [branch.name for branch in known[task.family].branches]:
        return "no such family or branch"
    if not set(world.patients).issuperset(task.patients):
        return "patient not in the split"
    try:
        episode = replay_row(row, task, world)
    except (ImportError, MemoryError):
        raise
    except Exception:  # as above
        return "cannot be replayed"
    if hash_of(task.protocol, episode.messages) != row["content_hash"]:
        return "replay differs"
    return task, episode


def _told(row: dict[str, Any], task: Task) -> bool:
    """Whether the provenance is one that a build writes for this task."""
    try:
        found = loads(row["provenance"])
        return isinstance(found, dict) and told(row["origin"], found, task)
    except (ValueError, RecursionError):
        return False


def _drop(row: dict[str, Any], reason: str) -> Drop:
    content, family, branch, split = (str(row[name]) for name in ("content_hash", "family", "branch", "split"))
    return Drop(content, family, branch, split, reason)
