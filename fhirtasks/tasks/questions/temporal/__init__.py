"""Temporal: what came when, first, last, how long (D01 to D15)."""

from __future__ import annotations

from fhirtasks.tasks.questions.temporal import events, observations, orders, stays, times
from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    *observations.QUESTIONS,
    *times.QUESTIONS,
    *stays.QUESTIONS,
    *orders.QUESTIONS,
    *events.QUESTIONS,
)
