"""``fhirtasks train``: nothing heavy before a command runs, and one sentence for what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhirtasks.cli import app
from fhirtasks.errors import UserError
from train.cli import needs_extra, numbers


def test_the_command_line_is_light() -> None:
    heavy = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "gymnasium")
    code = f"import sys, fhirtasks.cli; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_commands_are_listed() -> None:
    shown = CliRunner().invoke(app, ["train", "--help"])
    assert shown.exit_code == 0 and "grpo" in shown.output


def test_weights_are_pairs() -> None:
    assert numbers(["outcome=1", "grounded=0.5"], "--reward") == {"outcome": 1.0, "grounded": 0.5}
    for wrong in ("outcome", "=1", "outcome=much"):
        with pytest.raises(UserError, match="NAME=NUMBER"):
            numbers([wrong], "--reward")


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.cli.find_spec", lambda name: None if name == "trl" else object())
    with pytest.raises(UserError, match=r"Training needs trl: pip install 'fhirtasks\[train\]'"):
        needs_extra()


@pytest.mark.train
def test_misuse_of_grpo_is_said(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs the train extra")
    given = ["train", "grpo", str(tmp_path / "nothing"), "--model", "m", "--out", str(tmp_path / "out")]
    for more, said in (
        ([], "There is no release folder"),
        (["--reward", "kindness=1"], "no reward component 'kindness'"),
        (["--generations", "1"], "--generations is at least 2"),
        (["--vllm", "maybe"], "--vllm is 'maybe'"),
    ):
        found = CliRunner().invoke(app, [*given, *more])
        assert isinstance(found.exception, UserError) and said in str(found.exception)


@pytest.mark.train
def test_every_command_that_reads_a_release_takes_its_tag_and_grpo_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl", reason="needs the train extra")
    import train.grpo

    taken: list[train.grpo.GrpoOptions] = []
    monkeypatch.setattr(train.grpo, "train_grpo", lambda options: taken.append(options) or {})
    monkeypatch.setattr("train.cli.show", lambda *_: None)
    given = (
        "train grpo org/data --model m --out out --tag v1.0.0 --families a --resume --push org/agent --lora 8 --merge"
    )
    assert CliRunner().invoke(app, given.split()).exit_code == 0
    (options,) = taken
    assert (options.revision, options.families, options.resume) == ("v1.0.0", ("a",), True)
    assert (options.push, options.lora, options.merge) == ("org/agent", 8, True)
    for command in ("grpo", "sft", "check", "passk"):
        shown = CliRunner().invoke(app, ["train", command, "--help"], env={"COLUMNS": "200"}).output
        assert "--tag" in shown and "--revision" not in shown
