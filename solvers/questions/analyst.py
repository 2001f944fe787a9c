"""How an expert works: coverage, fetching, one or two pieces of Python, a typed answer."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from fhirtasks.episodes.types import Call, Observation, PublicTask, Solver
from fhirtasks.fhir.jsontext import Json, dumps, loads

HELPERS = """
import json

def when(r, *names):
    for name in names:
        value = r
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value[:19]
    return ""

def codings(r, name="code"):
    concept = r.get(name) or {}
    concept = concept[0] if isinstance(concept, list) else concept
    return concept.get("coding", [])

def has_code(r, code, name="code"):
    return any(c.get("code") == code for c in codings(r, name))

def ref_id(r, name):
    return ((r.get(name) or {}).get("reference") or "").split("/")[-1].split(":")[-1]

def answer(kind, value, rows, unit=""):
    evidence = sorted({r["resourceType"] + "/" + r["id"] for r in rows})
    print("ANSWER " + json.dumps({"type": kind, "value": value, "unit": unit, "evidence": evidence}))
"""
"""What the experts' code may use; only the functions that a piece of code names are put before it."""

EFFECTIVE = '"effectiveDateTime", "effectivePeriod.start", "effectiveInstant"'


@dataclass(frozen=True, slots=True)
class Expert:
    """``types`` are fetched first, then each piece of ``code`` is run.

    Code finds the question's slots in a dict ``q``. It ends with ``answer(type, value, rows, unit)``; code that needs more first
    prints a line ``FETCH [references]`` (they are fetched before the next piece) . ``says`` is said beside the first call.
    """

    types: tuple[str, ...]
    code: tuple[str, ...]
    says: str = ""


def solver(expert: Expert) -> Solver:
    """The expert as a solver of its family's tasks."""

    def solve(task: PublicTask) -> Generator[Call, Observation, dict[str, Json]]:
        patient = task.slots["patient"]
        yield Call("coverage", {"patient": patient})
        for kind in expert.types:
            yield Call("fetch", {"patient": patient, "resource_type": kind})
        output = ""
        for piece in expert.code:
            seen = yield Call("execute_python", {"code": program(piece, task.slots)})
            output = _output(seen)
            wanted = _line(output, "FETCH ")
            if isinstance(wanted, list) and wanted:
                yield Call("fetch_references", {"references": wanted})
        found = _line(output, "ANSWER ")
        return (
            found if isinstance(found, dict) else {"type": "none", "value": "not_recorded", "unit": "", "evidence": []}
        )

    return solve


def program(piece: str, slots: dict[str, str]) -> str:
    """The code as it is sent: the helpers that it names, the slots, the piece."""
    asked = {name: value for name, value in slots.items() if f'q["{name}"]' in piece}
    blocks = HELPERS.strip().split("\n\n")
    used = [blocks[0]]
    wanted = piece
    for block in reversed(blocks[1:]):
        if f"{block[4 : block.index('(')]}(" in wanted:
            used.insert(1, block)
            wanted += block
    lines = [*used, f"q = {dumps(asked)}" if asked else "", piece.strip()]
    return "\n\n".join(line for line in lines if line) + "\n"


def _output(seen: Observation) -> str:
    value = loads(seen.body) if seen.body else {}
    text = value.get("output") if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def _line(output: str, mark: str) -> Json:
    for line in reversed(output.splitlines()):
        if line.startswith(mark):
            return loads(line.removeprefix(mark))
    return None
