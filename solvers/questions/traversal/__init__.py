"""Experts: Traversal: what a reference leads to (T01 to T15)."""

from __future__ import annotations

from solvers.questions.analyst import Expert

EXPERTS: dict[str, Expert] = {}
