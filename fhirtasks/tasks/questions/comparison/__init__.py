"""Comparison: more or less, rose or fell, new or gone (C01 to C09)."""

from __future__ import annotations

from fhirtasks.tasks.questions.comparison import fluids, values, visits
from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (*values.QUESTIONS, *visits.QUESTIONS, *fluids.QUESTIONS)
