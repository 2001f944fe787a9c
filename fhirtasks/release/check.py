"""The checks of one trajectory row, and of what ``sft_turns``, ``rl`` and ``privileged`` make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import graders
from fhirtasks.episodes.types import Episode, Message
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import canonical, loads
from fhirtasks.graph.world import World
from fhirtasks.release.features import COLUMNS, ORIGINS
from fhirtasks.release.privileged import privileged_table
from fhirtasks.release.read import Failure, Rows
from fhirtasks.release.rows import (
    hash_of,
    message_of,
    provenance,
    reference,
    rl_table,
    row_id,
    tools_text,
    turns_table,
    verdict_json,
)
from fhirtasks.tasks.codec import task_from_json, task_to_json
from fhirtasks.tasks.play import raws_of, replay_task
from fhirtasks.tasks.types import Task

Places = frozenset[tuple[str, str]]
"""Fingerprints of graph and world, together: where rows of a split may have been made."""

SLICE = 64
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What is raised where something is made of damaged rows."""
_FROM_TASK = ("family", "branch", "domain", "kind", "protocol", "mode", "split")


def check_rows(rows: Sequence[dict[str, Any]], world: World, split: str, first: int, places: Places) -> list[Failure]:
    """At most one failure per ``sft`` row: what differs when it is replayed and graded again on its world."""
    tasks: list[Task | None] = []
    problems: list[str | None] = []
    for row in rows:
        task, problem = stated(row, split)
        tasks.append(task)
        problems.append(problem)
    truths = batch_truths([task for task in tasks if task is not None], world)
    failures = []
    for number, (row, task, problem) in enumerate(zip(rows, tasks, problems, strict=True), first):
        if problem is None and task is not None and not set(world.patients).issuperset(task.patients):
            problem = "a patient of its task is not in the charts of the split"
        if problem is None and task is not None:
            problem = _provenance(row, task, places) or _again(row, task, world, truths)
        if problem is not None:
            failures.append(Failure(problem, config="sft", split=split, row=number, id=str(row["id"])))
    return failures


def check_derived(folder: Path, split: str) -> Iterator[Failure]:
    """Where ``sft_turns``, ``rl`` and ``privileged`` do not say what ``sft`` says; the first difference of each."""
    sft = Rows(folder, "sft", split)
    streams = {config: Rows(folder, config, split) for config in ("sft_turns", "rl", "privileged")}
    places = dict.fromkeys(streams, 0)
    seen: set[str] = set()
    while streams and len(rows := sft.take(SLICE)):
        for config in list(streams):
            try:
                wanted = _derived(config, rows, seen)
            except _DAMAGED as error:
                problem = f"cannot be made of sft: {type(error).__name__}: {error}"
                yield Failure(problem, config=config, split=split, row=places[config])
                del streams[config]
                continue
            found = streams[config].take(len(wanted))
            if not found.equals(wanted):
                yield _difference(config, split, places[config], found, wanted)
                del streams[config]
            else:
                places[config] += len(wanted)
    for config, stream in streams.items():
        if len(stream.take(1)):
            yield Failure("has no row of sft that it comes from", config=config, split=split, row=places[config])


def stated(row: dict[str, Any], split: str) -> tuple[Task | None, str | None]:
    """The row's task, and what its columns say wrongly of it."""
    missing = [name for name, value in row.items() if value is None and name != "tokens"]
    if missing:
        return None, f"{missing[0]} is null"
    try:
        task = task_from_json(row["task"])
    except (ValueError, RecursionError) as error:
        return None, f"task cannot be read: {error}"
    if task_to_json(task) != row["task"]:
        return None, "task is not in canonical form"
    for name in _FROM_TASK:
        if row[name] != getattr(task, name):
            return None, f"{name} is {row[name]!r}, the task says {getattr(task, name)!r}"
    if row["origin"] not in ORIGINS:
        return None, f"origin is {row['origin']!r}, must be {' or '.join(ORIGINS)}"
    wanted = row_id(task.id, row["origin"], row["content_hash"])
    if row["id"] != wanted:
        return None, f"id is {row['id']!r}, must be {wanted!r}"
    if task.split != split:
        return None, f"the task belongs to {task.split}"
    if row["tools"] != tools_text(task.protocol):
        return None, f"tools is not what the protocol {task.protocol} offers"
    return task, None


def told(origin: str, found: dict[str, Any], task: Task) -> bool:
    """Whether a provenance says what there is to say of a row of this origin and task, wherever it was made."""
    wanted = provenance(task, str(found.get("world")), str(found.get("graph")))
    if "sandbox" in wanted and isinstance(found.get("sandbox"), str):
        wanted["sandbox"] = found["sandbox"]  # of another version: whether it says the same is what a replay shows
    if origin == "model":
        wanted |= {name: found[name] for name in ("model", "cleaned") if isinstance(found.get(name), str)}
        return found == wanted and wanted.keys() >= {"model", "cleaned"}
    return found == wanted


def _provenance(row: dict[str, Any], task: Task, places: Places) -> str | None:
    try:
        found = loads(row["provenance"])
    except (ValueError, RecursionError) as error:
        return f"provenance cannot be read: {error}"
    if not isinstance(found, dict) or canonical(found).decode() != row["provenance"]:
        return "provenance is no object in canonical form"
    if not told(row["origin"], found, task):
        return "provenance does not agree with the task"
    if (found["graph"], found["world"]) not in places:
        return "neither this release's world nor that of one it comes from is the one that it was made on (provenance)"
    return None


def _again(row: dict[str, Any], task: Task, world: World, truths: dict[str, Any]) -> str | None:
    """What differs when the raw assistant texts are replayed and judged again."""
    try:
        messages = [message_of(message) for message in row["messages"]]
    except _DAMAGED as error:
        return f"a message cannot be read: {error}"
    if hash_of(task.protocol, messages) != row["content_hash"]:
        return "content_hash is not that of its messages"
    try:
        episode = replay_row(row, task, world)
        place = _first_difference(messages, episode.messages)
        if place is not None:
            return f"message {place} is not what the replay gives"
        verdict = graders.grade(task, episode, world, truths.get(task.id))
    except UserError as error:
        return f"cannot be replayed and graded: {error}"
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # a damaged task may break a service or grader anywhere: that is the row's failure
        return f"cannot be replayed and graded: {type(error).__name__}: {error}"
    if not verdict.passed:
        failed = "; ".join(f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed)
        return f"does not pass its grader: {failed}"
    if verdict_json(verdict) != row["verdict"]:
        return "verdict is not what the grader says"
    return None


def replay_row(row: dict[str, Any], task: Task, world: World) -> Episode:
    """The episode that a row's raw assistant texts make on this world."""
    return replay_task(task, world, raws_of(map(message_of, row["messages"]), task.protocol))


def batch_truths(tasks: list[Task], world: World) -> dict[str, Any]:
    """The truths of the whole batch; none of them where a damaged task spoils it: each is then looked up on its own."""
    try:
        return graders.truths(tasks, world)
    except (ImportError, MemoryError):
        raise
    except Exception:  # as above
        return {}


def _first_difference(stored: Sequence[Message], replayed: Sequence[Message]) -> int | None:
    for place, (one, other) in enumerate(zip(stored, replayed, strict=False)):
        if one != other:
            return place
    return None if len(stored) == len(replayed) else min(len(stored), len(replayed))


def _derived(config: str, rows: Any, seen: set[str]) -> Any:
    if config == "sft_turns":
        return turns_table(rows)
    return privileged_table(rows) if config == "privileged" else rl_table(rows, _references(rows), seen)


def _references(rows: Any) -> list[str]:
    found = []
    for text in rows.column("task").to_pylist():
        try:
            found.append(reference(task_from_json(text or "")))
        except (ValueError, RecursionError, TypeError):
            found.append("")
    return found


def _difference(config: str, split: str, first: int, found: Any, wanted: Any) -> Failure:
    for offset in range(len(wanted)):
        if offset >= len(found):
            return Failure("rows are missing from here on", config=config, split=split, row=first + offset)
        one, other = found.slice(offset, 1), wanted.slice(offset, 1)
        for name in COLUMNS[config]:
            if not one.column(name).equals(other.column(name)):
                problem = f"{name} is not what sft says"
                return Failure(
                    problem, config=config, split=split, row=first + offset, id=one.column("id").to_pylist()[0]
                )
    return Failure("differs from sft", config=config, split=split, row=first)
