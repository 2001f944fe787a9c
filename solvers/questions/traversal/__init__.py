"""Experts: what a reference leads to."""

from __future__ import annotations

from solvers.questions.analyst import Expert
from solvers.questions.traversal import links, microbiology, orders, visits

EXPERTS: dict[str, Expert] = {
    **orders.EXPERTS,
    **visits.EXPERTS,
    **microbiology.EXPERTS,
    **links.EXPERTS,
}
