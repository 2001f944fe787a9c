"""Experts: more or less, rose or fell, new or gone."""

from __future__ import annotations

from solvers.questions.analyst import Expert
from solvers.questions.comparison import fluids, values, visits

EXPERTS: dict[str, Expert] = {**values.EXPERTS, **visits.EXPERTS, **fluids.EXPERTS}
