"""The branches of ``a1c_reorder``: how old the newest result is, to the second around the limit."""

from __future__ import annotations

import random

from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks import labs_overlays as overlays
from fhirtasks.tasks.labs_cases import Accept, Case, Query, Reading
from fhirtasks.tasks.labs_charts import DAY, SECOND
from fhirtasks.tasks.labs_overlays import Overlay
from fhirtasks.tasks.labs_plans import EVER_PLANS, Plan, edge_edit, whole_second

EDGES = (("edge_exact", 0), ("edge_fresh", -1), ("edge_stale", 1))
"""How many seconds the newest result is older than the limit."""


def past(case: Case, reading: Reading, query: Query) -> int:
    """How many µs the newest result is older than the limit (negative: younger)."""
    return cases.stale_before(case, query.months or 0) - reading.newest[0].time


def _is_stale(case: Case, reading: Reading, query: Query) -> bool:
    return len(reading.newest) == 1 and past(case, reading, query) > DAY


def _is_fresh(case: Case, reading: Reading, query: Query) -> bool:
    return len(reading.newest) == 1 and past(case, reading, query) < -DAY


def _is_edge(delta: int) -> Accept:
    def accept(case: Case, reading: Reading, query: Query) -> bool:
        return len(reading.newest) == 1 and past(case, reading, query) == delta * SECOND

    return accept


def _recent(edit: Overlay, rng: random.Random, _query: Query) -> bool:
    return overlays.aged(edit, edit.case.now - rng.randrange(2, 150) * DAY)


def _old(edit: Overlay, rng: random.Random, query: Query) -> bool:
    days = 31 * (query.months or 0) + rng.randrange(1, 600)
    return overlays.aged(edit, edit.ordered[-1].time - days * DAY)


AGE_PLANS = {
    "fresh": Plan("fresh", _is_fresh, cases.fresh, edit=_recent),
    "stale": Plan("stale", _is_stale, cases.stale, edit=_old),
    "tie": EVER_PLANS["tie"],
    "unordered": EVER_PLANS["unordered"],
    **{
        name: Plan(name, _is_edge(delta), cases.stale_edge(delta), whole_second, edge_edit(delta))
        for name, delta in EDGES
    },
}
