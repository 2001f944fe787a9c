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
