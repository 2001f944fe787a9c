"""A few episodes as session traces (the Hub's Session Trace Simple Format), one file each, so that the Hub draws them.

No config of the card names these files, and none of their columns is one that ``datasets`` is asked to guess: they are for
people. Every message keeps its raw text; what it asks of the server stands beside it as a tool call, to which the reply is
tied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fhirtasks.episodes.text import parse
from fhirtasks.episodes.types import Get, Post
from fhirtasks.fhir.jsontext import dumps
from fhirtasks.release.spoken import calls

FOLDER: Final = "traces"
HARNESS: Final = "fhirtasks"


def traces(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Path inside the release and bytes of one trace per ``sft`` row, numbered within their splits."""
    numbers: Counter[str] = Counter()
    for row in rows:
        path = f"{FOLDER}/{row['split']}-{numbers[row['split']]:05d}.jsonl"
        numbers[row["split"]] += 1
        yield path, "".join(f"{dumps(line)}\n" for line in _lines(row)).encode()


def _lines(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The session's line, then a line per message."""
    about = {name: row[name] for name in ("family", "branch", "split", "origin", "content_hash")}
    yield {"type": "session", "harness": HARNESS, "id": row["id"], "name": f"{row['family']}: {row['branch']}", **about}
    asked = 0
    waiting: list[str] = []
    for message in row["messages"]:
        role, content = message["role"], message["content"] or ""
        made: dict[str, Any] = {"role": role, "content": content}
        if role == "assistant":
            waiting = []
            for name, arguments in calls(message) or _asked(content, row):
                asked += 1
                waiting.append(f"call-{asked}")
                function = {"name": name, "arguments": arguments}
                made.setdefault("toolCalls", []).append({"id": waiting[-1], "function": function})
        elif role in ("user", "tool") and waiting:
            made = {"role": "tool", "toolCallId": waiting.pop(0), "content": content}
        yield {"type": "message", "message": made}


def _asked(content: str, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a message of the ``text`` protocol asks of the server, as the one call that it is."""
    action = parse(content, row["mode"]) if row["protocol"] == "text" else None
    if not isinstance(action, Get | Post):
        return []
    body = {"body": action.body} if isinstance(action, Post) else {}
    return [(type(action).__name__.upper(), dumps({"url": action.url, **body}))]
