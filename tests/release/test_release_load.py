"""A release as its readers open it: every config and split, at once and streamed; the card; nothing of the machine."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from fhirtasks.release.features import COLUMNS, CONFIGS, SPARSE, SPLITS
from fhirtasks.release.manifest import read_manifest
from fhirtasks.tasks.codec import task_from_json


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("config", CONFIGS)
def test_load_dataset_opens_it(release: Path, config: str, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(release), config, cache_dir=str(tmp_path))
    streamed = datasets.load_dataset(str(release), config, streaming=True)
    files = read_manifest(release)["files"]
    written = {split for split in SPLITS if any(path.startswith(f"{config}/{split}-") for path in files)}
    assert set(loaded) == set(streamed) == written
    assert config in SPARSE or written == set(SPLITS)
    for split, rows in loaded.items():
        assert list(rows.features) == list(COLUMNS[config])
        assert len(rows) == sum(about["rows"] for path, about in files.items() if path.startswith(f"{config}/{split}-"))
        few = list(streamed[split].take(3))
        assert few == [rows[place] for place in range(len(few))]


def test_sft_is_the_default(release: Path, tmp_path: Path) -> None:
    rows = datasets.load_dataset(str(release), split="train", cache_dir=str(tmp_path))
    assert list(rows.features) == list(COLUMNS["sft"])


def test_configs_agree(release: Path, tmp_path: Path) -> None:
    def load(config: str) -> Any:
        return datasets.load_dataset(str(release), config, split="train", cache_dir=str(tmp_path))

    sft, rl, turns = load("sft"), load("rl"), load("sft_turns")
    assert sft["id"] == rl["id"] and sft["task"] == rl["task"]
    assert len(turns) == sum(message["role"] == "assistant" for row in sft for message in row["messages"])
    for row, task in zip(rl, map(task_from_json, rl["task"]), strict=True):
        assert row["prompt"][0]["content"] == sft[rl["id"].index(row["id"])]["messages"][0]["content"]
        assert json.loads(row["reference"]) == json.loads(json.loads(row["task"])["gold"])
        assert task.split == "train"


def test_the_card_names_every_config_and_split(release: Path) -> None:
    text = (release / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert [config["config_name"] for config in front["configs"]] == list(CONFIGS)
    assert next(config for config in front["configs"] if config.get("default"))["config_name"] == "sft"
    assert front["license"] == ["cc0-1.0"]
    for family, entry in read_manifest(release)["families"].items():
        for branch, row in entry["branches"].items():
            assert f"| `{family}` | `{branch}` | {row['quota']} | {row['kept']} |" in text
    assert not re.findall(r"\$[a-z_{]", text), "a place of the template was not filled"


def test_nothing_of_the_machine_is_inside(release: Path) -> None:
    data = b"".join(path.read_bytes() for path in release.rglob("*") if path.suffix != ".parquet" and path.is_file())
    for word in (str(release.parent), socket.gethostname(), f"/home/{getpass.getuser()}", "workers", "journal", "/tmp"):
        assert word.encode() not in data, word
    documents = {"README.md", "croissant.json", "manifest.json", "report.html", "traces"}
    assert {path.name for path in release.iterdir()} == {*CONFIGS, *documents}
