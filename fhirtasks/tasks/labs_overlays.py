"""Scenarios for cases that the records lack, made from the patient's own results: nothing but the content differs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.charts import Charts
from fhirtasks.tasks import labs_bodies as bodies
from fhirtasks.tasks.labs_cases import PAGE, Case, Query, earlier
from fhirtasks.tasks.labs_charts import DAY, FOREVER, HOUR, MINUTE, SECOND, Lab, Result


class Overlay:
    """A case being edited. Methods return False where a text cannot be edited safely; then the draw is given up."""

    def __init__(self, world: World, case: Case, query: Query) -> None:
        self.case = case
        self.lab: Lab = query.lab
        self.results = {one.id: one for one in case.results}
        self.added: dict[str, str] = {}
        self.hidden: list[str] = []
        self._world = world
        chart = case.chart
        self.raws = Charts.of(world).texts("Observation", chart.patient, {one.id for one in chart.results})

    @property
    def ordered(self) -> list[Result]:
        """What is visible now, by time and id."""
        return sorted(self.results.values())

    def text(self, one: Result) -> str:
        """The text of a result as it stands now."""
        return self.added.get(one.id) or self.raws[one.id]

    def edited(self) -> Case:
        """The edited case."""
        add = tuple(self.added[key] for key in sorted(self.added))
        hide = tuple(f"Observation/{key}" for key in sorted(self.hidden))
        return Case(self.case.chart, self.case.now, self.case.offset, self.ordered, Scenario(add, hide))

    def value(self, one: Result, digits: str) -> bool:
        """Gives a result other digits."""
        raw = self.text(one)
        if not bodies.editable(raw, one.id):
            return False
        text = self._valued(raw, digits)
        if text is None:
            return False
        self._put(one._replace(value=Decimal(digits)), text)
        return True

    def move(self, one: Result, time: int) -> bool:
        """Moves a result to another time; what was issued later stays as much later."""
        return self.become(one, one, time, None)

    def become(self, one: Result, model: Result, time: int, digits: str | None) -> bool:
        """Gives a result the body of ``model`` at ``time``: its own id, identifiers and (unless given) value stay."""
        raw = self.text(one)
        body = self.raws[model.id]
        if not bodies.editable(raw, one.id) or not bodies.editable(body, model.id):
            return False
        text = bodies.with_identifiers_of(bodies.with_id(body, model.id, one.id), raw)
        valued = self._valued(text, digits or bodies.value_text(raw))
        if valued is None:
            return False
        text = bodies.shifted(valued, time - model.time, self.case.chart.timeline.offset(time))
        self._put(_result(one.id, time, text), text)
        return True

    def clone(self, model: Result, time: int, digits: str, salt: str) -> bool:
        """Adds a result with the body of ``model`` at ``time``, under an id of the same shape that nothing has."""
        body = self.raws[model.id]
        if not bodies.editable(body, model.id):
            return False
        for attempt in range(8):
            new = bodies.like(model.id, f"{salt}/{attempt}")
            if new not in self.results and not self._taken(new):
                break
        else:
            return False
        text = bodies.renumbered(bodies.with_id(body, model.id, new), salt)
        valued = self._valued(text, digits)
        if valued is None:
            return False
        text = bodies.shifted(valued, time - model.time, self.case.chart.timeline.offset(time))
        self._put(_result(new, time, text), text)
        return True

    def reveal(self, one: Result) -> None:
        """Shows a result that only becomes known after ``now``, as it is."""
        self._put(one, self.raws[one.id])

    def hide(self, one: Result) -> None:
        """Takes a result away."""
        del self.results[one.id]
        self.hidden.append(one.id)

    def _valued(self, raw: str, digits: str) -> str | None:
        """The text with these digits; what it says of high or low comes from a result that has them. None without one."""
        if digits == bodies.value_text(raw) or not bodies.interpreted(raw):
            return bodies.with_value(raw, digits)
        for donor in self._donors(digits):
            if bodies.interpreted(donor) and bodies.judged_like(raw, digits, donor):
                return bodies.with_value(bodies.with_interpretation_of(raw, donor), digits)
        return None

    def _donors(self, digits: str) -> Iterator[str]:
        yield from (self.raws[key] for key in sorted(self.raws) if f'"value":{digits}' in self.raws[key])
        for patient, identifier in self.lab.donors.get(digits, ()):
            yield from Charts.of(self._world).texts("Observation", patient, {identifier}).values()

    def _put(self, one: Result, raw: str) -> None:
        self.results[one.id] = one
        self.added[one.id] = raw

    def _taken(self, identifier: str) -> bool:
        if len(identifier) >= 32:
            return False  # a UUID's room is large enough
        found = self._world.db.execute(
            "select 1 from resource where type = 'Observation' and id = ? limit 1", [identifier]
        ).fetchone()
        return found is not None


def _result(identifier: str, time: int, raw: str) -> Result:
    end = time + (1 if "." in bodies.effective_text(raw) else SECOND)
    value = Decimal(bodies.value_text(raw))
    return Result(time, identifier, end, bodies.effective_text(raw), value, FOREVER, True)


def digits_between(rng: random.Random, lab: Lab, low: Decimal, high: Decimal) -> str | None:
    """A value in [low, high) as this world prints it: one that occurs, else one of the same precision."""
    known = [value for value in sorted(lab.texts) if low <= value < high]
    if known:
        return lab.texts[rng.choice(known)]
    if lab.decimals > 4:
        return repr(rng.uniform(float(low), float(high) - 1e-9))
    first, last = ((bound / lab.step).to_integral_value(ROUND_CEILING) for bound in (low, high))
    steps = [lab.step * place for place in range(int(first), int(last))]
    return lab.text(rng.choice(steps)) if steps else None


def other_digits(rng: random.Random, lab: Lab, one: Result) -> str:
    """A value that is not this result's: one that occurs, else the next one higher."""
    known = [text for value, text in sorted(lab.texts.items()) if value != one.value]
    return rng.choice(known) if known else lab.text((one.value or Decimal(0)) + lab.step)


def with_value(edit: Overlay, digits: str) -> bool:
    """The newest result has another value."""
    return edit.value(edit.ordered[-1], digits)


def aged(edit: Overlay, time: int) -> bool:
    """All results are moved alike, so that the newest is at ``time``; gaps and order stay."""
    delta = time - edit.ordered[-1].time
    return all(edit.move(one, one.time + delta) for one in edit.ordered)


def at_edge(edit: Overlay, query: Query, delta: int) -> bool:
    """The newest result is the window's length (or the months) and ``delta`` seconds before ``now``."""
    return placed(edit, query, edit.ordered[-1], delta)


def one_at_edge(edit: Overlay, rng: random.Random, query: Query, delta: int) -> bool:
    """The same of any result that may stand there with newer ones inside the window."""
    latest = edit.ordered[-1].time
    near = [one for one in edit.ordered if latest - one.time < (query.window or 0)]
    return placed(edit, query, rng.choice(near), delta)


def placed(edit: Overlay, query: Query, newest: Result, delta: int) -> bool:
    """A result is brought to the edge, all others with it; ``now`` moves within its minute, so that seconds stay."""
    case = edit.case
    now = (case.now // MINUTE * MINUTE + newest.time % MINUTE) // SECOND * SECOND + delta * SECOND
    if [one.id for one in case.chart.seen(now)] != [one.id for one in edit.ordered] or newest.time % SECOND:
        return False
    edit.case = replace(case, now=now)
    if query.months is not None:
        time = earlier(now, case.offset, query.months) - delta * SECOND
    else:
        time = now - (query.window or 0) - delta * SECOND
    return aged(edit, time + edit.ordered[-1].time - newest.time)


def tied(edit: Overlay, rng: random.Random, _query: Query) -> bool:
    """A second result at the newest time, with another value: an older one that moved there, else a new one."""
    newest = edit.ordered[-1]
    others = [one for one in edit.ordered[:-1] if one.plain and one.value != newest.value]
    if others:
        return edit.become(rng.choice(others), newest, newest.time, None)
    return edit.clone(newest, newest.time, other_digits(rng, edit.lab, newest), f"tie {rng.random()}")


def shuffled(edit: Overlay, rng: random.Random, _query: Query) -> bool:
    """The newest result is neither first nor last by id: it changes bodies with one in between."""
    while len(edit.results) < 3:
        if not added_before(edit, rng, 1):
            return False
    newest = edit.ordered[-1]
    by_id = sorted(edit.ordered, key=lambda one: one.id)
    if by_id[0].id != newest.id != by_id[-1].id:
        return True
    other = rng.choice(by_id[1:-1])
    if newest.id in edit.added or other.id in edit.added:
        return False
    raws = bodies.value_text(edit.raws[newest.id]), bodies.value_text(edit.raws[other.id])
    return edit.become(other, newest, newest.time, raws[0]) and edit.become(newest, other, other.time, raws[1])


def added_before(edit: Overlay, rng: random.Random, count: int) -> bool:
    """``count`` more results, spread over the time before the newest as the patient's own are."""
    models = [one for one in edit.ordered if one.id in edit.raws and one.plain]
    texts = sorted({bodies.value_text(edit.raws[one.id]) for one in models}) if models else []
    newest = edit.ordered[-1].time
    used = {one.time for one in edit.ordered}
    for _ in range(count):
        model = rng.choice(models)
        time = model.time - rng.randrange(5 * HOUR // MINUTE, 20 * DAY // MINUTE) * MINUTE
        while time in used or time >= newest:
            time -= 7 * HOUR
        used.add(time)
        if not edit.clone(model, time, rng.choice(texts), f"before {rng.random()}"):
            return False
    return True


def filled(edit: Overlay, rng: random.Random, query: Query, count: int) -> bool:
    """``count`` results inside the window before the newest: older ones moved there first, then new ones."""
    newest = edit.ordered[-1]
    start = edit.case.now - (query.window or 0)
    room = newest.time - start - 10 * MINUTE
    inside = [one for one in edit.ordered if one.time >= start]
    outside = [one for one in edit.ordered if one.time < start and one.plain]
    texts = [bodies.value_text(edit.raws[one.id]) for one in edit.ordered if one.plain]
    need = count - len(inside)
    slots = room // (max(need, 1) * MINUTE)
    if slots < 2 or not texts:
        return False
    used = {one.time for one in inside}
    for place in range(need):
        time = newest.time - (place * slots + rng.randrange(1, slots)) * MINUTE
        if time in used or time <= start:
            return False
        if outside:
            done = edit.become(outside.pop(), newest, time, None)
        else:
            done = edit.clone(newest, time, rng.choice(texts), f"filled {rng.random()}")
        if not done:
            return False
    return True


def paged(edit: Overlay, rng: random.Random, _query: Query) -> bool:
    """More results than one page holds, the newest beyond the first page: where its id stands, one behind it gets its body."""
    if not added_before(edit, rng, max(0, PAGE + rng.randrange(1, 9) - len(edit.results))):
        return False
    newest = edit.ordered[-1]
    later = sorted(edit.ordered, key=lambda one: one.id)[PAGE:]
    if any(one.id == newest.id for one in later):
        return True
    other = rng.choice(later)
    model = other if other.id in edit.raws else newest
    digits = bodies.value_text(edit.raws[newest.id]), bodies.value_text(edit.text(other))
    return edit.become(other, newest, newest.time, digits[0]) and edit.become(newest, model, other.time, digits[1])


def future(edit: Overlay, rng: random.Random, _query: Query) -> bool:
    """A result dated after ``now``: the chart's next one, shown too early, else a new one."""
    later = [one for one in edit.case.chart.results if one.time > edit.case.now]
    if later:
        first = min(one.time for one in later)
        for one in later:
            if one.time == first:
                edit.reveal(one)
        return all(one.plain for one in later if one.time == first)
    newest = edit.ordered[-1]
    after = edit.case.now - newest.time + rng.randrange(1, 36) * HOUR
    time = newest.time + after // MINUTE * MINUTE
    if time <= edit.case.now:
        return False
    return edit.clone(newest, time, other_digits(rng, edit.lab, newest), f"future {rng.random()}")


def hidden(edit: Overlay, _rng: random.Random, _query: Query) -> bool:
    """Nothing of this code is left."""
    for one in edit.ordered:
        edit.hide(one)
    return True
