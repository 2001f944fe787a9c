"""The judges: one module per domain, each with ``GRADERS`` (family -> Grader). They know slots, world and scenario,
never gold.

``truths`` finds the truth of many tasks in a few set-based queries; ``grade`` judges one episode by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from fhirtasks.episodes.types import Episode
from fhirtasks.errors import UserError
from fhirtasks.graph.world import World
from fhirtasks.plugins import only
from fhirtasks.tasks.types import Task, Verdict

DOMAINS = ("fhir_agentbench", "labs", "patients", "questions", "referrals", "vitals")
"""Modules of this package; each has ``GRADERS``."""

GROUP = "fhirtasks.graders"
"""Entry points of other packages: named after the family, each loads to a Grader."""

Truth = Any
"""What a family's grader found out about a task; only that grader looks inside."""


@dataclass(frozen=True, slots=True)
class Grader:
    """``truths(tasks, world)``: truth by task id, for tasks of this grader. ``grade(task, episode, world, truth)``: the verdict."""

    truths: Callable[[Sequence[Task], World], dict[str, Truth]]
    grade: Callable[[Task, Episode, World, Truth], Verdict]


def grader(family: str) -> Grader:
    """The judge of a family. UserError if there is none."""
    found = _built_in()
    if family in found:
        return found[family]
    points = list(entry_points(group=GROUP))
    mine = [point for point in points if point.name == family]
    if not mine:
        known = sorted({*found, *(point.name for point in points)})
        raise UserError(f"no grader for the family {family!r}; there are: {', '.join(known)}")
    loaded: Grader = only(mine, "grader", family)
    return loaded


def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """The truth of every task, by task id: one call per grader, whatever the number of tasks."""
    groups: dict[int, tuple[Grader, list[Task]]] = {}
    for task in tasks:
        judge = grader(task.family)
        groups.setdefault(id(judge.truths), (judge, []))[1].append(task)
    found: dict[str, Truth] = {}
    for judge, members in groups.values():
        found |= judge.truths(members, world)
    return found


def grade(task: Task, episode: Episode, world: World, truth: Truth | None = None) -> Verdict:
    """Judges an episode that the task's environment recorded. Without ``truth`` it is looked up for this task alone."""
    judge = grader(task.family)
    if truth is None:
        truth = judge.truths([task], world)[task.id]
    return judge.grade(task, episode, world, truth)


@cache
def _built_in() -> dict[str, Grader]:
    found: dict[str, Grader] = {}
    for domain in DOMAINS:
        found |= import_module(f"graders.{domain}").GRADERS
    return found
