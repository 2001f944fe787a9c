"""The branches of ``a1c_reorder``: how old the newest result is, to the second around the limit."""

from __future__ import annotations

from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks import labs_overlays as overlays
from fhirtasks.tasks.labs_cases import Accept, Case, Query, Reading
from fhirtasks.tasks.labs_charts import DAY, SECOND
from fhirtasks.tasks.labs_plans import TIE, UNORDERED, Plan, whole_second


def past(case: Case, reading: Reading, query: Query) -> int:
    """How many µs the newest result is older than the limit (negative: younger)."""
    return cases.stale_before(case, query.months or 0) - reading.newest[0].time


def _is_stale(case: Case, reading: Reading, query: Query) -> bool:
    return len(reading.newest) == 1 and past(case, reading, query) > DAY


def _is_fresh(case: Case, reading: Reading, query: Query) -> bool:
    return len(reading.newest) == 1 and past(case, reading, query) < -DAY


def _is_edge(delta: int) -> Accept:
    return lambda case, reading, query: len(reading.newest) == 1 and past(case, reading, query) == delta * SECOND


AGE_PLANS = {
    "fresh": Plan("fresh", _is_fresh, cases.fresh, edit=lambda edit, rng, _: overlays.aged(
        edit, edit.case.now - rng.randrange(2, 150) * DAY)),
    "stale": Plan("stale", _is_stale, cases.stale, edit=lambda edit, rng, query: overlays.aged(
        edit, edit.ordered[-1].time - (31 * (query.months or 0) + rng.randrange(1, 600)) * DAY)),
    **{
        name: Plan(
            name, _is_edge(delta), cases.stale_edge(delta), whole_second,
            lambda edit, _, query, d=delta: overlays.at_edge(edit, query, d),  # type: ignore[misc]
        )
        for name, delta in (("edge_exact", 0), ("edge_fresh", -1), ("edge_stale", 1))
    },
    "tie": TIE,
    "unordered": UNORDERED,
}  # fmt: skip
