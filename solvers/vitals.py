"""Expert for vital signs: files one blood pressure as the prompt dictates it."""

from __future__ import annotations

from collections.abc import Generator

from fhirtasks.episodes.types import Answer, Get, Observation, Post, PublicTask, Solver
from fhirtasks.fhir.jsontext import Json
from solvers.finding import find_patient

UCUM = "http://unitsofmeasure.org"


def record_blood_pressure(task: PublicTask) -> Generator[Get | Post, Observation, Answer]:
    """Finds the patient, then writes exactly one Observation."""
    patient = yield from find_patient(task)
    if patient is not None:
        body = _flowsheet_entry(task, patient) if task.mode == "compat" else _panel(task, patient)
        yield Post(f"{task.base}Observation", body)
    return []


def _panel(task: PublicTask, patient: str) -> Json:
    slots = task.slots
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "vital-signs",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": slots["code_system"], "code": slots["code"]}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": task.now,
        "component": [_component(task, part) for part in ("systolic", "diastolic")],
    }


def _component(task: PublicTask, part: str) -> Json:
    slots = task.slots
    return {
        "code": {"coding": [{"system": slots["code_system"], "code": slots[f"{part}_code"]}]},
        "valueQuantity": {"value": int(slots[part]), "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"},
    }


def _flowsheet_entry(task: PublicTask, patient: str) -> Json:
    slots = task.slots
    return {
        "resourceType": "Observation",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://hl7.org/fhir/observation-category",
                        "code": "vital-signs",
                        "display": "Vital Signs",
                    }
                ]
            }
        ],
        "code": {"text": slots["code"]},
        "effectiveDateTime": task.now,
        "status": "final",
        "valueString": slots["value"],
        "subject": {"reference": f"Patient/{patient}"},
    }


SOLVERS: dict[str, Solver] = {"record_blood_pressure": record_blood_pressure}
