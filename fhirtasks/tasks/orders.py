"""Every write that a prompt speaks of, formed from its slots alone: what floors post without having read anything."""

from __future__ import annotations

from decimal import Decimal

from fhirtasks.episodes.types import Post, PublicTask
from fhirtasks.fhir.jsontext import Json

_CATEGORY = {
    "clinical": "http://terminology.hl7.org/CodeSystem/observation-category",
    "compat": "http://hl7.org/fhir/observation-category",
}


def orders(task: PublicTask, patient: str) -> list[Post]:
    """The POSTs for this patient id, in the order of the prompt; empty where the family asks for none."""
    slots, found = task.slots, []
    subject = {"reference": f"Patient/{patient}"}
    if task.family == "record_blood_pressure":
        found.append(_blood_pressure(task, subject))
    if "medication_code" in slots:
        found.append(_medication(task, subject))
    if "order_code" in slots:
        found.append(_service(task, subject))
    return [Post(f"{task.base}{body['resourceType']}", body) for body in found]


def _blood_pressure(task: PublicTask, subject: Json) -> Json:
    slots = task.slots
    category = {"system": _CATEGORY[task.mode], "code": "vital-signs", "display": "Vital Signs"}
    body = {
        "resourceType": "Observation", "status": "final", "category": [{"coding": [category]}], "subject": subject,
        "effectiveDateTime": task.now,
    }  # fmt: skip
    if task.mode == "compat":
        return body | {"code": {"text": slots["code"]}, "valueString": slots["value"]}
    system = slots.get("code_system", "http://loinc.org")

    def part(code: str, value: str) -> Json:
        quantity = {"value": Decimal(value), "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
        return {"code": {"coding": [{"system": system, "code": code}]}, "valueQuantity": quantity}

    return body | {
        "code": {"coding": [{"system": system, "code": slots["code"]}]},
        "component": [
            part(slots.get("systolic_code", "8480-6"), slots["systolic"]),
            part(slots.get("diastolic_code", "8462-4"), slots["diastolic"]),
        ],
    }


def _medication(task: PublicTask, subject: Json) -> Json:
    """The mildest dose that the prompt names."""
    slots, clinical = task.slots, task.mode == "clinical"
    amount = {"value": Decimal(slots.get("mild_dose", slots.get("step_dose", "1"))), "unit": slots.get("dose_unit", "")}
    dose: dict[str, Json] = {"doseQuantity": amount}
    if "mild_hours" in slots:
        hours = {"value": Decimal(slots["mild_hours"]), "unit": "h"}
        dose |= {"rateRatio": {"numerator": amount, "denominator": hours}} if clinical else {"rateQuantity": hours}
    route = slots.get("route", "")
    coding = {"system": slots.get("medication_system", ""), "code": slots["medication_code"]}
    return {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": subject,
        "authoredOn": task.now, "medicationCodeableConcept": {"coding": [coding]},
        "dosageInstruction": [{"route": {"text": route} if clinical else route, "doseAndRate": [dose]}],
    }  # fmt: skip


def _service(task: PublicTask, subject: Json) -> Json:
    slots = task.slots
    body: dict[str, Json] = {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "priority": slots.get("priority", "stat"), "subject": subject, "authoredOn": task.now,
        "code": {"coding": [{"system": slots.get("order_system", ""), "code": slots["order_code"]}]},
    }  # fmt: skip
    if "recheck_time" in slots:
        body["occurrenceDateTime"] = slots["recheck_time"]
    if "text" in slots:
        note = {"text": slots["text"]}
        body["note"] = [note] if task.mode == "clinical" else note
    if task.family == "referral_order" and task.mode == "clinical":
        body["category"] = [{"coding": [{"system": "http://snomed.info/sct", "code": "3457005"}]}]
    return body
