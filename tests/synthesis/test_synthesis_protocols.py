"""Releases in the ``tools`` and ``code`` protocols: native calls on disk, as objects when loaded, verified from the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.episodes.types import Protocol
from fhirtasks.release.verify import verify
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.tasks.types import TOOLS

FAMILIES = {
    "tools": ("latest_lab", "patient_lookup", "record_blood_pressure"),
    "code": ("value_ever_beyond", "nth_value", "drugs_ordered", "count_encounters"),
}


@pytest.fixture(scope="module", params=["tools", "code"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Protocol, Path]:
    out = tmp_path_factory.mktemp("protocols") / request.param
    report = build(
        BuildConfig(out=out, patients=40, families=FAMILIES[request.param], protocol=request.param, per_family=12)
    )
    assert report.complete and report.kept >= 12 * len(FAMILIES[request.param])
    return request.param, out


def rows(folder: Path, config: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [row for path in sorted((folder / config).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_every_row_is_verified_from_the_folder(release: tuple[Protocol, Path]) -> None:
    _, folder = release
    report = verify(folder, hashes=True)
    assert report.failures == []
    assert report.verified == report.rows > 0


def test_calls_are_objects_and_schemas_are_those_of_the_protocol(
    release: tuple[Protocol, Path], tmp_path: Path
) -> None:
    import datasets

    protocol, folder = release
    loaded = datasets.load_dataset(str(folder), "sft", split="train", cache_dir=str(tmp_path))
    for row in loaded:
        assert json.loads(row["tools"]) == list(TOOLS[protocol])
        names = {tool["function"]["name"] for tool in TOOLS[protocol]}
        said = [message for message in row["messages"] if message["role"] == "assistant"]
        for message in said:
            (call,) = message["tool_calls"]
            assert call["type"] == "function"
            assert call["function"]["name"] in names
            assert isinstance(call["function"]["arguments"], dict)
        replies = [message for message in row["messages"] if message["role"] == "tool"]
        assert [one["name"] for one in replies] == [one["tool_calls"][0]["function"]["name"] for one in said[:-1]]


def test_a_turn_is_a_prompt_and_the_call_that_follows(release: tuple[Protocol, Path]) -> None:
    _, folder = release
    episodes = {row["id"]: row["messages"] for row in rows(folder, "sft")}
    for turn in rows(folder, "sft_turns"):
        messages = episodes[turn["id"]]
        assert turn["prompt"] + turn["completion"] == messages[: len(turn["prompt"]) + 1]


@pytest.mark.parametrize("place", ["argument", "reply"])
def test_one_changed_letter_is_found(release: tuple[Protocol, Path], tmp_path: Path, place: str) -> None:
    import shutil

    import pyarrow as pa
    import pyarrow.parquet as pq

    _, folder = release
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = sorted((copy / "sft").glob("train-*.parquet"))[0]
    table = pq.read_table(path)
    column = table.column("messages").to_pylist()
    if place == "argument":
        call = column[0][1]["tool_calls"][0]
        column[0][1]["tool_calls"][0] = call.replace('"arguments":{"', '"arguments":{"x', 1)
    else:
        column[0][2]["content"] = column[0][2]["content"].replace(":", ";", 1)
    kind = table.schema.field("messages").type
    plain = pa.list_(
        pa.struct(
            [
                ("role", pa.string()),
                ("content", pa.string()),
                ("tool_calls", pa.list_(pa.string())),
                ("name", pa.string()),
            ]
        )
    )
    changed = pa.array(column, plain).cast(kind)
    pq.write_table(
        table.set_column(table.schema.get_field_index("messages"), table.schema.field("messages"), changed), path
    )
    failures = verify(copy, hashes=False).failures
    assert any(failure.get("config") == "sft" and failure.get("row") == 0 for failure in failures), failures
