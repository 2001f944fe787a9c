"""Running and reporting: worlds, floors, infrastructure errors, transcripts, refusals. The judge is a double."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evaluation_doubles import TASKS, task, write_release

import solvers
from fhirtasks.episodes.types import Get, Message, PublicTask
from fhirtasks.errors import UserError
from fhirtasks.evaluation import run
from fhirtasks.evaluation.grade import grade_file
from fhirtasks.evaluation.models import Cut, InfrastructureError, Speaker
from fhirtasks.evaluation.outcomes import wilson
from fhirtasks.evaluation.playing import Prompting, ask_in_batches, ask_policy
from fhirtasks.evaluation.run import EvaluationConfig, evaluate
from fhirtasks.evaluation.sources import open_tasks
from fhirtasks.tasks.floors import FLOORS

pytestmark = pytest.mark.usefixtures("doubles")


def test_a_release_is_evaluated_from_its_folder_alone(release: Path) -> None:
    report = evaluate(EvaluationConfig(release)).as_json()
    assert report["policy"] == "expert"
    assert report["families"]["patient_age"]["n"] == 3 and report["families"]["patient_age"]["passed"] == 3
    branches = report["families"]["patient_age"]["branches"]
    assert {name: (row["n"], row["passed"]) for name, row in branches.items()} == {"other": (1, 1), "plain": (2, 2)}
    assert set(report["floors"]) == set(FLOORS)
    assert all(row["n"] == 3 and row["passed"] == 0 for row in report["floors"].values())
    json.dumps(report)


def test_the_table_shows_the_floors_beside_the_score(release: Path) -> None:
    text = evaluate(EvaluationConfig(release)).as_text()
    assert all(name in text for name in FLOORS)
    line = next(line for line in text.splitlines() if "other" in line)
    assert "100.0%" in line and "0.0%" in line


def test_limit_is_per_family_and_split_chooses(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "r", [*TASKS, task("v1", split="validation")])
    assert evaluate(EvaluationConfig(folder, limit=2, split="test")).as_json()["total"]["n"] == 2
    with pytest.raises(UserError, match="no charts of the split 'validation'"):
        evaluate(EvaluationConfig(folder))
    with pytest.raises(UserError, match="no tasks in the split 'train'"):
        evaluate(EvaluationConfig(folder, split="train"))


def test_a_solver_that_breaks_down_has_failed(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(task: PublicTask) -> Any:
        yield Get(f"{task.base}Patient?identifier=M1")
        raise ValueError("no such page")

    monkeypatch.setattr(solvers, "solver", lambda family: broken)
    report = evaluate(EvaluationConfig(release)).as_json()
    assert (report["total"]["n"], report["total"]["passed"]) == (3, 0)
    assert report["errors"] == {"the solver broke down: ValueError: no such page": 3}


def test_a_benchmark_is_played_by_its_own_rules_and_reported_by_its_own_rates(
    benchmark_file: Path, benchmark_graph: Path, tmp_path: Path
) -> None:
    template = tmp_path / "template.txt"
    template.write_text("api {api_base} f {functions} c {context} q {question}", encoding="utf-8")
    functions = tmp_path / "functions.json"
    functions.write_text('[{"name":\n "GET"}]', encoding="utf-8")
    out = tmp_path / "episodes.jsonl"
    config = EvaluationConfig(
        benchmark_file, ("constant",), benchmark_graph, prompt_template=template, functions=functions, out=out
    )
    report = evaluate(config)
    shown = report.as_json()
    assert (shown["query"]["n"], shown["action"]["n"], shown["total"]["n"]) == (3, 1, 4)
    assert "query SR" in report.as_text()
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["task1_1", "task2_1", "task3_1", "task7_1"]
    opening = lines[1]["messages"][0]
    assert opening["content"].startswith('api http://localhost:8080/fhir/ f [{"name": "GET"}] c It is')
    # As the benchmark's server prints: over many lines.
    assert '\n  "resourceType": "Bundle"' in lines[1]["messages"][2]["content"]


class Model:
    """Says its lines by the number of messages so far; None stands for an endpoint that is down."""

    def __init__(self, *lines: str | None) -> None:
        self.lines = lines

    def __call__(self, task: PublicTask, messages: Sequence[Message]) -> str:
        line = self.lines[len(messages) // 2]
        if line is None or task.id == "t2":
            raise InfrastructureError("down")
        return line


def test_infrastructure_errors_are_counted_apart(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model("GET http://localhost:8080/fhir/Patient?identifier=M1", "FINISH([73])")
    monkeypatch.setattr(run, "endpoint_policy", lambda endpoint, name, max_tokens: model)
    report = evaluate(EvaluationConfig(release, ("model",), model="m", endpoint="http://model.test/v1"))
    total = report.as_json()["total"]
    assert (total["n"], total["passed"], total["infrastructure_errors"]) == (2, 2, 1)
    assert "not asked (infrastructure): 1" in report.as_text()


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_a_policy_is_asked_in_parallel_and_answers_stay_in_order(release: Path, concurrency: int) -> None:
    model = Model("GET http://localhost:8080/fhir/Patient?identifier=M1", "nonsense")
    with open_tasks(release) as source:
        found = list(ask_policy(source.tasks, source, model, Prompting(), concurrency))
    assert [outcome.task.id for outcome in found] == ["t1", "t2", "t3"]
    assert [outcome.episode.status if outcome.episode else outcome.error for outcome in found] == [
        "agent invalid action", "down", "agent invalid action",
    ]  # fmt: skip


def test_recorded_transcripts_are_judged_alike(release: Path, tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    evaluate(EvaluationConfig(release, out=out))
    results = grade_file(release, out, None, None)
    assert [(row["id"], row["passed"]) for row in results] == [("t1", True), ("t2", True), ("t3", True)]
    assert {check["name"] for check in results[0]["checks"]} == {"completed", "answer", "evidence"}
    assert grade_file(release / "rl" / "test-00000-of-00001.parquet", out, None, "clinical") == results


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policies": ("best",)}, "no policy 'best'"),
        ({"policies": ("model",)}, "needs --model"),
        ({"model": "m"}, "are for --policy model"),
        ({"policies": ("expert", "echo"), "out": Path("x.jsonl")}, "one policy"),
        ({"out": Path("no-such-folder") / "x.jsonl"}, "does not exist"),
        ({"out": Path(__file__).parent}, "is a folder"),
        ({"prompt_template": Path("no-such-file")}, "no file no-such-file"),
        ({"tasks": Path("no-such-file")}, "no task file"),
        ({"tasks": Path("no-such-file.parquet")}, "no release"),
    ],
)
def test_bad_options_are_refused(release: Path, changes: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"tasks": release} | changes
    with pytest.raises(UserError, match=message):
        evaluate(EvaluationConfig(**values))


def test_bad_sources_are_refused(release: Path, benchmark_file: Path, benchmark_graph: Path, tmp_path: Path) -> None:
    cases = [
        (EvaluationConfig(tmp_path), "is no release"),
        (EvaluationConfig(benchmark_file), "give --graph"),
        (EvaluationConfig(benchmark_file, graph=tmp_path / "no.duckdb"), "no.duckdb does not exist"),
        (EvaluationConfig(benchmark_file, graph=benchmark_graph, split="test"), "no splits"),
        (EvaluationConfig(benchmark_file, ("model",), benchmark_graph, model="m"), "--prompt-template"),
    ]
    rows = json.loads(benchmark_file.read_text(encoding="utf-8"))
    other = tmp_path / "other.json"
    other.write_text(json.dumps([*rows, rows[1] | {"id": "task2_2", "eval_MRN": "S9"}]), encoding="utf-8")
    cases.append(
        (EvaluationConfig(other, graph=benchmark_graph), r"lacks 1 of the 2 patients of other.json \(such as S9\)")
    )
    shard = release / "rl" / "test-00000-of-00001.parquet"
    for config, message in cases:
        with pytest.raises(UserError, match=message):
            evaluate(config)
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UserError, match="cannot be read as a release's shard"):
        evaluate(EvaluationConfig(release))
    shard.write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read as a release's shard"):
        evaluate(EvaluationConfig(release))


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_local_model_is_asked_in_batches_and_answers_stay_in_order(release: Path, batch: int) -> None:
    sizes: list[int] = []

    def speak(asked: Sequence[tuple[PublicTask, Sequence[Message]]]) -> list[str]:
        sizes.append(len(asked))
        get = "GET http://localhost:8080/fhir/Patient?identifier=M1"
        return [get if len(messages) == 1 and task.id != "t1" else Cut("FINISH([73])") for task, messages in asked]

    with open_tasks(release) as source:
        found = list(ask_in_batches(source.tasks, source, Speaker(speak, batch), Prompting()))
    assert [outcome.task.id for outcome in found] == ["t1", "t2", "t3"]
    assert [outcome.episode.status for outcome in found if outcome.episode] == ["completed"] * 3
    assert [len(outcome.episode.turns) for outcome in found if outcome.episode] == [1, 2, 2]
    assert all(outcome.cut for outcome in found) and max(sizes) == min(batch, 3) and sum(sizes) == 5


def test_a_run_that_was_broken_off_goes_on_and_asks_nothing_twice(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    broken = True

    def policy(task: PublicTask, messages: Sequence[Message]) -> str:
        if broken and task.id == "t3":
            raise KeyboardInterrupt
        asked.append(task.id)
        return "GET http://localhost:8080/fhir/Patient?identifier=M1" if len(messages) == 1 else "FINISH([73])"

    def speak(some: Sequence[tuple[PublicTask, Sequence[Message]]]) -> list[str]:
        return [policy(*one) for one in some]

    monkeypatch.setattr(run, "local_speaker", lambda name, batch, max_tokens: Speaker(speak, batch))
    out = tmp_path / "episodes.jsonl"
    config = EvaluationConfig(release, ("model",), model="m", out=out, batch=1, resume=True)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config)
    assert not out.exists() and run.begun(out).read_text(encoding="utf-8").count("\n") == 2
    with run.begun(out).open("a", encoding="utf-8") as file:
        file.write('{"id": "t3", "mess')
    with pytest.raises(UserError, match=r"go on with it by --resume, or remove it"):
        evaluate(replace(config, resume=False))
    broken = False
    first = evaluate(config).as_json()
    assert asked == ["t1", "t1", "t2", "t2", "t3", "t3"] and not run.begun(out).exists()
    assert [json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()] == ["t1", "t2", "t3"]
    again = evaluate(config).as_json()
    assert len(asked) == 6 and again == first
    with pytest.raises(UserError, match="--resume goes on with the --out file"):
        evaluate(EvaluationConfig(release, ("expert",), out=out, resume=True))


def test_a_run_goes_on_with_its_own_model_alone_and_knows_again_what_was_cut_off(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def speak(some: Sequence[tuple[PublicTask, Sequence[Message]]]) -> list[str]:
        asked.append(len(some))
        return [Cut("FINI") if task.id == "t2" else "FINISH([73])" for task, _ in some]

    monkeypatch.setattr(run, "local_speaker", lambda name, batch, max_tokens: Speaker(speak, batch))
    config = EvaluationConfig(release, ("model",), model="one", out=tmp_path / "said.jsonl", resume=True)
    first = evaluate(config).as_json()
    assert first["cut_off"] == 1 and evaluate(config).as_json() == first and len(asked) == 1
    with pytest.raises(UserError, match=r"said\.jsonl holds what the model one said"):
        evaluate(replace(config, model="another"))
    assert len(asked) == 1


def test_the_interval_of_a_rate_is_told(release: Path) -> None:
    total = evaluate(EvaluationConfig(release)).as_json()["total"]
    assert (total["n"], total["passed"]) == (3, 3)
    assert total["low"] == pytest.approx(3 / (3 + 1.959964**2), abs=1e-4) and total["high"] == 1.0
    assert wilson(0, 0) == (0.0, 1.0) and wilson(15, 20) == pytest.approx((0.5313, 0.8881), abs=1e-4)
