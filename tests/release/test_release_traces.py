"""Traces against the Session Trace Simple Format (https://huggingface.co/docs/hub/session-traces-format) and the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from fhirtasks.release.documents import EPISODES
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.sample import sample
from fhirtasks.release.spoken import spoken
from fhirtasks.release.traces import traces


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


def row(*messages: tuple[str, str], mode: str = "clinical") -> dict[str, Any]:
    about = dict.fromkeys(("family", "branch", "origin", "content_hash"), "x")
    said = [{"role": role, "content": content} for role, content in messages]
    return about | {"id": "t", "split": "train", "protocol": "text", "mode": mode, "messages": said}


def test_every_file_is_one_session_of_the_format(release: Path) -> None:
    files = sorted((release / "traces").iterdir())
    assert 9 <= len(files) <= EPISODES
    for split in read_manifest(release)["splits"]:
        mine = [path.name for path in files if path.name.startswith(f"{split}-")]
        assert mine == [f"{split}-{n:05d}.jsonl" for n in range(len(mine))] and mine
    ids = set()
    for path in files:
        head, *rest = lines(path.read_bytes())
        assert head["type"] == "session" and head["harness"] == "fhirtasks" and head["id"] and head["name"]
        ids.add(head["id"])
        open_calls: set[str] = set()
        for line in rest:
            assert line["type"] == "message"
            message = line["message"]
            assert message["role"] in ("user", "assistant", "system", "tool") and isinstance(message["content"], str)
            for call in message.get("toolCalls", ()):
                assert call["function"]["name"] and isinstance(json.loads(call["function"]["arguments"]), dict)
                open_calls.add(call["id"])
            if message["role"] == "tool":
                open_calls.remove(message["toolCallId"])
    assert len(ids) == len(files)


def test_they_say_what_the_rows_say(release: Path) -> None:
    stored = {
        one["id"]: one for path in (release / "sft").iterdir() for one in datasets.Dataset.from_parquet(str(path))
    }
    for path in (release / "traces").iterdir():
        head, *rest = lines(path.read_bytes())
        found = stored[head["id"]]
        assert [line["message"]["content"] for line in rest] == [one["content"] for one in found["messages"]]
        assert (head["family"], head["branch"], head["split"]) == (found["family"], found["branch"], found["split"])


def test_all_families_and_branches_are_shown(release: Path) -> None:
    heads = [lines(path.read_bytes())[0] for path in (release / "traces").iterdir()]
    wanted = {
        (name, branch)
        for name, family in read_manifest(release)["families"].items()
        for branch, counts in family["branches"].items()
        if counts["kept"]
    }
    assert {(head["family"], head["branch"]) for head in heads} == wanted


def test_calls_are_what_was_asked_and_text_stays_text() -> None:
    body = '{"a":1.10,"b":"é\\u0000"}'
    ((path, data),) = traces(
        [
            row(
                ("user", "prompt"), ("assistant", "GET http://h/Patient?x=1"), ("user", "r1"),
                ("assistant", f"POST http://h/X\n{body}"), ("user", "r2"),
                ("assistant", "I think"), ("user", "r3"), ("assistant", "FINISH([1.10])"),
            )
        ]
    )  # fmt: skip
    assert path == "traces/train-00000.jsonl"
    said = [line["message"] for line in lines(data)[1:]]
    assert [one["role"] for one in said] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant",
    ]
    assert json.loads(said[1]["toolCalls"][0]["function"]["arguments"]) == {"url": "http://h/Patient?x=1"}
    assert '"a":1.10' in said[3]["toolCalls"][0]["function"]["arguments"]
    assert "toolCalls" not in said[5] and "toolCalls" not in said[7]


def test_native_calls_are_calls_and_their_replies_are_tied_to_them() -> None:
    made = row(("user", "prompt"))
    two = [
        {"type": "function", "function": {"name": "fhir_search", "arguments": {"type": "Patient", "n": name}}}
        for name in "ab"
    ]
    made["messages"] += [
        {"role": "assistant", "content": "", "tool_calls": two},
        {"role": "tool", "name": "fhir_search", "content": "r1"},
        {"role": "tool", "name": "fhir_search", "content": "r2"},
        {"role": "assistant", "content": "done", "tool_calls": None},
    ]
    ((_, data),) = traces([made | {"protocol": "tools"}])
    said = [line["message"] for line in lines(data)[1:]]
    asked = said[1]["toolCalls"]
    assert [json.loads(call["function"]["arguments"])["n"] for call in asked] == ["a", "b"]
    assert [one["toolCallId"] for one in said[2:4]] == [call["id"] for call in asked]
    assert "toolCalls" not in said[4]
    assert (
        spoken(made["messages"][1])
        == 'fhir_search({"type":"Patient","n":"a"})\nfhir_search({"type":"Patient","n":"b"})'
    )
    stored = {"content": "", "tool_calls": [json.dumps(two[0])]}
    assert spoken(stored) == 'fhir_search({"type":"Patient","n":"a"})'
    assert spoken(made["messages"][4]) == "done" and spoken({"content": None}) == ""


def test_no_config_sweeps_them_in(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    rows = datasets.load_dataset(str(release), cache_dir=str(tmp_path))
    assert sum(len(split) for split in rows.values()) == read_manifest(release)["kept"]
    configs = datasets.get_dataset_config_names(str(release))
    assert "traces" not in configs and "default" not in configs


@pytest.mark.parametrize("limit", [1, 5, 20, 1000])
def test_the_sample_is_fair_and_bounded(limit: int, release: Path) -> None:
    splits = list(read_manifest(release)["splits"])
    rows = sample(release, "sft", splits, by=("branch", "origin"), limit=limit)
    keys = [(splits.index(one["split"]), one["family"], one["branch"], one["row"]) for one in rows]
    assert len(rows) <= limit and keys == sorted(set(keys))
    families = [one["family"] for one in rows]
    branches = {name: len(entry["branches"]) for name, entry in read_manifest(release)["families"].items()}
    share = limit // len(branches)
    assert all(families.count(name) >= min(share, number) for name, number in branches.items()), families
    stored = [one for split in splits for one in stored_rows(release, split)]
    assert all(one["content_hash"] in stored for one in rows)


def stored_rows(release: Path, split: str) -> list[str]:
    (path,) = (release / "sft").glob(f"{split}-*.parquet")
    return list(datasets.Dataset.from_parquet(str(path))["content_hash"])


def test_the_sample_keeps_to_its_budget(release: Path) -> None:
    splits = list(read_manifest(release)["splits"])
    whole = sample(release, "sft", splits, by=("branch",), limit=1000)

    def size(rows: list[dict[str, Any]]) -> list[int]:
        return [sum(len(message["content"]) for message in one["messages"]) for one in rows]

    longest = sorted(size(whole))[len(whole) // 2]
    short = sample(release, "sft", splits, by=("branch",), limit=1000, longest=longest, budget=30_000)
    assert short and max(size(short)) <= longest and sum(size(short)) <= 30_000 < sum(size(whole))
    even = sample(release, "rl", ["train"], by=("branch",), limit=9, depth=9, even=True)
    assert {
        family: [one["family"] for one in even].count(family) for family in {one["family"] for one in even}
    } == dict.fromkeys(read_manifest(release)["families"], 3)
