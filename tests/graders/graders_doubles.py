"""A small chart made by hand, and tasks and episodes on it, for tests that must not depend on any family's sampling."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from fhirtasks.episodes.text import parse
from fhirtasks.episodes.types import Episode, Finish, Message, Mode, Observation, Post, Turn
from fhirtasks.graph.scenario import Scenario
from fhirtasks.tasks.types import Task

BASE = "http://localhost:8080/fhir/"
NOW = "2023-11-13T10:15:00+00:00"
LOINC = "http://loinc.org"


def patient(id: str, mrn: str, given: str, family: str, born: str) -> dict[str, object]:
    return {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"type": {"coding": [{"code": "MR"}]}, "system": "http://hospital.example/mrn", "value": mrn}],
        "name": [{"use": "official", "given": [given], "family": family}],
        "birthDate": born,
    }


def lab(
    id: str, value: str, time: str, *, patient: str = "pat-a", code: str = "K", unit: str = "mmol/L", **more: object
) -> str:
    """The raw text of a result; ``value`` keeps its digits."""
    body = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": time,
        "valueQuantity": {"value": "@", "unit": unit},
        **more,
    }
    return json.dumps(body, separators=(",", ":")).replace('"@"', value)


PATIENTS = [
    patient("pat-a", "M100", "Ada", "Quill", "1970-02-28"),
    patient("pat-b", "M200", "Ada", "Quill", "1970-03-01"),
    patient("pat-c", "M300", "Bo", "Ember", "2020-02-29"),
    patient("pat-d", "M400", "Cy", "Quill", "1970-02-28"),
    patient("pat-e", "M500", "Di", "Rowan", "1933-11-13"),
]
LABS = [
    # Potassium of pat-a: 25 results, so that there is a second page; the newest is neither first nor last by id.
    *(lab(f"k-{n:02}", f"4.{n % 10}", f"2023-10-{n + 1:02}T08:00:00+00:00") for n in range(24)),
    lab("k-13-newest", "3.1", "2023-11-12T06:00:00+00:00"),
    # Magnesium of pat-a: exactly 24 hours old, one second older, and one of tomorrow.
    lab("m-1", "1.9", "2023-11-12T10:15:00+00:00", code="MG", unit="mg/dL"),
    lab("m-2", "1.2", "2023-11-12T10:14:59+00:00", code="MG", unit="mg/dL"),
    lab("m-3", "0.8", "2023-11-14T00:00:00+00:00", code="MG", unit="mg/dL"),
    # Glucose of pat-a: three in the day, one older; two at the same latest time.
    lab("g-1", "100", "2023-11-12T12:00:00+00:00", code="GLU", unit="mg/dL"),
    lab("g-2", "101", "2023-11-13T09:00:00+00:00", code="GLU", unit="mg/dL"),
    lab("g-3", "104.50", "2023-11-13T04:00:00-05:00", code="GLU", unit="mg/dL"),
    lab("g-4", "300", "2023-11-01T00:00:00+00:00", code="GLU", unit="mg/dL"),
    # HbA1c: pat-a a year old to the second, pat-c a second older, pat-d none.
    lab("a-1", "7.10", "2022-11-13T10:15:00+00:00", code="A1C", unit="%"),
    lab("a-2", "6.5", "2022-11-13T10:14:59+00:00", patient="pat-c", code="A1C", unit="%"),
    lab("x-1", "4.4", "2023-11-13T08:00:00+00:00", patient="pat-b"),
]

SLOTS: dict[str, dict[str, str]] = {
    "patient_lookup": {"name": "Ada Quill", "birthdate": "1970-02-28", "identifier": "MR"},
    "patient_age": {"mrn": "M100"},
    "record_blood_pressure": {
        "mrn": "M100", "value": "118/77 mmHg", "systolic": "118", "diastolic": "77", "code": "85354-9", "code_system": LOINC,
        "systolic_code": "8480-6", "diastolic_code": "8462-4",
    },
    "latest_lab_in_window": {
        "mrn": "M100", "analyte": "magnesium", "code": "MG", "unit": "mg/dL", "window_hours": "24", "tie": "highest",
    },
    "mean_lab_in_window": {
        "mrn": "M100", "analyte": "glucose", "code": "GLU", "unit": "mg/dL", "window_hours": "24", "decimals": "1",
    },
    "latest_lab": {"mrn": "M100", "analyte": "potassium", "code": "K", "unit": "mmol/L", "tie": "highest"},
    "magnesium_replacement": {
        "mrn": "M100", "code": "MG", "unit": "mg/dL", "window_hours": "24", "tie": "highest", "low_at_or_below": "1.9",
        "moderate_below": "1.5", "severe_below": "1.0", "mild_dose": "1", "mild_hours": "2", "moderate_dose": "2",
        "moderate_hours": "3", "severe_dose": "4", "severe_hours": "8", "dose_unit": "g",
        "medication_system": "http://hl7.org/fhir/sid/ndc", "medication_code": "0338-1715-40", "route": "IV",
    },
    "potassium_replacement": {
        "mrn": "M100", "code": "K", "unit": "mmol/L", "tie": "highest", "threshold": "3.5", "step": "0.1", "step_dose": "10",
        "dose_unit": "mEq", "medication_system": "http://hl7.org/fhir/sid/ndc", "medication_code": "40032-917-01",
        "route": "oral", "order_system": LOINC, "order_code": "2823-3", "recheck_time": "2023-11-14T08:00:00+00:00",
    },
    "a1c_reorder": {
        "mrn": "M100", "code": "A1C", "tie": "highest", "stale_before": "2022-11-13T10:15:00+00:00",
        "when_absent": "order the test", "order_system": LOINC, "order_code": "4548-4",
    },
    "referral_order": {
        "mrn": "M100", "specialty": "orthopaedics", "order_system": "http://snomed.info/sct", "order_code": "183545006",
        "text": "Situation: knee, swollen. \"Please see\".", "priority": "urgent",
    },
}  # fmt: skip

COMMON = {"patient": "pat-a", "mrn": "pat-a", "now": NOW, "base": BASE}
_MEDICATION = {"medication_system": "http://hl7.org/fhir/sid/ndc", "authored_contains": "2023-11-13T10:15"}
PARAMS: dict[str, dict[str, str]] = {
    "patient_lookup": {"sol": '["S6534835"]'},
    "patient_age": {},
    "record_blood_pressure": {"code": "BP", "value": "118/77 mmHg"},
    "latest_lab_in_window": {"code": "MG", "window_hours": "24"},
    "mean_lab_in_window": {"code": "GLU", "window_hours": "24", "tolerance": "0.1"},
    "latest_lab": {"code": "GLU"},
    "magnesium_replacement": {
        **_MEDICATION, "code": "MG", "window_hours": "24", "low_at_or_below": "1.9", "moderate_below": "1.5",
        "severe_below": "1", "mild_dose": "1", "mild_hours": "1", "moderate_dose": "2", "moderate_hours": "2",
        "severe_dose": "4", "severe_hours": "4", "dose_unit": "g", "rate_unit": "h", "medication_code": "0338-1715-40",
        "route": "IV",
    },
    "potassium_replacement": {
        **_MEDICATION, "code": "K", "threshold": "3.5", "step": "0.1", "step_dose": "10", "dose_unit": "mEq",
        "dose_tolerance": "0.1", "medication_code": "40032-917-01", "route": "oral", "order_system": LOINC,
        "order_code": "2823-3", "priority": "stat", "recheck_contains": "2023-11-14T08:",
    },
    "a1c_reorder": {
        "code": "A1C", "stale_before": "2022-11-13T10:15:00+00:00", "order_system": LOINC, "order_code": "4548-4",
        "priority": "stat",
    },
    "referral_order": {
        "order_system": "http://snomed.info/sct", "order_code": "306181000000106", "priority": "stat",
        "text": "Situation: knee, swollen. Recommendation: please see.",
    },
}  # fmt: skip
"""The public grader's constants, with a free text of our own."""

KINDS = {
    "patient_lookup": "query",
    "patient_age": "query",
    "record_blood_pressure": "action",
    "referral_order": "action",
}


def task(
    family: str, mode: Mode = "clinical", *, now: str = NOW, scenario: Scenario | None = None, **slots: str
) -> Task:
    """A task on the chart above; ``slots`` take the place of the usual ones (in compat: of the params)."""
    conditional = family.endswith(("replacement", "reorder"))
    params = {**COMMON, **PARAMS[family], **slots} if mode == "compat" else {}
    return Task(
        id=f"t-{family}", family=family, version="1", domain="labs",
        kind=KINDS.get(family, "conditional" if conditional else "query"),  # type: ignore[arg-type]
        mode=mode, protocol="text", branch="b", split="train", now=now, instruction="i", context="c",
        slots={**SLOTS[family], **(slots if mode == "clinical" else {})}, params=params, gold=None, patients=("pat-a",),
        scenario=scenario or Scenario(), difficulty={}, seed="s",
    )  # fmt: skip


def with_gold(one: Task, gold: object) -> Task:
    return replace(one, gold=gold)


def get(path: str) -> str:
    return f"GET {BASE}{path}"


def post(type: str, body: object) -> str:
    return f"POST {BASE}{type}\n{json.dumps(body)}"


def recorded(
    one: Task, raws: Sequence[str], *, accepted: str = "POST request accepted and executed successfully."
) -> Episode:
    """A compat episode as a harness would have recorded it, without any server behind it."""
    messages = [Message("user", "prompt")]
    turns = []
    for place, raw in enumerate(raws):
        action = parse(raw, "compat")
        messages.append(Message("assistant", raw))
        shown = None
        if place < len(raws) - 1:
            text = (
                accepted
                if isinstance(action, Post)
                else "Invalid POST request"
                if "POST" in raw
                else "Here is the response"
            )
            shown = Observation(text, 200)
            messages.append(Message("user", text))
        turns.append(Turn(raw, action, shown))
    ended = isinstance(turns[-1].action, Finish)
    result = raws[-1].strip()[7:-1] if ended else None
    return Episode(one.id, tuple(messages), tuple(turns), "completed" if ended else "agent invalid action", result)
