"""Experts: Unanswerable: no record, no such element, a false premise; each with an answerable twin (U01 to U10)."""

from __future__ import annotations

from fhirtasks.episodes.types import Solver
from solvers.questions.analyst import Expert
from solvers.questions.unanswerable import elements, names, persons, premises, windows

EXPERTS: dict[str, Expert] = {
    **windows.EXPERTS,
    **elements.EXPERTS,
    **premises.EXPERTS,
    **persons.EXPERTS,
    **names.EXPERTS,
}

SOLVERS: dict[str, Solver] = premises.SOLVERS
"""Experts that tell from the prompt whether Python is needed at all."""
