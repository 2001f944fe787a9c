"""The floors: what can be had without reading, or without thinking. Each is a solver of any family; none should pass.

A floor sees a PublicTask and what the episode shows, nothing else. Releases state what the floors reach on their tasks, and
evaluations print them beside every score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from typing import Final, TypeAlias
from urllib.parse import quote

from fhirtasks.episodes.types import Answer, Get, Observation, Post, PublicTask, Solver
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.tasks import floors_code
from fhirtasks.tasks.orders import orders
from fhirtasks.tasks.types import Task

Steps: TypeAlias = Generator[Get | Post, Observation, Answer]

FLOORS: Final = ("do-nothing", "never-read", "constant", "echo", "call-everything")

DICTATED: Final = ("record_blood_pressure", "referral_order")
"""Families whose prompt dictates the whole write."""

_UNKNOWN: Final[Mapping[str, Answer]] = {
    "patient_lookup": ["Patient not found"],
    "patient_age": [60],
    "latest_lab_in_window": [-1],
    "mean_lab_in_window": [-1],
    "latest_lab": [-1],
}
"""The guess where tasks do not tell their answers (a benchmark's file); for other families an empty list."""

_NUMBER = re.compile(r'"value"\s*:\s*(-?\d+(?:\.\d+)?)')


def floor(name: str, tasks: Iterable[Task]) -> Solver:
    """A floor over these tasks (whose most frequent answers ``never-read`` knows). UserError for another name."""
    if name == "never-read":
        return never_read(frequent_answers(tasks))
    solvers: dict[str, Solver] = {
        "do-nothing": do_nothing, "constant": constant, "echo": echo, "call-everything": call_everything,
    }  # fmt: skip
    if name not in solvers:
        raise UserError(f"There is no policy {name!r}; there are: expert, {', '.join(FLOORS)}, model.")
    return _by_protocol(solvers[name], floors_code.SOLVERS[name])


def _by_protocol(server: Solver, code: Solver) -> Solver:
    """The one for tasks of the ``code`` protocol, the other for all others."""
    return lambda task: code(task) if task.protocol == "code" else server(task)


def do_nothing(task: PublicTask) -> Steps:
    """Answers at once with an empty list."""
    return []
    yield  # a generator, as every solver is


def constant(task: PublicTask) -> Steps:
    """Reads once, then says -1."""
    yield Get(patient_search(task))
    return [-1]


def echo(task: PublicTask) -> Steps:
    """Reads once, then answers with the first number that the prompt states, else with a text of it."""
    yield Get(patient_search(task))
    values = [task.slots[name] for name in sorted(task.slots)]
    for value in values:
        if re.fullmatch(r"-?\d+(\.\d+)?", value):
            return [loads(value) if not re.match(r"-?0\d", value) else value]
    return values[:1]


def call_everything(task: PublicTask) -> Steps:
    """Reads a lot, places every order that the prompt speaks of, answers with the last number seen."""
    seen = ""
    found = yield Get(patient_search(task))
    patient = _first_patient(found) or task.slots.get("mrn", "unknown")
    code = {"code": task.slots["code"]} if "code" in task.slots else {}
    for resource_type, extra in (
        ("Observation", {**code, "_sort": "-date"}),
        ("MedicationRequest", {}),
        ("Condition", {}),
    ):
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in {"patient": patient, **extra}.items())
        seen += (yield Get(f"{task.base}{resource_type}?{query}")).body
    for order in orders(task, patient):  # noqa: UP028 (a list cannot be sent observations)
        yield order
    numbers = _NUMBER.findall(seen)
    return [loads(numbers[-1])] if numbers else []


def never_read(answers: Mapping[str, Answer]) -> Solver:
    """Makes the best of the prompt alone: a dictated write, else the family's most frequent answer."""

    def solve(task: PublicTask) -> Steps:
        if task.family in DICTATED:
            for order in orders(task, task.slots.get("mrn", "unknown")):  # noqa: UP028
                yield order
            return []
        found = answers.get(task.family, _UNKNOWN.get(task.family, []))
        return list(found) if isinstance(found, list) else []

    return _by_protocol(solve, floors_code.never_read(answers))


def frequent_answers(tasks: Iterable[Task]) -> dict[str, Answer]:
    """Family -> its most frequent answer (ties: the smallest JSON text), for tasks that tell theirs."""
    counts: dict[str, Counter[str]] = {}
    for task in tasks:
        if isinstance(task.gold, dict) and task.protocol == "code":
            counts.setdefault(task.family, Counter())[dumps({**task.gold, "evidence": []})] += 1
        elif isinstance(task.gold, list):
            counts.setdefault(task.family, Counter())[dumps(task.gold)] += 1
    return {family: loads(min(found, key=lambda text: (-found[text], text))) for family, found in counts.items()}


def patient_search(task: PublicTask) -> str:
    """The one search that every prompt allows: the patient, by what the prompt gives."""
    slots = task.slots
    if "mrn" in slots:
        return f"{task.base}Patient?identifier={quote(slots['mrn'], safe='')}"
    family = slots.get("name", "").split(" ")[-1]
    return f"{task.base}Patient?family={quote(family, safe='')}&birthdate={quote(slots.get('birthdate', ''), safe='')}"


def _first_patient(found: Observation) -> str | None:
    try:
        bundle: Json = loads(found.body)
        return str(bundle["entry"][0]["resource"]["id"])
    except (ValueError, KeyError, IndexError, TypeError):
        return None
