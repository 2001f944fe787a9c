"""A model beside its base on the same tasks: both asked, or the base's transcripts judged anew. Judge and models are doubles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_doubles import TASKS, Speaking, task, write_release

from fhirtasks import cli
from fhirtasks.errors import UserError
from fhirtasks.evaluation import run
from fhirtasks.evaluation.run import EvaluationConfig, evaluate

pytestmark = pytest.mark.usefixtures("doubles")
URL = "http://model.test/v1"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Speaking:
    """``start`` is right on t1, ``trained`` on t2 and t3, ``flaky`` on all that it can be asked."""
    speaking = Speaking(start={"t1"}, trained={"t2", "t3"}, flaky={"t1", "t2", "t3"})
    monkeypatch.setattr(run, "local_speaker", speaking.speaker)
    monkeypatch.setattr(run, "endpoint_policy", lambda endpoint, name, max_tokens: speaking.policy(name))
    monkeypatch.chdir(tmp_path)
    for name in ("start", "trained"):
        (tmp_path / name).mkdir()
    return speaking


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    cli.app(["evaluate", *arguments], standalone_mode=False)
    return capsys.readouterr().out


def test_both_models_are_asked_the_same_tasks_the_base_first(
    release: Path, models: Speaking, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tasks", str(release), "--policy", "model", "--model", "trained", "--base", "start")
    shown = json.loads(called(capsys, *options, "--json"))
    assert models.asked == [(name, one.id) for name in ("start", "trained") for one in TASKS]
    assert (shown["total"]["n"], shown["total"]["passed"]) == (3, 2) and "base" not in shown["policies"]
    paired = shown["paired"]
    assert (paired["base"], paired["trained"], paired["worse"]) == ("start", "trained", [])
    assert paired["families"] == {"patient_age": paired["total"]}
    total = paired["total"]
    assert (total["n"], total["gained"], total["lost"], total["p"]) == (3, 2, 1, 1.0)
    assert (total["base"], total["trained"], total["difference"]) == (0.3333, 0.6667, 0.3333)
    assert -1 < total["low"] < 0 < total["high"] < 1
    text = called(capsys, *options)
    assert text.index("call-everything") < text.index("start → trained, the same tasks")


@pytest.mark.parametrize("endpoint", [URL, None])
def test_transcripts_of_an_earlier_run_are_a_base_and_nothing_is_asked(
    release: Path, models: Speaking, endpoint: str | None
) -> None:
    both = evaluate(EvaluationConfig(release, ("model",), model="trained", base="start", endpoint=endpoint)).as_json()
    evaluate(EvaluationConfig(release, ("model",), model="start", endpoint=endpoint, out=Path("start.jsonl")))
    models.asked.clear()
    config = EvaluationConfig(release, ("model",), model="trained", endpoint=endpoint, base="start.jsonl")
    found = evaluate(config).as_json()
    assert {name for name, _ in models.asked} == {"trained"}
    assert found["paired"] == both["paired"] | {"base": "start.jsonl"}


def test_a_base_that_lacks_a_task_is_refused_before_anything_is_asked(release: Path, models: Speaking) -> None:
    out = Path("start.jsonl")
    evaluate(EvaluationConfig(release, ("model",), model="start", out=out))
    lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
    out.write_text(lines[0] + lines[2], encoding="utf-8")
    models.asked.clear()
    config = EvaluationConfig(release, ("model",), model="trained", base="start.jsonl")
    with pytest.raises(UserError, match=r"no transcript of 1 of the 3 tasks of .* \(such as t2\): evaluate the base"):
        evaluate(config)
    assert models.asked == []
    short = EvaluationConfig(release, ("model",), model="trained", base="start.jsonl", limit=1)
    assert evaluate(short).as_json()["paired"]["total"]["n"] == 1  # what was not asked for is not looked at


def test_what_one_of_them_could_not_be_asked_is_in_no_rate(tmp_path: Path, models: Speaking) -> None:
    tasks = [*TASKS, task("down1"), task("down2")]
    folder = write_release(tmp_path / "more", tasks)
    for base, model in (("flaky", "start"), ("start", "flaky"), ("flaky", "flaky")):
        shown = evaluate(EvaluationConfig(folder, ("model",), model=model, base=base, endpoint=URL)).as_json()
        total = shown["paired"]["total"]
        assert (total["n"], total["infrastructure_errors"]) == (3, 2)
        rates = {"flaky": 1.0, "start": 0.3333}
        assert (total["base"], total["trained"]) == (rates[base], rates[model])


def test_the_models_own_transcripts_are_recorded_and_a_run_goes_on(release: Path, models: Speaking) -> None:
    out = Path("trained.jsonl")
    config = EvaluationConfig(release, ("model",), model="trained", base="start", out=out, resume=True)
    first = evaluate(config).as_json()
    assert [json.loads(line)["model"] for line in out.read_text(encoding="utf-8").splitlines()] == ["trained"] * 3
    models.asked.clear()
    assert evaluate(config).as_json() == first
    assert models.asked == [("start", one.id) for one in TASKS]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "nothing.jsonl"}, "There is no file nothing.jsonl"),
        ({"base": "nothing"}, "There is no model folder nothing"),
        ({"model": "nothing"}, "There is no model folder nothing"),
        ({"base": "mine.jsonl", "out": Path("mine.jsonl")}, "--out would write over --base"),
        ({"policies": ("expert",), "model": None}, "give --policy model and --model besides"),
    ],
)
def test_bad_bases_are_refused_before_anything_is_asked(
    release: Path, models: Speaking, changes: dict[str, Any], message: str
) -> None:
    Path("mine.jsonl").touch()
    values: dict[str, Any] = {"tasks": release, "policies": ("model",), "model": "trained", "base": "start"} | changes
    with pytest.raises(UserError, match=message):
        evaluate(EvaluationConfig(**values))
    assert models.asked == []
