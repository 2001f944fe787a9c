"""What a probe found: success with its interval, the best floor beside it, a verdict; the learning curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import Any, Final

from fhirtasks.episodes.types import Solver
from fhirtasks.evaluation.outcomes import Outcome, wilson
from fhirtasks.evaluation.playing import Prompting, play_solver
from fhirtasks.evaluation.sources import TaskSet
from fhirtasks.tasks.floors import FLOORS, floor
from fhirtasks.tasks.types import Task

CASES: Final[Mapping[str, Callable[[Task], bool]]] = {
    "several pages": lambda task: _counted(task, "pages") > 1,
    "order due": lambda task: task.kind == "conditional" and _counted(task, "orders") > 0,
    "nothing due": lambda task: task.kind == "conditional" and _counted(task, "orders") == 0,
}
"""Cases that are told apart within a family: records that need more than a page, and both sides of a condition."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Success in a family's tasks of one kind (``patients``, ``wordings``, ``families``: what was held out), or a case of them."""

    family: str
    kind: str
    case: str
    n: int
    passed: int
    floor: str
    floor_passed: int
    branches: dict[str, tuple[int, int]]

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.passed, self.n)

    @property
    def taught(self) -> bool:
        """Whether the interval's lower end is above what the best floor reaches on the same tasks."""
        return self.n > 0 and self.interval[0] > self.floor_passed / self.n

    def as_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "family": self.family, "held_out": self.kind, "case": self.case or None, "n": self.n, "passed": self.passed,
            "rate": round(self.passed / self.n, 4), "low": round(low, 4), "high": round(high, 4), "floor": self.floor,
            "floor_rate": round(self.floor_passed / self.n, 4), "taught": self.taught,
            "branches": {name: {"n": n, "passed": passed} for name, (n, passed) in self.branches.items()},
        }  # fmt: skip


def floors_on(tasks: Sequence[Task], sources: Mapping[str, TaskSet]) -> dict[str, set[str]]:
    """Floor -> the ids of the tasks that it passes."""
    found: dict[str, set[str]] = {}
    for name in FLOORS:
        solver = floor(name, tasks)
        found[name] = set()
        for split, source in sources.items():
            some = [task for task in tasks if task.split == split]
            played = play_solver(some, source, partial(_always, solver), Prompting())
            found[name] |= {outcome.task.id for outcome in played if outcome.passed}
    return found


def _always(solver: Solver, _: Task) -> Solver:
    return solver


def score(kind: str, outcomes: Sequence[Outcome], floors: Mapping[str, set[str]]) -> list[Scored]:
    """A :class:`Scored` for every family, followed by those of its cases that occur. ``floors``: of :func:`floors_on`."""
    found = []
    for family in sorted({outcome.task.family for outcome in outcomes}):
        own = [outcome for outcome in outcomes if outcome.task.family == family]
        found.append(_scored(family, kind, "", own, floors))
        for case, holds in CASES.items():
            some = [outcome for outcome in own if holds(outcome.task)]
            if 0 < len(some) < len(own):
                found.append(_scored(family, kind, case, some, floors))
    return found


def _scored(family: str, kind: str, case: str, outcomes: Sequence[Outcome], floors: Mapping[str, set[str]]) -> Scored:
    reached = {name: sum(one.task.id in passed for one in outcomes) for name, passed in floors.items()}
    best = max(FLOORS, key=lambda name: reached[name])
    branches: dict[str, tuple[int, int]] = {}
    for one in outcomes:
        n, passed = branches.get(one.task.branch, (0, 0))
        branches[one.task.branch] = n + 1, passed + one.passed
    passed = sum(one.passed for one in outcomes)
    return Scored(family, kind, case, len(outcomes), passed, best, reached[best], dict(sorted(branches.items())))


def _counted(task: Task, name: str) -> int:
    value = task.difficulty.get(name, 0)
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Learning:
    """A point of the learning curve: what the rows of a share of the patients teach with the curve's budget."""

    share: float
    patients: int
    rows: int
    tokens: int
    loss: float
    scored: list[Scored]

    def as_json(self) -> dict[str, Any]:
        return {
            "share": self.share, "patients": self.patients, "rows": self.rows, "tokens": self.tokens,
            "loss": round(self.loss, 4), "scores": [one.as_json() for one in self.scored if not one.case],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Everything that a probe found. ``release`` is the digest of its manifest; ``marks``: figures on the way, by minute."""

    release: str
    seed: int
    device: str
    shape: dict[str, int]
    families: tuple[str, ...]
    rows: int
    patients: int
    vocabulary: int
    episode_tokens: dict[str, dict[str, int]]
    recalled: float
    learned: dict[str, Any]
    scored: list[Scored]
    curve: list[Learning]
    marks: list[tuple[float, list[Scored]]]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            "release": self.release, "seed": self.seed, "device": self.device, "shape": self.shape,
            "families": list(self.families), "rows": self.rows, "patients": self.patients,
            "vocabulary": self.vocabulary, "episode_tokens": self.episode_tokens, "recalled": round(self.recalled, 4),
            "training": self.learned, "scores": [one.as_json() for one in self.scored],
            "curve": [point.as_json() for point in self.curve],
            "marks": [{"minutes": round(at, 2), "scores": [one.as_json() for one in some]} for at, some in self.marks],
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


def as_text(report: Mapping[str, Any]) -> str:
    """The tables of a report's JSON."""
    from rich.console import Console
    from rich.table import Table

    out = StringIO()
    console = Console(file=out, width=132, force_terminal=False, color_system=None)
    table = Table(title="held-out tasks", title_justify="left")
    for column in ("family", "held out", "case"):
        table.add_column(column)
    for column in ("n", "success", "95 % interval", "best floor"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for one in report["scores"]:
        table.add_row(
            one["family"], one["held_out"], one["case"] or "", str(one["n"]), f"{one['rate']:.0%}",
            f"{one['low']:.0%} to {one['high']:.0%}", f"{one['floor_rate']:.0%} {one['floor']}",
            "taught" if one["taught"] else "not shown",
        )  # fmt: skip
    console.print(table)
    if report["curve"]:
        curve = Table(title="learning curve (held-out patients)", title_justify="left")
        for column in ("patients", "rows", "tokens", "loss", *report["families"]):
            curve.add_column(column, justify="right")
        for point in report["curve"]:
            rates = {one["family"]: f"{one['rate']:.0%}" for one in point["scores"]}
            curve.add_row(
                str(point["patients"]), f"{point['rows']:,}", f"{point['tokens']:,}", f"{point['loss']:.3f}",
                *(rates.get(family, "") for family in report["families"]),
            )  # fmt: skip
        console.print(curve)
    how = report["training"]
    console.print(
        f"trained on {how['tokens']:,} tokens in {how['steps']:,} steps ({how['seconds']:.0f} s, paced by {how['paced_by']}); "
        f"the whole probe took {report['seconds']:.0f} s on {report['device']}, seed {report['seed']}",
        highlight=False,
    )
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
