"""The ``tools`` protocol: native tool calls over the same service, with the schemas of ``tools.json``.

A raw assistant message is JSON text, ``{"content": …, "tool_calls": [{"name": …, "arguments": {…}}]}``, made by
:func:`raw_message` from whatever shape a library gives. Arguments are texts, the resource and the answer too: as JSON text
their numbers keep their digits in every file format and chat template. What is wrong with a call is answered, and the
episode goes on; a message without a call ends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from fhirtasks.episodes.text import exact
from fhirtasks.episodes.types import Finish, Get, Invalid, Message, Observation, Post, ServerAction, ToolCall
from fhirtasks.fhir.jsontext import Json, dumps

SCHEMAS: Final[tuple[dict[str, Any], ...]] = tuple(
    json.loads(Path(__file__).with_name("tools.json").read_text(encoding="utf-8"))
)
"""What is offered, executed and allowed: one JSON schema per tool, as chat templates take them."""

PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    schema["function"]["name"]: tuple(schema["function"]["parameters"]["required"]) for schema in SCHEMAS
}
"""Tool -> its parameters, all of them required."""

_TYPE = re.compile(r"[A-Za-z]{1,64}")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def raw_message(content: str | None, calls: Sequence[ToolCall]) -> str:
    """The raw text of an assistant message."""
    return dumps({"content": content or "", "tool_calls": [_plain(call) for call in calls]})


def read_message(raw: str) -> tuple[str, tuple[ToolCall, ...]]:
    """Content and calls of a raw assistant message. ValueError if it is none."""
    value = exact(raw)
    if not isinstance(value, dict) or not isinstance(value.get("tool_calls", []), list):
        raise ValueError("no assistant message")
    content = value.get("content")
    calls = tuple(_call(one) for one in value.get("tool_calls", []))
    if "\\u" in raw or not raw.isascii():  # where half an emoji may stand, which no file and no tokenizer takes
        calls = tuple(ToolCall(str(writable(call.name)), writable(call.arguments)) for call in calls)
    return str(writable(content)) if isinstance(content, str) else "", calls


def writable(value: Json) -> Json:
    """The value with lone surrogates replaced wherever they stand: they cannot be written as UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {str(writable(key)): writable(item) for key, item in value.items()}
    return [writable(item) for item in value] if isinstance(value, list) else value


def assistant_message(raw: str) -> Message:
    """The message as the conversation shows it. A raw text that is no message is its content."""
    try:
        content, calls = read_message(raw)
    except (ValueError, RecursionError):
        return Message("assistant", raw)
    return Message("assistant", content, calls)


def raw_of(message: Message) -> str:
    """The raw text of an assistant message of a conversation, from which it can be replayed."""
    return raw_message(message.content, message.tool_calls)


def wire(messages: Iterable[Message], *, arguments_as_text: bool = False) -> list[dict[str, Any]]:
    """Messages as chat templates take them; with ``arguments_as_text`` as endpoints do, calls and replies tied by ids."""
    found: list[dict[str, Any]] = []
    number = answered = 0
    for message in messages:
        told: dict[str, Any] = {"role": message.role, "content": message.content}
        calls = []
        for call in message.tool_calls:
            number += 1
            arguments = dumps(call.arguments) if arguments_as_text else call.arguments
            named = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
            calls.append({"id": f"call_{number}", **named} if arguments_as_text else named)
        if calls:
            told["tool_calls"] = calls
        if message.role == "tool":
            answered += 1
            told |= {"tool_call_id": f"call_{answered}"} if arguments_as_text else {"name": message.name}
        found.append(told)
    return found


def render(action: Get | Post | Finish, base: str) -> str:
    """The raw assistant message that asks for an action of the service at ``base``."""
    return raw_message("", [_call_of(action, base)])


def parse(call: ToolCall, base: str) -> ServerAction:
    """What a call asks for. Never raises: what cannot be carried out is :class:`Invalid` with the remedy as its reason."""
    wanted = PARAMETERS.get(call.name)
    if wanted is None:
        return Invalid(f"there is no tool {call.name!r}; call one of {', '.join(PARAMETERS)}", ends=False)
    creates = call.name == "fhir_create"
    if not isinstance(call.arguments, dict):
        return Invalid(f"the arguments of {call.name} are no JSON object; give {_named(wanted)}", False, creates)
    missing = [name for name in wanted if name not in call.arguments]
    extra = [name for name in call.arguments if name not in wanted]
    if missing or extra:
        what = f"lacks {_named(missing)}" if missing else f"has no parameter {_named(extra)}"
        return Invalid(f"{call.name} {what}; it takes {_named(wanted)}", False, creates)
    action = _ACTIONS[call.name](call.arguments, base)
    return Invalid(f"{call.name}: {action}", False, creates) if isinstance(action, str) else action


def error(reason: str) -> Observation:
    """The reply to a call that could not be carried out."""
    return Observation(dumps({"error": reason}), 400)


def _search(arguments: Mapping[str, Json], base: str) -> Get | str:
    kind, query = arguments["resource_type"], arguments["query"]
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        return "resource_type is the name of a FHIR resource type, such as Observation"
    if not isinstance(query, str):
        return "query is a text such as patient=123&code=2823-3"
    return Get(f"{base}{kind}?{query.removeprefix('?')}")


def _read(arguments: Mapping[str, Json], base: str) -> Get | str:
    kind, id_ = arguments["resource_type"], arguments["id"]
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        return "resource_type is the name of a FHIR resource type, such as Patient"
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        return "id is the id of a resource as a search shows it (letters, digits, - and .)"
    return Get(f"{base}{kind}/{id_}")


def _create(arguments: Mapping[str, Json], base: str) -> Post | str:
    resource = arguments["resource"]
    if isinstance(resource, str):
        try:
            resource = exact(resource)
        except (ValueError, RecursionError) as failure:
            return f"resource is not JSON text ({failure})"
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        return "resource is a JSON object with a resourceType"
    return Post(f"{base}{kind}", resource)


def _finish(arguments: Mapping[str, Json], base: str) -> Finish | str:
    answer = arguments["answer"]
    if isinstance(answer, str):
        try:
            answer = exact(answer)
        except (ValueError, RecursionError) as failure:
            return f"answer is not JSON text ({failure})"
    return Finish(answer) if isinstance(answer, list) else "answer is a JSON list, such as [4.2]"


_ACTIONS: Final = {"fhir_search": _search, "fhir_read": _read, "fhir_create": _create, "finish": _finish}


def _call_of(action: Get | Post | Finish, base: str) -> ToolCall:
    if isinstance(action, Finish):
        return ToolCall("finish", {"answer": dumps(action.answer)})
    if isinstance(action, Post):
        return ToolCall("fhir_create", {"resource": dumps(action.body)})
    path, searched, query = action.url.removeprefix(base).partition("?")
    kind, _, id_ = path.partition("/")
    if searched or not id_:
        return ToolCall("fhir_search", {"resource_type": path, "query": query})
    return ToolCall("fhir_read", {"resource_type": kind, "id": id_})


def _call(value: Any) -> ToolCall:
    """A call in our shape, or in that of chat templates and endpoints (``function`` inside, arguments maybe as text)."""
    if not isinstance(value, dict):
        raise ValueError("a tool call is no JSON object")
    inner = value.get("function", value)
    name, arguments = (inner.get("name"), inner.get("arguments", {})) if isinstance(inner, dict) else (None, None)
    if not isinstance(name, str):
        raise ValueError("a tool call has no name")
    if isinstance(arguments, str):
        # What is not JSON stays a text, which no tool takes: the reply says so.
        with suppress(ValueError, RecursionError):
            arguments = exact(arguments)
    return ToolCall(name, arguments)


def _plain(call: ToolCall) -> dict[str, Json]:
    return {"name": call.name, "arguments": call.arguments}


def _named(names: Sequence[str]) -> str:
    return ", ".join(names)


@cache
def schemas_json() -> str:
    """The schemas as JSON text, for the release's ``tools`` column."""
    return dumps(list(SCHEMAS))
