"""The branches of ``mean_lab_in_window``: how many results count, and one on the window's edge."""

from __future__ import annotations

import random
from decimal import Decimal

from fhirtasks.tasks import labs_overlays as overlays
from fhirtasks.tasks.labs_cases import PAGE, Accept, Case, Query, Reading, Span
from fhirtasks.tasks.labs_charts import SECOND, Group
from fhirtasks.tasks.labs_overlays import Overlay
from fhirtasks.tasks.labs_plans import EDGES, WINDOW_PLANS, Edit, Plan, beyond_page, is_present, whole_second


def _is_single(case: Case, reading: Reading, query: Query) -> bool:
    return len(reading.counted) == 1 and is_present(case, reading, query)


def _is_several(case: Case, reading: Reading, query: Query) -> bool:
    start = case.now - (query.window or 0)
    return 2 <= len(reading.counted) <= PAGE and reading.counted[0].time >= start + 2 * SECOND and _varied(reading)


def _is_paged(_case: Case, reading: Reading, _query: Query) -> bool:
    return len(reading.counted) > PAGE and _varied(reading)


def _varied(reading: Reading) -> bool:
    return len({one.value for one in reading.counted}) > 1


def _edge_span(delta: int) -> Span:
    """As ``labs_cases.edge``, but newer results may stand beside the one on the edge."""

    def span(group: Group, query: Query) -> tuple[int, int]:
        now = group.time + (query.window or 0) + delta * SECOND
        return (now, now) if group.seen <= now <= group.chart.timeline.end else (1, 0)

    return span


def _is_edge(delta: int) -> Accept:
    """One result exactly there, and the mean would be another if it were counted otherwise."""

    def accept(case: Case, reading: Reading, query: Query) -> bool:
        at = case.now - (query.window or 0) - delta * SECOND
        edge = [one.value for one in case.results if one.time == at]
        if len(edge) != 1 or edge[0] is None:
            return False
        others = [one.value for one in reading.counted if one.value is not None and one.time != at]
        return not others or _mean(others) != _mean([*others, edge[0]])

    return accept


def _mean(values: list[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def _few(edit: Overlay, rng: random.Random, query: Query) -> bool:
    return overlays.filled(edit, rng, query, rng.randrange(2, 7))


def _many(edit: Overlay, rng: random.Random, query: Query) -> bool:
    return overlays.filled(edit, rng, query, PAGE + rng.randrange(1, 9))


def _edge_edit(delta: int) -> Edit:
    def edit(edit: Overlay, rng: random.Random, query: Query) -> bool:
        return overlays.one_at_edge(edit, rng, query, delta)

    return edit


MEAN_PLANS = {
    "single": Plan("single", _is_single, edit=WINDOW_PLANS["present"].edit),
    "several": Plan("several", _is_several, edit=_few),
    "many_pages": Plan("mean many_pages", _is_paged, suits=beyond_page, edit=_many),
    "outside": WINDOW_PLANS["outside"],
    **{
        name: Plan(f"mean {name}", _is_edge(delta), _edge_span(delta), whole_second, _edge_edit(delta))
        for name, delta in EDGES
    },
}
