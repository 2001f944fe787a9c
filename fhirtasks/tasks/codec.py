"""A task as one line of canonical JSON and back, losslessly.

Canonical JSON holds no fractions (they would become floats), so ``gold`` and ``difficulty`` travel as JSON text in a
string: a gold of ``[1.10]`` is the string ``"[1.10]"`` and comes back as ``Decimal("1.10")``.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from fhirtasks.fhir.jsontext import canonical, dumps, loads
from fhirtasks.graph.scenario import Scenario
from fhirtasks.tasks.types import Task

_AS_TEXT = ("gold", "difficulty")
_OBJECTS = ("slots", "params")
_FIELDS = tuple(field.name for field in fields(Task))
_STRINGS = tuple(name for name in _FIELDS if name not in (*_AS_TEXT, *_OBJECTS, "patients", "scenario"))


def task_to_json(task: Task) -> str:
    """The task as canonical JSON text: sorted keys, no white space, nothing but strings, lists and objects."""
    value: dict[str, Any] = {name: getattr(task, name) for name in (*_STRINGS, *_OBJECTS)}
    for name in _AS_TEXT:
        value[name] = dumps(getattr(task, name))
    value["patients"] = list(task.patients)
    value["scenario"] = {"add": list(task.scenario.add), "hide": list(task.scenario.hide)}
    return canonical(value).decode()


def task_from_json(text: str | bytes) -> Task:
    """The task that :func:`task_to_json` wrote; ValueError names the field where the text is something else."""
    value = loads(text)
    if not isinstance(value, dict):
        raise ValueError("a task is a JSON object")
    if value.keys() != set(_FIELDS):
        wrong = sorted(value.keys() ^ set(_FIELDS))
        raise ValueError(f"a task has exactly the fields of Task; missing or unknown: {', '.join(wrong)}")
    for name in (*_STRINGS, *_AS_TEXT):
        if not isinstance(value[name], str):
            raise ValueError(f"task field {name} is not a string")
    for name in _OBJECTS:
        if not isinstance(value[name], dict) or not all(isinstance(item, str) for item in value[name].values()):
            raise ValueError(f"task field {name} is not an object of strings")
    scenario = value["scenario"]
    if not isinstance(scenario, dict) or scenario.keys() != {"add", "hide"}:
        raise ValueError("task field scenario has not exactly add and hide")
    value["scenario"] = Scenario(add=_strings(scenario["add"], "scenario"), hide=_strings(scenario["hide"], "scenario"))
    value["patients"] = _strings(value["patients"], "patients")
    for name in _AS_TEXT:
        value[name] = loads(value[name])
    return Task(**value)


def _strings(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"task field {name} is not a list of strings")
    return tuple(value)
