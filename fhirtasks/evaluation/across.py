"""The same policies on several releases: what was learned on the records of one place, asked on those of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.evaluation.outcomes import Score, grouped, percent
from fhirtasks.evaluation.report import EvaluationReport
from fhirtasks.evaluation.run import EvaluationConfig, Progress, evaluate_all
from fhirtasks.evaluation.sources import is_release, release_name, release_of
from fhirtasks.release.manifest import read_manifest

SHARED = "in every release"
"""The row of the families that no release lacks: what can be compared between columns."""


@dataclass(frozen=True, slots=True)
class Cell:
    """``passed`` of ``n`` judged tasks; ``before`` of the same passed under the base, None without one."""

    n: int
    passed: int
    before: int | None

    @staticmethod
    def total(cells: Iterable[Cell]) -> Cell:
        listed = list(cells)
        before = [cell.before for cell in listed if cell.before is not None]
        return Cell(
            sum(cell.n for cell in listed), sum(cell.passed for cell in listed), sum(before) if before else None
        )

    def as_json(self) -> dict[str, Any]:
        """``n``, ``rate`` and, with a base, ``base``, its rate; null where nothing was judged."""
        counts = {"rate": self.passed} if self.before is None else {"base": self.before, "rate": self.passed}
        return {"n": self.n, **{name: round(count / self.n, 4) if self.n else None for name, count in counts.items()}}

    def as_text(self) -> str:
        shown = self.as_json()
        return " → ".join(percent(shown[name]) for name in ("base", "rate") if name in shown) + f" ({self.n})"


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """What was found on one release, which its folder's name, its records' sources and its graph's fingerprint tell apart."""

    name: str
    sources: tuple[str, ...]
    graph: str
    report: EvaluationReport

    def cells(self, policy: str) -> dict[str, Cell]:
        """The policy's cell of every family that the release has."""
        if policy == "model" and self.report.paired is not None:
            paired = self.report.paired.families
            return {name: Cell(one.n, one.both + one.gained, one.both + one.lost) for name, one in paired.items()}
        scores = {name: Score.of(rows) for name, rows in grouped(self.report.outcomes[policy], "family").items()}
        return {name: Cell(score.n, score.passed, None) for name, score in scores.items()}


@dataclass(frozen=True, slots=True)
class AcrossReport:
    """What was found on each release, and every policy's rates across them."""

    releases: tuple[ReleaseReport, ...]

    def across(self, policy: str) -> dict[str, list[Cell | None]]:
        """A row per family, a column per release, None where it lacks the family; then all, and the families that none lacks."""
        columns = [one.cells(policy) for one in self.releases]
        families = sorted({family for column in columns for family in column})
        rows: dict[str, list[Cell | None]] = {name: [column.get(name) for column in columns] for name in families}
        shared = [family for family in families if all(family in column for column in columns)]
        rows["all"] = [Cell.total(column.values()) for column in columns]
        if shared and len(shared) < len(families):
            rows[SHARED] = [Cell.total(column[family] for family in shared) for column in columns]
        return rows

    def as_json(self) -> dict[str, Any]:
        """``releases`` has each report with its release's name, sources and graph; ``across`` every policy's rows."""
        names = [one.name for one in self.releases]
        releases = [
            {"name": one.name, "sources": list(one.sources), "graph": one.graph, **one.report.as_json()}
            for one in self.releases
        ]
        across = {}
        for policy in self.releases[0].report.policies:
            rows = self.across(policy).items()
            across[policy] = {
                row: {name: cell and cell.as_json() for name, cell in zip(names, cells, strict=True)}
                for row, cells in rows
            }
        return {"releases": releases, "across": across}

    def as_text(self) -> str:
        """Each release's tables under its name, then a table across them per policy."""
        from rich.console import Console
        from rich.table import Table

        blocks = [
            f"{one.name}: records of {', '.join(one.sources) or 'no source named'} (graph {one.graph[:12]})\n{one.report.as_text()}"
            for one in self.releases
        ]
        out = StringIO()
        console = Console(file=out, width=150, force_terminal=False, color_system=None)
        for policy in self.releases[0].report.policies:
            table = Table(title=f"across graphs, {policy}", title_justify="left")
            table.add_column("family")
            for one in self.releases:
                table.add_column(one.name, justify="right")
            for row, cells in self.across(policy).items():
                if row == "all":
                    table.add_section()
                table.add_row(row, *("-" if cell is None else cell.as_text() for cell in cells))
            console.print(table)
        return "\n\n".join([*blocks, "\n".join(line.rstrip() for line in out.getvalue().splitlines())])


def evaluate_across(
    config: EvaluationConfig, releases: Sequence[Path], progress: Progress | None = None
) -> AcrossReport:
    """Evaluates on every release, each with its own charts; ``config.tasks`` is one of them.

    ``out`` is a folder that gets a file of transcripts per release, named as the release; such a folder is a base too. UserError
    for what is no release, for two of one name, and for anything that ``evaluate`` refuses.
    """
    names = [release_name(path) for path in releases]
    for path, name in zip(releases, names, strict=True):
        if not is_release(path):
            raise UserError(
                f"{path} is no release, and several --tasks are releases: evaluate a benchmark's task file by itself, with its "
                "own graph, prompt and rates."
            )
        if names.count(name) > 1:
            raise UserError(
                f"Several --tasks are named {name}; rename a folder, so that the tables can tell them apart."
            )
    if config.out is not None and not config.out.is_dir():
        raise UserError(
            f"With several --tasks --out is a folder, for a file of transcripts per release; create {config.out} first."
        )
    manifests = [read_manifest(release_of(path), any_format=True) for path in releases]
    reports = evaluate_all([_at(config, *one) for one in zip(releases, names, strict=True)], progress)
    return AcrossReport(
        tuple(
            ReleaseReport(name, tuple(source["name"] for source in manifest["sources"]), manifest["graph"], report)
            for name, manifest, report in zip(names, manifests, reports, strict=True)
        )
    )


def _at(config: EvaluationConfig, release: Path, name: str) -> EvaluationConfig:
    """The configuration at one release: its tasks, and its files in the folders of transcripts."""
    out = None if config.out is None else config.out / f"{name}.jsonl"
    base = config.base
    if base is not None and any(Path(base).glob("*.jsonl")):
        base = str(Path(base) / f"{name}.jsonl")
    return replace(config, tasks=release, out=out, base=base)
