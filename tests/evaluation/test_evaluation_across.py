"""Several releases at once: a block each, a table across them, transcripts in a folder. Judge and models are doubles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_doubles import TASKS, Speaking, task, write_release

from fhirtasks import cli
from fhirtasks.errors import UserError
from fhirtasks.evaluation import run
from fhirtasks.evaluation.across import AcrossReport, evaluate_across
from fhirtasks.evaluation.grade import grade_file
from fhirtasks.evaluation.run import EvaluationConfig, evaluate

pytestmark = pytest.mark.usefixtures("doubles")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Speaking:
    """``start`` is right on one task of each place, ``trained`` on all of one place and none of the other."""
    speaking = Speaking(start={"t1", "w1"}, trained={"t1", "t2", "t3", "t4"})
    monkeypatch.setattr(run, "local_speaker", speaking.speaker)
    monkeypatch.chdir(tmp_path)
    for name in ("start", "trained", "runs"):
        (tmp_path / name).mkdir()
    return speaking


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """Two releases: ``here`` has a family that ``there`` lacks."""
    here = write_release(tmp_path / "here", [*TASKS, task("t4", family="latest_lab")])
    return [here, write_release(tmp_path / "there", [task("w1"), task("w2")])]


def trained(places: list[Path], **changes: Any) -> AcrossReport:
    return evaluate_across(EvaluationConfig(places[0], ("model",), model="trained", **changes), places)


def rows(text: str) -> dict[str, list[str]]:
    """The last table of a report, by its first column."""
    lines = text[text.index("across graphs") :].splitlines()
    cells = [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in lines[1:]]
    return {row[0]: row[1:] for row in cells if len(row) > 1}


def test_every_release_has_its_block_and_the_families_stand_across(
    places: list[Path], models: Speaking, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [part for place in places for part in ("--tasks", str(place))]
    options += ["--policy", "model", "--model", "trained"]
    cli.app(["evaluate", *options, "--json"], standalone_mode=False)
    shown = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["sources"], one["graph"]) for one in shown["releases"]] == [
        ("here", ["records of here"], "0" * 64), ("there", ["records of there"], "0" * 64),
    ]  # fmt: skip
    for place, one in zip(places, shown["releases"], strict=True):
        alone = evaluate(EvaluationConfig(place, ("model",), model="trained")).as_json()
        assert {name: one[name] for name in alone} == alone
    assert shown["across"] == {
        "model": {
            "latest_lab": {"here": {"n": 1, "rate": 1.0}, "there": None},
            "patient_age": {"here": {"n": 3, "rate": 1.0}, "there": {"n": 2, "rate": 0.0}},
            "all": {"here": {"n": 4, "rate": 1.0}, "there": {"n": 2, "rate": 0.0}},
            "in every release": {"here": {"n": 3, "rate": 1.0}, "there": {"n": 2, "rate": 0.0}},
        }
    }
    cli.app(["evaluate", *options], standalone_mode=False)
    text = capsys.readouterr().out
    assert text.index("here: records of records of here (graph 000000000000)") < text.index("there: records of")
    assert rows(text) == {
        "family": ["here", "there"], "latest_lab": ["100.0% (1)", "-"], "patient_age": ["100.0% (3)", "0.0% (2)"],
        "all": ["100.0% (4)", "0.0% (2)"], "in every release": ["100.0% (3)", "0.0% (2)"],
    }  # fmt: skip


def test_with_a_base_each_cell_shows_both_and_a_model_is_loaded_once(
    places: list[Path], models: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(name: str, batch: int, max_tokens: int | None) -> Any:
        loaded.append(name)
        return models.speaker(name, batch)

    monkeypatch.setattr(run, "local_speaker", load)
    report = trained(places, base="start")
    assert loaded == ["start", "trained"]
    assert rows(report.as_text())["patient_age"] == ["33.3% → 100.0% (3)", "50.0% → 0.0% (2)"]
    shown = report.as_json()
    assert shown["across"]["model"]["patient_age"]["there"] == {"n": 2, "base": 0.5, "rate": 0.0}
    assert [one["paired"]["total"]["gained"] for one in shown["releases"]] == [3, 0]


def test_families_that_all_have_need_no_row_of_their_own(places: list[Path], models: Speaking) -> None:
    other = write_release(places[0].parent / "third", [task("x1"), task("x2")])
    report = evaluate_across(EvaluationConfig(other, ("expert", "constant")), [places[1], other])
    assert list(rows(report.as_text())) == ["family", "patient_age", "all"]
    assert list(report.as_json()["across"]) == ["expert", "constant"]


def test_transcripts_lie_in_a_folder_and_are_a_base_from_there(places: list[Path], models: Speaking) -> None:
    asked_both = trained(places, base="start").as_json()["across"]
    before = EvaluationConfig(places[0], ("model",), model="start", out=Path("runs"), resume=True)
    evaluate_across(before, places)
    assert sorted(path.name for path in Path("runs").iterdir()) == ["here.jsonl", "there.jsonl"]
    assert [row["passed"] for row in grade_file(places[1], Path("runs/there.jsonl"), None, None)] == [True, False]
    models.asked.clear()
    evaluate_across(before, places)
    assert models.asked == []
    assert trained(places, base="runs").as_json()["across"] == asked_both
    assert {name for name, _ in models.asked} == {"trained"}
    Path("runs/there.jsonl").unlink()
    with pytest.raises(UserError, match=r"There is no file runs.there\.jsonl"):
        trained(places, base="runs")


def test_what_cannot_stand_in_one_table_is_refused(
    places: list[Path], models: Speaking, benchmark_file: Path, tmp_path: Path
) -> None:
    twin = write_release(tmp_path / "elsewhere" / "here", [task("y1")])
    bare = write_release(tmp_path / "bare", [task("z1")])
    (bare / "manifest.json").unlink()
    cases: list[tuple[list[Path], dict[str, Any], str]] = [
        ([*places, benchmark_file], {}, "is no release, and several --tasks are releases"),
        ([*places, twin], {}, "Several --tasks are named here"),
        ([*places, bare], {}, "has no manifest.json"),
        (places, {"out": Path("runs.jsonl")}, "--out is a folder, for a file of transcripts per release"),
        (places, {"split": "train"}, "no tasks in the split 'train'"),
    ]
    for several, changes, message in cases:
        with pytest.raises(UserError, match=message):
            trained(several, **changes)
    assert models.asked == []
