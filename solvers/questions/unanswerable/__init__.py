"""Experts: Unanswerable: no record, no such element, a false premise; each with an answerable twin (U01 to U10)."""

from __future__ import annotations

from solvers.questions.analyst import Expert

EXPERTS: dict[str, Expert] = {}
