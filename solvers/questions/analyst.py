"""How an expert works: coverage, fetching what is there, one or two pieces of Python, a typed answer.

A type that coverage does not name is not fetched, and what no fetched resource has is not followed.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from fhirtasks.episodes.types import Call, Observation, PublicTask, Solver
from fhirtasks.fhir.jsontext import Json, dumps, loads
from solvers.questions.recovery import BY_LABEL, EVERYTHING, MANY, MISNAMED, Stumble, broken, stumble

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

def own_name(m):
    named = [i.get("value") for i in m.get("identifier", []) if i.get("system", "").endswith("medication-name")]
    first = (codings(m) or [{}])[0]
    return (named or [None])[0] or (m.get("code") or {}).get("text") or first.get("display")

def medication_name(m, known):
    if own_name(m):
        return own_name(m)
    parts = [known.get(ref_id(part, "itemReference")) for part in m.get("ingredient", [])]
    parts = [own_name(part) or (codings(part) or [{}])[0].get("code") for part in parts if part]
    return " + ".join(parts) if parts else (codings(m) or [{}])[0].get("code") or ""

def drug_of(r):
    known = medications
    if "contained" in r:
        known = {**medications, **{m["id"]: m for m in r["contained"]}}
    ref = (r.get("medicationReference") or {}).get("reference", "")
    if ref:
        return medication_name(known.get(ref.split("/")[-1].split(":")[-1].lstrip("#"), {}), known)
    concept = r.get("medicationCodeableConcept") or {}
    first = (concept.get("coding") or [{}])[0]
    return concept.get("text") or first.get("display") or first.get("code") or ""
medications = {m["id"]: m for m in resources.get("Medication", [])}

def answer(kind, value, rows, unit=""):
    evidence = sorted({r["resourceType"] + "/" + r["id"] for r in rows})[:10]
    print("ANSWER " + json.dumps({"type": kind, "value": value, "unit": unit, "evidence": evidence}))
"""
"""What the experts' code may use; only the functions that a piece of code names are put before it."""

EFFECTIVE = '"effectiveDateTime", "effectivePeriod.start", "effectiveInstant"'


@dataclass(frozen=True, slots=True)
class Expert:
    """``types`` (``{slot}``: the type that the slot names) are fetched, then references followed (type and element, where such
    were fetched), then ``code`` is run.

    Code finds the question's slots in a dict ``q``. It ends with ``answer(type, value, rows, unit)``; code that needs more first
    prints a line ``FETCH [references]``, a few, which are fetched before the next piece.
    """

    types: tuple[str, ...]
    code: tuple[str, ...]
    follow: tuple[tuple[str, str], ...] = ()
    may_lack: bool = False
    """Whether the type itself is what may be lacking: a fetch then tells whether the server has any of it."""


DRUGS = (("MedicationRequest", "medicationReference"), ("Medication", "ingredient.itemReference"))
"""Where the names of ordered drugs are."""


def solver(expert: Expert) -> Solver:
    """The expert as a solver of its family's tasks."""

    def solve(task: PublicTask) -> Generator[Call, Observation, dict[str, Json]]:
        patient = task.slots.get("patients", task.slots["patient"])
        slip = stumble(task.id)
        if slip == "wrong type" and expert.types and expert.types[0] in MISNAMED:
            yield Call("fetch", {"patient": patient, "resource_type": MISNAMED[expert.types[0]]})
            slip = None
        seen = yield Call("coverage", {"patient": patient})
        if seen.status == 404:
            return none("unknown_subject")
        counts = _counts(seen)
        held: dict[str, Json] = {}
        for kind in (one.format_map(task.slots) for one in expert.types):
            if expert.may_lack and counts is not None and kind not in counts:
                told = _told((yield Call("fetch", {"patient": patient, "resource_type": kind})))
                return none("no_matching_record" if told.get("on_server") else "not_recorded")
            if counts is None or kind in counts:
                seen = yield Call("fetch", {"patient": patient, "resource_type": kind})
                held[kind] = _told(seen).get("keys")
        for kind, element in expert.follow:
            keys = held.get(kind)
            if isinstance(keys, list) and element.partition(".")[0] in keys:
                found = _told((yield Call("follow", {"resource_type": kind, "element": element}))).get("keys")
                held |= found if isinstance(found, dict) else {}
        output = ""
        for piece in expert.code:
            code = program(piece, task.slots)
            if slip is not None:
                there = {kind: (counts or {}).get(kind, 0) for kind in held}
                yield from _stumbling(slip, task, patient, code, there)
                slip = None
            seen = yield Call("execute_python", {"code": code})
            output = _output(seen)
            wanted = _line(output, "FETCH ")
            if isinstance(wanted, list) and wanted:
                yield Call("fetch_references", {"references": wanted})
        answer = _line(output, "ANSWER ")
        return answer if isinstance(answer, dict) else none("not_recorded")

    return solve


def none(reason: str) -> dict[str, Json]:
    """The answer that there is none, resting on no resource."""
    return {"type": "none", "value": reason, "unit": "", "evidence": []}


def _stumbling(
    slip: Stumble, task: PublicTask, patient: str, code: str, held: dict[str, int]
) -> Generator[Call, Observation, None]:
    """The faulty call before the right one, and what one looks at to put it right."""
    kind = max(held, key=lambda one: held[one], default="")
    if slip == "too wide" and held.get(kind, 0) >= MANY:
        yield Call("execute_python", {"code": EVERYTHING.strip().format(type=kind) + "\n"})
    elif slip == "wrong code" and held and {"code", "label"} <= task.slots.keys():
        slots = dumps({"label": task.slots["label"]})
        yield Call("execute_python", {"code": BY_LABEL.strip().format(slots=slots, type=next(iter(held))) + "\n"})
        yield Call("coverage", {"patient": patient})
    else:
        yield Call("execute_python", {"code": broken(code, task.id)})


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


def _told(seen: Observation) -> dict[str, Json]:
    value = loads(seen.body) if seen.body else {}
    return value if isinstance(value, dict) else {}


def _counts(seen: Observation) -> dict[str, int] | None:
    """How many resources of each type the record holds; None where coverage was refused."""
    types = _told(seen).get("types")
    if not isinstance(types, dict):
        return None
    counts = {kind: about.get("count") for kind, about in types.items() if isinstance(about, dict)}
    return {kind: count for kind, count in counts.items() if isinstance(count, int)}


def _output(seen: Observation) -> str:
    text = _told(seen).get("output")
    return text if isinstance(text, str) else ""


def _line(output: str, mark: str) -> Json:
    for line in reversed(output.splitlines()):
        if line.startswith(mark):
            return loads(line.removeprefix(mark))
    return None
