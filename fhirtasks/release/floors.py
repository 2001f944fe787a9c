"""What the floors reach on a release's own tasks: measured on a bounded sample, stated in the manifest, checked by verify.

The tasks are the first of ``rl`` in the release's first split, as many of every family; all floors play them on that
split's world and are graded as any episode is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import graders
from fhirtasks.episodes.types import Answer, Solver
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import loads
from fhirtasks.graph.world import World
from fhirtasks.release.read import tables
from fhirtasks.release.sample import sample
from fhirtasks.tasks.codec import task_from_json
from fhirtasks.tasks.floors import FLOORS, floor, never_read
from fhirtasks.tasks.play import play
from fhirtasks.tasks.types import Task

LEAST, MOST, SHARE = 12, 200, 0.03
"""Tasks of a family: this share of its rows in the split, within these bounds."""


def measure(folder: Path, split: str, world: World, part: int = 0, parts: int = 1) -> dict[str, Any]:
    """``split`` and, per family, how many ``tasks`` were played and how many each floor ``passed``.

    Of ``parts`` that have every so many of the families, one is measured.
    ``never-read`` knows the most frequent answer among all tasks of the split. :class:`DamagedShard` and UserError where
    the rows are not tasks.
    """
    answers, counts = _answers(folder, split)
    most = max(counts.values(), default=0)
    each = max(LEAST, min(MOST, round(most * SHARE)))
    limit = each * len(counts)
    rows = sample(folder, "rl", [split], by=("branch",), limit=limit, depth=each, even=True, columns=("task",))
    try:
        tasks = [task_from_json(row["task"]) for row in rows]
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"rl holds no tasks ({error}); take a whole copy of the release.") from None
    mine = set(sorted({task.family for task in tasks})[part::parts])
    tasks = [task for task in tasks if task.family in mine]
    truths = graders.truths(tasks, world)
    families: dict[str, Any] = {}
    for task in tasks:
        entry = families.setdefault(task.family, {"tasks": 0, "passed": dict.fromkeys(FLOORS, 0)})
        entry["tasks"] += 1
        for name in FLOORS:
            solver = never_read(answers) if name == "never-read" else floor(name, ())
            entry["passed"][name] += _passes(task, world, solver, truths[task.id])
    return {"split": split, "families": dict(sorted(families.items()))}


def _passes(task: Task, world: World, solver: Solver, truth: graders.Truth) -> bool:
    """Whether the floor passes; one that breaks down on what it was shown has failed."""
    try:
        episode = play(task, world, solver)
    except (ValueError, LookupError, TypeError, ArithmeticError):
        return False
    return graders.grade(task, episode, world, truth).passed


def _answers(folder: Path, split: str) -> tuple[dict[str, Answer], Counter[str]]:
    """Family -> its most frequent answer that is a list (ties: the smallest JSON text); family -> its rows."""
    found: Counter[tuple[str, str]] = Counter()
    rows: Counter[str] = Counter()
    for table in tables(folder, "rl", split, 4096, ("family", "reference")):
        families: Sequence[str] = table.column("family").to_pylist()
        rows.update(families)
        found.update(zip(families, table.column("reference").to_pylist(), strict=True))
    answers: dict[str, Answer] = {}
    for (family, text), _ in sorted(found.items(), key=lambda one: (-one[1], one[0])):
        if family not in answers and text.startswith("["):
            answers[family] = loads(text)
    return answers, rows
