"""Multi-hop: three types of resources or more, or a look-up that depends on another (H01 to H11)."""

from __future__ import annotations

from fhirtasks.tasks.questions.multi_hop import links, results, stays
from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (*links.QUESTIONS, *results.QUESTIONS, *stays.QUESTIONS)
