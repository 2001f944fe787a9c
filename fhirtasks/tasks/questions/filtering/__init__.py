"""Filtering: does the record hold something, and which (F01 to F13)."""

from __future__ import annotations

from fhirtasks.tasks.questions.filtering import observations, records, states
from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (*records.QUESTIONS, *states.QUESTIONS, *observations.QUESTIONS)
