"""A message of a row as one text: its content, then its native tool calls, where the protocol has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhirtasks.fhir.jsontext import dumps, loads


def calls(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and arguments, as JSON text, of every tool call of a message, as a row's shard or ``datasets`` gives it."""
    found = []
    for call in message.get("tool_calls") or ():
        function = (loads(call) if isinstance(call, str) else call)["function"]
        arguments = function["arguments"]
        found.append((str(function["name"]), arguments if isinstance(arguments, str) else dumps(arguments)))
    return found


def spoken(message: Mapping[str, Any]) -> str:
    """The text; a call reads ``name(arguments)``."""
    said = [f"{name}({arguments})" for name, arguments in calls(message)]
    return "\n".join([message["content"] or "", *said] if message["content"] or not said else said)
