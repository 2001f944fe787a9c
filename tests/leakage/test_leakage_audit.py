"""The audit finds a leak planted in any text of a release folder, and says where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.errors import UserError
from fhirtasks.leakage.audit import audit

TASKS = [
    {
        "id": "a_1",
        "instruction": "Which record is Zoë Müller's, born 1932-12-29?",
        "sol": ["Q1234567"],
        "eval_MRN": "Q1234567",
    },
    {"id": "b_1", "instruction": "How old is Q7654321 in years?", "eval_MRN": "Q7654321"},
]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(TASKS))
    return path


def message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def release(folder: Path, plant: dict[str, Any] | None = None) -> Path:
    """Three configs of two shards each; ``plant`` overrides (config, shard, row) cells."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    plant = plant or {}
    for config in ("sft", "rl", "charts"):
        (folder / config).mkdir(parents=True)
        for shard in range(2):
            table = [
                {
                    "id": f"{shard}{row}",
                    "raw": '{"id": "p1"}',
                    "messages": [message("How old is Q7654329 in years?"), message("[63]")],
                }
                for row in range(700)
            ]
            for (where, number, row), cells in plant.items():
                if (where, number) == (config, shard):
                    table[row] |= cells
            pq.write_table(pa.Table.from_pylist(table), folder / config / f"train-0000{shard}-of-00002.parquet")
    (folder / "README.md").write_text("A card.")
    (folder / "manifest.json").write_text("{}")
    return folder


def test_a_clean_release_is_clean(tmp_path: Path, tasks: Path) -> None:
    report = audit(release(tmp_path / "ds"), [tasks])
    assert report.clean
    assert report.rows == {"sft/train": 1400, "rl/train": 1400, "charts/train": 1400}
    assert report.as_json()["clean"] is True


def test_every_planted_leak_is_found_with_its_place(tmp_path: Path, tasks: Path) -> None:
    body = json.dumps(
        {"resourceType": "Patient", "name": [{"family": "Müller", "given": ["Zoë"]}], "birthDate": "1932-12-29"}
    )
    folder = release(
        tmp_path / "ds",
        {
            ("sft", 0, 3): {"messages": [message("ok"), message("Here: Patient/Q7654321."), message("x")]},
            ("rl", 1, 650): {"raw": body},
            ("charts", 1, 0): {"messages": [message("Zoë Müller"), message("born 29 Dec 1932")]},
            ("charts", 0, 699): {"messages": [message("HOW  OLD is “Q7654321” in years")]},
        },
    )
    (folder / "README.md").write_text("An example row: record Q1234567.")
    report = audit(folder, [tasks])
    assert not report.clean
    found = {(f.config, f.split, f.row, f.column, f.kind) for f in report.findings}
    assert found == {
        ("", "", None, "README.md", "identifier"),
        ("sft", "train", 3, "messages[1].content", "identifier"),
        ("rl", "train", 1350, "raw", "person"),
        ("charts", "train", 700, "messages[0].content", "person"),
        ("charts", "train", 699, "messages[0].content", "identifier"),
        ("charts", "train", 699, "messages[0].content", "instruction"),
    }
    assert all(finding["excerpt"] for finding in json.loads(json.dumps(report.as_json()))["findings"])


def test_what_is_no_release_is_refused(tmp_path: Path, tasks: Path) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        audit(tmp_path / "none", [tasks])
    with pytest.raises(UserError, match=r"holds no <config>/<split>"):
        audit(tmp_path, [tasks])
    folder = release(tmp_path / "ds")
    (folder / "rl" / "train-00000-of-00002.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(UserError, match="cannot be read"):
        audit(folder, [tasks])
