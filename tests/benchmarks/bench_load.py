"""Loading against parsing: ``load()`` to disk, edges and all, beside ``orjson.loads`` of the same lines, untouched.

    python tests/benchmarks/bench_load.py --megabytes 50|500 [--rounds N]

The records are generated: NDJSON in the shapes of Synthea's R4 export (Patient with US Core extensions, Encounter, Condition,
Observation as laboratory value, vital sign and blood pressure panel, MedicationRequest), the same bytes every time. Each round
runs the reference before and after the load; a round whose two references differ by more than 15 % is done again (at most
twice as many rounds). The ratio of a round is bytes per second of the load over those of the references' mean. Results are
discarded line by line, so that no garbage collection is measured. Exits 1 if the median ratio is under the gate.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa  # the loader's own import, warmed before the clock starts

from fhirtasks.graph.load import load

GATES = {50: 0.20, 500: 0.30}
LABS = (
    ("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%"),
    ("2339-0", "Glucose [Mass/volume] in Blood", "mg/dL"),
    ("6298-4", "Potassium [Moles/volume] in Blood", "mmol/L"),
    ("38483-4", "Creatinine [Mass/volume] in Blood", "mg/dL"),
    ("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL"),
    ("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL"),
)
VITALS = (("8302-2", "Body Height", "cm"), ("29463-7", "Body Weight", "kg"), ("8867-4", "Heart rate", "/min"))
PROBLEMS = (("44054006", "Diabetes mellitus type 2 (disorder)"), ("59621000", "Essential hypertension (disorder)"))
DRUGS = (
    ("860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet"),
    ("314076", "lisinopril 10 MG Oral Tablet"),
)
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"


def concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def patient(rng: random.Random) -> Iterator[dict[str, Any]]:
    """One patient's records, about 400 resources."""

    def new_id() -> str:
        return str(uuid.UUID(int=rng.getrandbits(128)))

    me = new_id()
    given, family = f"{rng.choice(('Ana', 'Luis', 'Mia', 'Otto'))}{rng.randrange(999)}", f"Hirthe{rng.randrange(999)}"
    yield {
        "resourceType": "Patient", "id": me, "meta": {"profile": [US_CORE + "us-core-patient"]},
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{given} {family}</div>'},
        "extension": [
            {"url": US_CORE + name, "extension": [
                {"url": "ombCategory", "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}},
                {"url": "text", "valueString": "White"}]}
            for name in ("us-core-race", "us-core-ethnicity")
        ],
        "identifier": [
            {"system": "https://github.com/synthetichealth/synthea", "value": me},
            {"type": concept(TERMINOLOGY + "v2-0203", "MR", "Medical Record Number"),
             "system": "http://hospital.smarthealthit.org", "value": me},
        ],
        "name": [{"use": "official", "family": family, "given": [given], "prefix": ["Mrs."]}],
        "telecom": [{"system": "phone", "value": f"555-{rng.randrange(1000):03}-{rng.randrange(10000):04}", "use": "home"}],
        "gender": "female", "birthDate": f"{rng.randrange(1930, 2010)}-0{rng.randrange(1, 10)}-{rng.randrange(10, 29)}",
        "address": [{"line": [f"{rng.randrange(999)} Bauch Ramp"], "city": "Boston", "state": "MA", "country": "US"}],
    }  # fmt: skip
    for visit in range(20):
        encounter, practitioner = new_id(), new_id()
        start = f"{2004 + visit}-0{rng.randrange(1, 10)}-{rng.randrange(10, 29)}T{rng.randrange(10, 23)}:13:15-05:00"
        subject, context = {"reference": f"Patient/{me}"}, {"reference": f"Encounter/{encounter}"}
        yield {
            "resourceType": "Encounter", "id": encounter, "meta": {"profile": [US_CORE + "us-core-encounter"]},
            "status": "finished", "class": {"system": TERMINOLOGY + "v3-ActCode", "code": "AMB"},
            "type": [concept("http://snomed.info/sct", "162673000", "General examination of patient (procedure)")],
            "subject": {**subject, "display": f"Mrs. {given} {family}"},
            "participant": [{"individual": {"reference": f"Practitioner/{practitioner}", "display": "Dr. Lang"}}],
            "period": {"start": start, "end": start.replace(":13:15", ":43:15")},
            "serviceProvider": {"reference": f"Organization/{practitioner}", "display": "PCP1401"},
        }  # fmt: skip
        if visit % 5 == 0:
            yield {
                "resourceType": "Condition", "id": new_id(), "meta": {"profile": [US_CORE + "us-core-condition"]},
                "clinicalStatus": {"coding": [{"system": TERMINOLOGY + "condition-clinical", "code": "active"}]},
                "verificationStatus": {"coding": [{"system": TERMINOLOGY + "condition-ver-status", "code": "confirmed"}]},
                "category": [concept(TERMINOLOGY + "condition-category", "encounter-diagnosis", "Encounter Diagnosis")],
                "code": concept("http://snomed.info/sct", *rng.choice(PROBLEMS)),
                "subject": subject, "encounter": context, "onsetDateTime": start, "recordedDate": start,
            }  # fmt: skip
        for _ in range(3):
            yield {
                "resourceType": "MedicationRequest", "id": new_id(),
                "meta": {"profile": [US_CORE + "us-core-medicationrequest"]}, "status": "active", "intent": "order",
                "medicationCodeableConcept": concept("http://www.nlm.nih.gov/research/umls/rxnorm", *rng.choice(DRUGS)),
                "subject": subject, "encounter": context, "authoredOn": start,
                "requester": {"reference": f"Practitioner/{practitioner}", "display": "Dr. Lang"},
                "dosageInstruction": [{
                    "sequence": 1, "text": "Take at regular times.", "asNeededBoolean": False,
                    "timing": {"repeat": {"frequency": 1, "period": 1.0, "periodUnit": "d"}},
                    "doseAndRate": [{"type": {"coding": [{"system": TERMINOLOGY + "dose-rate-type", "code": "ordered"}]},
                                     "doseQuantity": {"value": 1.0}}],
                }],
            }  # fmt: skip
        for _ in range(15):
            shape = rng.randrange(10)
            about = rng.choice(LABS) if shape < 6 else rng.choice(VITALS)
            category = "laboratory" if shape < 6 else "vital-signs"
            observation = {
                "resourceType": "Observation", "id": new_id(),
                "meta": {"profile": [US_CORE + "us-core-observation-lab"]}, "status": "final",
                "category": [{"coding": [{
                    "system": TERMINOLOGY + "observation-category", "code": category, "display": category}]}],
                "code": concept("http://loinc.org", about[0], about[1]),
                "subject": subject, "encounter": context, "effectiveDateTime": start,
                "issued": start.replace(":15-", ":15.716-"),
            }  # fmt: skip
            if shape == 9:
                observation["code"] = concept("http://loinc.org", "85354-9", "Blood pressure panel")
                observation["component"] = [
                    {"code": concept("http://loinc.org", code, f"{display} Blood Pressure"),
                     "valueQuantity": quantity(rng.randrange(60, 180), "mm[Hg]")}
                    for code, display in (("8462-4", "Diastolic"), ("8480-6", "Systolic"))
                ]  # fmt: skip
            else:
                observation["valueQuantity"] = quantity(round(rng.random() * 200, rng.randrange(5)), about[2])
            yield observation


def quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}


def generate(folder: Path, megabytes: int) -> list[Path]:
    """Writes one NDJSON file per type, ``megabytes`` (10**6 bytes) in all."""
    rng, size, files = random.Random(megabytes), 0, {}
    while size < megabytes * 1_000_000:
        for resource in patient(rng):
            kind = resource["resourceType"]
            if kind not in files:
                files[kind] = (folder / f"{kind}.ndjson").open("wb")
            size += files[kind].write(orjson.dumps(resource) + b"\n")
    for file in files.values():
        file.close()
    return sorted(folder.iterdir())


def reference(files: list[Path]) -> float:
    """Seconds of ``orjson.loads`` over every line of the files, the reading of the file included as in the load."""
    start = time.perf_counter()
    for path in files:
        with path.open("rb") as file:
            for line in file:
                orjson.loads(line)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--megabytes", type=int, default=50, help="size of the NDJSON, 10**6 bytes (50 or 500 have gates)"
    )
    parser.add_argument("--rounds", type=int, help="default: 5, or 3 for 500 MB")
    arguments = parser.parse_args()
    megabytes = arguments.megabytes
    rounds = arguments.rounds or (3 if megabytes >= 500 else 5)
    gate = GATES.get(megabytes)
    print(
        f"python {platform.python_version()}, duckdb {duckdb.__version__}, orjson {orjson.__version__}, pyarrow {pa.__version__}"
    )
    with tempfile.TemporaryDirectory() as place:
        records, graph = Path(place, "records"), Path(place, "graph.duckdb")
        records.mkdir()
        files = generate(records, megabytes)
        size = sum(file.stat().st_size for file in files)
        load([str(files[-1])], graph)
        ratios: list[float] = []
        tried = 0
        print("round    load s   load MB/s   orjson MB/s (before, after)   ratio   load average")
        while len(ratios) < rounds and tried < 2 * rounds:
            tried += 1
            graph.unlink()
            before = reference(files)
            start = time.perf_counter()
            report = load([str(records)], graph)
            seconds = time.perf_counter() - start
            after = reference(files)
            steady = abs(before - after) <= 0.15 * max(before, after)
            ratio = (before + after) / 2 / seconds
            print(
                f"{tried:5} {seconds:9.2f} {size / seconds / 1e6:11.0f} {size / before / 1e6:19.0f} {size / after / 1e6:9.0f}"
                f" {ratio:7.3f} {os.getloadavg()[0]:14.1f}{'' if steady else '   (unsteady, done again)'}",
                flush=True,
            )
            if steady or tried + rounds - len(ratios) > 2 * rounds:
                ratios.append(ratio)
        stored = graph.stat().st_size
    ratio = statistics.median(ratios)
    print(
        f"{sum(report.resources.values()):,} resources, {size / 1e6:.0f} MB; graph {stored / size:.2f} of the NDJSON's bytes"
    )
    print(f"median ratio to orjson.loads {ratio:.3f}" + (f", gate {gate:.2f}" if gate is not None else ""))
    return 0 if gate is None or ratio >= gate else 1


if __name__ == "__main__":
    sys.exit(main())
