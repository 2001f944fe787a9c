"""The reader of the public task file: families by id, the grader's constants as params, clear refusals."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.benchmarks.medagentbench import constants, read_tasks, reported_as, to_task
from fhirtasks.errors import UserError
from fhirtasks.tasks.codec import task_from_json, task_to_json

# Params by family, as docs/architecture.md ("compat params") lists them.
PARAMS = {
    "patient_lookup": {"sol"},
    "patient_age": set(),
    "record_blood_pressure": {"code", "value"},
    "latest_lab_in_window": {"code", "window_hours"},
    "mean_lab_in_window": {"code", "window_hours", "tolerance"},
    "latest_lab": {"code"},
    "magnesium_replacement": {
        "code", "window_hours", "low_at_or_below", "moderate_below", "severe_below", "mild_dose", "mild_hours",
        "moderate_dose", "moderate_hours", "severe_dose", "severe_hours", "dose_unit", "rate_unit", "medication_system",
        "medication_code", "route", "authored_contains",
    },
    "potassium_replacement": {
        "code", "threshold", "step", "step_dose", "dose_unit", "dose_tolerance", "medication_system", "medication_code",
        "route", "authored_contains", "order_system", "order_code", "priority", "recheck_contains",
    },
    "a1c_reorder": {"code", "stale_before", "order_system", "order_code", "priority"},
    "referral_order": {"order_system", "order_code", "text", "priority"},
}  # fmt: skip
COMMON = {"patient", "mrn", "now", "base"}


def written(folder: Path, value: Any) -> Path:
    path = folder / "tasks.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def row(**changes: Any) -> dict[str, Any]:
    return {"id": "task4_1", "instruction": "How much?", "context": "Now.", "eval_MRN": "S1"} | changes


def test_the_family_comes_from_the_id_and_never_from_the_text(tmp_path: Path) -> None:
    rows = [row(id="task7_1", instruction="Record the blood pressure; what is the average age?"), row(id="task10_3")]
    tasks = [to_task(one) for one in read_tasks(written(tmp_path, rows))]
    assert [task.family for task in tasks] == ["latest_lab", "a1c_reorder"]


def test_a_row_becomes_a_compat_task(tmp_path: Path) -> None:
    (task,) = [to_task(one) for one in read_tasks(written(tmp_path, [row()]))]
    assert (task.id, task.mode, task.protocol, task.patients) == ("task4_1", "compat", "text", ("S1",))
    assert task.params == {
        "patient": "S1", "mrn": "S1", "now": "2023-11-13T10:15:00+00:00", "base": "http://localhost:8080/fhir/",
        "code": "MG", "window_hours": "24",
    }  # fmt: skip
    assert task_from_json(task_to_json(task)) == task


def test_an_unknown_patient_is_found_by_name_and_birth_date_alone(tmp_path: Path) -> None:
    text = "MRN of the patient with name Ann Lee Moe and DOB of 1950-02-03?"
    rows = [{"id": "task1_2", "instruction": text, "context": "", "sol": ["Patient not found"]}]
    (read,) = read_tasks(written(tmp_path, rows))
    assert (read.name, read.birthdate, read.mrn) == ("Ann Lee Moe", "1950-02-03", None)
    task = to_task(read)
    assert task.slots == {"name": "Ann Lee Moe", "birthdate": "1950-02-03", "identifier": "MR"}
    assert task.params["sol"] == '["Patient not found"]' and task.params["patient"] == "" and task.patients == ()


def test_the_referrals_text_is_what_the_row_quotes(tmp_path: Path) -> None:
    text = 'Refer S1 and write "One, two. Three: four."'
    (read,) = read_tasks(written(tmp_path, [row(id="task8_1", instruction=text)]))
    assert to_task(read).params["text"] == "One, two. Three: four." == to_task(read).slots["text"]
    (read,) = read_tasks(written(tmp_path, [row(id="task8_1", instruction="Refer S1.")]))
    with pytest.raises(UserError, match="double quotes"):
        to_task(read)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "is not JSON"),
        ('{"id": 1}', "no list of tasks"),
        ([], "no list of tasks"),
        ([3], "row 1 is no JSON object"),
        ([row(id=7)], "no text in 'id'"),
        ([row(), row(id="task4_2", instruction=None)], "row 2 has no text in 'instruction'"),
        ([row(context=3)], "context is no text"),
        ([row(eval_MRN=3)], "eval_MRN is no text"),
        ([row(sol="S1")], "sol is no list of texts"),
        ([row(), row()], "occurs twice"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_tasks(written(tmp_path, value))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "no.json", "There is no task file"), (tmp_path, "is a folder")):
        with pytest.raises(UserError, match=message):
            read_tasks(path)
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        read_tasks(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "task11_1"}, "no family"),
        ({"id": "train_task4_1"}, "no family"),
        ({"eval_MRN": None}, "no eval_MRN"),
        ({"id": "task1_1"}, "needs sol"),
    ],
)
def test_a_row_that_is_no_task_of_the_benchmark_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (read,) = read_tasks(written(tmp_path, [row(**changes)]))
    with pytest.raises(UserError, match=message):
        to_task(read)


def test_the_two_success_rates_split_as_the_benchmark_reports_them() -> None:
    rates = {key: reported_as(f"{key}_1") for key in constants()["families"]}
    assert sorted(key for key, rate in rates.items() if rate == "query") == [
        "task1",
        "task2",
        "task4",
        "task6",
        "task7",
    ]
    assert reported_as("task12_1") is None and reported_as("x") is None


@pytest.mark.shared
def test_all_three_hundred_rows_become_tasks(shared: Path) -> None:
    rows = read_tasks(shared / "medagentbench" / "test_data_v2.json")
    tasks = [to_task(one) for one in rows]
    assert len(tasks) == 300 and set(Counter(task.family for task in tasks).values()) == {30}
    assert Counter(reported_as(task.id) for task in tasks) == {"query": 150, "action": 150}
    tools = (shared / "medagentbench" / "funcs_v1.json").read_text(encoding="utf-8")
    silent = {"tie", "decimals", "when_absent"}
    worked_out = {
        ("referral_order", "order_system"),
        ("potassium_replacement", "recheck_time"),
        ("a1c_reorder", "stale_before"),
    }
    for task in tasks:
        assert set(task.params) == COMMON | PARAMS[task.family]
        assert task.params["now"] == task.now and (task.family == "patient_lookup" or task.now in task.context)
        for name, value in task.slots.items():
            shown = value in task.instruction or value in task.context or value in tools
            assert shown or name in silent or (task.family, name) in worked_out, (task.id, name, value)
    assert len({patient for task in tasks for patient in task.patients}) == 98
    assert sum(not task.patients for task in tasks) == 2
