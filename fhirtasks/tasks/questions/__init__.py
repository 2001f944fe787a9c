"""Question families over a patient's FHIR graph, one package per category: what can be asked, and in SQL what is true."""

from __future__ import annotations

from fhirtasks.tasks.questions import (
    aggregation,
    comparison,
    filtering,
    multi_hop,
    temporal,
    traversal,
    unanswerable,
)
from fhirtasks.tasks.questions.families import family
from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    *filtering.QUESTIONS,
    *traversal.QUESTIONS,
    *temporal.QUESTIONS,
    *aggregation.QUESTIONS,
    *comparison.QUESTIONS,
    *multi_hop.QUESTIONS,
    *unanswerable.QUESTIONS,
)
"""Every question family, by category and code."""

BY_NAME = {question.name: question for question in QUESTIONS}

FAMILIES = tuple(family(question) for question in QUESTIONS)
