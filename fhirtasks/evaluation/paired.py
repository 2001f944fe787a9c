"""Base against trained: what became of the very same tasks under two models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from fhirtasks.evaluation.outcomes import Outcome, percent, wilson


@dataclass(frozen=True, slots=True)
class Paired:
    """Tasks right under both models, under the trained one alone, under the base alone, under neither.

    ``infrastructure`` more could not be asked of one of them or of both, and are in none of these.
    """

    both: int
    gained: int
    lost: int
    neither: int
    infrastructure: int = 0

    @staticmethod
    def of(pairs: Iterable[tuple[Outcome, Outcome]]) -> Paired:
        """Of each task's outcome under the base and under the trained model."""
        listed = list(pairs)
        judged = [
            (before.passed, after.passed)
            for before, after in listed
            if before.verdict is not None and after.verdict is not None
        ]
        return Paired(
            judged.count((True, True)), judged.count((False, True)), judged.count((True, False)),
            judged.count((False, False)), len(listed) - len(judged),
        )  # fmt: skip

    @property
    def n(self) -> int:
        """Tasks that both were asked."""
        return self.both + self.gained + self.lost + self.neither

    @property
    def base(self) -> float | None:
        """The share right under the base; None where nothing was asked."""
        return (self.both + self.lost) / self.n if self.n else None

    @property
    def trained(self) -> float | None:
        """The share right under the trained model; None where nothing was asked."""
        return (self.both + self.gained) / self.n if self.n else None

    @property
    def difference(self) -> float | None:
        """Trained minus base; None where nothing was asked."""
        return (self.gained - self.lost) / self.n if self.n else None

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference of two proportions of the same tasks; (-1, 1) where nothing was asked.

        Method 10 of Newcombe RG, Improved confidence intervals for the difference between binomial proportions based on paired
        data, Stat Med 1998;17:2635-2650: the distances of both Wilson intervals' limits, squared and added, less what the two
        have in common by their correlation, which is corrected for continuity.
        """
        if not self.n:
            return -1.0, 1.0
        after, before = self.both + self.gained, self.both + self.lost
        (low_after, high_after), (low_before, high_before) = wilson(after, self.n), wilson(before, self.n)
        phi, rate_after, rate_before = self._correlation(), after / self.n, before / self.n
        below = _added(rate_after - low_after, high_before - rate_before, phi)
        above = _added(high_after - rate_after, rate_before - low_before, phi)
        difference = (self.gained - self.lost) / self.n
        return max(-1.0, difference - below), min(1.0, difference + above)

    def _correlation(self) -> float:
        margins = (
            (self.both + self.gained) * (self.lost + self.neither) * (self.both + self.lost) * (self.gained + self.neither)
        )  # fmt: skip
        if not margins:
            return 0.0
        common: float = self.both * self.neither - self.gained * self.lost
        if common > 0:
            common = max(common - self.n / 2, 0)
        return common / math.sqrt(margins)

    def p(self) -> float:
        """The two-sided exact p of McNemar's test: that of a fair coin, thrown once per task that changed sides."""
        changed = self.gained + self.lost
        ways = tail = 1
        for k in range(min(self.gained, self.lost)):
            ways = ways * (changed - k) // (k + 1)
            tail += ways
        return min(1.0, 2 * tail / (1 << changed))

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.interval()[1] < 0

    def as_json(self) -> dict[str, Any]:
        low, high = self.interval()
        rates = {"base": self.base, "trained": self.trained, "difference": self.difference, "low": low, "high": high}
        return {
            "n": self.n, **{name: None if rate is None else round(rate, 4) for name, rate in rates.items()},
            "gained": self.gained, "lost": self.lost, "p": float(f"{self.p():.4g}"),
            "infrastructure_errors": self.infrastructure,
        }  # fmt: skip


def _added(one: float, other: float, phi: float) -> float:
    """Two distances as one, squared and added; never the root of less than 0, whatever rounding does."""
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


@dataclass(frozen=True, slots=True)
class PairedReport:
    """The two models as they were named, and their tasks by family and all together."""

    base: str
    trained: str
    families: Mapping[str, Paired]
    total: Paired

    @staticmethod
    def of(base: str, trained: str, before: Sequence[Outcome], after: Sequence[Outcome]) -> PairedReport:
        """Of the outcomes of the same tasks in the same order."""
        pairs: dict[str, list[tuple[Outcome, Outcome]]] = {}
        for pair in zip(before, after, strict=True):
            pairs.setdefault(pair[0].task.family, []).append(pair)
        families = {family: Paired.of(pairs[family]) for family in sorted(pairs)}
        return PairedReport(base, trained, families, Paired.of(zip(before, after, strict=True)))

    @property
    def worse(self) -> list[str]:
        """The families that became worse: the whole interval of their difference lies below 0."""
        return [family for family, paired in self.families.items() if paired.worse]

    def as_json(self) -> dict[str, Any]:
        return {
            "base": self.base, "trained": self.trained, "total": self.total.as_json(),
            "families": {family: paired.as_json() for family, paired in self.families.items()}, "worse": self.worse,
        }  # fmt: skip

    def as_text(self) -> str:
        """A row per family and one of all: both rates, their difference in points, tasks gained and lost."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        out = StringIO()
        console = Console(file=out, width=150, force_terminal=False, color_system=None)
        table = Table(title=Text(f"{self.base} → {self.trained}, the same tasks"), title_justify="left")
        table.add_column("family")
        for column in ("n", "base", "trained", "points", "95 %", "gained", "lost", "p"):
            table.add_column(column, justify="right")
        for family, paired in self.families.items():
            table.add_row(family, *_cells(paired))
        table.add_section()
        table.add_row("all", *_cells(self.total))
        console.print(table)
        if self.total.infrastructure:
            console.print(
                f"not asked of one or both (infrastructure): {self.total.infrastructure}, in no row above",
                highlight=False,
            )
        if self.worse:
            console.print(
                f"Worse after training, the whole interval below 0: {', '.join(self.worse)}.", highlight=False
            )
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _cells(paired: Paired) -> list[str]:
    if paired.difference is None:
        return ["0", *["-"] * 7]
    low, high = paired.interval()
    p = paired.p()
    return [
        str(paired.n), percent(paired.base), percent(paired.trained), f"{100 * paired.difference:+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}", str(paired.gained), str(paired.lost),
        "<0.001" if p < 0.001 else f"{p:.3f}",
    ]  # fmt: skip
