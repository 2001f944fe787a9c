"""The three labs families that order by a result: magnesium, potassium, hemoglobin A1c."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from fhirtasks.episodes.types import Mode
from fhirtasks.fhir.jsontext import Json
from fhirtasks.graph.world import World
from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks import labs_plans as plans
from fhirtasks.tasks import labs_rules as rules
from fhirtasks.tasks.labs_ages import AGE_PLANS, past
from fhirtasks.tasks.labs_cases import Accept, Case, Query, Reading, read
from fhirtasks.tasks.labs_charts import DAY, HOUR, Deck, Group, Lab, deck, instant, local, micros
from fhirtasks.tasks.labs_drafts import Outcome, draft, query_for, usable, value_of
from fhirtasks.tasks.labs_plans import EVER_PLANS, WINDOW_PLANS, Plan
from fhirtasks.tasks.labs_rules import MagnesiumRule, PotassiumRule
from fhirtasks.tasks.types import Draft

MAGNESIUM_WINDOW_HOURS = (24, 24, 24, 12, 48)


def magnesium_labs(found: Deck) -> list[Lab]:
    """Magnesium in the unit of the rules."""
    return usable(found, ("magnesium",), rules.MAGNESIUM_UNITS, MAGNESIUM_WINDOW_HOURS)


def potassium_labs(found: Deck) -> list[Lab]:
    """Potassium in the units of the rules."""
    return usable(found, ("potassium",), rules.POTASSIUM_UNITS)


def a1c_labs(found: Deck) -> list[Lab]:
    """Hemoglobin A1c in percent."""
    return usable(found, ("a1c",), rules.A1C_UNITS)


def sample_magnesium(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """A draft of ``magnesium_replacement``."""
    found = deck(world)
    rule = rng.choice(rules.MAGNESIUM_RULES)
    query = query_for(rng, mode, magnesium_labs(found), hours=rng.choice(MAGNESIUM_WINDOW_HOURS))
    system, code = rules.MAGNESIUM_DRUGS[0] if mode == "compat" else rng.choice(rules.MAGNESIUM_DRUGS)
    route = rng.choice(rules.MAGNESIUM_ROUTES)
    if branch == "absent":
        case = plans.draw_absent(world, found, rng, query)
    elif branch == "future":
        matters = _decides(rule.tier, Decimal(0))
        case = plans.draw_future(world, found, rng, query, cases.within, matters=matters)
    else:
        case = plans.draw(world, found, rng, query, _magnesium_plan(rule, query.lab.step, branch))

    def judge(query: Query, case: Case, reading: Reading) -> Outcome:
        now, hours = instant(case.now, case.offset), str((query.window or 0) // HOUR)
        shared = {
            "code": query.lab.code, "window_hours": hours, **rule.slots(), "dose_unit": "g",
            "medication_system": system, "medication_code": code, "route": route,
        }  # fmt: skip
        answer = reading.answer
        tier = None if answer is None or answer.value is None else rule.tier(answer.value)
        order = None if tier is None else {
            "type": "MedicationRequest", "system": system, "code": code, "dose": Decimal(tier[0]), "unit": "g",
            "hours": Decimal(tier[1]), "route": route, "authoredOn": now,
        }  # fmt: skip
        return Outcome(
            {**shared, "unit": query.lab.unit, "tie": query.tie},
            {**shared, "rate_unit": "h", "authored_contains": now[:16]},
            [value_of(reading)],
            [] if order is None else [order],
        )

    return draft(world, rng, "magnesium_replacement", (query, case), judge)


def _magnesium_plan(rule: MagnesiumRule, step: Decimal, branch: str) -> Plan:
    low, moderate, severe = (Decimal(text) for text in (rule.low_at_or_below, rule.moderate_below, rule.severe_below))
    # Bounds are [low, high): a tenth of a step above a limit leaves the limit itself out.
    bit = step / 10
    ranges = {
        "normal": (low + 2 * step, low + 10 * step),
        "above_low": (low + bit, low + step + bit),
        "at_low": (low, low),
        "below_low": (low - step, low),
        "mild": (moderate + bit, low),
        "above_moderate": (moderate + bit, moderate + step + bit),
        "at_moderate": (moderate, moderate),
        "below_moderate": (moderate - step, moderate),
        "moderate": (severe + bit, moderate),
        "above_severe": (severe + bit, severe + step + bit),
        "at_severe": (severe, severe),
        "below_severe": (severe - step, severe),
        "severe": (rules.MAGNESIUM_FLOOR, severe),
    }
    name = f"{rule.low_at_or_below}/{rule.moderate_below}/{rule.severe_below}"
    if branch == "tie":
        return plans.tie_across(low, moderate, low + 10 * step, name)
    if branch in ranges:
        return plans.value_plan(branch, *ranges[branch], name)

    def low_at_whole_second(group: Group) -> bool:
        only = group.single
        return plans.whole_second(group) and only is not None and only.value is not None and only.value <= low

    plan = WINDOW_PLANS[branch]
    # A low value on the edge: whether it counts decides about an order.
    return plan if branch == "outside" else replace(plan, name=(branch, name), suits=low_at_whole_second)


def sample_potassium(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """A draft of ``potassium_replacement``."""
    found = deck(world)
    rule = rng.choice(rules.POTASSIUM_RULES)
    query = query_for(rng, mode, potassium_labs(found))
    compat = mode == "compat"
    system, code = rules.POTASSIUM_DRUGS[0] if compat else rng.choice(rules.POTASSIUM_DRUGS)
    test_system, test_code = rules.POTASSIUM_RECHECKS[0] if compat else rng.choice(rules.POTASSIUM_RECHECKS)
    hour = rng.choice(rules.RECHECK_HOURS)
    limit = Decimal(rule.threshold)
    if branch == "absent":
        case = plans.draw_absent(world, found, rng, query)
    elif branch == "future":
        matters = _decides(lambda value: value < limit, limit - rules.POTASSIUM_DEPTH)
        case = plans.draw_future(world, found, rng, query, cases.within, matters=matters)
    else:
        case = plans.draw(world, found, rng, query, _potassium_plan(rule, query.lab.step, branch))

    def judge(query: Query, case: Case, reading: Reading) -> Outcome:
        now = instant(case.now, case.offset)
        morning = local(case.now + DAY, case.offset).replace(hour=hour, minute=0, second=0, microsecond=0)
        recheck = instant(micros(morning), case.offset)
        shared = {
            "code": query.lab.code, **rule.slots(), "dose_unit": "mEq", "medication_system": system,
            "medication_code": code, "route": "oral", "order_system": test_system, "order_code": test_code,
        }  # fmt: skip
        answer, orders = reading.answer, []
        if answer is not None and answer.value is not None and answer.value < limit:
            dose = rule.dose(answer.value).quantize(Decimal("0.1"), ROUND_HALF_UP)
            orders = [
                {"type": "MedicationRequest", "system": system, "code": code, "dose": dose, "unit": "mEq",
                 "route": "oral", "authoredOn": now},
                {"type": "ServiceRequest", "system": test_system, "code": test_code, "occurrence": recheck,
                 "authoredOn": now},
            ]  # fmt: skip
        told = {"dose_tolerance": "0.1", "authored_contains": now[:16], "priority": "stat"}
        return Outcome(
            {**shared, "unit": query.lab.unit, "tie": query.tie, "recheck_time": recheck},
            {**shared, **told, "recheck_contains": recheck[:14]},
            [value_of(reading)],
            orders,
        )

    return draft(world, rng, "potassium_replacement", (query, case), judge)


def _potassium_plan(rule: PotassiumRule, step: Decimal, branch: str) -> Plan:
    limit, bit = Decimal(rule.threshold), step / 10
    deepest = limit - rules.POTASSIUM_DEPTH
    ranges = {
        "normal": (limit + 2 * step, limit + 15 * step),
        "just_above": (limit + bit, limit + step + bit),
        "at_threshold": (limit, limit),
        "just_below": (limit - step, limit),
        "well_below": (deepest, limit - 2 * step),
    }
    if branch == "tie":
        return plans.tie_across(limit - bit, limit - rules.POTASSIUM_DEPTH / 2, limit + 10 * step, rule.threshold)
    if branch in ranges:
        return plans.value_plan(branch, *ranges[branch], rule.threshold)
    plan = EVER_PLANS[branch]

    def shallow(case: Case, reading: Reading, query: Query) -> bool:
        answer = reading.answer
        return answer is not None and (answer.value or deepest) >= deepest and plan.accept(case, reading, query)

    return replace(plan, accept=shallow)


def _decides(decision: Callable[[Decimal], object], floor: Decimal) -> Accept:
    """For a future-dated result: it would change the decision, and no value lies below ``floor``."""

    def accept(case: Case, _reading: Reading, query: Query) -> bool:
        before, after = (read(case, replace(query, mode=mode, tie="highest")) for mode in ("clinical", "compat"))
        if before is None or after is None or before.answer is None or after.answer is None:
            return False
        first, second = (one.value or Decimal(0) for one in (before.answer, after.answer))
        return min(first, second) >= floor and decision(first) != decision(second)

    return accept


def sample_a1c(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """A draft of ``a1c_reorder``."""
    found = deck(world)
    query = query_for(rng, mode, a1c_labs(found), months=rng.choice(rules.A1C_MONTHS))
    compat = mode == "compat"
    system, code = rules.A1C_ORDERS[0] if compat else rng.choice(rules.A1C_ORDERS)
    when_absent = rules.WHEN_ABSENT[0] if compat else rng.choice(rules.WHEN_ABSENT)
    if branch == "absent":
        case = plans.draw_absent(world, found, rng, query)
    elif branch == "future":
        base = cases.stale if plans.base_groups(found, query, cases.stale) else cases.within
        case = plans.draw_future(world, found, rng, query, base)
    else:
        case = plans.draw(world, found, rng, query, AGE_PLANS[branch])

    def judge(query: Query, case: Case, reading: Reading) -> Outcome:
        limit = instant(cases.stale_before(case, query.months or 0), case.offset)
        shared = {"code": query.lab.code, "stale_before": limit, "order_system": system, "order_code": code}
        answer = reading.answer
        due = when_absent == rules.WHEN_ABSENT[0] if answer is None else past(case, reading, query) > 0
        order: Json = {
            "type": "ServiceRequest", "system": system, "code": code, "authoredOn": instant(case.now, case.offset)
        }  # fmt: skip
        return Outcome(
            {**shared, "tie": query.tie, "when_absent": when_absent},
            {**shared, "priority": "stat"},
            [-1] if answer is None else [value_of(reading), answer.effective],
            [order] if due else [],
        )

    return draft(world, rng, "a1c_reorder", (query, case), judge)
