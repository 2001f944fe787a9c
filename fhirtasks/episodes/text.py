"""The ``text`` protocol: one action per message, as plain text, and the prompt that explains it.

Two dialects, named by the task's mode. ``compat`` reads a message exactly as the MedAgentBench harness does, quirks
included. ``clinical`` takes the text as it is: no fence is removed and nothing may stand before or after the action but
trailing white space. Verdicts are always taken from the raw text.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from fhirtasks.episodes.types import Finish, Get, Invalid, Mode, Post, PublicTask, ServerAction, is_search
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import Json, dumps, unique_keys

WIRE: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("wire.json").read_text(encoding="utf-8"))
"""The benchmark's wire sentences and round limits (one file, cited there)."""

_DEPTH = 100
"""Levels of nesting that a value may have: deeper ones meet Python's recursion limit at a place that nobody chose."""

_GET = re.compile(r"GET (\S+)\s*")
_POST = re.compile(r"POST (\S+)[ \t\r]*\n(.*)", re.DOTALL)
_FINISH = re.compile(r"FINISH\((.*)\)\s*", re.DOTALL)


def render(action: Get | Post | Finish) -> str:
    """The raw assistant text of an action; numbers keep their digits."""
    if isinstance(action, Get):
        return f"GET {action.url}"
    if isinstance(action, Post):
        return f"POST {action.url}\n{dumps(action.body)}"
    return f"FINISH({dumps(action.answer)})"


def parse(raw: str, dialect: Mode) -> ServerAction:
    """What a raw assistant text asks for. Never raises: what is no action is :class:`Invalid`."""
    return _parse_compat(raw) if dialect == "compat" else _parse_clinical(raw)


def cleaned(raw: str) -> str:
    """A message as the benchmark's harness sees it when it dispatches: stripped, fences deleted, stripped again."""
    text = raw.strip()
    for fence in WIRE["fences"]:
        text = text.replace(fence, "")
    return text.strip()


def result_of(raw: str, dialect: Mode) -> str:
    """The text inside ``FINISH(...)`` as the dialect cuts it, for a message that :func:`parse` read as a Finish."""
    if dialect == "compat":
        return cleaned(raw)[7:-1]
    match = _FINISH.fullmatch(raw)
    assert match is not None, "result_of is for messages that parse as Finish"
    return match.group(1)


def _parse_compat(raw: str) -> ServerAction:
    text = cleaned(raw)
    if text.startswith("GET"):
        return Get(text[3:].strip())
    if text.startswith("POST"):
        head, _, body = text.partition("\n")
        try:
            return Post(head[4:].strip(), _lenient(body))
        except (ValueError, RecursionError):
            return Invalid("the text after the first line of the POST is not JSON", ends=False, creates=True)
    if text.startswith("FINISH("):
        try:
            return Finish(_lenient(text[7:-1]))
        except (ValueError, RecursionError):
            return Finish(None)
    return Invalid("the message does not start with GET, POST or FINISH(")


def _parse_clinical(raw: str) -> ServerAction:
    if match := _GET.fullmatch(raw):
        return Get(match.group(1))
    if match := _POST.fullmatch(raw):
        try:
            return Post(match.group(1), exact(match.group(2)))
        except (ValueError, RecursionError):
            reason = "the text after the first line of the POST is not one JSON value"
            return Invalid(reason, ends=False, creates=not is_search(match.group(1)))
    if match := _FINISH.fullmatch(raw):
        try:
            answer = exact(match.group(1))
        except (ValueError, RecursionError):
            return Invalid("FINISH does not hold JSON")
        return Finish(answer) if isinstance(answer, list) else Invalid("FINISH does not hold a JSON list")
    for verb in ("GET", "POST", "FINISH"):
        if raw.startswith(verb):
            return Invalid(f"the message starts with {verb} but is not one well-formed {verb} action")
    return Invalid("the message does not start with GET, POST or FINISH(")


def _lenient(text: str) -> Json:
    """JSON as Python's json reads it, NaN and Infinity included, which is what the benchmark's harness accepts."""

    def number(digits: str) -> Decimal | float:
        return Decimal(digits) if _in_range(digits) else float(digits)

    return json.loads(text, parse_float=number)


def exact(text: str) -> Json:
    """One JSON value with exact numbers; ValueError for anything else, a key twice, absurd numbers and absurd nesting."""

    value = _decode_exact(text)
    if text.count("[") + text.count("{") > _DEPTH and _too_deep(value):
        raise ValueError(f"the value is nested more than {_DEPTH} deep")
    return value


def _too_deep(value: Json) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        nested = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [inner for items in nested for inner in items]
    return any(isinstance(item, dict | list) for item in level)


def _in_range(digits: str) -> bool:
    """Whether the number is of a size that people write: arithmetic on 1e999999999 would never end."""
    exponent = digits.lower().partition("e")[2]
    return not exponent or abs(int(exponent)) <= 300


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")


def _exact_number(digits: str) -> Decimal:
    if not _in_range(digits):
        raise ValueError(f"the number {digits[:40]} is out of range")
    return Decimal(digits)


_decode_exact = json.JSONDecoder(
    parse_float=_exact_number, parse_constant=_refuse, object_pairs_hook=unique_keys
).decode


def prompt(task: PublicTask, *, template: str | None = None, functions: str | None = None) -> str:
    """The one user message that opens an episode.

    With ``template`` (the text of the user's file) it is that template's rendering by ``str.format`` with ``api_base``,
    ``functions``, ``context`` and ``question``. UserError if the template names anything else.
    """
    if template is None:
        return _own_prompt(task)
    try:
        return template.format(
            api_base=task.base, functions=functions or "", context=task.context, question=task.instruction
        )
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UserError(
            f"The prompt template cannot be filled in ({type(error).__name__}: {error}); it takes {{api_base}}, "
            "{functions}, {context} and {question}, and other braces must be doubled."
        ) from error


def _own_prompt(task: PublicTask) -> str:
    rules = _rules(task.mode, task.base) if task.protocol == "text" else _tool_rules(task.protocol)
    return f"{rules}\nContext: {task.context}\nQuestion: {task.instruction}"


@cache
def _rules(mode: Mode, base: str) -> str:
    rules, dialect = (
        Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("prompt.md", f"prompt_{mode}.md")
    )
    return rules.replace("<dialect>\n", dialect).replace("<base>", base)


@cache
def _tool_rules(protocol: str) -> str:
    return Path(__file__).with_name(f"prompt_{protocol}.md").read_text(encoding="utf-8")
