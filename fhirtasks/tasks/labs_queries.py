"""The three labs families that ask: the newest result in a window, the mean of a window, the newest result ever."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from fhirtasks.episodes.types import Mode
from fhirtasks.graph.world import World
from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks import labs_plans as plans
from fhirtasks.tasks.labs_cases import Case, Query, Reading
from fhirtasks.tasks.labs_charts import HOUR, Deck, Lab, deck
from fhirtasks.tasks.labs_drafts import Outcome, draft, query_for, usable, value_of
from fhirtasks.tasks.labs_means import MEAN_PLANS
from fhirtasks.tasks.labs_plans import EVER_PLANS, WINDOW_PLANS, Plan
from fhirtasks.tasks.types import Draft

WINDOW_HOURS = (24, 24, 24, 12, 48)
MEAN_WINDOW_HOURS = (24, 24, 24, 48, 72, 168)
MEAN_DECIMALS = ("1", "2")
OTHER_LABS = 4
"""How many other tests are asked for a native case before a scenario is made."""


def window_labs(found: Deck) -> list[Lab]:
    """Labs with results soon enough known to be asked for within hours."""
    return usable(found, (), (), WINDOW_HOURS)


def mean_labs(found: Deck) -> list[Lab]:
    """Of these, the ones whose mean over a day means something."""
    return [lab for lab in usable(found, (), (), MEAN_WINDOW_HOURS) if lab.analyte.averaged]


def ever_labs(found: Deck) -> list[Lab]:
    """Labs with results at any time."""
    return usable(found, ())


def sample_latest_in_window(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """A draft of ``latest_lab_in_window``."""
    labs = window_labs(deck(world))
    query = query_for(rng, mode, labs, hours=rng.choice(WINDOW_HOURS))
    return draft(world, rng, "latest_lab_in_window", _drawn(world, rng, query, branch, (labs, WINDOW_PLANS)), _latest)


def sample_mean(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """A draft of ``mean_lab_in_window``."""
    labs = mean_labs(deck(world))
    query = query_for(rng, mode, labs, hours=rng.choice(MEAN_WINDOW_HOURS))
    decimals = rng.choice(MEAN_DECIMALS)
    drawn = _drawn(world, rng, query, branch, (labs, MEAN_PLANS))
    return draft(world, rng, "mean_lab_in_window", drawn, lambda query, _, reading: _mean(query, reading, decimals))


def sample_latest(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """A draft of ``latest_lab``."""
    labs = ever_labs(deck(world))
    query = query_for(rng, mode, labs)
    return draft(world, rng, "latest_lab", _drawn(world, rng, query, branch, (labs, EVER_PLANS)), _latest)


def _drawn(
    world: World, rng: random.Random, query: Query, branch: str, kind: tuple[list[Lab], dict[str, Plan]]
) -> tuple[Query, Case | None]:
    found, (labs, table) = deck(world), kind
    if branch == "absent":
        return query, plans.draw_absent(world, found, rng, query)
    if branch == "future":
        return query, plans.draw_future(world, found, rng, query, cases.within)
    plan = table[branch]
    for lab in [query.lab, *rng.sample(labs, min(OTHER_LABS, len(labs)))]:
        other = replace(query, lab=lab)
        if (case := plans.draw_native(found, rng, other, plan)) is not None:
            return other, case
    return query, plans.draw_edited(world, found, rng, query, plan)


def _latest(query: Query, _case: Case, reading: Reading) -> Outcome:
    slots = {"analyte": query.lab.analyte.name, "code": query.lab.code, "unit": query.lab.unit, "tie": query.tie}
    params = {"code": query.lab.code}
    if query.window is not None:
        slots["window_hours"] = params["window_hours"] = str(query.window // HOUR)
    return Outcome(slots, params, [value_of(reading)], [])


def _mean(query: Query, reading: Reading, decimals: str) -> Outcome | None:
    hours = str((query.window or 0) // HOUR)
    slots = {
        "analyte": query.lab.analyte.name, "code": query.lab.code, "unit": query.lab.unit, "window_hours": hours,
        "decimals": decimals,
    }  # fmt: skip
    params = {"code": query.lab.code, "window_hours": hours, "tolerance": "0.1"}
    values = [one.value for one in reading.counted if one.value is not None]
    if not values:
        return Outcome(slots, params, [-1], [])
    place = Decimal(1).scaleb(-int(decimals))
    mean = sum(values, Decimal(0)) / len(values)
    if abs(mean) % place == place / 2:
        # Exactly half way: how to round would decide, and floating point would decide it otherwise.
        return None
    return Outcome(slots, params, [mean.quantize(place, ROUND_HALF_UP)], [])
