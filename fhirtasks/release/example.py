"""The one episode that a card shows: real and short, its long replies cut to what a reader looks for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.release.sample import characters
from fhirtasks.release.spoken import spoken

WIDTH: Final = 112
_MARGIN = 11
_PIECE = re.compile(r"[^\s,&]+[\s,&]?|[\s,&]")
LONGEST: Final = 1_200
"""Characters of one message that are shown."""

_KEPT: Final = frozenset(
    (
        *("resourceType", "total", "entry", "resource", "id", "name", "family", "given", "birthDate", "identifier"),
        *("value", "code", "text", "effectiveDateTime", "authoredOn", "valueQuantity", "unit", "status", "issue"),
        *("severity", "diagnostics", "priority"),
    )
)
"""Members of a reply that are shown; for the others stands an ellipsis."""
_ITEMS: Final = 2
_WRITES = ("POST ", "fhir_create(")
"""How a message that creates something begins, in either protocol."""


def choose(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The shortest episode whose write depends on a value that was read; without one the shortest that comes near."""

    def rank(row: Mapping[str, Any]) -> tuple[bool, bool, bool, bool, int, str]:
        said = [spoken(message) for message in row["messages"] if message["role"] == "assistant"]
        writes = any(text.startswith(_WRITES) for text in said)
        decides = row["kind"] == "conditional" and writes
        value = any('"valueQuantity"' in spoken(message) for message in row["messages"])
        return row["origin"] != "expert", not decides, not value, not writes, characters(dict(row)), row["id"]

    return min(rows, key=rank, default=None)


def shown(row: Mapping[str, Any]) -> str:
    """The episode as plain text: who speaks on the left, lines no longer than :data:`WIDTH` where they can be broken."""
    lines = []
    for place, message in enumerate(row["messages"]):
        said = spoken(message)
        text = _opening(row, said) if place == 0 else _cut(message["role"], said)
        for number, line in enumerate(_wrapped(text)):
            lines.append(f"{message['role'] if number == 0 else '':<{_MARGIN}}{line}".rstrip())
    return "\n".join(lines)


def _opening(row: Mapping[str, Any], content: str) -> str:
    """The request; the rules of the protocol before it are left out."""
    task = json.loads(row["task"])
    request = f"Context: {task['context']}\nQuestion: {task['instruction']}"
    if content.endswith(request) and len(content) > len(request):
        return f"[the rules of the protocol, {len(content) - len(request):,} characters]\n{request}"
    return _shortened(content)


def _cut(role: str, content: str) -> str:
    """A message; of JSON in a reply only what a reader looks for."""
    start = content.find("{")
    if role == "assistant" or start < 0:
        return _shortened(content)
    end = content.rfind("}") + 1
    try:
        value = loads(content[start:end])
    except (ValueError, RecursionError):
        return _shortened(content)
    return content[:start] + _shortened(_brief(value)) + content[end:]


def _brief(value: Json) -> str:
    if isinstance(value, dict):
        members = [f"{dumps(key)}: {_brief(inner)}" for key, inner in value.items() if key in _KEPT]
        return "{" + ", ".join(members + ["…"] * (len(members) < len(value))) + "}"
    if isinstance(value, list):
        items = [_brief(item) for item in value[:_ITEMS]]
        return "[" + ", ".join(items + [f"… {len(value) - _ITEMS} more"] * (len(value) > _ITEMS)) + "]"
    return dumps(value)


def _shortened(text: str) -> str:
    left_out = len(text) - LONGEST
    return text if left_out <= 0 else f"{text[:LONGEST]} [{left_out:,} characters more]"


def _wrapped(text: str) -> list[str]:
    """Lines of at most the width, broken after a blank, a comma or an ampersand; a longer piece is broken anywhere."""
    room = WIDTH - _MARGIN
    lines = []
    for line in text.split("\n"):
        found = ""
        for piece in _PIECE.findall(line):
            while len(found + piece) > room:
                if found.strip():
                    lines.append(found)
                    found = "  "
                else:
                    lines.append(found + piece[: room - len(found)])
                    found, piece = "  ", piece[room - len(found) :]
            found += piece
        lines.append(found)
    return lines
