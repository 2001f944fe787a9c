"""The branches of the labs families: which records show them, what a drawn case must be, and the scenario where none is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from fhirtasks.graph.world import World
from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks import labs_overlays as overlays
from fhirtasks.tasks.labs_cases import PAGE, TRIES, Accept, Case, Query, Reading, Span
from fhirtasks.tasks.labs_charts import DAY, SECOND, Deck, Group
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
    """One branch. ``name`` keys the pool: it must say everything that ``span`` and ``suits`` depend on besides the query.

    ``accept`` has the last word on native and edited cases alike. ``base`` is the span of cases that ``edit`` starts from.
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
    return cases.native(deck, rng, query, plan.name, plan.span, plan.suits, plan.accept)


def draw_edited(world: World, deck: Deck, rng: random.Random, query: Query, plan: Plan) -> Case | None:
    """A case of the branch with a scenario."""
    groups = base_groups(deck, query, plan.base) if plan.edit is not None else ()
    for _ in range(TRIES if groups else 0):
        group = rng.choice(groups)
        now, offset = cases.moment(rng, group, plan.base, query)
        edit = Overlay(world, Case(group.chart, now, offset, group.chart.seen(now)), query)
        if plan.edit and edit.results and all(one.plain for one in edit.results.values()) and plan.edit(edit, rng, query):
            edited = edit.case_()
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
    plan = Plan("hidden", lambda case, _reading, _query: not case.results, suits=lambda _: False,
                edit=lambda edit, _rng, _query: overlays.hidden(edit))  # fmt: skip
    return draw(world, deck, rng, query, plan)


def draw_future(world: World, deck: Deck, rng: random.Random, query: Query, extra: Accept, base: Span) -> Case | None:
    """A result dated after ``now`` that should not be there yet, on top of one before it."""

    def accept(case: Case, reading: Reading, query: Query) -> bool:
        ahead = [one for one in case.results if one.time > case.now]
        clinical = cases.read(case, replace(query, mode="clinical", tie="highest"))
        return (
            bool(ahead) and clinical is not None and bool(clinical.counted) and extra(case, reading, query)
            and len(clinical.newest) == 1 and ahead[-1].value != clinical.newest[0].value
        )  # fmt: skip

    plan = Plan("future", accept, suits=lambda _: False, edit=lambda edit, rng, _: overlays.future(edit, rng), base=base)
    return draw(world, deck, rng, query, plan)


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

PRESENT = Plan("present", is_present, edit=lambda edit, rng, query: overlays.aged(
    edit, edit.case.now - rng.randrange(1, (query.window or DAY) // SECOND // 60) * 60 * SECOND))  # fmt: skip
OUTSIDE = Plan(
    "outside",
    is_outside,
    cases.outside,
    edit=lambda edit, rng, query: overlays.aged(
        edit, edit.ordered[-1].time - ((query.window or 0) // DAY + rng.randrange(1, 9)) * DAY
    ),
)
TIE = Plan("tie", is_tie, suits=several, edit=lambda edit, rng, _: overlays.tied(edit, rng))
UNORDERED = Plan("unordered", is_unordered, edit=lambda edit, rng, _: overlays.shuffled(edit, rng))
PAGED = Plan(
    "paged", is_paged, suits=lambda group: single(group) and group.last >= PAGE, edit=lambda edit, rng, _: overlays.paged(edit, rng)
)
EDGES = {
    name: Plan(name, is_edge(delta), cases.edge(delta), whole_second, lambda edit, _, query, d=delta: overlays.at_edge(edit, query, d))  # type: ignore[misc]
    for name, delta in (("edge_exact", 0), ("edge_inside", -1), ("edge_outside", 1))
}


# The mean's own: its edge result may stand beside newer ones.


def _edge_span(delta: int) -> Span:
    def span(group: Group, query: Query) -> tuple[int, int]:
        now = group.time + (query.window or 0) + delta * SECOND
        return (now, now) if group.seen <= now <= group.chart.timeline.end else (1, 0)

    return span


def _is_mean_edge(delta: int) -> Accept:
    def accept(case: Case, reading: Reading, query: Query) -> bool:
        at = case.now - (query.window or 0) - delta * SECOND
        edge = [one for one in case.results if one.time == at]
        if len(edge) != 1 or not edge[0].plain:
            return False
        values = [one.value for one in reading.counted if one.value is not None]
        others = [one.value for one in reading.counted if one.value is not None and one.time != at]
        if delta > 0:
            return not values or _mean([*values, edge[0].value or Decimal(0)]) != _mean(values)
        return not others or _mean(others) != _mean(values)

    return accept


def _mean(values: list[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def _is_single(case: Case, reading: Reading, query: Query) -> bool:
    return len(reading.counted) == 1 and is_present(case, reading, query)


def _is_several(case: Case, reading: Reading, query: Query) -> bool:
    start = case.now - (query.window or 0)
    return 2 <= len(reading.counted) <= PAGE and reading.counted[0].time >= start + 2 * SECOND and _varied(reading)


def _is_mean_paged(_case: Case, reading: Reading, _query: Query) -> bool:
    return len(reading.counted) > PAGE and _varied(reading)


def _varied(reading: Reading) -> bool:
    return len({one.value for one in reading.counted}) > 1


def mean_matters(_case: Case, reading: Reading, _query: Query) -> bool:
    """For a future-dated result: there is a mean to spoil."""
    return bool(reading.counted)


MEAN_PLANS = {
    "single": Plan("single", _is_single, edit=PRESENT.edit),
    "several": Plan(
        "several", _is_several, edit=lambda edit, rng, query: overlays.filled(edit, rng, query, rng.randrange(2, 7))
    ),
    "many_pages": Plan(
        "many_pages", _is_mean_paged, suits=lambda group: single(group) and group.last >= PAGE,
        edit=lambda edit, rng, query: overlays.filled(edit, rng, query, PAGE + rng.randrange(1, 9)),
    ),
    "outside": OUTSIDE,
    **{
        name: Plan(
            f"mean {name}", _is_mean_edge(delta), _edge_span(delta), whole_second,
            lambda edit, _, query, d=delta: overlays.at_edge(edit, query, d),  # type: ignore[misc]
        )
        for name, delta in (("edge_exact", 0), ("edge_inside", -1), ("edge_outside", 1))
    },
}  # fmt: skip


# Values on purpose: tiers, and both sides of each boundary.


def value_plan(name: str, low: Decimal, high: Decimal, rule: str) -> Plan:
    """The newest value lies in [low, high); equal bounds mean exactly that value. ``rule`` tells apart equally named plans."""

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

    def edit(edit: Overlay, rng: random.Random, _query: Query) -> bool:
        if not overlays.tied(edit, rng):
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
