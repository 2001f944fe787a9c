"""The audit finds a leak planted in any text of any dataset, says where, and measures itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fhirtasks.errors import UserError
from fhirtasks.leakage import reading, search
from fhirtasks.leakage.audit import audit
from fhirtasks.leakage.report import AuditReport, Finding

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
                for row in range(300)
            ]
            for (where, number, row), cells in plant.items():
                if (where, number) == (config, shard):
                    table[row] |= cells
            pq.write_table(pa.Table.from_pylist(table), folder / config / f"train-0000{shard}-of-00002.parquet")
    (folder / "README.md").write_text("A card.")
    (folder / "manifest.json").write_text('{"kept": 1}')
    return folder


def quick(dataset: Path | str, sources: list[Any], **more: Any) -> AuditReport:
    return audit(dataset, sources, each=1, clean=20, **more)


BODY = json.dumps(
    {"resourceType": "Patient", "name": [{"family": "Müller", "given": ["Zoë"]}], "birthDate": "1932-12-29"}
)
PLANT = {
    ("sft", 0, 3): {"messages": [message("ok"), message("Here: Patient/Q7654321."), message("x")]},
    ("rl", 1, 250): {"raw": BODY},
    ("charts", 1, 0): {"messages": [message("Zoë Müller"), message("born 29 Dec 1932")]},
    ("charts", 0, 299): {"messages": [message("HOW  OLD is “Q7654321” in years")]},
}


def test_a_clean_release_is_clean(tmp_path: Path, tasks: Path) -> None:
    report = quick(release(tmp_path / "ds"), [tasks])
    assert report.clean and report.findings == () and report.leaks == report.leaking == report.doubts == 0
    assert report.rows == {"charts/train": 600, "rl/train": 600, "sft/train": 600}
    said = report.as_json()
    assert said["clean"] is True and said["findings"] == [] and json.loads(json.dumps(said)) == said


def test_every_planted_leak_is_found_with_its_place(tmp_path: Path, tasks: Path) -> None:
    folder = release(tmp_path / "ds", PLANT)
    (folder / "README.md").write_text("An example row: record Q1234567.")
    (folder / "manifest.json").write_text('{"example": {"Q1234567": 1}}')
    report = quick(folder, [tasks])
    assert not report.clean
    found = {(f.file, f.config, f.split, f.row, f.column, f.matcher) for f in report.findings}
    shard = "train-0000{}-of-00002.parquet"
    assert found == {
        ("README.md", "", "", None, "README.md", "identifier"),
        ("manifest.json", "", "", None, "example.Q1234567 (key)", "identifier"),
        ("sft/" + shard.format(0), "sft", "train", 3, "messages[1].content", "identifier"),
        ("rl/" + shard.format(1), "rl", "train", 550, "raw", "person"),
        ("charts/" + shard.format(1), "charts", "train", 300, "messages[0].content", "person"),
        ("charts/" + shard.format(0), "charts", "train", 299, "messages[0].content", "identifier"),
        ("charts/" + shard.format(0), "charts", "train", 299, "messages[0].content", "normalised"),
    }
    one = next(finding for finding in report.findings if finding.config == "sft")
    assert "Here: Patient/Q7654321."[slice(*one.span)] == "Q7654321" and one.excerpt == "Here: Patient/Q7654321."
    assert "Q7654321" in one.item and "tasks.json b_1" in one.item and one.decisive
    assert report.leaks == len(report.findings) and report.matchers == {"identifier": 4, "normalised": 1, "person": 2}


def test_processes_and_parts_find_the_same(tmp_path: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = release(tmp_path / "ds", PLANT)
    alone = quick(folder, [tasks])
    assert quick(folder, [tasks], workers=2).as_json() == alone.as_json()
    monkeypatch.setattr(reading, "STRIPE", 50)
    assert quick(folder, [tasks]).as_json() == alone.as_json()


def test_many_findings_are_counted_and_the_first_listed(
    tmp_path: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LISTED", 10)
    monkeypatch.setattr(reading, "CHUNK", 200)
    (tmp_path / "train.jsonl").write_text("".join(json.dumps({"n": n, "t": "see Q7654321"}) + "\n" for n in range(500)))
    report = quick(tmp_path / "train.jsonl", [tasks])
    assert report.leaks == 500 and report.matchers == {"identifier": 500}
    assert [finding.row for finding in report.findings] == list(range(10))


def test_no_more_findings_are_kept_than_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which parts come, those of the first parts stay."""
    monkeypatch.setattr(search, "LISTED", 3)
    finding = Finding("f", "", "t", 0, "c", "identifier", "x", (0, 1), "", "", True)
    outcomes = [search.Outcome(number, findings=[finding] * 2) for number in (2, 0, 1)]
    search.bound(outcomes)
    assert {outcome.number: len(outcome.findings) for outcome in outcomes} == {0: 2, 1: 1, 2: 0}


def test_splits_that_share_a_patient_are_not_clean(tmp_path: Path, tasks: Path) -> None:
    patient = {"resourceType": "Patient", "id": "p1", "identifier": [{"system": "urn:mrn", "value": "D1112223"}]}
    for split, value in (("train", "D1112223"), ("test", "D1112223"), ("validation", "D9998887")):
        patient["identifier"] = [{"system": "urn:mrn", "value": value}]
        for config, row in (
            ("charts", {"type": "Patient", "raw": json.dumps(patient)}),
            ("sft", {"id": split, "messages": [message(f"in {split}")], "task": "{}"}),
        ):
            (tmp_path / "ds" / config).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "ds" / config / f"{split}-00000-of-00001.parquet"
            pq.write_table(pa.Table.from_pylist([row]), path)
    report = quick(tmp_path / "ds", [tasks])
    assert report.leaks == 0 and not report.clean
    assert [(one["what"], one["splits"], one["number"]) for one in report.as_json()["splits"]] == [
        ("patient", ["test", "train"], 1)
    ]


def test_a_record_number_in_a_column_of_numbers_is_found(tmp_path: Path) -> None:
    held = tmp_path / "held.txt"
    held.write_text("70098765\n")
    pq.write_table(pa.table({"subject_id": [70098765, 70098766], "n": [1.5, 2.5]}), tmp_path / "train.parquet")
    report = quick(tmp_path / "train.parquet", [held])
    assert [(f.row, f.column, f.matcher) for f in report.findings] == [(0, "subject_id", "identifier")]


def test_a_text_that_the_dataset_repeats_is_a_leak_all_the_same(tmp_path: Path) -> None:
    """A held-out case beside many trials, as matching datasets have it, is no template of the data."""
    case = (
        "A 58-year-old woman from a fishing village presents with hoarseness and hiccups for nine days; she keeps geese, "
        "and her left ankle is swollen."
    )
    held = tmp_path / "held.txt"
    held.write_text(case + "\n")
    rows = [
        {"text": f"Trial {n}: adults with disease {n * 7} and no more than {n} drugs. Case: {case}"} for n in range(200)
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = quick(tmp_path / "train.jsonl", [held])
    assert report.leaking == 200 <= report.leaks


def test_the_audit_measures_itself(tmp_path: Path, tasks: Path) -> None:
    report = audit(release(tmp_path / "ds"), [tasks], each=2, clean=50)
    test = report.as_json()["self_test"]
    assert test["good"] and test["recall"] == 1.0 and test["false_alarms"] == 0 and test["clean"] == 50
    assert test["planted"] == test["found"] > 80 and len(test["disguises"]) > 20
    assert set(test["facts"]) == {"identifier", "person", "instruction", "parameters"}
    assert {"messages, message 1", "messages, message 2", "raw", "id", "README"} <= set(test["positions"])


def test_a_blind_audit_says_so(tmp_path: Path, tasks: Path) -> None:
    """Rules so strict that nothing short is looked for are seen by the self-test, not only by who reads the policy."""
    policy = tmp_path / "policy.json"
    policy.write_text('{"identifier": {"shortest": 40}, "person": {"decides": false}}')
    report = audit(release(tmp_path / "ds", PLANT), [tasks], policy, each=2, clean=20)
    assert report.self_test is not None and not report.self_test.good
    assert report.self_test.facts["person"].found < report.self_test.facts["person"].planted
    assert report.self_test.missed and report.doubts > 0
    assert report.policy["identifier"]["shortest"] == 40


def test_what_is_no_dataset_is_refused(tmp_path: Path, tasks: Path) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        quick(tmp_path / "none", [tasks])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no rows"):
        quick(tmp_path / "empty", [tasks])
    (tmp_path / "empty" / "x.jsonl").write_text("\n\n")
    with pytest.raises(UserError, match="holds no rows"):
        quick(tmp_path / "empty", [tasks])
    folder = release(tmp_path / "ds")
    (folder / "rl" / "train-00000-of-00002.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(UserError, match="cannot be read"):
        quick(folder, [tasks])
    with pytest.raises(UserError, match="Cannot read"):
        quick(folder, [tmp_path / "none.json"])
