"""Hand-made patients, tasks and a small release; doubles of an expert, a judge and models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fhirtasks.episodes.types import Episode, Finish, Get, Message, PublicTask
from fhirtasks.evaluation.models import InfrastructureError, Policy, Speaker
from fhirtasks.fhir.jsontext import loads
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.tasks.codec import task_to_json
from fhirtasks.tasks.types import Check, Task, Verdict

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
    manifest = {"format": 2, "graph": "0" * 64, "sources": [{"name": f"records of {folder.name}"}]}
    (folder / "manifest.json").write_text(json.dumps(_MEMBERS | manifest), encoding="utf-8")
    return folder


_MEMBERS = {
    "files": {}, "splits": {}, "families": {}, "versions": {}, "options": {}, "row_sets": {}, "dropped": {}, "unsupported": {},
    "lengths": {}, "notes": [], "kept": 0,
}  # fmt: skip
"""What every manifest has besides."""


BENCHMARK_ROWS = [
    {"id": "task1_1", "instruction": "MRN of the one with name Ann Moe and DOB of 1950-02-03?", "context": "",
     "sol": ["S1"], "eval_MRN": "S1"},
    {"id": "task2_1", "instruction": "How old is S1?", "context": f"It is {NOW}.", "eval_MRN": "S1"},
    {"id": "task3_1", "instruction": "S1 has 118/77 mmHg.", "context": f"It is {NOW}. BP", "eval_MRN": "S1"},
    {"id": "task7_1", "instruction": "Latest CBG of S1?", "context": f"It is {NOW}. GLU", "eval_MRN": "S1"},
]  # fmt: skip


def expert(task: PublicTask) -> Any:
    """Ages, by reading; breaks down on anybody else's family."""
    seen = yield Get(f"{task.base}Patient?identifier={task.slots['mrn']}")
    birthdate = loads(seen.body)["entry"][0]["resource"]["birthDate"]
    return [int(task.now[:4]) - int(birthdate[:4]) - (task.now[5:10] < birthdate[5:10])]


def judge(task: Task, episode: Episode, world: World, truth: Any = None) -> Verdict:
    """The gold answer, given by an episode that read something."""
    last = episode.turns[-1].action if episode.turns else None
    right = isinstance(last, Finish) and last.answer == task.gold
    read = any(isinstance(turn.action, Get) for turn in episode.turns)
    return Verdict.of(
        [Check("completed", episode.status == "completed"), Check("answer", right), Check("evidence", read)]
    )


class Speaking:
    """Models by name, each with the ids of the tasks that it answers right after reading; ``asked`` has whom and what."""

    def __init__(self, **right: set[str]) -> None:
        self.right, self.asked = right, list[tuple[str, str]]()

    def policy(self, name: str) -> Policy:
        """The model as an endpoint; ids that begin with ``down`` cannot be asked of one named ``flaky``."""
        model = Path(name).name

        def say(task: PublicTask, messages: Sequence[Message]) -> str:
            if len(messages) == 1:
                self.asked.append((model, task.id))
                return f"GET {task.base}Patient?identifier={task.slots['mrn']}"
            if model == "flaky" and task.id.startswith("down"):
                raise InfrastructureError("down")
            age = 73 if task.slots["mrn"] == "M1" else 62
            return f"FINISH([{age if task.id in self.right[model] else 0}])"

        return say

    def speaker(self, name: str, batch: int = 1, max_tokens: int | None = None) -> Speaker:
        """The model as a local one."""
        policy = self.policy(name)
        return Speaker(lambda asked: [policy(*one) for one in asked], batch)
