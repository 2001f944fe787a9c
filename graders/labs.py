"""The truth of the laboratory families: latest results, means, and what a protocol orders because of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

from fhirtasks.fhir.dates import SECOND, instant
from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Task
from graders import identities, judge, probes, writes
from graders.answers import ListOf, Nothing, Number, Text
from graders.results import FOREVER, Case, Found, Result, select
from graders.truth import Order, Probe, Read, Truth

HOUR = 3600 * SECOND
ABSENT = ListOf((Nothing("no result counts", -1),))
NUMBER = ListOf((Number(Decimal(0)),))
PAIR = ListOf((Number(Decimal(0)), Text("")))


@dataclass(frozen=True, slots=True)
class Chart:
    """What a task's truth is made from: its patient, the window in µs (``low`` None: all time), what counts."""

    task: Task
    world: World
    person: identities.Person
    body: str
    now: int
    low: int | None
    found: Found

    def latest(self) -> Result | None:
        """The newest result that counts; of several at that time the one that ``tie`` names."""
        best: Result | None = None
        highest = self.task.slots.get("tie") != "lowest"
        for one in self.found.counted:
            if best is None or (_number(one) > _number(best) if highest else _number(one) < _number(best)):
                best = one
        return best


def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """Clinical truths, by task id: one query for all results and one for the patients' bodies."""
    persons = {task.id: identities.named(task, world) for task in tasks}
    bodies = identities.bodies(tasks, persons)
    cases = [_case(task, persons[task.id][0]) for task in tasks if task.id in bodies]
    found = select(cases, world)
    limits = {case.key: case for case in cases}
    truths = {}
    for task in tasks:
        if task.id not in bodies:
            truths[task.id] = Truth(problem=f"the slots name {len(persons[task.id])} patients")
            continue
        case = limits[task.id]
        low = None if "window_hours" not in task.slots else case.low
        chart = Chart(task, world, persons[task.id][0], bodies[task.id], case.now, low, found[task.id])
        truths[task.id] = _FAMILIES[task.family](chart)
    return truths


def _case(task: Task, person: identities.Person) -> Case:
    now = instant(task.now)
    hours = task.slots.get("window_hours")
    return Case(
        key=task.id, patient=person.id, code=task.slots["code"], now=now, scenario=task.scenario, high=now,
        low=-FOREVER if hours is None else now - int(Decimal(hours) * HOUR),
        newest=task.family != "mean_lab_in_window",
    )  # fmt: skip


# -- families


def _latest(chart: Chart) -> Truth:
    return _with_value(chart, ())


def _mean(chart: Chart) -> Truth:
    values = [_number(one) for one in chart.found.counted]
    if not values:
        return _truth(chart, ABSENT, (NUMBER,), ())
    places = Decimal(1).scaleb(-int(chart.task.slots["decimals"]))
    mean = (sum(values, Decimal(0)) / len(values)).quantize(places, ROUND_HALF_UP)
    return _truth(chart, ListOf((Number(mean),)), (NUMBER,), ())


def _magnesium(chart: Chart) -> Truth:
    """The tiers of the prompt; each ends where the next, more severe one begins."""
    slots, newest = chart.task.slots, chart.latest()
    if newest is None or _number(newest) > Decimal(slots["low_at_or_below"]):
        return _with_value(chart, ())
    if _number(newest) < Decimal(slots["severe_below"]):
        tier = "severe"
    else:
        tier = "moderate" if _number(newest) < Decimal(slots["moderate_below"]) else "mild"
    dose, hours = Decimal(slots[f"{tier}_dose"]), Decimal(slots[f"{tier}_hours"])
    order = writes.medication(chart.task, chart.person.id, dose, Decimal(0), hours)
    return _with_value(chart, (order,))


def _potassium(chart: Chart) -> Truth:
    slots, newest = chart.task.slots, chart.latest()
    if newest is None or _number(newest) >= Decimal(slots["threshold"]):
        return _with_value(chart, ())
    steps = (Decimal(slots["threshold"]) - _number(newest)) / Decimal(slots["step"])
    dose = (steps * Decimal(slots["step_dose"])).quantize(Decimal("0.1"), ROUND_HALF_UP)
    order = writes.medication(chart.task, chart.person.id, dose, Decimal("0.1"), None)
    recheck = writes.service(chart.task, chart.person.id, occurrence=slots["recheck_time"])
    return _with_value(chart, (order, recheck))


def _a1c(chart: Chart) -> Truth:
    slots, newest = chart.task.slots, chart.latest()
    if newest is None:
        orders = slots["when_absent"] == "order the test"
        order = (writes.service(chart.task, chart.person.id),) if orders else ()
        return _truth(chart, ABSENT, (NUMBER, PAIR), order)
    assert newest.time is not None and newest.effective is not None
    stale = newest.time < instant(slots["stale_before"])
    answer = ListOf((Number(_number(newest)), Text(newest.effective)))
    order = (writes.service(chart.task, chart.person.id),) if stale else ()
    return _truth(chart, answer, (NUMBER, PAIR), order)


_FAMILIES: dict[str, Callable[[Chart], Truth]] = {
    "latest_lab": _latest,
    "latest_lab_in_window": _latest,
    "mean_lab_in_window": _mean,
    "magnesium_replacement": _magnesium,
    "potassium_replacement": _potassium,
    "a1c_reorder": _a1c,
}

GRADERS = dict.fromkeys(_FAMILIES, judge.grader(truths))


def _with_value(chart: Chart, orders: tuple[Order, ...]) -> Truth:
    newest = chart.latest()
    answer = ABSENT if newest is None else ListOf((Number(_number(newest)),))
    return _truth(chart, answer, (NUMBER,), orders)


def _truth(chart: Chart, answer: ListOf, shapes: tuple[ListOf, ...], orders: tuple[Order, ...]) -> Truth:
    return Truth(answer=answer, shapes=shapes, orders=orders, probes=partial(_probes, chart, bool(orders)))


def _number(one: Result) -> Decimal:
    assert one.value is not None, "only results with a number are asked for"
    return Decimal(one.value)


# -- counterfactual worlds


def _probes(chart: Chart, orders: bool, read: Read) -> Iterator[Probe]:
    """Worlds with another answer: the slots name another patient, or a result stands where it would decide.

    A tie that the records do not have is not supposed: who sorts by time and looks at the newest result is taken at
    their word. (Where results do tie, all of them must have been shown.)
    """
    templates = probes.templates(chart.task, chart.world, chart.task.slots["code"])
    for probe in probes.other_patient(chart.person.id, chart.body, read):
        if chart.found.counted or orders:
            yield probe
        else:  # who has nothing on record and needs nothing may be anybody: the other has a result
            raw = templates[0].result(probes.LAST_ID, probes.other_id(chart.person.id), chart.now)
            yield replace(probe, add=(*probe.add, raw))
    for one in chart.found.counted:
        if not read.shows(one.raw):
            raw = probes.revalued(one.raw)
            yield Probe(f"the result {one.id} had another value", "Observation", (raw,))
    times = _deciding_times(chart)
    # Where a search that leaves out something in between, or several of them, may have a hole.
    holes = [time for time in read.edges if times and min(times) < time < max(times)]
    ids = (probes.FIRST_ID, probes.LAST_ID)
    places = [(time, id) for time in times for id in ids]
    if read.searches("Observation") == 1:
        # One search keeps one stretch of time, in one order: if it shows both ends, it shows what lies between.
        places = [(time, ids[n % 2]) for n, time in enumerate(times[:2])]
    places += [(time, probes.LAST_ID) for time in holes]
    for template in templates:
        for time, id in places:
            raw = template.result(id, chart.person.id, time)
            yield Probe(f"a result at {probes.text(time)} were added", "Observation", (raw,))
        # The same number of results, so that no total tells: one that was not shown moves to where it would decide.
        for id in _hidden(chart, read):
            for time in dict.fromkeys((*times, *holes)):
                raw = template.result(id, chart.person.id, time)
                yield Probe(f"the result {id}, never shown, were of {probes.text(time)}", "Observation", (raw,))


def _hidden(chart: Chart, read: Read) -> list[str]:
    """Results of the code that the episode was not shown, where it left something out: the first and the last by id and by
    time. The newest of all may become newer and stays where it is in every order of time."""
    hidden = [id for id in chart.found.others if id not in read.ids] if read.incomplete else []
    return list(dict.fromkeys((min(hidden), max(hidden), hidden[0], hidden[-1]))) if hidden else []


def _deciding_times(chart: Chart) -> list[int]:
    """Times at which one more result would change the answer: both ends, and for absence and means the middle too."""
    newest = chart.latest()
    if newest is not None and chart.task.family != "mean_lab_in_window":
        assert newest.time is not None
        return [time for time in dict.fromkeys((chart.now, newest.time + SECOND)) if newest.time < time <= chart.now]
    low = chart.low
    if low is None:
        # A search from the day of birth on leaves nothing out; nothing after now would count, not for a newborn either.
        birth = (chart.person.birthdate or "1900-01-01")[:10]
        low = min(instant((birth + "-01-01")[:10] + "T00:00:00Z") + 24 * HOUR, chart.now)
    return [chart.now, low, (low + chart.now) // 2 // SECOND * SECOND]
