"""Experts: Aggregation: how many, how much, on average (G01 to G13)."""

from __future__ import annotations

from solvers.questions.aggregation import encounters
from solvers.questions.analyst import Expert

EXPERTS: dict[str, Expert] = {**encounters.EXPERTS}
