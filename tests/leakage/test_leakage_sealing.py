"""A benchmark's owner gives hashes away; an audit finds what stands openly, and says what it cannot see."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fhirtasks.benchmarks.holdouts import read_heldout
from fhirtasks.errors import UserError
from fhirtasks.leakage.audit import audit
from fhirtasks.leakage.sealing import read_key, write_sealed

TASKS = [
    {
        "id": "a_1",
        "instruction": "Which record is Zoë Müller's, born 1932-12-29?",
        "sol": ["Q1234567"],
        "eval_MRN": "Q1234567",
    },
    {"id": "b_1", "instruction": "How old is Q7654321 in years?", "eval_MRN": "Q7654321"},
]
KEY = b"a secret of two parties"


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(TASKS))
    return path


def dataset(folder: Path, *texts: str) -> Path:
    pq.write_table(pa.table({"text": ["nothing at all", *texts]}), folder / "train.parquet")
    return folder / "train.parquet"


def test_a_sealed_benchmark_shows_nothing_and_is_found(tmp_path: Path, tasks: Path) -> None:
    out = tmp_path / "sealed.json"
    said = write_sealed([tasks], out)
    assert said["items"]["items"] == 2 and said["keyed"] is False
    text = out.read_text()
    for secret in ("Q1234567", "q1234567", "Müller", "muller", "1932", "How old"):
        assert secret not in text
    report = audit(
        dataset(tmp_path, "see Q7654321.", "Zoë Müller, born 1932-12-29", "HOW old is Q7654321 in years"), [out]
    )
    assert [(f.row, f.matcher) for f in report.findings] == [
        (1, "identifier"), (2, "person"), (3, "identifier"), (3, "normalised"),
    ]  # fmt: skip
    assert all(finding.item.startswith("sealed ") for finding in report.findings)
    assert report.self_test is None and report.as_json()["self_test"] is None
    assert any("disguises are not seen through" in note for note in report.notes)
    assert any("nothing could be planted" in note for note in report.notes)


def test_what_is_sealed_and_what_is_open_are_searched_together(tmp_path: Path, tasks: Path) -> None:
    out, other = tmp_path / "sealed.json", tmp_path / "other.txt"
    write_sealed([tasks], out)
    other.write_text("W9999911\n")
    report = audit(dataset(tmp_path, "Q7654321", "W9999911"), [out, other], each=1, clean=5)
    assert [finding.row for finding in report.findings] == [1, 2] and report.self_test is not None
    assert report.items["items"] == 1


def test_a_key_is_needed_on_both_sides(tmp_path: Path, tasks: Path) -> None:
    out = tmp_path / "sealed.json"
    write_sealed([tasks], out, KEY)
    data = dataset(tmp_path, "see Q7654321.")
    assert audit(data, [out], key=KEY).leaks == 1
    assert audit(data, [out], key=KEY + b"!").leaks == 0
    with pytest.raises(UserError, match="sealed with a key"):
        audit(data, [out])


def test_sealing_again_gives_the_same_bytes(tmp_path: Path, tasks: Path) -> None:
    out = tmp_path / "sealed.json"
    write_sealed([tasks], out)
    before = out.read_bytes()
    write_sealed([tasks], out)
    assert out.read_bytes() == before and {path.name for path in tmp_path.iterdir()} == {"sealed.json", "tasks.json"}


def test_what_cannot_be_sealed_is_refused(tmp_path: Path, tasks: Path) -> None:
    out = tmp_path / "sealed.json"
    write_sealed([tasks], out)
    with pytest.raises(UserError, match="sealed already"):
        write_sealed([out], tmp_path / "x.json")
    with pytest.raises(UserError, match="no sealed file"):
        write_sealed([tasks], tasks)
    with pytest.raises(UserError, match="Cannot write"):
        write_sealed([tasks], tmp_path / "none" / "x.json")
    with pytest.raises(UserError, match="is sealed"):
        list(read_heldout(out))
    value = json.loads(out.read_text())
    del value["hashes"]
    out.write_text(json.dumps(value))
    with pytest.raises(UserError, match="damaged"):
        audit(dataset(tmp_path), [out])


def test_keys_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    assert read_key(path) == KEY and read_key(None) is None
    path.write_bytes(b"short\n")
    with pytest.raises(UserError, match="has 5 bytes"):
        read_key(path)
    with pytest.raises(UserError, match="Cannot read the key"):
        read_key(tmp_path / "none")
