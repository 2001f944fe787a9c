"""Unanswerable: no record, no such element, a false premise; each with an answerable twin (U01 to U10)."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question
from fhirtasks.tasks.questions.unanswerable import elements, names, persons, premises, windows

QUESTIONS: tuple[Question, ...] = (
    *windows.QUESTIONS,
    *elements.QUESTIONS,
    *premises.QUESTIONS,
    *persons.QUESTIONS,
    *names.QUESTIONS,
)
