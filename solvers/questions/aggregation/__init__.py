"""Experts: how many, how much, on average."""

from __future__ import annotations

from solvers.questions.aggregation import cohorts, encounters, records, values
from solvers.questions.analyst import Expert

EXPERTS: dict[str, Expert] = {**encounters.EXPERTS, **records.EXPERTS, **values.EXPERTS, **cohorts.EXPERTS}
