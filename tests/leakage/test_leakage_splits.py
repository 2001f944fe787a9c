"""What two splits share is found by its content, whatever the ids are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.errors import UserError
from fhirtasks.leakage.splits import overlaps


def patient(id_: str, mrn: str, family: str, born: str) -> str:
    body = {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": "urn:mrn", "value": mrn}],
        "name": [{"family": family, "given": ["Zoë"]}],
        "birthDate": born,
    }
    return json.dumps(body)


def task(mrn: str, add: list[dict[str, Any]] | None = None, family: str = "patient_age") -> str:
    return json.dumps(
        {
            "family": family,
            "instruction": f"How old is {mrn}?",
            "slots": {"mrn": mrn},
            "scenario": {"add": [json.dumps(body) for body in add or []], "hide": []},
        }
    )


def row(mrn: str, answer: str = "[1]", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"How old is {mrn}?"}, {"role": "assistant", "content": answer}]
    return {"id": f"row {mrn}", "messages": messages, "task": task(mrn, **more)}


def write(folder: Path, charts: dict[str, list[str]], rows: dict[str, list[dict[str, Any]]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split, bodies in charts.items():
        (folder / "charts").mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist([{"type": "Patient", "raw": body} for body in bodies])
        pq.write_table(table, folder / "charts" / f"{split}-00000-of-00001.parquet")
    for split, found in rows.items():
        (folder / "sft").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(found), folder / "sft" / f"{split}-00000-of-00001.parquet")
    return folder


CHARTS = {
    "train": [patient("a", "M0001", "Quill", "1950-01-01"), patient("b", "M0002", "Ash", "1950-01-01")],
    "test": [patient("c", "M0003", "Quill", "1950-01-02")],
}
ROWS = {"train": [row("M0001"), row("M0002", family="other")], "test": [row("M0003")]}
LAB = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
    "subject": {"reference": "Patient/a"},
    "effectiveDateTime": "2020-01-01T10:07:00Z",
    "valueQuantity": {"value": 3.1, "unit": "mmol/L"},
}


def test_splits_of_their_own_share_nothing(tmp_path: Path) -> None:
    assert overlaps(write(tmp_path, CHARTS, ROWS)) == []


@pytest.mark.parametrize(
    ("body", "example"),
    [
        (patient("z", "m-0001", "Other", "1999-01-01"), "m-0001"),
        (patient("z", "M0009", "QUILL", "1950-01-01"), "Zoë QUILL, 1950-01-01"),
    ],
)
def test_a_patient_under_another_id_is_the_same_patient(tmp_path: Path, body: str, example: str) -> None:
    charts = {"train": CHARTS["train"], "test": [*CHARTS["test"], body]}
    (found,) = overlaps(write(tmp_path, charts, ROWS))
    assert (found.what, set(found.splits), found.number) == ("patient", {"train", "test"}, 1)
    assert found.example.casefold().replace("-", "") in {
        example.casefold().replace("-", ""),
        "m0001",
        "zoë quill, 19500101",
    }


def test_an_episode_and_a_scenario_are_known_by_what_they_say(tmp_path: Path) -> None:
    copied = LAB | {"id": "o2", "subject": {"reference": "Patient/c"}}
    rows = {
        "train": [row("M0001", add=[LAB])],
        "test": [row("M0003", add=[copied]), row("M0001") | {"id": "another id"}],
    }
    found = {overlap.what: overlap.number for overlap in overlaps(write(tmp_path, CHARTS, rows))}
    assert found == {"scenario": 1, "episode": 1}
    moved = {
        "train": rows["train"],
        "test": [row("M0003", add=[copied | {"effectiveDateTime": "2020-01-01T10:08:00Z"}])],
    }
    assert overlaps(write(tmp_path / "moved", CHARTS, moved)) == []


def test_families_and_wordings_count_where_they_are_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path, CHARTS, ROWS)
    assert [(found.what, found.example) for found in overlaps(folder, families=True, wordings=True)] == [
        ("family", "patient_age"),
        ("wording", "patient_age: how old is mrn"),
    ]


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, CHARTS, ROWS)
    (folder / "charts" / "test-00000-of-00001.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(UserError, match="cannot be read"):
        overlaps(folder)
