"""Judging what an episode created: exactly the expected resources in their order, each expected field by its own check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from fhirtasks.episodes.types import Episode, Invalid, Post
from fhirtasks.fhir.dates import instant
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.service.service import BASE
from fhirtasks.tasks.types import Check, Task
from graders.answers import number
from graders.truth import Order, Rule

ROUTES = {"iv": "47625008", "intravenous": "47625008", "oral": "26643006", "po": "26643006"}
"""SNOMED CT codes of the routes that prompts name (http://hl7.org/fhir/R4/valueset-route-codes.html)."""

SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
SCHEDULES = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"
"""Codes such as BID and Q4H; none of them means once (http://hl7.org/fhir/R4/valueset-timing-abbreviation.html)."""

HOURS = {"h": Decimal(1), "hr": Decimal(1), "hour": Decimal(1), "hours": Decimal(1), "min": Decimal(1) / 60}
"""Units of an infusion's duration, in hours (UCUM ``h`` and ``min``, and what is written for them)."""

VITAL_SIGNS = ("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")
MMHG = ("mmHg", "mm[Hg]")


def check(episode: Episode, orders: tuple[Order, ...]) -> list[Check]:
    """Every check of the episode's writes against what should have been created, one per name."""
    checks = []
    made = [loads(write.body) for write in episode.writes]
    if wrong := _left_refused(episode) or _modified([write.body for write in episode.writes], made):
        checks.append(Check("write_valid", False, wrong))
    found = [str(body.get("resourceType")) for body in made]
    wanted = [order.type for order in orders]
    if len(made) != len(orders):
        detail = f"expected {_list(wanted)}, found {_list(found)}"
        return [*checks, Check("writes_count", False, detail)]
    checks.append(Check("writes_count", True))
    if not orders:
        return checks
    if sorted(found) != sorted(wanted):
        return [*checks, Check("write_type", False, f"expected {_list(wanted)}, found {_list(found)}")]
    checks.append(Check("write_type", True))
    if len(orders) > 1:
        in_order = found == wanted
        checks.append(
            Check("write_order", in_order, "" if in_order else f"expected {_list(wanted)}, found {_list(found)}")
        )
    return checks + _fields(orders, made)


def _fields(orders: tuple[Order, ...], made: list[Json]) -> list[Check]:
    """The rules of every order against the write of its type, gathered by check name."""
    left = list(made)
    wrong: dict[str, str] = {}
    for order in orders:
        body = next(one for one in left if one["resourceType"] == order.type)
        left.remove(body)
        for rule in order.rules:
            held = rule.holds(body)
            if not held and not wrong.get(rule.check):
                wrong[rule.check] = f"{order.type}: expected {rule.wants}"
            wrong.setdefault(rule.check, "")
    return [Check(name, not detail, detail) for name, detail in wrong.items()]


def _left_refused(episode: Episode) -> str:
    """A refusal that no later write of the same resource type made good; empty if there is none."""
    refused: dict[str, str] = {}
    for turn in episode.turns:
        if turn.observation is None or not isinstance(turn.action, Post | Invalid):
            continue
        if not (turn.action.creates if isinstance(turn.action, Invalid) else not turn.action.searches):
            continue
        if turn.observation.status == 201 and isinstance(turn.action, Post):
            refused.pop(str(_get(turn.action.body, "resourceType")), None)
            refused.pop("", None)  # what could not be read may have been meant to be anything
        else:
            refused[_posted_type(turn.action)] = turn.observation.text.split("\n")[0]
    return next(iter(refused.values()), "")


def _posted_type(action: Post | Invalid) -> str:
    """The type that a POST is about; empty where it was no JSON, or URL and body do not agree on a type."""
    if isinstance(action, Invalid):
        return ""
    type = _get(action.body, "resourceType")
    return type if isinstance(type, str) and action.url.endswith(f"/{type}") else ""


def _modified(texts: list[str], made: list[Json]) -> str:
    """Why a reader has to refuse a created resource that says something it cannot know; empty if there is none.

    https://hl7.org/fhir/R4/extensibility.html#modifierExtension, https://hl7.org/fhir/R4/resource.html#implicitRules.
    """
    for text, body in zip(texts, made, strict=True):
        for name in ("modifierExtension", "implicitRules"):
            # A name may be written with escapes; where neither it nor an escape stands in the text, it is not there.
            if (name in text or "\\" in text) and _holds(body, name):
                return f"{body['resourceType']}: {name} may change the meaning of what was asked for"
    return ""


def _holds(node: Json, name: str) -> bool:
    """Whether the name occurs at any depth."""
    if isinstance(node, dict):
        return name in node or any(_holds(item, name) for item in node.values())
    return isinstance(node, list) and any(_holds(item, name) for item in node)


def _list(types: Sequence[str]) -> str:
    return ", ".join(types) or "no write"


# -- what is expected


def medication(task: Task, patient: str, dose: Decimal, tolerance: Decimal, hours: Decimal | None) -> Order:
    """A MedicationRequest of one dose, given over ``hours`` if that is said."""
    slots = task.slots
    unit = slots["dose_unit"]

    def quantity(body: Json) -> Json:
        return _get(_dose(body), "doseQuantity")

    rules = [
        *_common(task, patient),
        _coded(_drug, slots["medication_system"], slots["medication_code"]),
        Rule(
            "write_dose",
            f"{dose} {unit}, once",
            lambda body: _is(_amount(quantity(body)), dose, tolerance) and _once(body),
        ),
        Rule("write_unit", unit, lambda body: _measures(quantity(body), (unit,))),
        Rule("write_route", slots["route"], lambda body: _routed(_get(_dosage(body), "route"), slots["route"])),
    ]
    if hours is not None:
        rules.append(Rule("write_rate", f"{dose} {unit} over {hours} h", lambda body: _runs(body, dose, hours, unit)))
    return Order("MedicationRequest", tuple(rules))


def service(
    task: Task,
    patient: str,
    *,
    occurrence: str | None = None,
    priority: str | None = None,
    text: str | None = None,
    category: tuple[str, str] | None = None,
) -> Order:
    """A ServiceRequest for ``order_code``; due at ``occurrence``, with priority, note and category where they are said."""
    slots = task.slots
    rules = [
        *_common(task, patient),
        _coded(_code, slots["order_system"], slots["order_code"]),
        Rule("write_time", "one occurrence", lambda body: _one_time(_get(body, "occurrenceTiming")) and _single(body)),
    ]
    if occurrence is not None:
        rules.append(
            Rule("write_time", f"occurrence {occurrence}", lambda body: _at(body, "occurrenceDateTime", occurrence))
        )
    if priority is not None:
        rules.append(Rule("write_priority", priority, lambda body: body.get("priority") == priority))
    if category is not None:
        wanted = "|".join(category)
        rules.append(Rule("write_category", wanted, lambda body: _any_has(_items(body, "category"), *category)))
    if text is not None:
        rules.append(Rule("write_text", dumps(text), lambda body: _notes(body) == [text]))
    return Order("ServiceRequest", tuple(rules))


def blood_pressure(task: Task, patient: str) -> Order:
    """An Observation of a blood pressure: two components in mmHg."""
    slots = task.slots
    system = slots.get("code_system", "http://loinc.org")
    parts = {
        (system, slots.get("systolic_code", "8480-6")): Decimal(slots["systolic"]),
        (system, slots.get("diastolic_code", "8462-4")): Decimal(slots["diastolic"]),
    }
    return Order(
        "Observation",
        (
            Rule(
                "write_subject",
                f"Patient/{patient}",
                lambda body: _refers(body, patient) and "focus" not in body,  # of whom else it tells
            ),
            Rule("write_status", "final", lambda body: body.get("status") == "final"),
            Rule("write_time", task.now, lambda body: _at(body, "effectiveDateTime", task.now)),
            _coded(_code, system, slots["code"]),
            Rule("write_category", "vital-signs", lambda body: _any_has(_items(body, "category"), *VITAL_SIGNS)),
            Rule("write_value", slots["value"], lambda body: _pressures(body, slots["value"], parts)),
            Rule("write_unit", "mmHg", lambda body: all(_in_mmhg(one) for one in _items(body, "component"))),
        ),
    )


def _common(task: Task, patient: str) -> tuple[Rule, ...]:
    """What holds of every order: for the patient, active, an order, written now."""
    return (
        Rule("write_subject", f"Patient/{patient}", lambda body: _refers(body, patient)),
        Rule("write_status", "status active, intent order", _ordered),
        Rule("write_time", f"authoredOn {task.now}", lambda body: _at(body, "authoredOn", task.now)),
    )


def _coded(concept: Callable[[Json], Json], system: str, code: str) -> Rule:
    return Rule("write_code", f"{system}|{code}", lambda body: _has(concept(body), system, code))


# -- what holds of a resource


def _get(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, dict) else None


def _items(value: Json, name: str) -> list[Json]:
    found = _get(value, name)
    return found if isinstance(found, list) else []


def _only(items: list[Json]) -> Json:
    """The one item of a list; None if there are none or several."""
    return items[0] if len(items) == 1 else None


def _code(body: Json) -> Json:
    return _get(body, "code")


def _drug(body: Json) -> Json:
    """The concept of what is ordered: in the order itself, or in a Medication that it contains."""
    if (concept := _get(body, "medicationCodeableConcept")) is not None:
        return concept
    wanted = _get(_get(body, "medicationReference"), "reference")
    inside = [one for one in _items(body, "contained") if wanted == f"#{_get(one, 'id')}"]
    return _get(_only([one for one in inside if _get(one, "resourceType") == "Medication"]), "code")


def _dosage(body: Json) -> Json:
    return _only(_items(body, "dosageInstruction"))


def _dose(body: Json) -> Json:
    return _only(_items(_dosage(body), "doseAndRate"))


def _refers(body: Json, patient: str) -> bool:
    return _get(body.get("subject"), "reference") in (f"Patient/{patient}", f"{BASE}Patient/{patient}")


def _ordered(body: Json) -> bool:
    """To be carried out as it stands: not forbidden, not only if needed, not the report of somebody else's order."""
    conditions = (body, *_items(body, "dosageInstruction"))
    withheld = any(
        _get(one, "asNeededBoolean") is True or _get(one, "asNeededCodeableConcept") is not None for one in conditions
    )
    said = body.get("doNotPerform") is True or body.get("reportedBoolean") is True or "reportedReference" in body
    return body.get("status") == "active" and body.get("intent") == "order" and not withheld and not said


def _once(body: Json) -> bool:
    """Neither timing nor refill repeats the dose."""
    refills = number(_get(_get(body, "dispenseRequest"), "numberOfRepeatsAllowed"))
    return _one_time(_get(_dosage(body), "timing")) and not refills


def _single(body: Json) -> bool:
    """Whether no quantity asks for several."""
    return number(_get(_get(body, "quantityQuantity"), "value")) in (None, 1)


def _one_time(timing: Json) -> bool:
    """Whether nothing comes again: no number of times, no rhythm, no second time, no code of a schedule.

    A period without an end is a rhythm, even of once a day: https://hl7.org/fhir/R4/datatypes.html#Timing.
    """
    repeat = _get(timing, "repeat")
    counts = [_get(repeat, name) for name in ("count", "countMax", "frequency", "frequencyMax")]
    times = [_items(timing, "event"), _items(repeat, "timeOfDay"), _items(repeat, "when")]
    codes = _items(_get(timing, "code"), "coding")
    return (
        all(number(one) in (None, 1) for one in counts)
        and all(len(one) <= 1 for one in times)
        and not any(_get(one, "system") == SCHEDULES for one in codes)
        and (number(_get(repeat, "count")) == 1 or not _rhythm(repeat))
    )


def _rhythm(repeat: Json) -> bool:
    """Whether something comes again: on days of the week, or period after period if it does not end with the first."""
    period, lasts = number(_get(repeat, "period")), _get(repeat, "boundsDuration")
    if _get(repeat, "dayOfWeek") is not None or _get(repeat, "periodMax") is not None:
        return True
    if period is None:
        return False
    end, unit = number(_get(lasts, "value")), _get(lasts, "code") or _get(lasts, "unit")
    return end is None or end > period or unit != _get(repeat, "periodUnit")


def _at(body: Json, element: str, time: str) -> bool:
    """The same instant, whatever the offset."""
    try:
        return instant(body.get(element)) == instant(time)
    except (ValueError, TypeError):
        return False


def _has(concept: Json, system: str, code: str) -> bool:
    """The code, and no other of its system: codings of one concept say the same, so two would contradict each other."""
    codings = _items(concept, "coding")
    return {_get(one, "code") for one in codings if _get(one, "system") == system} == {code}


def _amount(quantity: Json) -> Json:
    """The value of a Quantity that is neither "less than" nor "more than"."""
    return None if _get(quantity, "comparator") is not None else _get(quantity, "value")


def _is(value: Json, wanted: Decimal, tolerance: Decimal = Decimal(0)) -> bool:
    found = number(value)
    return found is not None and abs(found - wanted) <= tolerance


def _measures(quantity: Json, units: tuple[str, ...]) -> bool:
    """A Quantity in one of these units: in ``unit``, or in ``code`` where there is no unit; the two may not disagree."""
    unit, code = _get(quantity, "unit"), _get(quantity, "code")
    if (unit is None and code is None) or (code is not None and _get(quantity, "system") not in (None, UCUM)):
        return False
    known = {text.casefold() for text in units}
    return (unit is None or unit in units) and (code is None or str(code).casefold() in known)


def _routed(route: Json, wanted: str) -> bool:
    """Named in the concept's text or in a coding's display, or by the route's SNOMED CT code, and no other route named."""
    codings = _items(route, "coding")
    names = [str(name).strip().casefold() for name in (_get(route, "text"), *(_get(one, "display") for one in codings))]
    codes = {str(_get(one, "code")) for one in codings if _get(one, "system") == SNOMED}
    meant = ROUTES.get(wanted.casefold())
    if meant is None:
        return wanted.casefold() in names
    return codes | {ROUTES[name] for name in names if name in ROUTES} == {meant}


def _runs(body: Json, dose: Decimal, hours: Decimal, unit: str) -> bool:
    """Infused over ``hours``: by rateRatio, rateQuantity or timing; where several are given, by each."""
    said = list(_durations(body, dose, unit))
    return bool(said) and all(one is not None and abs(one - hours) < Decimal("0.001") for one in said)


def _durations(body: Json, dose: Decimal, unit: str) -> Iterator[Decimal | None]:
    """The hours that each way of saying it comes to; None for what cannot be read."""
    if (ratio := _get(_dose(body), "rateRatio")) is not None:
        top, bottom = _get(ratio, "numerator"), _get(ratio, "denominator")
        amount, time = number(_amount(top)), number(_amount(bottom))
        per = _hours(bottom)
        readable = amount and time and per and _measures(top, (unit,))
        yield dose / amount * time * per if readable and amount and time and per else None
    if (rate := _get(_dose(body), "rateQuantity")) is not None:
        speed = number(_amount(rate))
        top_unit, _, bottom_unit = str(_get(rate, "unit") or _get(rate, "code") or "").partition("/")
        per = HOURS.get(bottom_unit)
        yield dose / speed * per if speed and per and top_unit == unit else None
    repeat = _get(_get(_dosage(body), "timing"), "repeat")
    if (lasts := number(_get(repeat, "duration"))) is not None:
        per = HOURS.get(str(_get(repeat, "durationUnit")))
        yield lasts * per if per else None


def _hours(quantity: Json) -> Decimal | None:
    """The hours in one of the quantity's unit; None if that is no time, or unit and code disagree."""
    said = {HOURS.get(str(text)) for text in (_get(quantity, "unit"), _get(quantity, "code")) if text is not None}
    return said.pop() if len(said) == 1 else None


def _notes(body: Json) -> list[Json]:
    return [_get(note, "text") for note in _items(body, "note")]


def _any_has(concepts: list[Json], system: str, code: str) -> bool:
    return any(_has(concept, system, code) for concept in concepts)


def _pressures(body: Json, text: str, parts: dict[tuple[str, str], Decimal]) -> bool:
    """Exactly the two components, each with its own value, and nothing that says otherwise (the same as text may be there)."""
    components = _items(body, "component")
    others = {name for name in body if name.startswith("value")} - {"valueString"}
    if len(components) != len(parts) or others or _get(body, "valueString") not in (None, text):
        return False
    if any("dataAbsentReason" in one for one in (body, *components)):
        return False
    return all(
        any(_has(_get(one, "code"), *key) and _is(_amount(_get(one, "valueQuantity")), value) for one in components)
        for key, value in parts.items()
    )


def _in_mmhg(component: Json) -> bool:
    return _measures(_get(component, "valueQuantity"), MMHG)
