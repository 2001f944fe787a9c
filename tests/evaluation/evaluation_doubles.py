"""Hand-made patients, tasks and a small release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fhirtasks.graph.scenario import Scenario
from fhirtasks.tasks.codec import task_to_json
from fhirtasks.tasks.types import Task

NOW = "2023-11-13T10:15:00+00:00"


def patient(id: str, mrn: str, given: str, family: str, birthdate: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": id, "identifier": [{"value": mrn}], "birthDate": birthdate,
        "name": [{"use": "official", "given": [given], "family": family}],
    }  # fmt: skip


def lab(id: str, patient: str, code: str, quantity: tuple[float, str], at: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": id, "status": "final", "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": code}], "text": code}, "effectiveDateTime": at,
        "valueQuantity": {"value": quantity[0], "unit": quantity[1]},
    }  # fmt: skip


def chart(resources: list[dict[str, Any]]) -> list[tuple[str, str, str | None, str]]:
    rows: list[tuple[str, str, str | None, str]] = []
    for one in resources:
        owner = one["id"] if one["resourceType"] == "Patient" else one["subject"]["reference"].split("/")[1]
        rows.append((one["resourceType"], one["id"], owner, json.dumps(one, separators=(",", ":"))))
    return rows


RESOURCES = [
    patient("p1", "M1", "Ann", "Moe", "1950-02-03"),
    patient("p2", "M2", "Bo", "Ray", "1961-07-08"),
    lab("o1", "p1", "K", (4.1, "mmol/L"), "2023-11-12T08:00:00+00:00"),
    lab("o2", "p1", "K", (3.9, "mmol/L"), "2023-11-10T08:00:00+00:00"),
]


def task(id: str = "t1", family: str = "patient_age", **changes: Any) -> Task:
    values: dict[str, Any] = {
        "id": id, "family": family, "version": "1", "domain": "patients", "kind": "query", "mode": "clinical",
        "protocol": "text", "branch": "plain", "split": "test", "now": NOW, "instruction": "How old is M1?",
        "context": f"It is {NOW}.", "slots": {"mrn": "M1"}, "params": {}, "gold": [73], "patients": ("p1",),
        "scenario": Scenario(), "difficulty": {}, "seed": "s",
    }  # fmt: skip
    return Task(**(values | changes))


TASKS = [task("t1"), task("t2", branch="other", slots={"mrn": "M2"}, gold=[62], patients=("p2",)), task("t3")]


def write_release(folder: Path, tasks: list[Task]) -> Path:
    for name in ("rl", "charts"):
        (folder / name).mkdir(parents=True)
    rl = pa.table({"id": [one.id for one in tasks], "task": [task_to_json(one) for one in tasks]})
    pq.write_table(rl, folder / "rl" / "test-00000-of-00001.parquet")
    type_, id_, owner, raw = zip(*chart(RESOURCES), strict=True)
    columns = {"split": ["test"] * len(id_), "type": type_, "id": id_, "patient": owner, "raw": raw}
    pq.write_table(pa.table(columns), folder / "charts" / "test-00000-of-00001.parquet")
    return folder


BENCHMARK_ROWS = [
    {"id": "task1_1", "instruction": "MRN of the one with name Ann Moe and DOB of 1950-02-03?", "context": "",
     "sol": ["S1"], "eval_MRN": "S1"},
    {"id": "task2_1", "instruction": "How old is S1?", "context": f"It is {NOW}.", "eval_MRN": "S1"},
    {"id": "task3_1", "instruction": "S1 has 118/77 mmHg.", "context": f"It is {NOW}. BP", "eval_MRN": "S1"},
    {"id": "task7_1", "instruction": "Latest CBG of S1?", "context": f"It is {NOW}. GLU", "eval_MRN": "S1"},
]  # fmt: skip
