"""From a drawn case to a draft of a task: what the labs families share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from fhirtasks.episodes.types import Mode
from fhirtasks.fhir.jsontext import Json
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks import labs_plans as plans
from fhirtasks.tasks.identity import describe
from fhirtasks.tasks.labs_cases import PAGE, Case, Query, Reading
from fhirtasks.tasks.labs_charts import HOUR, Deck, Lab, instant
from fhirtasks.tasks.labs_wordings import WORDINGS, instructions, wording
from fhirtasks.tasks.types import Draft

TIES = ("highest", "lowest")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a family makes of a case: slots and compat params beyond the patient's, the answer, the expected orders."""

    slots: dict[str, str]
    params: dict[str, str]
    answer: Json
    orders: list[Json]


Judge = Callable[[Query, Case, Reading], Outcome | None]


def query_for(
    rng: random.Random, mode: Mode, labs: list[Lab], *, hours: int | None = None, months: int | None = None
) -> Query:
    """A query about one of the labs; ties by size, in compat as the server lists them."""
    tie = rng.choice(TIES)
    lab = rng.choice(labs)
    return Query(lab, mode, "first" if mode == "compat" else tie, None if hours is None else hours * HOUR, months)


def usable(found: Deck, keys: tuple[str, ...], units: tuple[str, ...] = (), hours: tuple[int, ...] = ()) -> list[Lab]:
    """The world's labs of these analytes (none: of all) and units that have results, recent enough for a window."""
    key = (keys, units, hours)
    if key not in found.usable:
        window = min(hours) * HOUR if hours else None
        found.usable[key] = [
            lab
            for lab in found.of(*keys)
            if (not units or lab.unit in units)
            and plans.base_groups(found, Query(lab, "clinical", "highest", window), cases.within)
        ]
    return found.usable[key]


def draft(
    world: World, rng: random.Random, family: str, drawn: tuple[Query, Case | None], judge: Judge
) -> Draft | None:
    """The draft of a case; None where there is no case, or it is not clear, or the patient cannot be named."""
    query, case = drawn
    reading = None if case is None else cases.read(case, query)
    if case is None or reading is None:
        return None
    named = describe(world, case.chart.patient, rng, query.mode, case.now)
    outcome = judge(query, case, reading)
    if named is None or outcome is None:
        return None
    now = instant(case.now, case.offset)
    slots = {**named.slots, **outcome.slots}
    number = rng.randrange(WORDINGS)
    instruction, context = wording(family, number, query.mode, {**slots, "now": now, "patient": named.phrase})
    params: dict[str, str] = {}
    if query.mode == "compat":
        patient = {"patient": case.chart.patient, "mrn": named.slots["mrn"]}
        params = {**patient, "now": now, "base": BASE, **outcome.params}
    difficulty: dict[str, Json] = {
        "results": len(case.results),
        "counted": len(reading.counted),
        "pages": max(1, -(-len(case.results) // PAGE)),
        "orders": len(outcome.orders),
    }
    return Draft(
        now=now,
        instruction=instruction,
        context=context,
        slots=slots,
        params=params,
        gold={"answer": outcome.answer, "orders": outcome.orders},
        patients=(case.chart.patient,),
        scenario=case.scenario,
        difficulty=difficulty,
        wording=instructions(family)[number],
    )


def value_of(reading: Reading) -> Json:
    """The number to report (int or Decimal), -1 if there is none."""
    answer = reading.answer
    if answer is None or answer.value is None:
        return -1
    return int(answer.value) if answer.value.as_tuple().exponent == 0 else answer.value
