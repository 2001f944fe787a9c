"""Unanswerable: no record, no such element, a false premise; each with an answerable twin (U01 to U10)."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = ()
