"""Experts: Comparison: more or less, rose or fell, new or gone (C01 to C09)."""

from __future__ import annotations

from solvers.questions.analyst import Expert

EXPERTS: dict[str, Expert] = {}
