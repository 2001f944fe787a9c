"""Experts: Temporal: what came when, first, last, how long (D01 to D15)."""

from __future__ import annotations

from solvers.questions.analyst import Expert
from solvers.questions.temporal import observations

EXPERTS: dict[str, Expert] = {**observations.EXPERTS}
