"""What counts at a task's ``now``, and cases drawn from the records as they are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

from fhirtasks.episodes.types import Mode
from fhirtasks.graph.scenario import Scenario
from fhirtasks.tasks.labs_charts import DAY, FOREVER, MINUTE, SECOND, Chart, Deck, Group, Lab, Result, local, micros

TRIES = 12
POOL = 256
"""Groups that a branch chooses from: plenty for variety, and few to look for in a large world."""
PAGE = 20
"""Entries that the service shows on one page unless asked otherwise."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a task asks for. ``window`` in µs, None for all time; ``months``: how old is stale, None if not asked."""

    lab: Lab
    mode: Mode
    tie: str
    window: int | None = None
    months: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A patient at one ``now``: ``results`` are all that a search by code can find then, by time and id."""

    chart: Chart
    now: int
    offset: str
    results: Sequence[Result]
    scenario: Scenario = field(default_factory=Scenario)


@dataclass(frozen=True, slots=True)
class Reading:
    """``counted``: results that are asked about; ``newest``: those at their latest time; ``answer``: reported."""

    counted: list[Result]
    newest: list[Result]
    answer: Result | None


Accept = Callable[[Case, Reading, Query], bool]


def read(case: Case, query: Query) -> Reading | None:
    """What the case says, by the mode's rules; None if a result that is no plain number could decide or blur it.

    clinical: results up to ``now``; ties by ``query.tie``. compat: no upper bound; the lowest id among equal times.
    """
    if query.mode == "compat" and any(one.value is None for one in case.results):
        # The public grader reads a number from every result that it is served, wherever it lies.
        return None
    start = None if query.window is None else case.now - query.window
    upper = case.now if query.mode == "clinical" else FOREVER
    counted = [one for one in case.results if (start is None or one.end > start) and one.time <= upper]
    if start is not None:
        if not all(one.plain for one in counted):
            return None
        counted = [one for one in counted if one.time >= start]
    if not counted:
        return Reading([], [], None)
    latest = counted[-1].time
    if any(not one.plain for one in counted if one.end > latest):
        return None
    newest = [one for one in counted if one.time == latest]
    return Reading(counted, newest, chosen(newest, query.tie))


def chosen(newest: Sequence[Result], tie: str) -> Result:
    """Which of several results is reported: ``highest``, ``lowest``, ``first`` in the server's order (by id)."""
    if tie == "first":
        return min(newest, key=lambda one: one.id)
    pick = max if tie == "highest" else min
    return pick(newest, key=lambda one: one.value or Decimal(0))


def stale_before(case: Case, months: int) -> int:
    """``now`` minus whole calendar months, at the same local time, in µs (a 29 February becomes the 28th)."""
    return earlier(case.now, case.offset, months)


def earlier(at: int, offset: str, months: int) -> int:
    """The instant so many calendar months before (negative: after), same local time of day in this offset."""
    when = local(at, offset)
    year, month = divmod(when.year * 12 + when.month - 1 - months, 12)
    for day in range(when.day, 27, -1):
        try:
            return micros(when.replace(year=year, month=month + 1, day=day))
        except ValueError:
            continue
    return micros(when.replace(year=year, month=month + 1))


Span = Callable[[Group, Query], tuple[int, int]]
"""From when to when (µs, inclusive) ``now`` may be for a branch to want the group; empty if the first is larger."""


def within(group: Group, query: Query) -> tuple[int, int]:
    """The group is the newest, well inside the window; without one, at most thirty days old."""
    reach = 30 * DAY if query.window is None else query.window - 2 * SECOND
    return max(group.seen, group.time), min(group.until - 1, _end(group), group.time + reach)


def outside(group: Group, query: Query) -> tuple[int, int]:
    """The group is the newest, and older than the window."""
    gone = group.time + (query.window or 0) + 2 * SECOND
    return max(group.seen, gone), min(group.until - 1, _end(group), gone + 14 * DAY)


def edge(delta: int) -> Span:
    """``now`` is the window's length after the group, plus ``delta`` seconds."""

    def span(group: Group, query: Query) -> tuple[int, int]:
        now = group.time + (query.window or 0) + delta * SECOND
        return (now, now) if group.seen <= now <= min(group.until - 1, _end(group)) else (1, 0)

    return span


def stale_edge(delta: int) -> Span:
    """``now`` is the query's calendar months after the group, plus ``delta`` seconds."""

    def span(group: Group, query: Query) -> tuple[int, int]:
        offset = group.chart.timeline.offset(group.time)
        now = earlier(group.time, offset, -(query.months or 0)) + delta * SECOND
        exact = earlier(now, offset, query.months or 0) == group.time + delta * SECOND
        return (now, now) if exact and group.seen <= now <= min(group.until - 1, _end(group)) else (1, 0)

    return span


def stale(group: Group, query: Query) -> tuple[int, int]:
    """The group is the newest, and older than the query's months."""
    gone = earlier(group.time, group.chart.timeline.offset(group.time), -(query.months or 0)) + 2 * DAY
    return max(group.seen, gone), min(group.until - 1, _end(group), gone + 400 * DAY)


def fresh(group: Group, query: Query) -> tuple[int, int]:
    """The group is the newest, and younger than the query's months."""
    gone = earlier(group.time, group.chart.timeline.offset(group.time), -(query.months or 0)) - 2 * DAY
    return max(group.seen, group.time), min(group.until - 1, _end(group), gone)


def _end(group: Group) -> int:
    return group.chart.timeline.end


def pool(deck: Deck, query: Query, name: object, span: Span, suits: Callable[[Group], bool]) -> tuple[Group, ...]:
    """Groups that ``suits`` and for which there is a ``now``, :data:`POOL` at most; found once per ``name`` and query."""
    key = (name, query.lab.code, query.window, query.months)
    if key not in deck.pools:
        found = (group for group in query.lab.groups if suits(group) and _any(span, group, query))
        deck.pools[key] = tuple(islice(found, POOL))
    return deck.pools[key]


def _any(span: Span, group: Group, query: Query) -> bool:
    low, high = _bounds(span, group, query)
    return low <= high


def _bounds(span: Span, group: Group, query: Query) -> tuple[int, int]:
    # Whole seconds: prompts show no fractions, and what counts is what they show.
    low, high = span(group, query)
    return -(-max(low, group.chart.timeline.start) // SECOND) * SECOND, high // SECOND * SECOND


def moment(rng: random.Random, group: Group, span: Span, query: Query) -> tuple[int, str]:
    """A ``now`` in the span and its offset. Seconds look alike in every branch: the record's own, one off, or any."""
    low, high = _bounds(span, group, query)
    # Soon after a result is when people ask: the square leans to the early side.
    now = low + int((high - low) * rng.random() ** 2)
    if low < high:
        now = min(max(polished(rng, now, group.time), low), high)
    return now, group.chart.timeline.offset(now if query.months is None else group.time)


def polished(rng: random.Random, now: int, like: int) -> int:
    """``now`` moved within its minute to the seconds of ``like``, to one second beside them, or to any second."""
    kind = rng.random()
    seconds = rng.randrange(60) * SECOND if kind < 0.3 else like % MINUTE
    if kind > 0.7:
        seconds += SECOND if rng.random() < 0.5 else -SECOND
    return (now // MINUTE * MINUTE + seconds) // SECOND * SECOND


def native(rng: random.Random, groups: Sequence[Group], query: Query, span: Span, accept: Accept) -> Case | None:
    """A case on the records as they are; None if a few draws found none, at times on purpose where there are few."""
    # A handful of groups would give the same task again and again; the rest comes from scenarios.
    if not groups or rng.random() * (len(groups) + 2) > len(groups):
        return None
    for _ in range(TRIES):
        group = rng.choice(groups)
        now, offset = moment(rng, group, span, query)
        case = Case(group.chart, now, offset, group.chart.seen(now))
        if accepted(case, query, accept):
            return case
    return None


def by_chance(
    rng: random.Random, query: Query, span: Span, suits: Callable[[Group], bool], accept: Accept
) -> Case | None:
    """A native case from a few groups drawn blindly; None if none of them serves, as for rare branches."""
    groups = query.lab.groups
    for _ in range(TRIES if groups else 0):
        group = rng.choice(groups)
        if suits(group) and _any(span, group, query):
            now, offset = moment(rng, group, span, query)
            case = Case(group.chart, now, offset, group.chart.seen(now))
            if accepted(case, query, accept):
                return case
    return None


def accepted(case: Case, query: Query, accept: Accept) -> bool:
    """Whether the case is clear and is what the branch wants."""
    reading = read(case, query)
    return reading is not None and accept(case, reading, query)


def unmeasured(deck: Deck, rng: random.Random, query: Query) -> Case | None:
    """A patient with nothing of this code visible: never measured, or ``now`` lies before the first result."""
    key = ("unmeasured", query.lab.code)
    if key not in deck.pools:
        charts = {chart.patient: chart for chart in query.lab.charts}
        groups = []
        for patient, timeline in deck.timelines.items():
            if patient in query.lab.unclear:
                continue
            chart = charts.get(patient) or Chart(patient, timeline, ())
            until = min((one.available for one in chart.results), default=FOREVER)
            if timeline.start + MINUTE < min(until, timeline.end):
                groups.append(Group(chart, 0, -1, timeline.start, timeline.start, until))
        deck.pools[key] = tuple(groups)
    for _ in range(TRIES if deck.pools[key] else 0):
        group = rng.choice(deck.pools[key])
        timeline = group.chart.timeline
        known = [at for at in timeline.times if timeline.start <= at < group.until]
        like = rng.choice(known) if known else timeline.start
        now = polished(rng, like + rng.randrange(MINUTE, DAY // 2), like)
        if timeline.start <= now < group.until:
            return Case(group.chart, now, timeline.offset(now), ())
    return None
