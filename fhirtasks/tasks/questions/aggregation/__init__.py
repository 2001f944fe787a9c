"""Aggregation: how many, how much, on average (G01 to G13)."""

from __future__ import annotations

from fhirtasks.tasks.questions.aggregation import cohorts, encounters, records, values
from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (*encounters.QUESTIONS, *records.QUESTIONS, *values.QUESTIONS, *cohorts.QUESTIONS)
