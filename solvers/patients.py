"""Experts for patients: who somebody is, and how old."""

from __future__ import annotations

from collections.abc import Generator
from datetime import date

from fhirtasks.episodes.types import Answer, Get, Observation, PublicTask, Solver
from fhirtasks.fhir.jsontext import Json
from solvers.finding import patients_named, patients_with_identifier


def patient_lookup(task: PublicTask) -> Generator[Get, Observation, Answer]:
    """Searches by name and birth date; answers the identifier asked for, if exactly one person really fits."""
    slots = task.slots
    found = yield from patients_named(task, slots["name"], slots["birthdate"])
    values = [
        identifier["value"]
        for patient in found
        for identifier in patient.get("identifier", [])
        if slots["identifier"] in _kinds(identifier)
    ]
    return [values[0]] if len(found) == 1 and values else ["Patient not found"]


def patient_age(task: PublicTask) -> Generator[Get, Observation, Answer]:
    """Reads the birth date; counts the years completed on the calendar day that ``now`` shows."""
    slots = task.slots
    if "mrn" in slots:
        found = yield from patients_with_identifier(task, slots["mrn"])
    else:
        found = yield from patients_named(task, slots["name"], slots["birthdate"])
    born = date.fromisoformat(found[0]["birthDate"])
    today = date.fromisoformat(task.now[:10])
    return [today.year - born.year - ((today.month, today.day) < (born.month, born.day))]


def _kinds(identifier: dict[str, Json]) -> list[str]:
    codings = identifier.get("type", {}).get("coding", [])
    return [*(coding.get("code", "") for coding in codings), identifier.get("system", "")]


SOLVERS: dict[str, Solver] = {"patient_age": patient_age, "patient_lookup": patient_lookup}
