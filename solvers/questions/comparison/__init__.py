"""Experts: more or less, rose or fell, new or gone."""

from __future__ import annotations

from solvers.questions.analyst import Expert
from solvers.questions.comparison import values

EXPERTS: dict[str, Expert] = {**values.EXPERTS}
