"""A dataset and a benchmark on the Hub are audited there: streamed, at one commit, with a token, and told of when they break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub.hub_double import HubDouble
from tests.leakage.test_leakage_splits import CHARTS, ROWS, write

TASKS = [{"id": "b_1", "instruction": "How old is Q7654321 in years?", "eval_MRN": "Q7654321"}]


def parquet(path: Path, texts: list[str]) -> bytes:
    pq.write_table(pa.table({"text": texts}), path)
    return path.read_bytes()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubDouble]:
    """clinic/demo: v1.0.0 is clean, main is not; clinic/held is a private benchmark."""
    clean = parquet(tmp_path / "clean.parquet", ["nothing here"] * 50)
    leaking = parquet(tmp_path / "leaking.parquet", ["nothing here"] * 49 + ["see Q7654321"])
    with HubDouble() as double:
        double.user("token", "ann", ("clinic",))
        repo = double.repo("clinic/demo", "clinic", private=False, files={"sft/train-00000-of-00001.parquet": clean})
        repo.tags["v1.0.0"] = repo.refs["main"]
        more = {
            "sft/train-00000-of-00001.parquet": leaking,
            "extra.jsonl": b'{"t": "Q7654321"}\n',
            "x.png": b"\x89PNG\x00",
        }
        repo.commit(more, "second")
        double.repo("clinic/held", "clinic", files={"test.json": json.dumps(TASKS).encode()})
        yield double


@pytest.fixture
def held(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(TASKS))
    return path


def audit(hub: HubDouble, home: Path, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    place = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(home / "hf"),
        "HF_TOKEN": token or "",
    }
    command = [sys.executable, "-m", "fhirtasks", "audit", *arguments, "--json"]
    environment = {**os.environ, **place}
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=300)


def test_each_revision_has_its_own_verdict(hub: HubDouble, tmp_path: Path, held: Path) -> None:
    clean = audit(hub, tmp_path, "clinic/demo@v1.0.0", "--holdout", str(held))
    assert clean.returncode == 0, clean.stderr
    report = json.loads(clean.stdout)
    assert report["commit"] == hub.repos["clinic/demo"].tags["v1.0.0"] and report["rows"] == {"sft/train": 50}
    found = audit(hub, tmp_path, "clinic/demo", "--holdout", str(held))
    assert found.returncode == 1, found.stderr
    report = json.loads(found.stdout)
    places = {(one["file"], one["row"]) for one in report["findings"]}
    assert places == {("sft/train-00000-of-00001.parquet", 49), ("extra.jsonl", 0)}
    assert report["unsearched"] == ["x.png"]


def test_a_private_benchmark_needs_its_token(hub: HubDouble, tmp_path: Path) -> None:
    refused = audit(hub, tmp_path, "clinic/demo", "--holdout", "hub:clinic/held")
    assert refused.returncode == 2 and "HF_TOKEN" in refused.stderr and refused.stdout == ""
    read = audit(hub, tmp_path, "clinic/demo", "--holdout", "hub:clinic/held", token="token")
    assert read.returncode == 1 and json.loads(read.stdout)["items"]["items"] == 1, read.stderr


def test_what_is_not_there_is_told(hub: HubDouble, tmp_path: Path, held: Path) -> None:
    for name in ("clinic/none", "clinic/demo@v9"):
        told = audit(hub, tmp_path, name, "--holdout", str(held))
        assert told.returncode == 2 and told.stderr.count("fhirtasks:") == 1 and "Traceback" not in told.stderr
        assert f"{name} is no file or folder here, and cannot be read from the Hub" in told.stderr


def test_an_answer_that_is_refused_midway_is_no_verdict(hub: HubDouble, tmp_path: Path, held: Path) -> None:
    hub.fault(r"GET .*resolve.*\.parquet", status=403, times=100)
    told = audit(hub, tmp_path, "clinic/demo", "--holdout", str(held))
    assert told.returncode == 2 and "train-00000-of-00001.parquet cannot be read from the Hub" in told.stderr
    assert "Traceback" not in told.stderr and told.stdout == ""


def test_splits_are_compared_where_they_lie(hub: HubDouble, tmp_path: Path, held: Path) -> None:
    told = {}
    for name, charts in (("apart", CHARTS), ("shared", {**CHARTS, "test": CHARTS["train"][:1]})):
        folder = write(tmp_path / name, charts, ROWS)
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}
        hub.repo(f"clinic/{name}", "clinic", private=False, files=files)
        done = audit(hub, tmp_path, f"clinic/{name}", "--holdout", str(held))
        report = json.loads(done.stdout)
        told[name] = [(one["what"], one["splits"], one["number"]) for one in report["splits"]]
        assert done.returncode == (1 if told[name] else 0), done.stderr
        assert all("splits" not in note for note in report["notes"])
    assert told == {"apart": [], "shared": [("patient", ["test", "train"], 2)]}
