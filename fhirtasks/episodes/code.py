"""The ``code`` protocol: fetch resources, compute over them in a sandbox, submit a typed answer.

Tool calls travel as in the ``tools`` protocol. Fetched resources stay until the episode ends, merged by id; a run of Python
gets them anew each time, so that what it does to them is not kept. Errors name the remedy and end nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from fhirtasks.episodes import chart
from fhirtasks.episodes.text import exact, prompt
from fhirtasks.episodes.tools import assistant_message, raw_message
from fhirtasks.episodes.types import (
    Action,
    Call,
    Episode,
    EpisodeStatus,
    Finish,
    Invalid,
    Message,
    Observation,
    PublicTask,
    ToolCall,
    Turn,
)
from fhirtasks.fhir.jsontext import Json, dumps
from fhirtasks.sandbox.execution import Execution
from fhirtasks.service.service import Service
from fhirtasks.service.table import Record

SCHEMAS: Final[tuple[dict[str, Any], ...]] = tuple(
    json.loads(Path(__file__).with_name("code_tools.json").read_text(encoding="utf-8"))
)
_EMBEDDED: Final = (
    "There are no files and no network; json, re, math, datetime, collections, itertools, functools and decimal can be "
    "imported; classes cannot inherit, and there are no generators."
)
_CPYTHON: Final = (
    "There are no files, no network, no threads and no processes; all of Python's standard library can be imported."
)
CPYTHON_SCHEMAS: Final[tuple[dict[str, Any], ...]] = tuple(
    json.loads(json.dumps(schema).replace(_EMBEDDED, _CPYTHON)) for schema in SCHEMAS
)
"""The schemas where full CPython runs the code: one tool can do more."""

PARAMETERS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    schema["function"]["name"]: schema["function"]["parameters"]["properties"] for schema in SCHEMAS
}
"""Tool -> parameter -> its schema; every parameter is required."""

ROUNDS: Final = 24
"""Assistant messages that an episode may have."""
REFERENCES: Final = 200
"""References that one call may name."""
FOLLOWED: Final = 2_000
"""References that following one element may lead to."""
IDS_SHOWN: Final = 20

Runner = Callable[[str, Mapping[str, str]], Execution]
"""Runs code with these names bound, each given as JSON text."""


class CodeEnvironment:
    """One episode of the ``code`` protocol over one service. ``run`` executes Python in a fresh namespace."""

    def __init__(self, task: PublicTask, service: Service, run: Runner) -> None:
        self.task = task
        self.service = service
        self.prompt = prompt(task)
        self.done = False
        self.patients = permitted(task.slots)
        self.resources: dict[str, dict[str, str]] = {}
        self.reproducible = True
        self._run = run
        self._messages = [Message("user", self.prompt)]
        self._turns: list[Turn] = []
        self._status: EpisodeStatus = "task limit reached"
        self._result: str | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, prompt first."""
        return tuple(self._messages)

    def render(self, action: Call | Finish, content: str = "") -> str:
        """The raw assistant message of an action; ``content`` is what is said beside the call."""
        return raw_message(content, [_call_of(action)])

    def step(self, raw: str) -> Observation | None:
        """Carries out one assistant message; None once the episode is over."""
        if self.done:
            raise RuntimeError("the episode is over; open a new environment for another one")
        message = assistant_message(raw)
        self._messages.append(message)
        if not message.tool_calls:
            self._turns.append(Turn(raw, Invalid("the message has no tool call"), None))
            self.done, self._status = True, "agent invalid action"
            return None
        observation = None
        for place, call in enumerate(message.tool_calls):
            action = parse(call)
            if isinstance(action, Finish):
                self._turns.append(Turn(raw, action, None, follows=place > 0))
                self.done, self._status, self._result = True, "completed", dumps(action.answer)
                return None
            observation = self.dispatch(action)
            self._turns.append(Turn(raw, action, observation, follows=place > 0))
            self._messages.append(Message("tool", observation.text, name=call.name))
        if sum(not turn.follows for turn in self._turns) >= ROUNDS:
            self.done = True
            return None
        return observation

    def episode(self) -> Episode:
        """The record. An episode that was left before its end has the status ``task limit reached``."""
        return Episode(self.task.id, self.messages, tuple(self._turns), self._status, self._result)

    def dispatch(self, action: Action) -> Observation:
        """What an action is answered, outside of the record."""
        if isinstance(action, Invalid):
            return _error(action.reason)
        assert isinstance(action, Call)
        if action.name == "execute_python":
            return self._execute(str(action.arguments["code"]))
        if action.name == "fetch_references":
            return self._fetch_references([str(one) for one in action.arguments["references"]], REFERENCES)
        if action.name == "follow":
            return self._follow(str(action.arguments["resource_type"]), str(action.arguments["element"]))
        patients = named(str(action.arguments["patient"]), self.patients)
        strange = [patient for patient in patients if patient not in self.patients]
        if strange and len(self.patients) == 1:
            return _error(f"{strange[0]} is not the patient of this task; ask about {self.patients[0]}")
        if strange:
            return _error(f"{strange[0]} is no patient of this task; ask about {', '.join(self.patients)}")
        record = self._record(patients)
        if not record:
            return _error(f"this server has no Patient with the id {patients[0]}: there is no such patient", 404)
        if action.name == "coverage":
            types = {
                kind: {"count": len(found)} | chart.summary(map(chart.about, found)) for kind, found in record.items()
            }
            whose = [f"Patient/{patient}" for patient in patients]
            return _reply(({"patients": whose} if len(whose) > 1 else {"patient": whose[0]}) | {"types": types})
        return self._fetch(str(action.arguments["resource_type"]), record)

    def _record(self, patients: Sequence[str]) -> Mapping[str, Sequence[Record]]:
        """What is seen now of these patients together, by type in alphabetical order, each in the order of ids."""
        if len(patients) == 1:
            return self.service.compartment(patients[0])
        found: dict[str, list[Record]] = {}
        for patient in patients:
            for kind, records in self.service.compartment(patient).items():
                found.setdefault(kind, []).extend(records)
        return {kind: sorted(found[kind], key=lambda record: record.id) for kind in sorted(found)}

    def _fetch(self, kind: str, record: Mapping[str, Sequence[Record]]) -> Observation:
        found = record.get(kind, ())
        if not found:
            there = ", ".join(f"{name} {len(rows)}" for name, rows in record.items())
            here = kind in self.service.types
            whose = "the record has none" if here else f"this server holds no {kind} of any patient"
            return _reply({"type": kind, "fetched": 0, "on_server": here, "hint": f"{whose}; the record has: {there}"})
        new = self._merge(found)
        about = {"type": kind, "fetched": len(found), "new": new, "as": f"resources[{kind!r}]"}
        return _reply(about | {"keys": chart.keys(map(chart.about, found))} | chart.summary(map(chart.about, found)))

    def _follow(self, kind: str, element: str) -> Observation:
        if kind not in self.resources:
            return _error(f"no {kind} was fetched; fetch it before you follow its references")
        held = self.resources[kind]
        found = [ref for id in sorted(held) for ref in chart.references(orjson.loads(held[id]), element)]
        if not found:
            return _error(f"no fetched {kind} has a reference in {_short(element)}; look at the keys that fetch shows")
        return self._fetch_references(found, FOLLOWED)

    def _fetch_references(self, references: Sequence[str], most: int) -> Observation:
        references = list(dict.fromkeys(references))
        if len(references) > most:
            return _error(f"{len(references)} references are too many at once; {most} is the most")
        self.service.prefetch(references)
        found: dict[str, Record] = {}
        unknown, foreign = [], 0
        for reference in references:
            record = self.service.resolve(reference)
            if record is None:
                unknown.append(reference)
            elif record.patient is not None and record.patient not in self.patients:
                foreign += 1
            else:
                found[f"{record.type}/{record.id}"] = record
        new = self._merge(list(found.values()))
        kinds = sorted({one.type for one in found.values()})
        reply: dict[str, Any] = {
            "fetched": len(found),
            "ids": list(found),
            "new": new,
            "as": [f"resources[{kind!r}]" for kind in kinds],
        }
        reply["keys"] = {
            kind: chart.keys([chart.about(one) for one in found.values() if one.type == kind]) for kind in kinds
        }
        if unknown:
            reply["unknown"] = [_short(one) for one in unknown[:10]]
            reply["hint"] = f"{len(unknown)} are not on the server; give references as they stand in fetched resources"
        if foreign:
            reply["not_permitted"] = foreign
        return _reply(reply)

    def _merge(self, found: Sequence[Record]) -> int:
        new = 0
        for record in found:
            held = self.resources.setdefault(record.type, {})
            new += record.id not in held
            held[record.id] = record.raw
        return new

    def _execute(self, code: str) -> Observation:
        lists = (
            f"{dumps(kind)}:[{','.join(held[id] for id in sorted(held))}]"
            for kind, held in sorted(self.resources.items())
        )
        done = self._run(code, {"resources": f"{{{','.join(lists)}}}", "now": dumps(self.task.now)})
        self.reproducible = self.reproducible and done.reproducible
        reply: dict[str, Json] = {"output": done.output}
        if done.error:
            reply["error"] = done.error
        elif not done.output:
            reply["hint"] = "nothing was printed; print what you need to see"
        return _reply(reply)


def permitted(slots: Mapping[str, str]) -> tuple[str, ...]:
    """The patients whose records a task opens: those of its slot ``patients``, else the one of ``patient``."""
    if "patients" in slots:
        return tuple(one.strip() for one in slots["patients"].split(","))
    return (slots["patient"],) if "patient" in slots else ()


def named(text: str, patients: Sequence[str]) -> list[str]:
    """The patients that a call names, each once; several, joined with commas, only where the task has several."""
    texts = [one.strip() for one in text.split(",")] if len(patients) > 1 else [text]
    return list(dict.fromkeys(one.removeprefix("Patient/") for one in texts))


def parse(call: ToolCall) -> Action:
    """What a call asks for. Never raises: what cannot be carried out is :class:`Invalid` with the remedy as its reason."""
    wanted = PARAMETERS.get(call.name)
    if wanted is None:
        return Invalid(f"there is no tool {call.name!r}; call one of {', '.join(PARAMETERS)}", ends=False)
    given = call.arguments
    if not isinstance(given, dict):
        return Invalid(f"the arguments of {call.name} are no JSON object; give {', '.join(wanted)}", ends=False)
    if given.keys() != wanted.keys():
        wrong = sorted(given.keys() ^ wanted.keys())
        return Invalid(f"{call.name} takes {', '.join(wanted)}; wrong or missing: {', '.join(wrong)}", ends=False)
    for name, schema in wanted.items():
        value = given[name]
        if schema["type"] == "array":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                return Invalid(f"{call.name}: {name} is a list of texts", ends=False)
        elif not isinstance(value, str):
            return Invalid(f"{call.name}: {name} is a text", ends=False)
        elif "enum" in schema and value not in schema["enum"]:
            return Invalid(f"{call.name}: {name} is one of {', '.join(schema['enum'])}", ends=False)
    if call.name != "submit_answer":
        return Call(call.name, dict(given))
    try:
        value = exact(str(given["value"]))
    except (ValueError, RecursionError) as failure:
        return Invalid(f"submit_answer: value is not JSON text ({failure}); put texts in double quotes", ends=False)
    return Finish({"type": given["type"], "value": value, "unit": given["unit"], "evidence": given["evidence"]})


def _call_of(action: Call | Finish) -> ToolCall:
    if isinstance(action, Call):
        return ToolCall(action.name, action.arguments)
    answer = action.answer
    assert isinstance(answer, dict)
    return ToolCall("submit_answer", {**answer, "value": dumps(answer["value"])})


def _short(text: str) -> str:
    """What a call said, as its reply says it again: no longer than any reference or element of R4 needs to be."""
    return text if len(text) <= 500 else f"{text[:500]}…"


def _reply(value: Mapping[str, Any]) -> Observation:
    text = dumps(dict(value))
    return Observation(text, 200, text)


def _error(reason: str, status: int = 400) -> Observation:
    text = dumps({"error": reason})
    return Observation(text, status, text if status == 404 else "")
