"""Rows and shards against plain Python: what is derived, where files end, equal bytes for equal rows."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.episodes.types import Episode, Message
from fhirtasks.graph.scenario import Scenario
from fhirtasks.release.features import COLUMNS, CONFIGS, features_dict, schema
from fhirtasks.release.rows import Trajectory, hash_of, integers, rl_table, sft_table, strings, turns_table
from fhirtasks.release.writer import ShardWriter, sha256_of
from fhirtasks.tasks.types import Check, Task, Verdict

RESERVED = {
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "label",
    "image",
    "images",
    "chat_template_kwargs",
    "environment",
}
RESERVED |= {"text", "conversations", "seq_lengths", "input_ids", "labels"}


def trajectory(name: str, contents: list[str], tokens: int | None = None) -> Trajectory:
    messages = tuple(Message("assistant" if place % 2 else "user", text) for place, text in enumerate(contents))
    task = Task(
        id=name, family="f", version="1", domain="d", kind="query", mode="clinical", protocol="text", branch="b",
        split="train", now="n", instruction="i", context="", slots={"é": "ü"}, params={}, gold=[1], patients=("p",),
        scenario=Scenario(), difficulty={}, seed="s",
    )  # fmt: skip
    verdict = Verdict.of([Check("answer", True)])
    episode = Episode(name, messages, (), "completed", "[1]")
    return Trajectory(task, episode, verdict, {"graph": "g"}, hash_of("text", messages), tokens)


contents = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), min_size=1, max_size=7)


@given(st.lists(contents, max_size=6), st.integers(0, 4), st.integers(0, 4))
def test_turns_and_rl_say_what_the_episodes_say(episodes: list[list[str]], start: int, length: int) -> None:
    rows = sft_table([trajectory(str(number), texts) for number, texts in enumerate(episodes)]).slice(start, length)
    listed: list[dict[str, Any]] = rows.to_pylist()
    turns = []
    for row in listed:
        number = 0
        for place, message in enumerate(row["messages"]):
            if message["role"] == "assistant":
                turns.append((row["id"], number, row["messages"][:place], [message], row["content_hash"]))
                number += 1
    found = turns_table(rows).to_pylist()
    assert [(r["id"], r["turn"], r["prompt"], r["completion"], r["content_hash"]) for r in found] == turns
    rl = rl_table(rows, ["[1]"] * len(rows), set()).to_pylist()
    assert [(r["id"], r["prompt"], r["task"]) for r in rl] == [(r["id"], r["messages"][:1], r["task"]) for r in listed]


@given(
    st.lists(st.none() | st.text(st.characters(exclude_categories=("Cs",)))),
    st.lists(st.none() | st.integers(0, 2**60)),
)
def test_arrays_hold_what_they_are_given(texts: list[str | None], numbers: list[int | None]) -> None:
    assert strings(texts).to_pylist() == texts
    assert integers(numbers).to_pylist() == numbers
    strings(texts).validate(full=True)
    integers(numbers).validate(full=True)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_schema_is_what_datasets_writes(config: str) -> None:
    wanted = datasets.Features.from_dict(features_dict(config)).arrow_schema
    assert schema(config).equals(wanted)
    assert schema(config).metadata == wanted.metadata


def test_no_column_beside_messages_is_reserved() -> None:
    assert not RESERVED & COLUMNS["sft"].keys()


def test_shards_end_by_bytes_and_repeat_to_the_byte(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows = sft_table([trajectory(str(n), [f"{rng.random()}" * 20 for _ in range(4)]) for n in range(300)])
    made = []
    for name, step in (("one", 300), ("again", 300), ("small", 10)):
        writer = ShardWriter(tmp_path / name, "sft", "train", row_group=60_000, shard=150_000)
        for start in range(0, 300, step):
            writer.write(rows.slice(start, step))
        made.append(writer.close())
    assert made[0] == made[1]
    shards = made[2]
    assert len(shards) > 1
    assert [shard.path for shard in shards] == [
        f"sft/train-{n:05d}-of-{len(shards):05d}.parquet" for n in range(len(shards))
    ]
    files = [pq.ParquetFile(tmp_path / "small" / shard.path) for shard in shards]
    assert all(file.metadata.row_group(0).total_byte_size < 200_000 for file in files)
    assert sum(file.metadata.num_rows for file in files) == sum(shard.rows for shard in shards) == 300
    assert [row for file in files for row in file.read().to_pylist()] == rows.to_pylist()
    assert all(shard.sha256 == sha256_of(tmp_path / "small" / shard.path) for shard in shards)
    assert not list(tmp_path.rglob("*.part"))
    column = files[0].metadata.row_group(0).column(0)
    assert column.compression == "ZSTD" and column.has_offset_index


def test_a_split_without_rows_has_a_file(tmp_path: Path) -> None:
    (shard,) = ShardWriter(tmp_path, "dropped", "test").close()
    table = pq.read_table(tmp_path / shard.path)
    assert len(table) == 0 and table.schema.names == list(COLUMNS["dropped"])
    assert json.loads(table.schema.metadata[b"huggingface"])["info"]["features"] == features_dict("dropped")
