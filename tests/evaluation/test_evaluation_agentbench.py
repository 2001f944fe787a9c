"""FHIR-AgentBench's table: questions as tasks, answers by the benchmark's rules beside ours, retrieval as it counts it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from evaluation_doubles import chart, lab, patient

from fhirtasks.benchmarks.fhir_agentbench_tasks import is_table, read_tasks
from fhirtasks.episodes.types import Message, PublicTask
from fhirtasks.errors import UserError
from fhirtasks.evaluation.grade import grade_file
from fhirtasks.evaluation.outcomes import Outcome
from fhirtasks.evaluation.playing import Prompting, ask_policy
from fhirtasks.evaluation.report import EvaluationReport
from fhirtasks.evaluation.run import EvaluationConfig, evaluate, write_transcripts
from fhirtasks.evaluation.sources import open_tasks
from fhirtasks.fhir.jsontext import dumps
from fhirtasks.graph.world import write_world_from_charts
from graders.fhir_agentbench import printed_cells, typed

COLUMNS = (
    *("split", "question_id", "question", "sql_query", "true_answer", "assumption", "patient_fhir_id", "template"),
    *("val_dict", "proc_query", "main_table_name", "mappable_to_fhir", "true_fhir_ids"),
)
QUESTIONS: list[dict[str, str]] = [
    {"question_id": "q1", "question": "What is the latest potassium?", "true_answer": "[[4.1]]",
     "assumption": "Assume the current time is 2023-12-31 23:59:00.", "true_fhir_ids": "{'Observation': ['o1']}"},
    {"question_id": "q2", "question": "Was there a glucose?", "true_answer": "[[0]]", "true_fhir_ids": "{}"},
    {"question_id": "q3", "question": "All values of potassium?", "true_answer": "[[3.9]\n [4.1]]",
     "true_fhir_ids": json.dumps({"Observation": ["o1", "o2"]})},
]  # fmt: skip
RIGHT: dict[str, tuple[str, str, str]] = {
    "q1": ("quantity", "4.1", "mmol/L"),
    "q2": ("boolean", "false", ""),
    "q3": ("list", "[3.9, 4.1]", ""),
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "questions.csv", QUESTIONS)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.duckdb"
    resources = [
        patient("p1", "M1", "Ann", "Moe", "1950-02-03"),
        patient("p2", "M2", "Bo", "Ray", "1961-07-08"),
        lab("o1", "p1", "K", (4.1, "mmol/L"), "2023-11-12T08:00:00+00:00"),
        lab("o2", "p1", "K", (3.9, "mmol/L"), "2023-11-10T08:00:00+00:00"),
    ]
    write_world_from_charts(chart(resources), "test", path)
    return path


def write_table(path: Path, rows: Sequence[dict[str, str]], columns: Sequence[str] = COLUMNS) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows([{**dict.fromkeys(columns, ""), "patient_fhir_id": "p1", **row} for row in rows])
    return path


def call(name: str, **arguments: Any) -> str:
    return dumps({"content": "", "tool_calls": [{"name": name, "arguments": arguments}]})


def policy(answers: dict[str, tuple[str, str, str]], fetches: bool = True) -> Any:
    def ask(task: PublicTask, messages: Sequence[Message]) -> str:
        assert task.tools and task.slots == {"patient": "p1"}
        if fetches and len(messages) == 1:
            return call("fetch", patient="p1", resource_type="Observation")
        kind, value, unit = answers[task.id]
        return call("submit_answer", type=kind, value=value, unit=unit, evidence=[])

    return ask


def run(table: Path, graph: Path, ask: Any) -> tuple[list[Outcome], dict[str, Any]]:
    with open_tasks(table, graph) as source:
        outcomes = list(ask_policy(source.tasks, source, ask, Prompting(), 1))
        report = EvaluationReport(("model",), {"model": outcomes}, source.benchmark)
        assert "answer correctness" in report.as_text()
        found: dict[str, Any] = report.as_json()["agentbench"]
        return outcomes, found


def test_a_table_is_known_by_its_columns(table: Path, tmp_path: Path) -> None:
    assert is_table(table)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert not is_table(tmp_path / "other.csv") and not is_table(tmp_path / "nowhere.csv")
    first, second, third = read_tasks(table)
    assert first.now == "2023-12-31T23:59:00+00:00" and second.now > "2500"
    assert (
        "p1" in first.context
        and "current time" in first.context
        and first.instruction == "What is the latest potassium?"
    )
    assert (first.branch, second.branch, third.patients) == ("Observation", "no answer", ("p1",))


def test_right_answers_and_retrieval(table: Path, graph: Path) -> None:
    outcomes, found = run(table, graph, policy(RIGHT))
    assert [one.passed for one in outcomes] == [True, True, True]
    # Two of two potassiums are fetched where one is gold: precision is a half there.
    assert found == {
        "answer_correctness": 1.0, "typed": 1.0, "recall": 1.0, "precision": round((0.5 + 1 + 1) / 3, 4),
        "f1": round(2 * (2.5 / 3) / (1 + 2.5 / 3), 4),
    }  # fmt: skip


def test_the_benchmark_is_kinder_than_typed_rules(table: Path, graph: Path) -> None:
    kind = {"q1": ("number", "-4.4", ""), "q2": ("none", '"no_matching_record"', ""), "q3": ("list", "[4.1, 3.9]", "")}
    outcomes, found = run(table, graph, policy(kind))
    assert [one.passed for one in outcomes] == [True, True, True]
    assert found["typed"] == 0.0


def test_wrong_answers_and_nothing_fetched(table: Path, graph: Path) -> None:
    wrong = {"q1": ("number", "7", ""), "q2": ("boolean", "true", ""), "q3": ("list", "[4.1]", "")}
    outcomes, found = run(table, graph, policy(wrong, fetches=False))
    assert [one.passed for one in outcomes] == [False, False, False]
    # Precision is told of the question alone whose answer no resource bears; recall of all.
    assert found == {"answer_correctness": 0.0, "typed": 0.0, "recall": round(1 / 3, 4), "precision": 1.0, "f1": 0.5}


def test_recorded_transcripts_are_judged_too(table: Path, graph: Path, tmp_path: Path) -> None:
    outcomes, _ = run(table, graph, policy(RIGHT))
    write_transcripts(tmp_path / "t.jsonl", outcomes, "m")
    graded = grade_file(table, tmp_path / "t.jsonl", graph, None)
    assert [one["passed"] for one in graded] == [True, True, True]


def test_a_policy_runs_over_the_file(table: Path, graph: Path) -> None:
    report = evaluate(EvaluationConfig(table, ("do-nothing",), graph)).as_json()
    assert report["agentbench"]["answer_correctness"] == round(1 / 3, 4)  # what is nothing there is right to deny
    assert report["families"]["fhir_agentbench"]["branches"].keys() == {"Observation", "no answer"}


@pytest.mark.parametrize(
    ("rows", "columns", "says"),
    [
        ([{**QUESTIONS[0], "patient_fhir_id": "p9"}], COLUMNS, "lacks 1 of the 1 patients.*MIMIC"),
        ([{**QUESTIONS[0], "question": ""}], COLUMNS, "row 1: no text in 'question'"),
        ([QUESTIONS[0], QUESTIONS[0]], COLUMNS, "occurs twice"),
        ([], COLUMNS, "holds no questions"),
        ([{**QUESTIONS[0], "true_fhir_ids": "[1]"}], COLUMNS, "row 1: true_fhir_ids is no object"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(
    rows: list[dict[str, str]], columns: Sequence[str], says: str, graph: Path, tmp_path: Path
) -> None:
    path = write_table(tmp_path / "bad.csv", rows, columns)
    with pytest.raises(UserError, match=says):
        evaluate(EvaluationConfig(path, ("do-nothing",), graph))


def test_the_expert_is_refused(table: Path, graph: Path) -> None:
    with pytest.raises(UserError, match="No expert answers"):
        evaluate(EvaluationConfig(table, ("expert",), graph))


@pytest.mark.parametrize(
    ("printed", "cells"),
    [
        ("[[87.]]", [87]),
        ("[]", []),
        ("[['a b']\n ['c, d']]", ["a b", "c, d"]),
        ("[[nan 3.5]]", [3.5]),
        ("[['5']]", ["5"]),
    ],
)
def test_printed_arrays(printed: str, cells: list[Any]) -> None:
    assert [cell if isinstance(cell, str) else float(cell) for cell in printed_cells(printed)] == cells


def test_sign_and_decimals_count_for_typed_answers() -> None:
    def given(value: Any, kind: str = "quantity") -> dict[str, Any]:
        return {"type": kind, "value": value, "unit": "mg", "evidence": []}

    assert typed("[[38.5]]", given(38.5)) and not typed("[[38.5]]", given(-38.5)) and not typed("[[38.5]]", given(38.9))
    assert typed("[[1]]", given(True, "boolean")) and not typed("[[1]]", given(False, "boolean"))
    assert typed("[]", given("no_matching_record", "none")) and not typed("[]", given(0, "integer"))
    assert typed("[['UR']]", given("ur", "code")) and not typed("[['UR']]", given("urgent", "code"))
