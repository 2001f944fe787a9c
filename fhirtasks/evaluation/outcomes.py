"""What became of each task under a policy, and the share that passed with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fhirtasks.episodes.types import Episode
from fhirtasks.tasks.types import Task, Verdict

Z: Final = 1.959963984540054
"""The standard normal's 97.5 % quantile."""


def wilson(passed: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson, J Am Stat Assoc 1927;22:209-212); (0, 1) where nothing was asked."""
    if not n:
        return 0.0, 1.0
    rate, spread = passed / n, Z * Z / n
    middle = (rate + spread / 2) / (1 + spread)
    half = math.sqrt(rate * (1 - rate) * spread + spread * spread / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One task under one policy. Without a verdict the policy could not be asked, and ``error`` says why.

    ``cut`` is True where a message was cut off at its longest length.
    """

    task: Task
    episode: Episode | None
    verdict: Verdict | None
    error: str = ""
    cut: bool = False

    @property
    def passed(self) -> bool:
        return self.verdict is not None and self.verdict.passed


@dataclass(frozen=True, slots=True)
class Score:
    """``passed`` of ``n`` judged; ``infrastructure`` more could not be asked and are in neither."""

    n: int
    passed: int
    infrastructure: int = 0

    @staticmethod
    def of(outcomes: Iterable[Outcome]) -> Score:
        listed = list(outcomes)
        judged = [outcome for outcome in listed if outcome.verdict is not None]
        return Score(len(judged), sum(outcome.passed for outcome in judged), len(listed) - len(judged))

    @property
    def rate(self) -> float | None:
        """The share that passed; None if nothing was judged."""
        return self.passed / self.n if self.n else None

    def as_json(self) -> dict[str, Any]:
        low, high = wilson(self.passed, self.n)
        return {"n": self.n, "passed": self.passed, "rate": None if self.rate is None else round(self.rate, 4),
                "low": round(low, 4), "high": round(high, 4),
                "infrastructure_errors": self.infrastructure}  # fmt: skip


def grouped(outcomes: Iterable[Outcome], by: str) -> dict[str, list[Outcome]]:
    """The outcomes by a field of their tasks (``family``, ``branch``), in the order of its values."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(getattr(outcome.task, by), []).append(outcome)
    return dict(sorted(found.items()))


def percent(rate: float | None) -> str:
    """A rate as tables show it; a dash where there is none."""
    return "-" if rate is None else f"{100 * rate:.1f}%"
