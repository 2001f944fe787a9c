"""The branches of the labs families: which records show them, what a drawn case must be, the scenario if none is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from fhirtasks.graph.world import World
from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks import labs_overlays as overlays
from fhirtasks.tasks.labs_cases import PAGE, TRIES, Accept, Case, Query, Reading, Span
from fhirtasks.tasks.labs_charts import DAY, MINUTE, SECOND, Deck, Group
from fhirtasks.tasks.labs_overlays import Overlay

Suits = Callable[[Group], bool]
Edit = Callable[[Overlay, random.Random, Query], bool]


def single(group: Group) -> bool:
    """One plain result at this time."""
    return group.single is not None


def several(group: Group) -> bool:
    """Plain results at one time with different values."""
    results = group.results
    return len({one.value for one in results}) > 1 and all(one.plain for one in results)


@dataclass(frozen=True, slots=True)
class Plan:
    """One branch. ``name`` keys the pool: it says everything that ``span`` and ``suits`` depend on besides the query.

    ``accept`` has the last word on native and edited cases alike. ``base`` is the span that ``edit`` starts from.
    """

    name: object
    accept: Accept
    span: Span = cases.within
    suits: Suits = single
    edit: Edit | None = None
    base: Span = cases.within


def draw(world: World, deck: Deck, rng: random.Random, query: Query, plan: Plan) -> Case | None:
    """A case of the branch: native if there is one, else with a scenario; None if neither was found in a few tries."""
    case = draw_native(deck, rng, query, plan)
    return draw_edited(world, deck, rng, query, plan) if case is None else case


def draw_native(deck: Deck, rng: random.Random, query: Query, plan: Plan) -> Case | None:
    """A case of the branch on the records as they are."""
    # Common branches are found by chance; only rare ones are worth looking through every group for.
    case = cases.by_chance(rng, query, plan.span, plan.suits, plan.accept)
    if case is not None:
        return case
    groups = cases.pool(deck, query, plan.name, plan.span, plan.suits)
    return cases.native(rng, groups, query, plan.span, plan.accept)


def draw_edited(world: World, deck: Deck, rng: random.Random, query: Query, plan: Plan) -> Case | None:
    """A case of the branch with a scenario."""
    groups = base_groups(deck, query, plan.base) if plan.edit is not None else ()
    for _ in range(TRIES if groups else 0):
        group = rng.choice(groups)
        now, offset = cases.moment(rng, group, plan.base, query)
        edit = Overlay(world, Case(group.chart, now, offset, group.chart.seen(now)), query)
        if (
            plan.edit
            and edit.results
            and all(one.plain for one in edit.results.values())
            and plan.edit(edit, rng, query)
        ):
            edited = edit.edited()
            if cases.accepted(edited, query, plan.accept):
                return edited
    return None


def base_groups(deck: Deck, query: Query, span: Span) -> tuple[Group, ...]:
    """Groups with a clear newest result that scenarios start from."""
    return cases.pool(deck, query, ("base", span.__name__), span, single)


def draw_absent(world: World, deck: Deck, rng: random.Random, query: Query) -> Case | None:
    """A patient without any visible result of the code."""
    case = cases.unmeasured(deck, rng, query)
    if case is not None:
        return case
    return draw_edited(world, deck, rng, query, Plan("hidden", _is_empty, edit=overlays.hidden))


def _is_empty(case: Case, _reading: Reading, _query: Query) -> bool:
    return not case.results


def draw_future(
    world: World, deck: Deck, rng: random.Random, query: Query, base: Span, *, matters: Accept | None = None
) -> Case | None:
    """A result dated after ``now`` that should not be there yet, of another value than the newest one before it."""

    def accept(case: Case, reading: Reading, query: Query) -> bool:
        clinical = cases.read(case, replace(query, mode="clinical", tie="highest"))
        latest = case.results[-1]
        return (
            clinical is not None
            and latest.time > case.now
            and len(clinical.newest) == 1
            and latest.value != clinical.newest[0].value
            and (matters is None or matters(case, reading, query))
        )

    return draw_edited(world, deck, rng, query, Plan("future", accept, edit=overlays.future, base=base))


# What a drawn case must be, whatever it was drawn from.


def is_present(case: Case, reading: Reading, query: Query) -> bool:
    """One newest result, clear of the window's edge."""
    if len(reading.newest) != 1:
        return False
    return query.window is None or case.now - reading.newest[0].time <= query.window - 2 * SECOND


def is_outside(case: Case, reading: Reading, query: Query) -> bool:
    """Results, all clearly older than the window."""
    return not reading.counted and bool(case.results) and age(case) >= (query.window or 0) + 2 * SECOND


def is_tie(_case: Case, reading: Reading, _query: Query) -> bool:
    """Different values at the newest time."""
    return len({one.value for one in reading.newest}) > 1


def is_unordered(case: Case, reading: Reading, query: Query) -> bool:
    """The newest is neither first nor last as the server lists them."""
    if len(case.results) < 3 or not is_present(case, reading, query):
        return False
    ids = sorted(one.id for one in case.results)
    return ids[0] != reading.newest[0].id != ids[-1]


def is_paged(case: Case, reading: Reading, query: Query) -> bool:
    """More than one page of results, the newest beyond the first."""
    if len(case.results) <= PAGE or not is_present(case, reading, query):
        return False
    return reading.newest[0].id not in sorted(one.id for one in case.results)[:PAGE]


def age(case: Case) -> int:
    """How long before ``now`` the newest visible result is (µs)."""
    return case.now - case.results[-1].time


def is_edge(delta: int) -> Accept:
    """The newest result is the window's length and ``delta`` seconds old: inside for 0 and less, outside for more."""

    def accept(case: Case, reading: Reading, query: Query) -> bool:
        exact = bool(case.results) and age(case) == (query.window or 0) + delta * SECOND
        return exact and len(reading.newest) == (1 if delta <= 0 else 0)

    return accept


def whole_second(group: Group) -> bool:
    """One plain result at a whole second: a ``now`` can be exactly a window later."""
    return single(group) and group.time % SECOND == 0


# Plans that several families share.


def edge_edit(delta: int) -> Edit:
    """The scenario whose newest result is ``delta`` seconds beyond the limit."""

    def edit(edit: Overlay, _rng: random.Random, query: Query) -> bool:
        return overlays.at_edge(edit, query, delta)

    return edit


def _recent(edit: Overlay, rng: random.Random, query: Query) -> bool:
    minutes = (query.window or DAY) // MINUTE
    return overlays.aged(edit, edit.case.now - rng.randrange(1, minutes) * MINUTE)


def _old(edit: Overlay, rng: random.Random, query: Query) -> bool:
    days = (query.window or 0) // DAY + rng.randrange(1, 9)
    return overlays.aged(edit, edit.ordered[-1].time - days * DAY)


def beyond_page(group: Group) -> bool:
    """One plain result, after at least a page of others."""
    return single(group) and group.last >= PAGE


EDGES = (("edge_exact", 0), ("edge_inside", -1), ("edge_outside", 1))
"""How many seconds the deciding result is older than the limit."""

EVER_PLANS = {
    "present": Plan("present", is_present, edit=_recent),
    "tie": Plan("tie", is_tie, suits=several, edit=overlays.tied),
    "unordered": Plan("unordered", is_unordered, edit=overlays.shuffled),
    "many_pages": Plan("paged", is_paged, suits=beyond_page, edit=overlays.paged),
}
WINDOW_PLANS = EVER_PLANS | {
    "outside": Plan("outside", is_outside, cases.outside, edit=_old),
    **{name: Plan(name, is_edge(delta), cases.edge(delta), whole_second, edge_edit(delta)) for name, delta in EDGES},
}


# Values on purpose: tiers, and both sides of each boundary.


def value_plan(name: str, low: Decimal, high: Decimal, rule: str) -> Plan:
    """The newest value lies in [low, high); equal bounds mean exactly that. ``rule`` is part of the name."""

    def fits(value: Decimal | None) -> bool:
        return value is not None and (value == low if low == high else low <= value < high)

    def edit(edit: Overlay, rng: random.Random, _query: Query) -> bool:
        digits = edit.lab.text(low) if low == high else overlays.digits_between(rng, edit.lab, low, high)
        return digits is not None and overlays.with_value(edit, digits)

    return Plan(
        (name, rule),
        lambda case, reading, query: is_present(case, reading, query) and fits(reading.newest[0].value),
        suits=lambda group: group.single is not None and fits(group.single.value),
        edit=edit,
    )


def tie_across(limit: Decimal, low: Decimal, high: Decimal, rule: str) -> Plan:
    """Two newest results, one in [low, limit], one in (limit, high)."""

    def across(values: set[Decimal | None]) -> bool:
        numbers = [value for value in values if value is not None]
        return len(numbers) > 1 and low <= min(numbers) <= limit < max(numbers) < high

    def edit(edit: Overlay, rng: random.Random, query: Query) -> bool:
        if not overlays.tied(edit, rng, query):
            return False
        step = edit.lab.step
        sides = [
            overlays.digits_between(rng, edit.lab, low, limit),
            overlays.digits_between(rng, edit.lab, limit + step / 10, limit + 6 * step),
        ]
        rng.shuffle(sides)
        newest = [one for one in edit.ordered if one.time == edit.ordered[-1].time]
        return len(newest) == 2 and all(
            digits is not None and edit.value(one, digits) for one, digits in zip(newest, sides, strict=True)
        )

    return Plan(
        ("tie", rule),
        lambda case, reading, query: is_tie(case, reading, query) and across({one.value for one in reading.newest}),
        suits=lambda group: several(group) and across({one.value for one in group.results}),
        edit=edit,
    )
