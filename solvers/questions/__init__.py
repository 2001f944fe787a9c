"""The experts of the question families: they look, fetch, compute with Python that an analyst would write, and submit.

What an expert knows is the question's slots and what the tools showed. Its code prints a small table, then one line of JSON
with the answer, which is what it submits.
"""

from __future__ import annotations

from fhirtasks.episodes.types import Solver
from solvers.questions import (
    aggregation,
    comparison,
    filtering,
    multi_hop,
    temporal,
    traversal,
    unanswerable,
)
from solvers.questions.analyst import solver

_CATEGORIES = (filtering, traversal, temporal, aggregation, comparison, multi_hop, unanswerable)

SOLVERS: dict[str, Solver] = {
    name: solver(expert) for category in _CATEGORIES for name, expert in category.EXPERTS.items()
} | unanswerable.SOLVERS
