"""Validation: what R4 takes is taken, what it refuses is refused at the right place."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.fhir.jsontext import dumps, loads
from fhirtasks.fhir.validation import validate

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "x"},
    "subject": {"reference": "Patient/1"},
}
REQUEST = {
    "resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"reference": "Patient/1"},
    "medicationCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "0338-1715-40"}]},
    "authoredOn": "2023-11-13T10:15:00+00:00",
    "dosageInstruction": [{"route": {"text": "IV"}, "doseAndRate": [
        {"doseQuantity": {"value": 2, "unit": "g"},
         "rateRatio": {"numerator": {"value": 1}, "denominator": {"value": 2, "unit": "h"}}}]}],
}  # fmt: skip
ORDER = {
    "resourceType": "ServiceRequest", "status": "active", "intent": "order", "priority": "stat",
    "authoredOn": "2023-11",
    "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}, "subject": {"reference": "Patient/1"},
    "note": [{"text": "free text"}], "occurrenceDateTime": "2023-11-14T08:00:00.123Z",
}  # fmt: skip
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION = {
    "resourceType": "Condition", "subject": {"reference": "Patient/1"},
    "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
}  # fmt: skip

VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
ERROR = "entered-in-error"
ALLERGY = {
    "resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"},
    "clinicalStatus": {"coding": [{"system": CLINICAL.replace("condition", "allergyintolerance"), "code": "active"}]},
}  # fmt: skip
PROVENANCE = {
    "resourceType": "Provenance", "id": "v", "recorded": "2023-11-13T10:15:00Z",
    "agent": [{"who": {"reference": "Patient/1"}}],
}  # fmt: skip
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">'
SAME = {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}
REPEAT = "MedicationRequest.dosageInstruction[0].timing.repeat"


def issues(resource: dict[str, Any], **members: Any) -> list[str]:
    text = json.dumps({k: v for k, v in {**resource, **members}.items() if v is not None})
    return validate(loads(text), text)


@pytest.mark.parametrize(
    ("resource", "members"),
    [
        (OBSERVATION, {}),
        (OBSERVATION, {"effectiveDateTime": "2016-12-31T23:59:60Z"}),
        (OBSERVATION, {"status": "entered-in-error", "issued": "2023-11-13T10:15:00.716123Z"}),
        (OBSERVATION, {"valueQuantity": {"value": 1.123456789012345678, "comparator": "<"}}),
        (OBSERVATION, {"valueInteger": -2, "_valueInteger": {"extension": [{"url": "http://x", "valueString": "y"}]}}),
        (
            OBSERVATION,
            {
                "extension": [
                    {"url": "http://x", "_valueString": {"extension": [{"url": "http://y", "valueCode": "z"}]}}
                ]
            },
        ),
        (OBSERVATION, {"contained": [{"resourceType": "Patient", "id": "p"}], "subject": {"reference": "#p"}}),
        (OBSERVATION, {"subject": {"identifier": {"value": "S1"}}, "code": {"text": "no\u00a0break"}}),
        (OBSERVATION, {"subject": {"reference": "urn:uuid:1ae0605d-e5b8-4d6d-a96d-c93dcbd57e06"}}),
        (OBSERVATION, {"status": None, "_status": {"extension": [{"url": "http://x", "valueBoolean": True}]}}),
        (REQUEST, {}),
        (ORDER, {}),
        (CONDITION, {}),
        (
            {"resourceType": "Patient"},
            {"name": [{"given": ["A", None], "_given": [None, {"id": "x"}]}], "birthDate": "1950"},
        ),
        ({"resourceType": "MedicinalProduct"}, {"anything": [1]}),
        ({"resourceType": "Patient"}, {}),  # ele-1 is about elements
        (OBSERVATION, {"text": {"status": "generated", "div": f"{XHTML}<b>a</b> &lt; b</div>"}}),
        (OBSERVATION, {"effectivePeriod": {"start": "2020-05", "end": "2020"}}),
        (OBSERVATION, {"contained": [dict(PROVENANCE, target=[{"reference": "#"}])]}),
        (OBSERVATION, {"valueString": "a", "component": [{"code": {"text": "x"}, "valueString": "b"}]}),
        (OBSERVATION, {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 2}}}),
        (CONDITION, {"onsetAge": {"value": 5, "system": "http://unitsofmeasure.org", "code": "a"}}),
        (ALLERGY, {}),
        (
            ALLERGY,
            {"clinicalStatus": None, "verificationStatus": {"coding": [{"system": VERIFICATION, "code": ERROR}]}},
        ),
        (REQUEST, {"dosageInstruction": [{"timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}}]}),
    ],
)
def test_valid(resource: dict[str, Any], members: dict[str, Any]) -> None:
    assert issues(resource, **members) == []


@pytest.mark.parametrize(
    ("resource", "members", "place"),
    [
        (OBSERVATION, {"status": "bogus"}, "Observation.status"),
        (OBSERVATION, {"status": None}, "Observation.status"),
        (OBSERVATION, {"status": None, "_status": {}}, "Observation._status"),
        (OBSERVATION, {"status": ["final"]}, "Observation.status"),
        (OBSERVATION, {"code": None}, "Observation.code"),
        (OBSERVATION, {"code": {"coding": {"code": "x"}}}, "Observation.code.coding"),
        (OBSERVATION, {"code": {"coding": [{"code": " x"}]}}, "Observation.code.coding[0].code"),
        (OBSERVATION, {"code": {"coding": []}}, "Observation.code.coding"),
        (OBSERVATION, {"code": {}}, "Observation.code"),
        (OBSERVATION, {"code": {"text": ""}}, "Observation.code.text"),
        (OBSERVATION, {"code": {"coding": [None]}}, "Observation.code.coding[0]"),
        (OBSERVATION, {"colour": "red"}, "Observation.colour"),
        (OBSERVATION, {"_code": {"id": "x"}}, "Observation._code"),
        (OBSERVATION, {"fhir_comments": "x"}, "Observation.fhir_comments"),
        (OBSERVATION, {"valueString": "a", "valueBoolean": True}, "Observation.value[x]"),
        (OBSERVATION, {"valueBoolean": "true"}, "Observation.valueBoolean"),
        (OBSERVATION, {"valueInteger": 1.5}, "Observation.valueInteger"),
        (OBSERVATION, {"valueInteger": 2**31}, "Observation.valueInteger"),
        (OBSERVATION, {"valueInteger": True}, "Observation.valueInteger"),
        (OBSERVATION, {"valueQuantity": {"value": "1"}}, "Observation.valueQuantity.value"),
        (OBSERVATION, {"valueQuantity": {"value": 1, "comparator": "~"}}, "Observation.valueQuantity.comparator"),
        (OBSERVATION, {"valueQuantity": {"code": "mg"}}, "Observation.valueQuantity"),
        (OBSERVATION, {"effectiveDateTime": "2023-11-13T10:15:00"}, "Observation.effectiveDateTime"),
        (OBSERVATION, {"effectiveDateTime": "2023-02-30"}, "Observation.effectiveDateTime"),
        (OBSERVATION, {"issued": "2023-11-13"}, "Observation.issued"),
        (OBSERVATION, {"subject": {"reference": "Medication/1"}}, "Observation.subject"),
        (OBSERVATION, {"subject": {"reference": "http://x/fhir/Encounter/1"}}, "Observation.subject"),
        (OBSERVATION, {"subject": {"reference": "S123"}}, "Observation.subject.reference"),
        (OBSERVATION, {"subject": {"reference": "Person1/2/3"}}, "Observation.subject.reference"),
        (OBSERVATION, {"subject": {"reference": "#nobody"}}, "Observation.subject.reference"),
        (OBSERVATION, {"subject": {"type": "Patient"}}, "Observation.subject"),
        (OBSERVATION, {"subject": {"reference": "Patient/1", "type": "Group"}}, "Observation.subject.type"),
        (
            OBSERVATION,
            {"contained": [{"resourceType": "Medication", "id": "m"}], "subject": {"reference": "#m"}},
            "Observation.subject",
        ),
        (OBSERVATION, {"dataAbsentReason": {"text": "x"}, "valueString": "y"}, "Observation"),
        (OBSERVATION, {"extension": [{"url": "http://x"}]}, "Observation.extension[0]"),
        (OBSERVATION, {"extension": [{"valueString": "x"}]}, "Observation.extension[0].url"),
        (OBSERVATION, {"id": "a_b"}, "Observation.id"),
        (OBSERVATION, {"note": {"text": "x"}}, "Observation.note"),
        (REQUEST, {"medicationCodeableConcept": None}, "MedicationRequest.medication[x]"),
        (REQUEST, {"intent": None}, "MedicationRequest.intent"),
        (REQUEST, {"intent": "wish"}, "MedicationRequest.intent"),
        (REQUEST, {"dosageInstruction": [{"route": "IV"}]}, "MedicationRequest.dosageInstruction[0].route"),
        (ORDER, {"priority": "now"}, "ServiceRequest.priority"),
        (ORDER, {"note": {"text": "x"}}, "ServiceRequest.note"),
        (ORDER, {"subject": {"reference": "Organization/1"}}, "ServiceRequest.subject"),
        (ORDER, {"subject": None}, "ServiceRequest.subject"),
        (
            CONDITION,
            {"clinicalStatus": {"coding": [{"system": CLINICAL, "code": "bogus"}]}},
            "Condition.clinicalStatus",
        ),
        (CONDITION, {"clinicalStatus": {"text": "active"}}, "Condition.clinicalStatus"),
        (CONDITION, {"abatementDateTime": "2020"}, "Condition"),
        ({"resourceType": "Encounter"}, {"status": "finished"}, "Encounter.class"),
        ({"resourceType": "Patient"}, {"gender": "f"}, "Patient.gender"),
        ({"resourceType": "Patient"}, {"deceasedBoolean": False, "deceasedDateTime": "2020"}, "Patient.deceased[x]"),
        ({"resourceType": "Citation"}, {}, "resourceType"),
        ({"resourceType": "MedicinalProduct"}, {"meta": 5}, "MedicinalProduct.meta"),
        (OBSERVATION, {"text": {"status": "generated", "div": "<div>no namespace</div>"}}, "Observation.text.div"),
        (OBSERVATION, {"text": {"status": "generated", "div": f"{XHTML}<b>a</div>"}}, "Observation.text.div"),
        (OBSERVATION, {"text": {"status": "generated", "div": f"{XHTML} </div>"}}, "Observation.text.div"),
        (OBSERVATION, {"effectivePeriod": {"start": "2020-05", "end": "2020-04"}}, "Observation.effectivePeriod"),
        (OBSERVATION, {"contained": [{"resourceType": "Patient", "id": "p"}]}, "Observation.contained[0]"),
        (OBSERVATION, {"valueRange": {"low": {"value": 2}, "high": {"value": 1}}}, "Observation.valueRange"),
        (OBSERVATION, {"valueRatio": {"numerator": {"value": 1}}}, "Observation.valueRatio"),
        (OBSERVATION, {"referenceRange": [{"type": {"text": "x"}}]}, "Observation.referenceRange[0]"),
        (
            OBSERVATION,
            {"code": SAME, "valueString": "a", "component": [{"code": SAME, "valueString": "b"}]},
            "Observation",
        ),
        (CONDITION, {"onsetAge": {"value": 5, "unit": "years"}}, "Condition.onsetAge"),
        (CONDITION, {"stage": [{"type": {"text": "x"}}]}, "Condition.stage[0]"),
        (ALLERGY, {"clinicalStatus": None}, "AllergyIntolerance"),
        (ALLERGY, {"verificationStatus": {"coding": [{"system": VERIFICATION, "code": ERROR}]}}, "AllergyIntolerance"),
        ({"resourceType": "Patient"}, {"telecom": [{"value": "555"}]}, "Patient.telecom[0]"),
        ({"resourceType": "Patient"}, {"contact": [{"gender": "male"}]}, "Patient.contact[0]"),
        ({"resourceType": "Organization"}, {"active": True}, "Organization"),
        ({"resourceType": "Appointment"}, {"status": "booked", "participant": [{"status": "accepted"}]}, "Appointment"),
        (REQUEST, {"dosageInstruction": [{"timing": {"repeat": {"period": 1}}}]}, REPEAT),
        (REQUEST, {"dosageInstruction": [{"timing": {"repeat": {"offset": 5, "when": ["C"]}}}]}, REPEAT),
        (REQUEST, {"dosageInstruction": [{"timing": {"repeat": {"duration": -1, "durationUnit": "h"}}}]}, REPEAT),
    ],
)
def test_invalid(resource: dict[str, Any], members: dict[str, Any], place: str) -> None:
    found = issues(resource, **members)
    assert place in [issue.partition(": ")[0] for issue in found], found


@pytest.mark.shared
def test_real_records_are_valid() -> None:
    files = sorted(SHARED.glob("*/*.ndjson.gz"))
    bundles = sorted(SHARED.glob("synthea-bundles/*.json"))[:4]
    if not files:
        pytest.skip("the public records are not beside the checkout")
    texts: list[str] = []
    for file in files:
        with gzip.open(file, "rt") as lines:
            texts += islice(lines, 15)
    texts += [dumps(entry["resource"]) for b in bundles for entry in loads(b.read_text())["entry"][:60]]
    for text in texts:
        resource = loads(text)
        assert validate(resource, text) == [], text[:200]
        assert validate({**resource, "nonsense": 1}, text[:-1] + ' ,"nonsense":1}') != []
