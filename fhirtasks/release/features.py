"""The columns of every config of a release, written once: as an Arrow schema that carries the Hugging Face features.

``messages`` stands beside no column that TRL reserves (``prompt``, ``completion``, ``text``, ``label`` …). What is JSON
travels as canonical-JSON text, because nested Arrow types and the ``Json`` feature lose digits of numbers.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

CONFIGS: Final = ("sft", "sft_turns", "preference", "rl", "privileged", "charts", "dropped")
SPARSE: Final = ("preference", "privileged")
"""Configs of a share of the rows: a split without rows has no file and no line in the card's ``configs``."""
SPLITS: Final = ("train", "validation", "test")
FORMAT: Final = 2
"""Version of the release's layout and columns."""
ORIGINS: Final = ("expert", "model")
"""Who spoke in a trajectory: our expert, or a model whose recorded transcript was replayed."""

_MESSAGES: Final = "messages"
_ABOUT: Final = dict.fromkeys(("family", "branch", "domain", "kind", "protocol", "mode", "split"), "string")

COLUMNS: Final[dict[str, dict[str, str]]] = {
    "sft": {
        "id": "string",
        "messages": _MESSAGES,
        "tools": "string",
        **_ABOUT,
        "origin": "string",
        "task": "string",
        "verdict": "string",
        "provenance": "string",
        "tokens": "int64",
        "content_hash": "string",
    },
    "sft_turns": {
        "id": "string",
        "turn": "int64",
        "prompt": _MESSAGES,
        "completion": _MESSAGES,
        "tools": "string",
        **_ABOUT,
        "origin": "string",
        "content_hash": "string",
    },
    "preference": {
        "id": "string",
        "prompt": _MESSAGES,
        "chosen": _MESSAGES,
        "rejected": _MESSAGES,
        "tools": "string",
        **_ABOUT,
        "mutant": "string",
        "check": "string",
        "content_hash": "string",
    },
    "rl": {
        "id": "string",
        "prompt": _MESSAGES,
        "tools": "string",
        **_ABOUT,
        "task": "string",
        "reference": "string",
        "content_hash": "string",
    },
    "privileged": {
        "id": "string",
        "turn": "int64",
        "prompt": _MESSAGES,
        "privileged_context": "string",
        "completion": _MESSAGES,
        "tools": "string",
        **_ABOUT,
        "content_hash": "string",
    },
    "charts": dict.fromkeys(("split", "type", "id", "patient", "raw"), "string"),
    "dropped": dict.fromkeys(("content_hash", "family", "branch", "split", "reason"), "string"),
}
"""Config -> column -> ``string``, ``int64`` or ``messages`` (a list of role and content)."""

NOTHING: Final = "none"
"""The reason in the one row of ``dropped`` where nothing was dropped: ``datasets`` opens no split without rows."""

DICTIONARY: Final = (
    *_ABOUT,
    *("origin", "tools", "type", "patient", "reason", "mutant", "check", "messages.list.element.role"),
)
"""Columns of few values, for Parquet's dictionary encoding."""


@cache
def schema(config: str, calls: bool = False) -> Any:
    """The ``pyarrow.Schema`` of a config; its metadata is what ``datasets.Features(...)`` writes.

    With ``calls`` messages have ``tool_calls`` and the ``name`` of a tool that replies, as in the ``tools`` and ``code``
    protocols. Arguments are texts and lists of texts, so the ``Json`` feature loses nothing of them.
    """
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), _MESSAGES: messages_type(calls)}
    fields = [pa.field(name, types[kind]) for name, kind in COLUMNS[config].items()]
    metadata = {"huggingface": json.dumps({"info": {"features": features_dict(config, calls)}})}
    return pa.schema(fields, metadata=metadata)


def messages_type(calls: bool) -> Any:
    """The Arrow type of a list of messages."""
    import pyarrow as pa

    members = [("role", pa.string()), ("content", pa.string())]
    if calls:
        members += [("tool_calls", pa.list_(pa.json_(pa.utf8()))), ("name", pa.string())]
    return pa.list_(pa.struct(members))


def has_calls(found: Any) -> bool:
    """Whether a schema's messages have tool calls."""
    import pyarrow as pa

    lists = [field.type.value_type for field in found if pa.types.is_list(field.type)]
    return any(pa.types.is_struct(member) and member.get_field_index("tool_calls") >= 0 for member in lists)


def features_dict(config: str, calls: bool = False) -> dict[str, Any]:
    """The config's features as ``datasets`` serialises them; ``datasets.Features.from_dict`` reads it."""

    def one(kind: str) -> dict[str, Any]:
        if kind != _MESSAGES:
            return {"dtype": kind, "_type": "Value"}
        members = {"role": one("string"), "content": one("string")}
        if calls:
            members |= {"tool_calls": {"feature": {"_type": "Json"}, "_type": "List"}, "name": one("string")}
        return {"feature": members, "_type": "List"}

    return {name: one(kind) for name, kind in COLUMNS[config].items()}
