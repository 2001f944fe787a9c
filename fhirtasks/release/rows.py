"""Rows as Arrow tables: trajectories into ``sft``, and what ``sft_turns`` and ``rl`` derive from it.

Arrays are built from buffers: ``pyarrow.array`` on Python lists imports pandas and visits every value twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhirtasks.episodes.faults import MARKS, faulty
from fhirtasks.episodes.types import Episode, Message, Protocol, ToolCall
from fhirtasks.fhir.jsontext import Json, canonical, content_hash, dumps, loads
from fhirtasks.release.features import COLUMNS, has_calls, messages_type, schema
from fhirtasks.sandbox.embedded import interpreter
from fhirtasks.tasks.codec import task_to_json
from fhirtasks.tasks.types import TOOLS, Task, Verdict


@cache
def tools_text(protocol: Protocol) -> str:
    """The ``tools`` column of a protocol: its schemas as JSON text."""
    return dumps(list(TOOLS[protocol]))


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One kept episode with all that its row says. ``provenance`` holds strings only; a model's names the model."""

    task: Task
    episode: Episode
    verdict: Verdict
    provenance: dict[str, str]
    content_hash: str
    tokens: int | None = None

    @property
    def origin(self) -> str:
        """``expert`` or ``model``."""
        return "model" if "model" in self.provenance else "expert"


def row_id(task: str, origin: str, content: str) -> str:
    """The id of a row: its task's, to which a model's adds 12 digits of its content hash, there being several."""
    return f"{task}-{content[:12]}" if origin == "model" else task


def message_list(messages: Iterable[Message]) -> list[dict[str, Json]]:
    """Messages as plain JSON; a call as its name and the JSON text of its arguments."""
    return [_plain(message) for message in messages]


def message_of(stored: Mapping[str, Any]) -> Message:
    """A message as a row holds it. ValueError or TypeError if it is none."""
    calls = [loads(call)["function"] for call in stored.get("tool_calls") or ()]
    named = tuple(ToolCall(call["name"], call["arguments"]) for call in calls)
    return Message(stored["role"], stored["content"], named, stored.get("name") or "")


def message_texts(messages: Iterable[Message]) -> list[str]:
    """Every text of an episode: contents, and the arguments of calls as JSON text."""
    return [
        text for one in messages for text in (one.content, *(dumps(call.arguments) for call in one.tool_calls)) if text
    ]


def hash_of(protocol: Protocol, messages: Iterable[Message]) -> str:
    """The content hash of a trajectory: sha256 over canonical JSON of protocol, tools and messages."""
    return content_hash({"protocol": protocol, "tools": list(TOOLS[protocol]), "messages": message_list(messages)})


def _plain(message: Message) -> dict[str, Json]:
    plain: dict[str, Json] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [{"name": one.name, "arguments": dumps(one.arguments)} for one in message.tool_calls]
    return plain | ({"name": message.name} if message.name else {})


def verdict_json(verdict: Verdict) -> str:
    """A verdict as canonical JSON; score and measures (if any) as text, since canonical JSON holds no fractions."""
    checks = [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in verdict.checks]
    told: dict[str, Json] = {"passed": verdict.passed, "score": str(verdict.score), "checks": list[Json](checks)}
    if verdict.measures:
        told["measures"] = {name: f"{value:g}" for name, value in verdict.measures}
    return canonical(told).decode()


def reference(task: Task) -> str:
    """What the ``rl`` config shows as the verifier's reference: the gold answer, as JSON text."""
    return dumps(task.gold)


def provenance(task: Task, world: str, graph: str) -> dict[str, str]:
    """Where a row comes from: fingerprints, version, seed, whether its records are as they were, what ran its Python."""
    return {
        **({"sandbox": interpreter()} if task.protocol == "code" else {}),
        "graph": graph,
        "world": world,
        "family_version": task.version,
        "seed": task.seed,
        "records": "native" if task.scenario.native else "overlaid",
    }


def sft_table(rows: Sequence[Trajectory]) -> Any:
    """The ``sft`` rows of these trajectories, in their order."""
    about = ("family", "branch", "domain", "kind", "protocol", "mode", "split")
    columns = {
        "id": strings([row_id(row.task.id, row.origin, row.content_hash) for row in rows]),
        "messages": message_lists([row.episode.messages for row in rows]),
        "tools": strings([tools_text(row.task.protocol) for row in rows]),
        **{name: strings([getattr(row.task, name) for row in rows]) for name in about},
        "origin": strings([row.origin for row in rows]),
        "task": strings([task_to_json(row.task) for row in rows]),
        "verdict": strings([verdict_json(row.verdict) for row in rows]),
        "provenance": strings([canonical(row.provenance).decode() for row in rows]),
        "tokens": integers([row.tokens for row in rows]),
        "content_hash": strings([row.content_hash for row in rows]),
    }
    return table("sft", columns)


def turns_table(sft: Any) -> Any:
    """One ``sft_turns`` row per assistant message of these ``sft`` rows: all before it is the prompt.

    Faulty messages of the ``code`` protocol are left out: they stand in the prompts of those after them, with their replies,
    and nothing is trained to say them. ``turn`` counts them all the same.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    messages = sft.column("messages").combine_chunks()
    offsets = np.from_dlpack(messages.offsets)
    values = messages.values
    # What lies before or after a slice of a larger table is in ``values`` too, and is not meant.
    at = np.from_dlpack(pc.indices_nonzero(pc.equal(values.field("role"), strings(["assistant"])[0]))).astype(np.int64)
    at = at[(at >= offsets[0]) & (at < offsets[-1])]
    row = np.searchsorted(offsets, at, side="right") - 1
    turn = np.arange(len(at)) - np.searchsorted(row, row, side="left")
    if "code" in pc.unique(sft.column("protocol")).to_pylist():
        right = np.ones(len(at), dtype=bool)
        right[np.searchsorted(at, _faults(values, int(offsets[0]), int(offsets[-1])), side="right") - 1] = False
        at, row, turn = at[right], row[right], turn[right]
    start = offsets[row]
    prompts = runs(values, start, at - start)
    completions = pa.ListArray.from_arrays(_array(np.arange(len(at) + 1), "int32"), values.take(_array(at, "int64")))
    rows = sft.select([name for name in COLUMNS["sft_turns"] if name in sft.column_names]).take(_array(row, "int64"))
    made = {"turn": _array(turn, "int64"), "prompt": prompts, "completion": completions}
    return table(
        "sft_turns", {name: made[name] if name in made else rows.column(name) for name in COLUMNS["sft_turns"]}
    )


def _faults(values: Any, first: int, last: int) -> Any:
    """The places, among these messages, of the replies of tools to faulty calls."""
    import numpy as np
    import pyarrow.compute as pc

    content = values.field("content")
    marked = pc.match_substring_regex(content, "|".join(map(re.escape, MARKS)))
    places = np.from_dlpack(pc.indices_nonzero(pc.and_(marked, pc.equal(values.field("role"), "tool")))).astype(
        np.int64
    )
    places = places[(places >= first) & (places < last)]
    told = content.take(_array(places, "int64")).to_pylist()
    return places[np.fromiter(map(faulty, told), dtype=bool, count=len(told))]


def rl_table(sft: Any, references: Sequence[str], seen: set[str]) -> Any:
    """The ``rl`` rows of these ``sft`` rows: the opening message, the task, the reference; one for each task.

    ``seen`` holds the tasks that have a row already; those of these rows are added.
    """
    import numpy as np
    import pyarrow as pa

    pairs = zip(sft.column("id").to_pylist(), sft.column("origin").to_pylist(), strict=True)
    tasks = [str(id_).rpartition("-")[0] if origin == "model" else id_ for id_, origin in pairs]
    first = []
    for place, task in enumerate(tasks):
        if task not in seen:
            seen.add(task)
            first.append(place)
    places = _array(np.array(first, "int64"), "int64")
    messages = sft.column("messages").combine_chunks()
    starts = _array(np.from_dlpack(messages.offsets)[:-1][first], "int32")
    opening = _array(np.arange(len(first) + 1), "int32")
    made = {
        "id": strings([tasks[place] for place in first]),
        "prompt": pa.ListArray.from_arrays(opening, messages.values.take(starts)),
        "reference": strings([references[place] for place in first]),
    }
    # Copied: these columns are small, and would keep a mapped file in memory until their row group is full.
    kept = sft.select([name for name in COLUMNS["rl"] if name not in made]).take(places)
    return table("rl", {name: made[name] if name in made else kept.column(name) for name in COLUMNS["rl"]})


def runs(values: Any, starts: Any, lengths: Any) -> Any:
    """A list array whose rows are runs of ``values``: row n begins at ``starts[n]`` and has ``lengths[n]`` of them."""
    import numpy as np
    import pyarrow as pa

    ends = np.cumsum(lengths)
    gather = (
        np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths) + np.repeat(starts, lengths)
    )
    return pa.ListArray.from_arrays(_offsets(lengths), values.take(_array(gather, "int64")))


def table(config: str, columns: dict[str, Any]) -> Any:
    """A table of a config from its columns, in the config's order and with its schema."""
    import pyarrow as pa

    wanted = schema(config, has_calls([pa.field(name, column.type) for name, column in columns.items()]))
    return pa.Table.from_arrays([columns[name] for name in wanted.names], schema=wanted)


def strings(values: Sequence[str | None]) -> Any:
    """A string array; None is null."""
    import numpy as np
    import pyarrow as pa

    encoded = [b"" if value is None else value.encode() for value in values]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    buffers = [_validity(values), _offsets(lengths).buffers()[1], pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def integers(values: Sequence[int | None]) -> Any:
    """An int64 array; None is null."""
    import numpy as np
    import pyarrow as pa

    numbers = np.fromiter((value or 0 for value in values), dtype=np.int64, count=len(values))
    return pa.Array.from_buffers(pa.int64(), len(values), [_validity(values), pa.py_buffer(numbers)])


def _validity(values: Sequence[str | int | None]) -> Any:
    import numpy as np
    import pyarrow as pa

    if None not in values:
        return None
    known = np.fromiter((value is not None for value in values), dtype=bool, count=len(values))
    return pa.py_buffer(np.packbits(known, bitorder="little").tobytes())


def message_lists(rows: Sequence[Sequence[Message]], calls: bool = False) -> Any:
    """A list array of messages; with tool calls if any has one, or if ``calls``."""
    import numpy as np
    import pyarrow as pa

    flat = [message for row in rows for message in row]
    members = [strings([message.role for message in flat]), strings([message.content for message in flat])]
    if calls := calls or any(message.tool_calls for message in flat):
        members += [_calls(flat), strings([message.name or None for message in flat])]
    names = [field.name for field in messages_type(calls).value_type]
    values = pa.StructArray.from_arrays(members, names)
    return pa.ListArray.from_arrays(_offsets(np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))), values)


def _calls(messages: Sequence[Message]) -> Any:
    """The calls in the shape that chat templates take, each as JSON text; null where a message has none."""
    import pyarrow as pa

    texts = [
        [dumps({"type": "function", "function": {"name": one.name, "arguments": one.arguments}}) for one in calls]
        if (calls := message.tool_calls)
        else None
        for message in messages
    ]
    return pa.array(texts, pa.list_(pa.utf8())).cast(pa.list_(pa.json_(pa.utf8())))


def _offsets(lengths: Any) -> Any:
    """int32 offsets of consecutive runs of these lengths. OverflowError past 2 GiB, the limit of Arrow's strings."""
    import numpy as np

    ends = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=ends[1:])
    if ends[-1] > np.iinfo(np.int32).max:
        raise OverflowError("an Arrow string column holds at most 2 GiB")
    return _array(ends, "int32")


def _array(numbers: Any, dtype: str) -> Any:
    import numpy as np
    import pyarrow as pa

    data = np.ascontiguousarray(numbers, dtype=dtype)
    return pa.Array.from_buffers(pa.type_for_alias(dtype), len(data), [None, pa.py_buffer(data)])
