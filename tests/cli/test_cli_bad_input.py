"""Bad input gets one clear sentence and exit code 2, and leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("fhirtasks")
PATIENT = '{"resourceType":"Patient","id":"p1","birthDate":"1980-01-02"}'


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last, last
    assert not result.stdout.strip()


def truncated_gzip(folder: Path) -> str:
    data = gzip.compress((PATIENT + "\n").encode() * 200)
    (folder / "cut.ndjson.gz").write_bytes(data[: len(data) // 2])
    return "cut.ndjson.gz"


def malformed_line(folder: Path) -> str:
    (folder / "bad.ndjson").write_text(PATIENT + '\n{"resourceType":"Patient","id":\n', encoding="utf-8")
    return "bad.ndjson"


def not_a_resource(folder: Path) -> str:
    (folder / "list.ndjson").write_text(PATIENT + "\n[1,2]\n", encoding="utf-8")
    return "list.ndjson"


def no_type(folder: Path) -> str:
    (folder / "type.ndjson").write_text(PATIENT.replace('"Patient"', '"../x"') + "\n", encoding="utf-8")
    return "type.ndjson"


def broken_zip(folder: Path) -> str:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("p.ndjson", PATIENT)
    data = (folder / "a.zip").read_bytes()
    (folder / "a.zip").write_bytes(data[:-20])
    return "a.zip"


def wrong_encoding(folder: Path) -> str:
    (folder / "latin.ndjson").write_bytes(PATIENT.replace("p1", "p\u00e91").encode("latin-1") + b"\n")
    return "latin.ndjson"


def empty_folder(folder: Path) -> str:
    (folder / "empty").mkdir()
    return "empty"


@pytest.mark.parametrize(
    "make",
    [truncated_gzip, malformed_line, not_a_resource, no_type, broken_zip, wrong_encoding, empty_folder],
    ids=lambda f: f.__name__,
)
def test_load_refuses(make: Callable[[Path], str], tmp_path: Path) -> None:
    name = make(tmp_path)
    before = sorted(os.listdir(tmp_path))
    assert_refused(run(["load", name, "--graph", "g.duckdb"], tmp_path), name)
    assert sorted(os.listdir(tmp_path)) == before


def test_load_missing_source(tmp_path: Path) -> None:
    assert_refused(run(["load", "nowhere", "--graph", "g.duckdb"], tmp_path), "nowhere")
    assert os.listdir(tmp_path) == []


def test_a_failed_load_keeps_the_graph_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "good.ndjson").write_text(PATIENT + "\n", encoding="utf-8")
    first = run(["load", "good.ndjson", "--graph", "g.duckdb", "--json"], tmp_path)
    assert first.returncode == 0, first.stderr
    assert_refused(run(["load", malformed_line(tmp_path), "--graph", "g.duckdb"], tmp_path), "bad.ndjson", "2")
    again = run(["load", "good.ndjson", "--graph", "g.duckdb", "--json"], tmp_path)
    assert json.loads(again.stdout)["fingerprint"] == json.loads(first.stdout)["fingerprint"]


def test_conflicts_can_be_refused(tmp_path: Path) -> None:
    other = PATIENT.replace("1980", "1981")
    (tmp_path / "two.ndjson").write_text(PATIENT + "\n" + other + "\n", encoding="utf-8")
    assert_refused(run(["load", "two.ndjson", "--graph", "g.duckdb", "--on-conflict", "error"], tmp_path), "Patient/p1")
    assert not (tmp_path / "g.duckdb").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "--graph", "nowhere.duckdb", "--out", "ds"], ["nowhere.duckdb"]),
        (["build", "--graph", "text.duckdb", "--out", "ds"], ["text.duckdb"]),
        (["build", "--patients", "5", "--graph", "g.duckdb", "--out", "ds"], ["--graph", "--patients"]),
        (["build", "--mode", "other", "--out", "ds"], ["other", "clinical", "compat"]),
        (["build", "--protocol", "smoke", "--out", "ds"], ["smoke"]),
        (["build", "--families", "no_such_*", "--out", "ds"], ["no_such_*"]),
        (["build", "--holdout", "nowhere.json", "--out", "ds"], ["nowhere.json"]),
        (["build", "--holdout", "scan.png", "--out", "ds"], ["scan.png"]),
        (["build", "--tokenizer", "nowhere", "--out", "ds"], ["nowhere"]),
        (["build", "--out", "full"], ["full"]),
        (["verify", "nowhere"], ["nowhere"]),
        (["verify", "full"], ["full"]),
        (["grade", "--tasks", "nowhere", "text.duckdb"], ["nowhere"]),
        (["evaluate", "--tasks", "nowhere"], ["nowhere"]),
        (["evaluate", "--tasks", "full", "--policy", "expert"], ["full"]),
        (["serve", "--graph", "nowhere.duckdb"], ["nowhere.duckdb"]),
        (["audit", "nowhere", "--holdout", "text.duckdb"], ["nowhere"]),
        (["audit", "full", "--holdout", "scan.png"], ["scan.png"]),
        (["audit", "full", "--holdout", "text.duckdb", "--policy", "scan.png"], ["scan.png"]),
        (["audit", "scan.png", "--holdout", "text.duckdb"], ["scan.png"]),
        (["audit", "full"], ["--holdout"]),
        (["seal", "scan.png", "--out", "sealed.json"], ["scan.png"]),
        (["seal", "text.duckdb", "--out", "full/mine.txt"], ["mine.txt"]),
        (["seal", "text.duckdb", "--out", "sealed.json", "--key", "nowhere"], ["nowhere"]),
        (["populate", "--graph", "text.duckdb"], ["text.duckdb"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_misuse(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("this is no graph\n", encoding="utf-8")
    (tmp_path / "scan.png").write_bytes(b"\x89PNG\x00\x01")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me", encoding="utf-8")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    assert_refused(run(arguments, tmp_path), *words)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert (tmp_path / "full" / "mine.txt").read_text(encoding="utf-8") == "keep me"
