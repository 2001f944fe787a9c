"""Expert for referrals: orders one, with the note verbatim."""

from __future__ import annotations

from collections.abc import Generator

from fhirtasks.episodes.types import Answer, Get, Observation, Post, PublicTask, Solver
from fhirtasks.fhir.jsontext import Json
from solvers.finding import find_patient


def referral_order(task: PublicTask) -> Generator[Get | Post, Observation, Answer]:
    """Finds the patient, then writes exactly one ServiceRequest."""
    slots = task.slots
    patient = yield from find_patient(task)
    if patient is None:
        return []
    body: dict[str, Json] = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "priority": slots["priority"],
        "code": {"coding": [{"system": slots["order_system"], "code": slots["order_code"]}]},
        "subject": {"reference": f"Patient/{patient}"},
        "authoredOn": task.now,
    }
    if task.mode == "compat":
        body["note"] = {"text": slots["text"]}
    else:
        body["category"] = [{"coding": [{"system": "http://snomed.info/sct", "code": "3457005"}]}]
        body["note"] = [{"text": slots["text"]}]
    yield Post(f"{task.base}ServiceRequest", body)
    return []


SOLVERS: dict[str, Solver] = {"referral_order": referral_order}
