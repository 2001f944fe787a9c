"""The experts: one module per domain, each with ``SOLVERS`` (family -> Solver). They see prompts and answers only."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from fhirtasks.episodes.types import Solver
from fhirtasks.errors import UserError
from fhirtasks.plugins import only

DOMAINS = ("labs", "patients", "questions", "referrals", "vitals")
"""Modules of this package; each has ``SOLVERS``."""

GROUP = "fhirtasks.solvers"
"""Entry points of other packages: named after the family, each loads to a Solver."""


def solver(family: str) -> Solver:
    """The expert of a family. UserError if there is none."""
    found = _built_in()
    if family in found:
        return found[family]
    points = list(entry_points(group=GROUP))
    mine = [point for point in points if point.name == family]
    if not mine:
        known = sorted({*found, *(point.name for point in points)})
        raise UserError(f"no solver for the family {family!r}; there are: {', '.join(known)}")
    loaded: Solver = only(mine, "solver", family)
    return loaded


@cache
def _built_in() -> dict[str, Solver]:
    found: dict[str, Solver] = {}
    for domain in DOMAINS:
        found |= import_module(f"solvers.{domain}").SOLVERS
    return found
