"""Experts: does the record hold something, and which."""

from __future__ import annotations

from solvers.questions.analyst import Expert
from solvers.questions.filtering import observations, records, states

EXPERTS: dict[str, Expert] = {**records.EXPERTS, **states.EXPERTS, **observations.EXPERTS}
