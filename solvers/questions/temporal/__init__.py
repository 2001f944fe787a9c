"""Experts: what came when, first, last, how long."""

from __future__ import annotations

from solvers.questions.analyst import Expert
from solvers.questions.temporal import events, observations, orders, stays, times

EXPERTS: dict[str, Expert] = {
    **observations.EXPERTS,
    **times.EXPERTS,
    **stays.EXPERTS,
    **orders.EXPERTS,
    **events.EXPERTS,
}
