"""Damaged writes: each function gives raw texts with one thing wrong in what is created, or None where it does not apply."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal

from fhirtasks.episodes.text import render
from fhirtasks.episodes.types import Post
from fhirtasks.fhir.dates import DAY, instant
from fhirtasks.fhir.dates import render as render_time
from fhirtasks.fhir.jsontext import Json
from fhirtasks.service.service import BASE
from graders.damage import Played, Raws

CODED = {"MedicationRequest": "medicationCodeableConcept", "ServiceRequest": "code", "Observation": "code"}
TIERS = ("mild", "moderate", "severe")
"""Tiers of a protocol, as the slots ``<tier>_dose`` and ``<tier>_hours`` name them."""
TIMED = {"MedicationRequest": "authoredOn", "ServiceRequest": "authoredOn", "Observation": "effectiveDateTime"}


def _edit(played: Played, change: Callable[[Json], bool]) -> Raws | None:
    """The episode with the first POST whose body ``change`` alters (in place; it says whether it did)."""

    def one(post: Post) -> Post | None:
        body = copy.deepcopy(post.body)
        return Post(post.url, body) if isinstance(body, dict) and change(body) else None

    return played.posting(one)


def _set(body: Json, name: str, value: Json) -> bool:
    if name not in body or body[name] == value:
        return False
    body[name] = value
    return True


def _drop(body: Json, name: str) -> bool:
    return body.pop(name, None) is not None


# -- how many


def missing(played: Played) -> Raws | None:
    """The last order is reported and was never placed."""
    if not played.posts:
        return None
    last = max(n for n, turn in enumerate(played.turns) if isinstance(turn.action, Post))
    return (*played.raws[:last], *played.raws[last + 1 :])


def duplicate(played: Played) -> Raws | None:
    return played.before_finish(played.post_raws[-1]) if played.posts else None


def extra(played: Played) -> Raws | None:
    """One valid order more than there was reason for."""
    body = {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "code": {"coding": [{"system": "http://loinc.org", "code": "24323-8"}]},
        "subject": {"reference": f"Patient/{played.patient_id or 'nobody'}"}, "authoredOn": played.task.now,
    }  # fmt: skip
    return played.before_finish(render(Post(f"{BASE}ServiceRequest", body)))


def not_due(played: Played) -> Raws | None:
    """The protocol's own order where its condition does not hold."""
    slots = played.task.slots
    if played.task.kind != "conditional" or played.posts:
        return None
    common = {
        "status": "active", "intent": "order", "authoredOn": played.task.now,
        "subject": {"reference": f"Patient/{played.patient_id}"},
    }  # fmt: skip
    if "medication_code" in slots:
        concept = {"coding": [{"system": slots["medication_system"], "code": slots["medication_code"]}]}
        body = {"resourceType": "MedicationRequest", **common, "medicationCodeableConcept": concept}
    else:
        concept = {"coding": [{"system": slots["order_system"], "code": slots["order_code"]}]}
        body = {"resourceType": "ServiceRequest", **common, "code": concept}
    return played.before_finish(render(Post(BASE + str(body["resourceType"]), body)))


def swapped(played: Played) -> Raws | None:
    """The two orders, each as it should be, in the wrong order."""
    if len(played.posts) != 2:
        return None
    first, second = played.post_raws
    return tuple(second if raw == first else first if raw == second else raw for raw in played.raws)


def refused(played: Played) -> Raws | None:
    """A body that is no valid R4; the server refuses it, and nobody cares."""
    if not played.clinical:
        return None
    if played.posts:
        return _edit(played, lambda body: _set(body, "status", "perhaps"))
    body = {"resourceType": "ServiceRequest", "status": "perhaps", "subject": {"reference": "Patient/1"}}
    return played.before_finish(render(Post(f"{BASE}ServiceRequest", body)))


def other_type(played: Played) -> Raws | None:
    """Another valid resource about the same patient."""

    def change(post: Post) -> Post | None:
        if not isinstance(post.body, dict) or "subject" not in post.body:
            return None
        body = {
            "resourceType": "Procedure", "status": "completed", "subject": post.body["subject"],
            "code": {"text": "procedure"}, "performedDateTime": played.task.now,
        }  # fmt: skip
        return Post(f"{BASE}Procedure", body)

    return played.posting(change)


# -- whose and what


def other_subject(played: Played) -> Raws | None:
    other = played.other
    reference = {"reference": f"Patient/{other.id}"} if other else None
    return _edit(played, lambda body: _set(body, "subject", reference)) if reference else None


def subject_by_number(played: Played) -> Raws | None:
    """The record number in place of the resource's id."""
    person = played.patient
    number = next((value for value, _ in person.identifiers if value != person.id), None) if person else None
    return _edit(played, lambda body: _set(body, "subject", {"reference": f"Patient/{number}"})) if number else None


def other_code(played: Played) -> Raws | None:
    return _coding(played, lambda coding: _set(coding, "code", f"{coding.get('code', '')}9"))


def other_system(played: Played) -> Raws | None:
    return _coding(played, lambda coding: _set(coding, "system", "http://example.org/codes"))


def code_as_text(played: Played) -> Raws | None:
    def change(body: Json) -> bool:
        element = CODED[body["resourceType"]]
        codings = body[element].get("coding")
        return bool(codings) and _set(body, element, {"text": codings[0]["code"]})

    return _edit(played, change)


def _coding(played: Played, change: Callable[[Json], bool]) -> Raws | None:
    """The code damaged in every coding; a bare text becomes another one."""

    def one(body: Json) -> bool:
        concept = body[CODED[body["resourceType"]]]
        codings = concept.get("coding", [])
        if not codings:
            return _set(concept, "text", f"{concept.get('text', '')}9")
        return all(change(coding) for coding in codings)

    return _edit(played, one)


# -- how much, by which way, over how long


def _dosed(change: Callable[[Json, Json], bool]) -> Callable[[Json], bool]:
    """``change(dosage, dose)`` for bodies that have a dosage."""

    def one(body: Json) -> bool:
        if "dosageInstruction" not in body:
            return False
        dosage = body["dosageInstruction"][0]
        return change(dosage, dosage["doseAndRate"][0])

    return one


def other_dose(played: Played) -> Raws | None:
    def change(dosage: Json, dose: Json) -> bool:
        return _set(dose["doseQuantity"], "value", dose["doseQuantity"]["value"] * 2 + 1)

    return _edit(played, _dosed(change))


def other_tier(played: Played) -> Raws | None:
    """Dose and time of another tier of the protocol than the one that the value calls for."""
    slots = played.task.slots
    tiers = [tuple(Decimal(slots.get(f"{name}_{part}", "0")) for part in ("dose", "hours")) for name in TIERS]

    def change(dosage: Json, dose: Json) -> bool:
        here = Decimal(dose["doseQuantity"]["value"])
        others = [one for one in tiers if one[0] not in (here, 0)]
        if not others:
            return False
        amount, hours = min(others, key=lambda one: abs(one[0] - here))
        for quantity in (dose["doseQuantity"], dose.get("rateRatio", {}).get("numerator", {})):
            _set(quantity, "value", amount)
        time = dose["rateRatio"]["denominator"] if "rateRatio" in dose else dose.get("rateQuantity", {})
        _set(time, "value", hours)
        return True

    return _edit(played, _dosed(change))


def other_unit(played: Played) -> Raws | None:
    """Another unit of the dose, or of every component of a blood pressure."""

    def change(body: Json) -> bool:
        if "component" in body:
            quantities = [one["valueQuantity"] for one in body["component"]]
            return all(_set(one, "unit", "kPa") | _set(one, "code", "kPa") for one in quantities)
        return _dosed(lambda dosage, dose: _set(dose["doseQuantity"], "unit", "ug"))(body)

    return _edit(played, change)


def other_rate(played: Played) -> Raws | None:
    def change(dosage: Json, dose: Json) -> bool:
        ratio = dose.get("rateRatio")
        time = ratio["denominator"] if ratio else dose.get("rateQuantity")
        return bool(time) and _set(time, "value", time["value"] * 2 + 1)

    return _edit(played, _dosed(change))


def no_rate(played: Played) -> Raws | None:
    return _edit(played, _dosed(lambda dosage, dose: _drop(dose, "rateRatio") or _drop(dose, "rateQuantity")))


def other_route(played: Played) -> Raws | None:
    def change(dosage: Json, dose: Json) -> bool:
        return _set(dosage, "route", {"text": "rectal"} if played.clinical else "rectal")

    return _edit(played, _dosed(change))


def no_route(played: Played) -> Raws | None:
    return _edit(played, _dosed(lambda dosage, dose: _drop(dosage, "route")))


def other_pressure(played: Played) -> Raws | None:
    def change(body: Json) -> bool:
        if "component" in body:
            quantity = body["component"][0]["valueQuantity"]
            return _set(quantity, "value", quantity["value"] + 1)
        return "valueString" in body and _set(body, "valueString", f"1{body['valueString']}")

    return _edit(played, change)


def pressures_swapped(played: Played) -> Raws | None:
    def change(body: Json) -> bool:
        if len(body.get("component", ())) == 2:
            first, second = body["component"]
            first["valueQuantity"], second["valueQuantity"] = second["valueQuantity"], first["valueQuantity"]
            return bool(first["valueQuantity"] != second["valueQuantity"])
        if "valueString" not in body:
            return False
        numbers, _, unit = body["valueString"].partition(" ")
        return _set(body, "valueString", " ".join(("/".join(numbers.split("/")[::-1]), unit)))

    return _edit(played, change)


# -- when, and in which state


def other_time(played: Played) -> Raws | None:
    def change(body: Json) -> bool:
        element = TIMED[body["resourceType"]]
        return _set(body, element, render_time(instant(body[element]) + DAY, body[element]))

    return _edit(played, change)


def no_time(played: Played) -> Raws | None:
    return _edit(played, lambda body: _drop(body, TIMED[body["resourceType"]]))


def other_occurrence(played: Played) -> Raws | None:
    def change(body: Json) -> bool:
        time = body.get("occurrenceDateTime")
        return time is not None and _set(body, "occurrenceDateTime", render_time(instant(time) + DAY, time))

    return _edit(played, change)


def other_status(played: Played) -> Raws | None:
    other = {"Observation": "preliminary"}
    return _edit(played, lambda body: _set(body, "status", other.get(body["resourceType"], "draft")))


def other_intent(played: Played) -> Raws | None:
    return _edit(played, lambda body: _set(body, "intent", "plan"))


def not_to_be_done(played: Played) -> Raws | None:
    """An order that says: do not."""
    if not played.clinical:
        return None
    return _edit(
        played, lambda body: "intent" in body and "doNotPerform" not in body and not body.update(doNotPerform=True)
    )


def other_priority(played: Played) -> Raws | None:
    """Where a priority is asked for; elsewhere any will do."""
    if played.clinical and "priority" not in played.task.slots:
        return None
    return _edit(played, lambda body: _set(body, "priority", "asap"))


def other_text(played: Played) -> Raws | None:
    """The free text with its last word left out."""

    def change(body: Json) -> bool:
        note = body.get("note")
        place = note[0] if isinstance(note, list) else note
        return bool(place) and _set(place, "text", place["text"].rpartition(" ")[0])

    return _edit(played, change)


def no_text(played: Played) -> Raws | None:
    return _edit(played, lambda body: _drop(body, "note"))


def other_category(played: Played) -> Raws | None:
    def change(body: Json) -> bool:
        if not body.get("category"):
            return False
        codings = body["category"][0]["coding"]
        return all(_set(coding, "code", "laboratory") for coding in codings)

    return _edit(played, change)


def no_category(played: Played) -> Raws | None:
    return _edit(played, lambda body: _drop(body, "category"))


# -- the right content in an element of another shape (clinical)


def other_shape(played: Played) -> Raws | None:
    """Text where R4 wants a CodeableConcept, one object where it wants a list; the server refuses it."""

    def change(body: Json) -> bool:
        if "dosageInstruction" in body:
            dosage = body["dosageInstruction"][0]
            return "route" in dosage and _set(dosage, "route", dosage["route"].get("text"))
        if isinstance(body.get("note"), list):
            return _set(body, "note", body["note"][0])
        codings = body[CODED[body["resourceType"]]].get("coding")
        return bool(codings) and _set(body, CODED[body["resourceType"]], codings[0].get("code"))

    return _edit(played, change)


# -- valid, and no longer what was asked for (clinical)


def modifier(played: Played) -> Raws | None:
    """An extension that a reader who does not know it must not pass over."""
    extension = {"url": "http://example.org/fhir/negated", "valueBoolean": True}
    return _edit(played, lambda body: not body.update(modifierExtension=[extension]))


def as_needed(played: Played) -> Raws | None:
    def change(body: Json) -> bool:
        if "intent" not in body:
            return False
        place = body["dosageInstruction"][0] if "dosageInstruction" in body else body
        return not place.update(asNeededBoolean=True)

    return _edit(played, change)


def two_codes(played: Played) -> Raws | None:
    """Another code of the same system beside the right one."""

    def change(body: Json) -> bool:
        codings = body[CODED[body["resourceType"]]].get("coding", [])
        return not codings.append({**codings[0], "code": f"{codings[0]['code']}9"}) if codings else False

    return _edit(played, change)


def repeated_dose(played: Played) -> Raws | None:
    timing = {"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}}
    return _edit(played, _dosed(lambda dosage, dose: not dosage.update(timing=timing)))


def pressure_as_text(played: Played) -> Raws | None:
    """The dictated text in place of the components that were asked for."""

    def change(body: Json) -> bool:
        return _drop(body, "component") and not body.update(valueString=played.task.slots["value"])

    return _edit(played, change)


def second_note(played: Played) -> Raws | None:
    return _edit(played, lambda body: "note" in body and not body["note"].append({"text": "Please disregard this."}))


# -- what the public grader loses or refuses (compat)


def fenced(played: Played) -> Raws | None:
    """Accepted by the benchmark's harness, which deletes fences, and lost by its grader, which does not."""
    return played.posting(lambda post: f"```\n{render(post)}\n```")


def indented(played: Played) -> Raws | None:
    return played.posting(lambda post: f" {render(post)}")


def post_in_answer(played: Played) -> Raws | None:
    return played.ending('FINISH(["POST sent"])')


def subject_with_display(played: Played) -> Raws | None:
    return _edit(played, lambda body: _set(body, "subject", {**body["subject"], "display": "the patient"}))


def absolute_subject(played: Played) -> Raws | None:
    return _edit(played, lambda body: _set(body, "subject", {"reference": f"{BASE}{body['subject']['reference']}"}))


def route_as_concept(played: Played) -> Raws | None:
    return _edit(played, _dosed(lambda dosage, dose: _set(dosage, "route", {"text": dosage.get("route")})))


def note_as_list(played: Played) -> Raws | None:
    return _edit(played, lambda body: isinstance(body.get("note"), dict) and _set(body, "note", [body["note"]]))


def zulu(played: Played) -> Raws | None:
    """The same instant written with Z, where the time is compared letter by letter."""

    def change(body: Json) -> bool:
        if body["resourceType"] == "MedicationRequest":
            return False
        element = TIMED[body["resourceType"]]
        return _set(body, element, render_time(instant(body[element]), "1970-01-01T00:00:00Z"))

    return _edit(played, change)


def double_slash(played: Played) -> Raws | None:
    return played.posting(lambda post: Post(post.url.replace(BASE, f"{BASE}/"), post.body))
