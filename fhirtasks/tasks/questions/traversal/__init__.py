"""Traversal: what a reference leads to (T01 to T15)."""

from __future__ import annotations

from fhirtasks.tasks.questions.traversal import links, microbiology, orders, visits
from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    *orders.QUESTIONS,
    *visits.QUESTIONS,
    *microbiology.QUESTIONS,
    *links.QUESTIONS,
)
