"""FHIR-AgentBench's public table as tasks of the ``code`` protocol: one question per row, about one patient.

The benchmark's prompts are not needed: the question and its assumption come from the user's file, the tools are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fhirtasks.benchmarks.fhir_agentbench import COLUMNS, literal
from fhirtasks.benchmarks.files import rows
from fhirtasks.benchmarks.shapes import leaves
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import dumps
from fhirtasks.graph.scenario import Scenario
from fhirtasks.tasks.types import Task

FAMILY: Final = "fhir_agentbench"

_NEEDED: Final = (*sorted(COLUMNS), "true_fhir_ids")
_CLOCK = re.compile(r"\b(\d{4}-12-31) (\d{2}:\d{2}:\d{2})\b")
_FORM = "Answer with the type that fits the question; several values are a list."
_LATE = "9000-01-01T00:00:00+00:00"
"""The clock of a row that states none: after every record, so that nothing is told to lie ahead."""


def is_table(path: Path) -> bool:
    """Whether a file's first line has the benchmark's columns."""
    try:
        with path.open("rb") as file:
            head = file.readline(1 << 16)
    except OSError:
        return False
    return set(head.decode("utf-8-sig", "ignore").strip().replace('"', "").split(",")) >= COLUMNS


def read_tasks(path: Path) -> list[Task]:
    """The table's rows as tasks, in its order. UserError names the row and the column where something is wrong."""
    try:
        with path.open("rb") as file:
            found = [to_task(path.name, number, row) for number, row in enumerate(_rows(file, path), 1)]
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}; give the benchmark's table.") from None
    if not found:
        raise UserError(f"{path} holds no questions; give the benchmark's table as published.")
    seen: set[str] = set()
    for task in found:
        if task.id in seen:
            raise UserError(f"{path}: the question_id {task.id!r} occurs twice; every question needs its own.")
        seen.add(task.id)
    return found


def to_task(source: str, number: int, row: Mapping[str, Any]) -> Task:
    """A row as a task; its ``params`` hold the answer as printed and, as JSON text, the resources that bear it."""
    missing = [name for name in _NEEDED if name not in row]
    if missing:
        raise UserError(f"{source} has no column {missing[0]!r}; give the benchmark's table as published.")
    texts = {name: str(row.get(name) or "").strip() for name in (*_NEEDED, "assumption", "sql_query")}
    for name in ("question_id", "question", "patient_fhir_id"):
        if not texts[name]:
            raise UserError(f"{source}, row {number}: no text in {name!r}; give the benchmark's table as published.")
    patient = texts["patient_fhir_id"]
    clock = _CLOCK.search(texts["assumption"]) or _CLOCK.search(texts["sql_query"])
    ids = literal(texts["true_fhir_ids"])
    if ids and not isinstance(ids, Mapping):
        raise UserError(f"{source}, row {number}: true_fhir_ids is no object of type to ids.")
    bearing = sorted(f"{kind}/{one}" for kind, found in (ids or {}).items() for one in leaves(found))
    context = f"The patient's FHIR id is {patient}. {texts['assumption']}".strip() + f" {_FORM}"
    return Task(
        id=texts["question_id"], family=FAMILY, version="fhir_agentbench", domain=FAMILY, kind="query",
        mode="clinical", protocol="code", branch="+".join(sorted(ids or ())) or "no answer", split="test",
        now=f"{clock[1]}T{clock[2]}+00:00" if clock else _LATE, instruction=texts["question"], context=context,
        slots={"patient": patient}, gold=None, patients=(patient,), scenario=Scenario(), difficulty={}, seed="",
        params={"answer": texts["true_answer"], "ids": dumps(list(bearing))},
    )  # fmt: skip


def _rows(file: Any, path: Path) -> Any:
    return rows(file, "csv", path.name, strict=True)
