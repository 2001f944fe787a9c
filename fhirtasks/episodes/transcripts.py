"""Recorded transcripts, ours or anyone's: JSON lines of a task's id and its messages, the assistant's text raw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from fhirtasks.episodes.tools import read_message
from fhirtasks.episodes.types import Message

ROLES: Final[dict[str, Literal["system", "user", "assistant", "tool"]]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "agent": "assistant",
    "tool": "tool",
}
"""Roles as recorded, and what they are here."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One recorded episode: the line it stands on, whose task it is, its messages, and who spoke (empty: not said).

    ``cut`` is True where the line says that a message was cut off at its longest length.
    """

    line: int
    id: str
    messages: tuple[Message, ...]
    model: str = ""
    cut: bool = False


def transcript(number: int, line: bytes | str) -> Transcript:
    """The transcript of one line. ValueError with a clause that follows on the line's name ("… is not JSON (…).")."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError("is no JSON object; each line holds id and messages.")
    task = value.get("id", value.get("task_id"))
    if not isinstance(task, str) or not task:
        raise ValueError("has no task id; each line holds id (or task_id) and messages.")
    messages = value.get("messages")
    if not isinstance(messages, list):
        raise ValueError(f"({task}) has no messages; each line holds id and a list of messages.")
    model = value.get("model")
    return Transcript(
        number,
        printable(task),
        tuple(_message(f"({task})", place, one) for place, one in enumerate(messages, 1)),
        printable(model) if isinstance(model, str) else "",
        value.get("cut") is True,
    )


def printable(text: str) -> str:
    """The text with lone surrogates (half an emoji, escaped in JSON) replaced: they cannot be written as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _message(where: str, place: int, value: object) -> Message:
    role = value.get("role") if isinstance(value, Mapping) else None
    content = value.get("content") if isinstance(value, Mapping) else None
    calls = value.get("tool_calls") if isinstance(value, Mapping) else None
    if calls and content is None:
        content = ""
    if not isinstance(role, str) or role not in ROLES or not isinstance(content, str):
        raise ValueError(
            f"{where}: message {place} needs a role (user, assistant, agent or tool) and a text as content."
        )
    if not calls or ROLES[role] != "assistant":
        return Message(ROLES[role], printable(content))
    try:
        _, named = read_message(json.dumps({"tool_calls": calls}))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: message {place} has tool_calls that cannot be read ({error}).") from error
    return Message("assistant", printable(content), named)
