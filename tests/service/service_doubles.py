"""The rows of a small world with the awkward shapes: partial dates, periods, several codings, texts alone, no id in
the body."""

from __future__ import annotations

import random

from fhirtasks.fhir.jsontext import dumps, loads

LOINC, LOCAL = "http://loinc.org", "http://hospital.example/labs"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
NOW = "2023-11-13T10:15:00+00:00"
DATES = [
    "2023", "2023-11", "2023-11-12", "2023-11-12T10:15:00+00:00", "2023-11-12T10:14:59Z", "2023-11-12T10:15:00.500Z",
    "2023-11-12T05:15:00-05:00", "2022-11-13T10:15:00+00:00", "2022-02-28", "2024-01-01T00:00:00Z",
    "2023-11-13T10:15:01Z",
]  # fmt: skip
PEOPLE = [
    ("p1", "S1000001", "Ana María", "Núñez", "1950-02-28"),
    ("p2", "S1000002", "Ann", "O'Hara", "1950-02"),
    ("p3", "S1000003", "ann", "Nunez Smith", "2001-12-31"),
    ("p10", "S1000010", "Li", "Wu", "1999"),
]


def _observation(rng: random.Random, patient: str, number: int) -> str:
    codings = rng.choice([
        [(LOINC, "K")], [(LOINC, "2823-3"), (LOCAL, "K")], [(LOCAL, "GLU")], [(None, "MG")], [(LOINC, "a|b,c$d")], [],
    ])  # fmt: skip
    body: dict[str, object] = {"resourceType": "Observation", "id": f"{patient}-o{number}"}
    body["status"] = rng.choice(["final", "amended", "entered-in-error"])
    if rng.random() < 0.8:
        category = rng.choice(["laboratory", "vital-signs"])
        body["category"] = [{"coding": [{"system": CATEGORY, "code": category, "display": category.title()}]}]
    concept: dict[str, object] = {
        "coding": [{**({"system": s} if s else {}), "code": c, "display": c} for s, c in codings]
    }
    if not codings:
        concept = {"text": rng.choice(["BP", "Potassium, blood", "Éclair"])}
    body["code"] = concept
    reference = rng.choice([f"Patient/{patient}", f"http://elsewhere.example/fhir/Patient/{patient}"])
    body["subject"] = {"reference": reference}
    if rng.random() < 0.5:
        body["encounter"] = {"reference": rng.choice([f"Encounter/{patient}-e1", f"urn:uuid:{patient}-e1"])}
    when = rng.choice(["dateTime", "dateTime", "period", "open", "none"])
    date = rng.choice(DATES)
    if when == "dateTime":
        body["effectiveDateTime"] = date
    elif when == "period":
        body["effectivePeriod"] = {"start": "2022-01-01", "end": date}
    elif when == "open":
        body["effectivePeriod"] = {"start": date}
    if rng.random() < 0.3:
        body["issued"] = rng.choice([d for d in DATES if "T" in d])
    body["valueQuantity"] = loads(
        rng.choice(['{"value":1.10,"unit":"mg"}', '{"value":4,"unit":"mg"}', '{"value":1e2}'])
    )
    return dumps(body)


def charts() -> list[tuple[str, str, str | None, str]]:
    rng = random.Random(7)
    rows: list[tuple[str, str, str | None, str]] = []
    for id, mrn, given, family, birth in PEOPLE:
        person = {
            "resourceType": "Patient", "id": id, "identifier": [{"system": "urn:mrn", "value": mrn}],
            "name": [{"use": "official", "family": family, "given": given.split()}],
            "telecom": [{"system": "phone", "value": f"555-{mrn}"}, {"system": "email", "value": f"{id}@x.example"}],
            "gender": "female", "birthDate": birth, "address": [{"city": "São Paulo", "line": ["1 High St"]}],
        }  # fmt: skip
        rows.append(("Patient", id, id, dumps(person)))
        for number in range(45):
            raw = _observation(rng, id, number)
            rows.append(("Observation", f"{id}-o{number}", id, raw))
        condition = {
            "resourceType": "Condition", "id": f"{id}-c1", "subject": {"reference": f"Patient/{id}"},
            "clinicalStatus": {"coding": [{"code": "active"}]}, "code": {"coding": [{"system": "icd", "code": "I10"}]},
            "onsetDateTime": "2010-05-01", "recordedDate": "2010-06-01",
        }  # fmt: skip
        rows.append(("Condition", f"{id}-c1", id, dumps(condition)))
        del condition["id"]
        rows.append(("Condition", f"{id}-noid", id, dumps(condition)))
    rows.append(("Organization", "org1", None, '{"name":"Clinic","resourceType":"Organization","id":"org1"}'))
    return rows
