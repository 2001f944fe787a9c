"""Experts: Filtering: does the record hold something, and which (F01 to F13)."""

from __future__ import annotations

from solvers.questions.analyst import Expert
from solvers.questions.filtering import observations

EXPERTS: dict[str, Expert] = {**observations.EXPERTS}
