"""The floors of the ``code`` protocol: the same five ways of not thinking, in its own calls."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import TypeAlias

from fhirtasks.episodes.types import Answer, Call, Observation, PublicTask, Solver
from fhirtasks.fhir.jsontext import Json, loads

Steps: TypeAlias = Generator[Call, Observation, Answer]

_NUMBER = re.compile(r'"count":(\d+)')


def submission(kind: str, value: Json, unit: str = "") -> dict[str, Json]:
    """A typed answer that cites nothing."""
    return {"type": kind, "value": value, "unit": unit, "evidence": []}


def do_nothing(task: PublicTask) -> Steps:
    """Answers at once that there is nothing."""
    return submission("none", "no_matching_record")
    yield  # a generator, as every solver is


def constant(task: PublicTask) -> Steps:
    """Looks at the coverage, then says -1."""
    yield Call("coverage", {"patient": _whom(task)})
    return submission("integer", -1)


def echo(task: PublicTask) -> Steps:
    """Looks at the coverage, then answers with the first number that the prompt states, else with a text of it."""
    yield Call("coverage", {"patient": _whom(task)})
    values = [task.slots[name] for name in sorted(task.slots) if name != "patient"]
    for value in values:
        if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", value):
            return submission(
                "quantity" if "unit" in task.slots else "number", loads(value), task.slots.get("unit", "")
            )
    return submission("string", values[0] if values else "")


def call_everything(task: PublicTask) -> Steps:
    """Fetches every type that the coverage names, answers with the last number seen."""
    patient = _whom(task)
    seen = yield Call("coverage", {"patient": patient})
    told = loads(seen.body)
    numbers: list[str] = []
    for kind in told["types"] if isinstance(told, dict) and "types" in told else ():
        numbers += _NUMBER.findall((yield Call("fetch", {"patient": patient, "resource_type": kind})).body)
    return submission("integer", int(numbers[-1]) if numbers else 0)


def never_read(answers: Mapping[str, Answer]) -> Solver:
    """The family's most frequent answer, without a look."""

    def solve(task: PublicTask) -> Steps:
        found = answers.get(task.family)
        return dict(found) if isinstance(found, dict) else submission("none", "no_matching_record")
        yield

    return solve


def _whom(task: PublicTask) -> str:
    """The task's patient, or all of its patients where it has several."""
    return task.slots.get("patients", task.slots["patient"])


SOLVERS: dict[str, Solver] = {
    "do-nothing": do_nothing,
    "constant": constant,
    "echo": echo,
    "call-everything": call_everything,
}
"""Floors that need to know nothing of the tasks."""
