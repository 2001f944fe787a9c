"""The six labs families: three that ask for a result, three that order by it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from fhirtasks.episodes.types import Mode
from fhirtasks.fhir.jsontext import Json
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks import labs_cases as cases
from fhirtasks.tasks import labs_plans as plans
from fhirtasks.tasks import labs_rules as rules
from fhirtasks.tasks.analytes import BY_KEY
from fhirtasks.tasks.identity import describe
from fhirtasks.tasks.labs_ages import AGE_PLANS, past
from fhirtasks.tasks.labs_cases import PAGE, Case, Query, Reading, read
from fhirtasks.tasks.labs_charts import DAY, HOUR, Deck, Lab, deck, instant, local, micros
from fhirtasks.tasks.labs_plans import Plan
from fhirtasks.tasks.labs_wordings import WORDINGS, wording
from fhirtasks.tasks.types import Branch, Draft, Family

TIES = ("highest", "lowest")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a family makes of a case: slots and compat params beyond the patient's, the answer, the expected orders."""

    slots: dict[str, str]
    params: dict[str, str]
    answer: Json
    orders: list[Json]


Judge = Callable[[random.Random, Query, Case, Reading], Outcome | None]


def _query(rng: random.Random, mode: Mode, labs: list[Lab], hours: int | None, months: int | None) -> Query:
    tie = rng.choice(TIES)
    lab = rng.choice(labs)
    return Query(lab, mode, "first" if mode == "compat" else tie, None if hours is None else hours * HOUR, months)


def _labs(found: Deck, keys: tuple[str, ...], units: tuple[str, ...], hours: tuple[int, ...] = ()) -> list[Lab]:
    """The world's labs of these analytes and units that have results to report (recent enough ones, with a window)."""
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


def _draft(
    world: World, rng: random.Random, mode: Mode, family: str, query: Query, case: Case | None, judge: Judge
) -> Draft | None:
    reading = None if case is None else read(case, query)
    if case is None or reading is None:
        return None
    named = describe(world, case.chart.patient, rng, mode, case.now)
    outcome = judge(rng, query, case, reading)
    if named is None or outcome is None:
        return None
    now = instant(case.now, case.offset)
    slots = {**named.slots, **outcome.slots}
    instruction, context = wording(family, rng.randrange(WORDINGS), mode, slots, now, named.phrase)
    params = {}
    if mode == "compat":
        head = {"patient": case.chart.patient, "mrn": named.slots["mrn"], "now": now, "base": BASE}
        params = {**head, **outcome.params}
    counted = len(reading.counted)
    return Draft(
        now=now, instruction=instruction, context=context, slots=slots, params=params,
        gold={"answer": outcome.answer, "orders": outcome.orders}, patients=(case.chart.patient,), scenario=case.scenario,
        difficulty={"results": len(case.results), "counted": counted, "pages": -(-len(case.results) // PAGE) or 1,
                    "orders": len(outcome.orders)},
    )  # fmt: skip


def _value(reading: Reading) -> Json:
    answer = reading.answer
    if answer is None or answer.value is None:
        return -1
    return int(answer.value) if answer.value.as_tuple().exponent == 0 else answer.value


# The three that ask.


def _judge_latest(rng: random.Random, query: Query, case: Case, reading: Reading) -> Outcome:
    slots = {"analyte": query.lab.analyte.name, "code": query.lab.code, "unit": query.lab.unit, "tie": query.tie}
    params = {"code": query.lab.code}
    if query.window is not None:
        slots["window_hours"] = params["window_hours"] = str(query.window // HOUR)
    return Outcome(slots, params, [_value(reading)], [])


def _judge_mean(rng: random.Random, query: Query, case: Case, reading: Reading) -> Outcome | None:
    decimals = rng.choice(("1", "2"))
    hours = str((query.window or 0) // HOUR)
    slots = {"analyte": query.lab.analyte.name, "code": query.lab.code, "unit": query.lab.unit, "window_hours": hours,
             "decimals": decimals}  # fmt: skip
    params = {"code": query.lab.code, "window_hours": hours, "tolerance": "0.1"}
    values = [one.value for one in reading.counted if one.value is not None]
    if not values:
        return Outcome(slots, params, [-1], [])
    place = Decimal(1).scaleb(-int(decimals))
    mean = sum(values, Decimal(0)) / len(values)
    if mean % place == place / 2:
        # Exactly half way: how to round would decide, and floating point would decide it otherwise.
        return None
    return Outcome(slots, params, [mean.quantize(place, ROUND_HALF_UP)], [])


def _sample_latest_in_window(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    labs = _labs(deck(world), (), (), rules.WINDOW_HOURS)
    query, case = _drawn(world, rng, mode, labs, rng.choice(rules.WINDOW_HOURS), branch, _WINDOW_PLANS)
    return _draft(world, rng, mode, "latest_lab_in_window", query, case, _judge_latest)


def _sample_mean(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    query, case = _drawn(
        world, rng, mode, _mean_labs(deck(world)), rng.choice(rules.MEAN_WINDOW_HOURS), branch, plans.MEAN_PLANS
    )
    return _draft(world, rng, mode, "mean_lab_in_window", query, case, _judge_mean)


def _sample_latest(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    query, case = _drawn(world, rng, mode, _labs(deck(world), (), ()), None, branch, _EVER_PLANS)
    return _draft(world, rng, mode, "latest_lab", query, case, _judge_latest)


def _mean_labs(found: Deck) -> list[Lab]:
    return [lab for lab in _labs(found, (), (), rules.MEAN_WINDOW_HOURS) if lab.analyte.averaged]


_WINDOW_PLANS = {
    "present": plans.PRESENT, "outside": plans.OUTSIDE, **plans.EDGES, "tie": plans.TIE,
    "unordered": plans.UNORDERED, "many_pages": plans.PAGED,
}  # fmt: skip
_EVER_PLANS = {"present": plans.PRESENT, "tie": plans.TIE, "unordered": plans.UNORDERED, "many_pages": plans.PAGED}


OTHER_LABS = 4
"""How many other tests are asked for a native case before a scenario is made."""


def _drawn(
    world: World, rng: random.Random, mode: Mode, labs: list[Lab], hours: int | None, branch: str, table: dict[str, Plan]
) -> tuple[Query, Case | None]:
    found = deck(world)
    query = _query(rng, mode, labs, hours, None)
    if branch == "absent":
        return query, plans.draw_absent(world, found, rng, query)
    if branch == "future":
        return query, plans.draw_future(world, found, rng, query, plans.mean_matters, cases.within)
    plan = table[branch]
    for lab in [query.lab, *rng.sample(labs, min(OTHER_LABS, len(labs)))]:
        other = replace(query, lab=lab)
        if (case := plans.draw_native(found, rng, other, plan)) is not None:
            return other, case
    return query, plans.draw_edited(world, found, rng, query, plan)


# Magnesium.


def _magnesium_plan(rule: rules.MagnesiumRule, step: Decimal, branch: str) -> Plan:
    low, moderate, severe = (Decimal(text) for text in (rule.low_at_or_below, rule.moderate_below, rule.severe_below))
    ranges = {
        "normal": (low + 2 * step, low + 10 * step),
        "above_low": (low + step / 10, low + step + step / 100),
        "at_low": (low, low),
        "below_low": (low - step, low),
        "mild": (moderate + step / 10, low),
        "above_moderate": (moderate + step / 10, moderate + step + step / 100),
        "at_moderate": (moderate, moderate),
        "below_moderate": (moderate - step, moderate),
        "moderate": (severe + step / 10, moderate),
        "above_severe": (severe + step / 10, severe + step + step / 100),
        "at_severe": (severe, severe),
        "below_severe": (severe - step, severe),
        "severe": (rules.MAGNESIUM_FLOOR, severe),
    }
    name = f"{rule.low_at_or_below}/{rule.moderate_below}/{rule.severe_below}"
    if branch == "tie":
        return plans.tie_across(low, moderate, low + 10 * step, name)
    if branch in ("edge_exact", "edge_outside"):
        # A low value on the edge: whether it counts decides about an order.
        edge = plans.EDGES[branch]
        return replace(edge, name=(branch, name), suits=lambda group: plans.whole_second(group) and group.results[0].value <= low)  # type: ignore[operator]
    return plans.OUTSIDE if branch == "outside" else plans.value_plan(branch, *ranges[branch], name)


def _sample_magnesium(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    found = deck(world)
    rule = rng.choice(rules.MAGNESIUM_RULES)
    query = _query(rng, mode, _magnesium_labs(found), rng.choice(rules.WINDOW_HOURS), None)
    if branch == "absent":
        case = plans.draw_absent(world, found, rng, query)
    elif branch == "future":

        def matters(case: Case, _reading: Reading, query: Query) -> bool:
            before, after = (read(case, replace(query, mode=one, tie="highest")) for one in ("clinical", "compat"))
            return before is not None and after is not None and _tier(rule, before) != _tier(rule, after)

        case = plans.draw_future(world, found, rng, query, matters, cases.within)
    else:
        case = plans.draw(world, found, rng, query, _magnesium_plan(rule, query.lab.step, branch))
    system, code = rules.MAGNESIUM_DRUGS[0] if mode == "compat" else rng.choice(rules.MAGNESIUM_DRUGS)
    route = rng.choice(rules.MAGNESIUM_ROUTES)

    def judge(rng: random.Random, query: Query, case: Case, reading: Reading) -> Outcome:
        hours = str((query.window or 0) // HOUR)
        dosing = {
            "low_at_or_below": rule.low_at_or_below, "moderate_below": rule.moderate_below, "severe_below": rule.severe_below,
            "mild_dose": rule.mild[0], "mild_hours": rule.mild[1], "moderate_dose": rule.moderate[0],
            "moderate_hours": rule.moderate[1], "severe_dose": rule.severe[0], "severe_hours": rule.severe[1],
            "dose_unit": "g", "medication_system": system, "medication_code": code, "route": route,
        }  # fmt: skip
        slots = {"code": query.lab.code, "unit": query.lab.unit, "window_hours": hours, "tie": query.tie, **dosing}
        now = instant(case.now, case.offset)
        params = {"code": query.lab.code, "window_hours": hours, **dosing, "rate_unit": "h", "authored_contains": now[:16]}
        tier = _tier(rule, reading)
        orders = [] if tier is None else [
            {"type": "MedicationRequest", "system": system, "code": code, "dose": Decimal(tier[0]), "unit": "g",
             "hours": Decimal(tier[1]), "route": route, "authoredOn": now}
        ]  # fmt: skip
        return Outcome(slots, params, [_value(reading)], orders)

    return _draft(world, rng, mode, "magnesium_replacement", query, case, judge)


def _tier(rule: rules.MagnesiumRule, reading: Reading) -> tuple[str, str] | None:
    answer = reading.answer
    return None if answer is None or answer.value is None else rule.tier(answer.value)


def _magnesium_labs(found: Deck) -> list[Lab]:
    return _labs(found, ("magnesium",), rules.MAGNESIUM_UNITS, rules.WINDOW_HOURS)


# Potassium.


def _potassium_plan(rule: rules.PotassiumRule, step: Decimal, branch: str) -> Plan:
    limit = Decimal(rule.threshold)
    ranges = {
        "normal": (limit + 2 * step, limit + 15 * step),
        "just_above": (limit + step / 10, limit + step + step / 100),
        "at_threshold": (limit, limit),
        "just_below": (limit - step, limit),
        "well_below": (limit - rules.POTASSIUM_DEPTH, limit - 2 * step),
    }
    if branch == "tie":
        return plans.tie_across(limit - step / 10, limit - rules.POTASSIUM_DEPTH / 2, limit + 10 * step, rule.threshold)
    if branch in ranges:
        return plans.value_plan(branch, *ranges[branch], rule.threshold)
    deepest = limit - rules.POTASSIUM_DEPTH
    plan = _EVER_PLANS[branch]
    accept = plan.accept
    return replace(plan, accept=lambda case, reading, query: accept(case, reading, query) and (reading.answer.value or 0) >= deepest)  # type: ignore[union-attr]


def _sample_potassium(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    found = deck(world)
    rule = rng.choice(rules.POTASSIUM_RULES)
    query = _query(rng, mode, _potassium_labs(found), None, None)
    limit = Decimal(rule.threshold)
    if branch == "absent":
        case = plans.draw_absent(world, found, rng, query)
    elif branch == "future":

        def matters(case: Case, reading: Reading, query: Query) -> bool:
            before, after = (read(case, replace(query, mode=one, tie="highest")) for one in ("clinical", "compat"))
            if before is None or after is None or before.answer is None or after.answer is None:
                return False
            values = [one.value or Decimal(0) for one in (before.answer, after.answer)]
            return min(values) < limit <= max(values) and min(values) >= limit - rules.POTASSIUM_DEPTH

        case = plans.draw_future(world, found, rng, query, matters, cases.within)
    else:
        case = plans.draw(world, found, rng, query, _potassium_plan(rule, query.lab.step, branch))
    compat = mode == "compat"
    system, code = rules.POTASSIUM_DRUGS[0] if compat else rng.choice(rules.POTASSIUM_DRUGS)
    test_system, test_code = rules.POTASSIUM_RECHECKS[0] if compat else rng.choice(rules.POTASSIUM_RECHECKS)
    hour = rng.choice(rules.RECHECK_HOURS)

    def judge(rng: random.Random, query: Query, case: Case, reading: Reading) -> Outcome:
        now = instant(case.now, case.offset)
        morning = local(case.now + DAY, case.offset).replace(hour=hour, minute=0, second=0, microsecond=0)
        recheck = instant(micros(morning), case.offset)
        dosing = {
            "threshold": rule.threshold, "step": rule.step, "step_dose": rule.step_dose, "dose_unit": "mEq",
            "medication_system": system, "medication_code": code, "route": "oral",
            "order_system": test_system, "order_code": test_code,
        }  # fmt: skip
        slots = {"code": query.lab.code, "unit": query.lab.unit, "tie": query.tie, **dosing, "recheck_time": recheck}
        params = {"code": query.lab.code, **dosing, "dose_tolerance": "0.1", "authored_contains": now[:16], "priority": "stat",
                  "recheck_contains": recheck[:14]}  # fmt: skip
        orders: list[Json] = []
        answer = reading.answer
        if answer is not None and answer.value is not None and answer.value < limit:
            dose = rule.dose(answer.value).quantize(Decimal("0.1"), ROUND_HALF_UP)
            orders = [
                {"type": "MedicationRequest", "system": system, "code": code, "dose": dose, "unit": "mEq", "route": "oral",
                 "authoredOn": now},
                {"type": "ServiceRequest", "system": test_system, "code": test_code, "occurrence": recheck, "authoredOn": now},
            ]  # fmt: skip
        return Outcome(slots, params, [_value(reading)], orders)

    return _draft(world, rng, mode, "potassium_replacement", query, case, judge)


def _potassium_labs(found: Deck) -> list[Lab]:
    return _labs(found, ("potassium",), rules.POTASSIUM_UNITS)


# A1C.


def _sample_a1c(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    found = deck(world)
    query = _query(rng, mode, _a1c_labs(found), None, rng.choice(rules.A1C_MONTHS))
    if branch == "absent":
        case = plans.draw_absent(world, found, rng, query)
    elif branch == "future":
        base = cases.stale if plans.base_groups(found, query, cases.stale) else cases.within
        case = plans.draw_future(world, found, rng, query, plans.mean_matters, base)
    else:
        case = plans.draw(world, found, rng, query, AGE_PLANS[branch])
    compat = mode == "compat"
    system, code = rules.A1C_ORDERS[0] if compat else rng.choice(rules.A1C_ORDERS)
    when_absent = rules.WHEN_ABSENT[0] if compat else rng.choice(rules.WHEN_ABSENT)

    def judge(rng: random.Random, query: Query, case: Case, reading: Reading) -> Outcome:
        limit = instant(cases.stale_before(case, query.months or 0), case.offset)
        ordering = {"order_system": system, "order_code": code}
        slots = {"code": query.lab.code, "tie": query.tie, "stale_before": limit, "when_absent": when_absent, **ordering}
        params = {"code": query.lab.code, "stale_before": limit, **ordering, "priority": "stat"}
        answer = reading.answer
        due = when_absent == rules.WHEN_ABSENT[0] if answer is None else past(case, reading, query) > 0
        order = {"type": "ServiceRequest", "system": system, "code": code, "authoredOn": instant(case.now, case.offset)}
        told = [-1] if answer is None else [_value(reading), answer.effective]
        return Outcome(slots, params, told, [order] if due else [])

    return _draft(world, rng, mode, "a1c_reorder", query, case, judge)


def _a1c_labs(found: Deck) -> list[Lab]:
    return _labs(found, ("a1c",), rules.A1C_UNITS)


# What a world may lack.


def _missing(keys: tuple[str, ...], labs: Callable[[Deck], list[Lab]]) -> Callable[[World], str | None]:
    def missing(world: World) -> str | None:
        if labs(deck(world)):
            return None
        names = ", ".join(f"{BY_KEY[key].name} (codes {', '.join(BY_KEY[key].codes)})" for key in keys)
        return f"numeric laboratory Observations of {names or 'any known analyte'}"

    return missing


def _branches(**weights: int) -> tuple[Branch, ...]:
    return tuple(Branch(name, weight) for name, weight in weights.items())


FAMILIES: tuple[Family, ...] = (
    Family(
        "latest_lab_in_window", "1", "labs", "query",
        _branches(present=3, absent=2, outside=2, edge_exact=1, edge_inside=1, edge_outside=1, tie=1, unordered=2, many_pages=2,
                  future=1),
        _sample_latest_in_window, _missing((), lambda found: _labs(found, (), (), rules.WINDOW_HOURS)),
        description="The newest result of a laboratory test within a number of hours before now, or -1.",
    ),
    Family(
        "mean_lab_in_window", "1", "labs", "query",
        _branches(single=2, several=5, absent=2, outside=2, edge_exact=1, edge_inside=1, edge_outside=1, many_pages=2, future=1),
        _sample_mean, _missing((), _mean_labs),
        description="The mean of a laboratory test's results within a number of hours before now, or -1.",
    ),
    Family(
        "latest_lab", "1", "labs", "query",
        _branches(present=3, absent=2, tie=1, unordered=4, many_pages=4, future=1),
        _sample_latest, _missing((), lambda found: _labs(found, (), ())),
        description="The newest result of a laboratory test, however old, or -1.",
    ),
    Family(
        "magnesium_replacement", "1", "labs", "conditional",
        _branches(normal=2, above_low=1, at_low=1, below_low=1, mild=2, above_moderate=1, at_moderate=1, below_moderate=1,
                  moderate=2, above_severe=1, at_severe=1, below_severe=1, severe=1, absent=2, outside=2, edge_exact=1,
                  edge_outside=1, tie=1, future=1),
        _sample_magnesium, _missing(("magnesium",), _magnesium_labs),
        description="The newest magnesium within a number of hours; if low, intravenous replacement by severity.",
    ),
    Family(
        "potassium_replacement", "1", "labs", "conditional",
        _branches(normal=3, just_above=1, at_threshold=2, just_below=2, well_below=4, absent=2, tie=1, unordered=2, many_pages=2,
                  future=1),
        _sample_potassium, _missing(("potassium",), _potassium_labs),
        description="The newest potassium; if low, oral replacement in proportion and a repeat level.",
    ),
    Family(
        "a1c_reorder", "1", "labs", "conditional",
        _branches(fresh=4, stale=4, edge_exact=1, edge_fresh=1, edge_stale=1, absent=3, tie=1, unordered=2, future=1),
        _sample_a1c, _missing(("a1c",), _a1c_labs),
        description="The newest hemoglobin A1c with its time; a new one is ordered if it is too old.",
    ),
)  # fmt: skip
"""The labs domain."""
