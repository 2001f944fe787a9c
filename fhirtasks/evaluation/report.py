"""What an evaluation found: per family and branch, with the floors beside every score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from fhirtasks.benchmarks.medagentbench import reported_as
from fhirtasks.evaluation.outcomes import Outcome, Score, grouped, percent, wilson
from fhirtasks.evaluation.paired import PairedReport
from fhirtasks.evaluation.sources import Benchmark
from fhirtasks.tasks.floors import FLOORS
from graders.agentbench import Retrieval, means


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Outcomes by policy: those asked for first, then the floors that were run beside them; ``paired`` with a base."""

    policies: tuple[str, ...]
    outcomes: Mapping[str, Sequence[Outcome]]
    benchmark: Benchmark | None
    sandbox: str = "embedded"
    paired: PairedReport | None = None

    def as_json(self) -> dict[str, Any]:
        """``families`` is the first policy's; ``policies`` has every policy, ``floors`` the floors' totals, ``paired`` the model's
        difference from its base, if there was one."""
        every = {name: self._policy(name) for name in self.outcomes}
        first = every[self.policies[0]]
        return {
            "policy": self.policies[0],
            "sandbox": self.sandbox,
            **first,
            "floors": {name: every[name]["total"] for name in FLOORS if name in every},
            "policies": every,
            **({} if self.paired is None else {"paired": self.paired.as_json()}),
        }

    def _policy(self, name: str) -> dict[str, Any]:
        outcomes = self.outcomes[name]
        found: dict[str, Any] = {"total": Score.of(outcomes).as_json(), "families": {}}
        if self.benchmark == "fhir_agentbench":
            found["agentbench"] = agentbench(outcomes)
        if self.benchmark == "medagentbench":
            # Query SR and Action SR, split as the benchmark reports them.
            for rate in ("query", "action"):
                found[rate] = Score.of(one for one in outcomes if reported_as(one.task.id) == rate).as_json()
        for family, rows in grouped(outcomes, "family").items():
            branches = {branch: Score.of(some).as_json() for branch, some in grouped(rows, "branch").items()}
            found["families"][family] = {**Score.of(rows).as_json(), "branches": branches}
        found["cut_off"] = sum(one.cut for one in outcomes)
        found["failed_checks"] = dict(sorted(Counter(_failed(outcomes)).items()))
        found["statuses"] = dict(sorted(Counter(one.episode.status for one in outcomes if one.episode).items()))
        found["errors"] = dict(sorted(Counter(one.error for one in outcomes if one.error).items()))
        return found

    def as_text(self) -> str:
        """A table per policy asked for: a row per family and branch, the floors' rates beside its own; base and trained last."""
        from rich.console import Console
        from rich.table import Table

        out = StringIO()
        console = Console(file=out, width=150, force_terminal=False, color_system=None)
        floors = [name for name in FLOORS if name in self.outcomes]
        for policy in self.policies:
            table = Table(title=policy, title_justify="left")
            for column in ("family", "branch"):
                table.add_column(column)
            for column in ("n", "passed", "rate", "95 %", *floors):
                table.add_column(column, justify="right")
            for family, rows in grouped(self.outcomes[policy], "family").items():
                table.add_row(family, "", *self._cells(rows, floors, family, None))
                for branch, some in grouped(rows, "branch").items():
                    if len(grouped(rows, "branch")) > 1:
                        table.add_row("", branch, *self._cells(some, floors, family, branch))
            table.add_section()
            table.add_row("all", "", *self._cells(self.outcomes[policy], floors, None, None))
            console.print(table)
            console.print(self._notes(policy), highlight=False)
        if self.paired is not None:
            out.write(self.paired.as_text())
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    def _cells(self, rows: Sequence[Outcome], floors: list[str], family: str | None, branch: str | None) -> list[str]:
        score = Score.of(rows)
        low, high = wilson(score.passed, score.n)
        between = f"{100 * low:.1f}-{100 * high:.1f}" if score.n else "-"
        cells = [str(score.n), str(score.passed), percent(score.rate), between]
        for floor in floors:
            same = [
                one
                for one in self.outcomes[floor]
                if family in (None, one.task.family) and branch in (None, one.task.branch)
            ]
            cells.append(percent(Score.of(same).rate))
        return cells

    def _notes(self, policy: str) -> str:
        found = self._policy(policy)
        lines = []
        if self.benchmark == "fhir_agentbench":
            told = ", ".join(
                f"{name.replace('_', ' ')} {100 * value:.2f}%" for name, value in found["agentbench"].items()
            )
            lines.append(f"as the benchmark reports, and by typed rules: {told}")
        if self.benchmark == "medagentbench":
            rates = ", ".join(f"{name} {_percent_of(found[key])}" for name, key in _RATES)
            lines.append(f"as the benchmark reports: {rates}")
        if found["failed_checks"]:
            lines.append("failed checks: " + ", ".join(f"{name} {n}" for name, n in found["failed_checks"].items()))
        if found["total"]["infrastructure_errors"]:
            lines.append(
                f"not asked (infrastructure): {found['total']['infrastructure_errors']}, not in any rate above"
            )
        if found["cut_off"]:
            lines.append(f"a message was cut off at its longest length: {found['cut_off']} tasks")
        lines += [f"{count} x {error}" for error, count in found["errors"].items()]
        return "\n".join(lines)


_RATES = (("SR", "total"), ("query SR", "query"), ("action SR", "action"))


def agentbench(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """FHIR-AgentBench's figures: answer correctness, retrieval's recall, precision and F1; ``typed`` by our own rules.

    Means over the judged questions; precision over those that have one, F1 of the two means, as the benchmark has it.
    """
    judged = [one.verdict for one in outcomes if one.verdict is not None]
    measures = [dict(verdict.measures) for verdict in judged]
    rows = [Retrieval(row["recall"], row.get("precision")) for row in measures]
    share = {"answer_correctness": [float(one.passed) for one in judged], "typed": [row["typed"] for row in measures]}
    found = {name: sum(values) / len(values) if values else 0.0 for name, values in share.items()}
    return {name: round(value, 4) for name, value in (found | means(rows)).items()}


def _failed(outcomes: Iterable[Outcome]) -> list[str]:
    """The first failed check of each failed episode."""
    verdicts = [one.verdict for one in outcomes if one.verdict is not None and not one.verdict.passed]
    return [next((check.name for check in verdict.checks if not check.passed), "") for verdict in verdicts]


def _percent_of(score: Mapping[str, Any]) -> str:
    return "-" if not score["n"] else f"{100 * score['passed'] / score['n']:.2f}%"
