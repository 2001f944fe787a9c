"""MedAgentBench's public task file: its rows, and each row as a compat task.

One reader for evaluation and for holdouts alike. The family comes from the row's id, never from its text; the public
grader's constants are data (medagentbench.json, cited there).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import dumps
from fhirtasks.graph.scenario import Scenario
from fhirtasks.service.service import BASE
from fhirtasks.tasks.types import Task

BRANCH: Final = "benchmark"
"""The branch of every benchmark task: which case a row is depends on the server's data, and the file does not say."""

_ID = re.compile(r"(task\d+)_\d+")
_NAME = re.compile(
    r"\bname(?:d|\s+(?:of|is))?\s+(.+?),?\s+(?:and|with|born)\b.{0,40}?\b(\d{4}-\d{2}-\d{2})\b",
    re.IGNORECASE | re.DOTALL,
)
_QUOTED = re.compile(r'"(.+)"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """One row of a task file. ``mrn`` is None where the row names no existing patient; ``sol`` is a stored answer.

    ``name`` and ``birthdate`` are those by which the instruction names the patient, None where it does not.
    """

    id: str
    instruction: str
    context: str
    mrn: str | None
    sol: tuple[str, ...] | None
    name: str | None
    birthdate: str | None

    @property
    def key(self) -> str | None:
        """``task1`` … ``task10`` by the id; None for an id of another form."""
        match = _ID.fullmatch(self.id)
        return match.group(1) if match else None


@cache
def constants() -> Mapping[str, Any]:
    """The benchmark's constants: ``now``, and ``families`` by the key of the ids."""
    loaded: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return loaded


def reported_as(row_id: str) -> Literal["query", "action"] | None:
    """Which of the benchmark's two success rates a task counts in; None for an id that is not the benchmark's."""
    match = _ID.fullmatch(row_id)
    entry = constants()["families"].get(match.group(1)) if match else None
    return None if entry is None else entry["report"]


def read_tasks(path: Path) -> list[BenchmarkRow]:
    """The rows of a task file, in its order. UserError names the row and the field where something is wrong."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"There is no task file {path}; give a release folder, or a benchmark's JSON file.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give the benchmark's JSON task file.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; give the benchmark's JSON task file.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not JSON ({error}); give the benchmark's task file, a JSON list of rows."
        ) from error
    if not isinstance(rows, list) or not rows:
        raise UserError(
            f"{path} holds no list of tasks; a task file is a JSON list of rows with id, instruction and context."
        )
    found = [_row(path, number, row) for number, row in enumerate(rows, 1)]
    seen: set[str] = set()
    for row in found:
        if row.id in seen:
            raise UserError(f"{path}: the id {row.id!r} occurs twice; every task needs its own.")
        seen.add(row.id)
    return found


def to_task(row: BenchmarkRow) -> Task:
    """The row as a compat task whose ``params`` are the public grader's constants. UserError for an unknown family."""
    key = row.key
    entry = constants()["families"].get(key)
    if entry is None:
        raise UserError(f"The task {row.id!r} is of no family of the benchmark: its ids begin with task1_ to task10_.")
    now = constants()["now"]
    mrn = row.mrn or ""
    params = {"patient": mrn, "mrn": mrn, "now": now, "base": BASE, **entry["params"]}
    slots = dict(entry["slots"])
    if key == "task1":
        if row.sol is None or row.name is None or row.birthdate is None:
            raise UserError(f"The task {row.id!r} needs sol, and a name and a birth date in its instruction.")
        params["sol"] = dumps(list(row.sol))
        slots |= {"name": row.name, "birthdate": row.birthdate}
    elif not mrn:
        raise UserError(f"The task {row.id!r} has no eval_MRN, which says whose chart is asked about.")
    else:
        slots["mrn"] = mrn
    if key == "task8":
        params["text"] = slots["text"] = _quoted(row)
    return Task(
        id=row.id, family=entry["family"], version="medagentbench", domain=entry["domain"], kind=entry["kind"],
        mode="compat", protocol="text", branch=BRANCH, split="test", now=now,
        instruction=row.instruction, context=row.context, slots=slots, params=params,
        gold=list(row.sol) if row.sol is not None else None, patients=(mrn,) if mrn else (),
        scenario=Scenario(), difficulty={}, seed="",
    )  # fmt: skip


def _row(path: Path, number: int, row: object) -> BenchmarkRow:
    where = f"{path}: row {number}"
    if not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object; a row has id, instruction, context and mostly eval_MRN.")
    for field in ("id", "instruction"):
        if not isinstance(row.get(field), str) or not row[field]:
            raise UserError(f"{where} has no text in {field!r}; every row needs id and instruction.")
    context, mrn, sol = row.get("context", ""), row.get("eval_MRN"), row.get("sol")
    if not isinstance(context, str):
        raise UserError(f"{where} ({row['id']}): context is no text.")
    if mrn is not None and (not isinstance(mrn, str) or not mrn):
        raise UserError(f"{where} ({row['id']}): eval_MRN is no text.")
    if sol is not None and (not isinstance(sol, list) or not all(isinstance(item, str) for item in sol)):
        raise UserError(f"{where} ({row['id']}): sol is no list of texts.")
    named = _NAME.search(row["instruction"])
    return BenchmarkRow(
        id=row["id"],
        instruction=row["instruction"],
        context=context,
        mrn=mrn,
        sol=None if sol is None else tuple(sol),
        name=named.group(1) if named else None,
        birthdate=named.group(2) if named else None,
    )


def _quoted(row: BenchmarkRow) -> str:
    match = _QUOTED.search(row.instruction)
    if match is None:
        raise UserError(f"The task {row.id!r} needs the referral's free text in double quotes in its instruction.")
    return match.group(1)
