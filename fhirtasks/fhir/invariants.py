"""The invariants of R4 that a single element can break: what a type's page lists under Constraints, by the type's name.

Left out are those that only warn, and those over narrative, terminology and other resources. A rule is asked of an object
whose members may be of any kind: a wrong kind is another issue's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from fhirtasks.fhir.dates import parse_range
from fhirtasks.fhir.jsontext import Json

Node = dict[str, Json]
Rule = Callable[[Node], Iterator[str]]

_UCUM = "http://unitsofmeasure.org"


def _has(node: Node, *names: str) -> bool:
    """Whether an element is there, by its value or by its extensions alone."""
    return any(name in node or f"_{name}" in node for name in names)


def _below(node: Node, low: str, high: str) -> bool:
    """Whether the date ``low`` may be at or before the date ``high``; so it is where one is missing or no date."""
    spans = [parse_range(text) if isinstance(text := node.get(name), str) else None for name in (low, high)]
    return spans[0] is None or spans[1] is None or spans[0][0] < spans[1][1]


def _number(node: Json, name: str = "value") -> Decimal | None:
    value = node.get(name) if isinstance(node, dict) else None
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def _codings(concept: Json) -> list[Node]:
    found = concept.get("coding") if isinstance(concept, dict) else None
    return [coding for coding in found if isinstance(coding, dict)] if isinstance(found, list) else []


def _codes_of(concept: Json) -> set[str]:
    return {code for coding in _codings(concept) if isinstance(code := coding.get("code"), str)}


# -- types of elements


def _quantity(node: Node) -> Iterator[str]:
    if "code" in node and "system" not in node:
        yield "a code needs its system (qty-3)"


def _age(node: Node) -> Iterator[str]:
    yield from _quantity(node)
    if (_has(node, "value") and not _has(node, "code")) or node.get("system", _UCUM) != _UCUM:
        yield "a value needs a UCUM code (age-1)"
    value = _number(node)
    if value is not None and value <= 0:
        yield "is not above 0 (age-1)"


def _duration(node: Node) -> Iterator[str]:
    yield from _quantity(node)
    if "code" in node and (node.get("system", _UCUM) != _UCUM or not _has(node, "value")):
        yield "a code is a UCUM code beside a value (drt-1)"


def _extension(node: Node) -> Iterator[str]:
    has_value = any(name.startswith(("value", "_value")) for name in node)
    if has_value == ("extension" in node):
        yield "needs either a value or extensions (ext-1)"


def _period(node: Node) -> Iterator[str]:
    if not _below(node, "start", "end"):
        yield "ends before it starts (per-1)"


def _contact_point(node: Node) -> Iterator[str]:
    if _has(node, "value") and not _has(node, "system"):
        yield "a value needs its system (cpt-2)"


def _range(node: Node) -> Iterator[str]:
    low, high = _number(node.get("low")), _number(node.get("high"))
    units = [side.get("unit") for side in (node.get("low"), node.get("high")) if isinstance(side, dict)]
    if low is not None and high is not None and units[0] == units[-1] and low > high:
        yield "low is above high (rng-2)"


def _ratio(node: Node) -> Iterator[str]:
    if ("numerator" in node) != ("denominator" in node) or not ("numerator" in node or "extension" in node):
        yield "needs numerator and denominator (rat-1)"


def _attachment(node: Node) -> Iterator[str]:
    if _has(node, "data") and not _has(node, "contentType"):
        yield "data need a contentType (att-1)"


_TIMING = (
    ("duration", "durationUnit", "tim-1"),
    ("period", "periodUnit", "tim-2"),
    ("periodMax", "period", "tim-6"),
    ("durationMax", "duration", "tim-7"),
    ("countMax", "count", "tim-8"),
)


def _timing_repeat(node: Node) -> Iterator[str]:
    for name, needed, key in _TIMING:
        if _has(node, name) and not _has(node, needed):
            yield f"{name} needs {needed} ({key})"
    for name, key in (("duration", "tim-4"), ("period", "tim-5")):
        value = _number(node, name)
        if value is not None and value < 0:
            yield f"{name} is below 0 ({key})"
    when = node.get("when")
    meals = when if isinstance(when, list) else []
    if _has(node, "offset") and (
        not meals or {"C", "CM", "CD", "CV"} & {meal for meal in meals if isinstance(meal, str)}
    ):
        yield "offset needs when, and none of C, CM, CD, CV (tim-9)"
    if _has(node, "timeOfDay") and _has(node, "when"):
        yield "has timeOfDay and when (tim-10)"


def _one_of(*names: str, key: str) -> Rule:
    """The rule that one of these elements must be there."""

    def rule(node: Node) -> Iterator[str]:
        if not _has(node, *names):
            yield f"needs {' or '.join(names)} ({key})"

    return rule


def _not_both(first: str, second: str, key: str) -> Rule:
    """The rule that of these two elements only one may be there."""

    def rule(node: Node) -> Iterator[str]:
        if _has(node, first) and _has(node, second):
            yield f"has {first} and {second} ({key})"

    return rule


def _needs(name: str, needed: str, key: str) -> Rule:
    """The rule that one element may be there only beside another."""

    def rule(node: Node) -> Iterator[str]:
        if _has(node, name) and not _has(node, needed):
            yield f"{name} needs {needed} ({key})"

    return rule


# -- resources


def _observation(node: Node) -> Iterator[str]:
    valued = any(name.startswith(("value", "_value")) for name in node)
    if valued and "dataAbsentReason" in node:
        yield "has a value and a dataAbsentReason (obs-6)"
    components, codings = node.get("component"), _codings(node.get("code"))
    if valued and any(
        coding in codings
        for part in (components if isinstance(components, list) else ())
        for coding in _codings(part.get("code") if isinstance(part, dict) else None)
    ):
        yield "has a value though a component has the same code (obs-7)"


def _condition(node: Node) -> Iterator[str]:
    if "clinicalStatus" in node and "entered-in-error" in _codes_of(node.get("verificationStatus")):
        yield "has a clinicalStatus though it was entered in error (con-5)"
    ended = {"inactive", "resolved", "remission"} & _codes_of(node.get("clinicalStatus"))
    if any(name.startswith(("abatement", "_abatement")) for name in node) and not ended:
        yield "is abated, so its clinicalStatus must be inactive, resolved or remission (con-4)"


def _allergy(node: Node) -> Iterator[str]:
    mistaken = "entered-in-error" in _codes_of(node.get("verificationStatus"))
    if mistaken and "clinicalStatus" in node:
        yield "has a clinicalStatus though it was entered in error (ait-2)"
    elif not mistaken and "clinicalStatus" not in node:
        yield "needs a clinicalStatus (ait-1)"


def _dispense(node: Node) -> Iterator[str]:
    if not _below(node, "whenPrepared", "whenHandedOver"):
        yield "was handed over before it was prepared (mdd-1)"


def _family_history(node: Node) -> Iterator[str]:
    aged = any(name.startswith(("age", "_age")) for name in node)
    if aged and any(name.startswith(("born", "_born")) for name in node):
        yield "has an age and a birth (fhs-1)"
    if _has(node, "estimatedAge") and not aged:
        yield "estimatedAge needs an age (fhs-2)"


def _appointment(node: Node) -> Iterator[str]:
    if _has(node, "start") != _has(node, "end"):
        yield "needs start and end, or neither (app-2)"
    if node.get("status") not in ("proposed", "cancelled", "waitlist") and not _has(node, "start"):
        yield "needs start and end, unless it is proposed, cancelled or on a waitlist (app-3)"
    if _has(node, "cancelationReason") and node.get("status") not in ("cancelled", "noshow"):
        yield "has a cancelationReason though it is not cancelled (app-4)"


RULES: dict[str, Rule] = {
    "Age": _age,
    "AllergyIntolerance": _allergy,
    "Appointment": _appointment,
    "AppointmentParticipant": _one_of("type", "actor", key="app-1"),
    "Attachment": _attachment,
    "CarePlanActivity": _not_both("detail", "reference", "cpl-3"),
    "CompositionSection": _one_of("text", "entry", "section", key="cmp-1"),
    "Condition": _condition,
    "ConditionEvidence": _one_of("code", "detail", key="con-2"),
    "ConditionStage": _one_of("summary", "assessment", key="con-1"),
    "ContactPoint": _contact_point,
    "Duration": _duration,
    "Extension": _extension,
    "FamilyMemberHistory": _family_history,
    "ImmunizationEducation": _one_of("documentType", "reference", key="imm-1"),
    "MedicationAdministrationDosage": _one_of("dose", "rateRatio", "rateQuantity", key="mad-1"),
    "MedicationDispense": _dispense,
    "Observation": _observation,
    "ObservationReferenceRange": _one_of("low", "high", "text", key="obs-3"),
    "Organization": _one_of("identifier", "name", key="org-1"),
    "PatientContact": _one_of("name", "telecom", "address", "organization", key="pat-1"),
    "Period": _period,
    "Quantity": _quantity,
    "Range": _range,
    "Ratio": _ratio,
    "ServiceRequest": _needs("orderDetail", "code", "prr-1"),
    "TimingRepeat": _timing_repeat,
}
"""By type, as the element tables name it; https://hl7.org/fhir/R4/datatypes.html and the pages of the resources."""
