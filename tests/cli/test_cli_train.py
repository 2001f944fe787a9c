"""The trainers' corner of the command line: help without arguments, and stdout for the result alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

import train.cli
import train.grpo
import train.sft
from fhirtasks.cli import app


def test_without_a_command_the_help_is_shown() -> None:
    shown = CliRunner().invoke(app, ["train"])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("Usage: ")
    assert "passk" in shown.stdout


@pytest.mark.parametrize("command", ["sft", "grpo"])
def test_what_a_trainer_prints_by_itself_is_no_result(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers prints a dict per logged step; --json is one JSON value on stdout all the same."""

    def trainer(_: Any) -> dict[str, Any]:
        print({"loss": 1.5})
        return {"steps": 1}

    monkeypatch.setattr(train.cli, "needs_extra", lambda: None)
    monkeypatch.setattr(getattr(train, command), f"train_{command}", trainer)
    ran = CliRunner().invoke(app, ["train", command, "ds", "--model", "m", "--out", "o", "--json"])
    assert json.loads(ran.stdout) == {"steps": 1}
    assert "loss" in ran.stderr


@pytest.mark.parametrize("command", ["sft", "grpo"])
@pytest.mark.parametrize("rate", ["nan", "inf", "-1"])
def test_a_learning_rate_that_is_none_is_refused_before_anything_is_begun(command: str, rate: str) -> None:
    ran = CliRunner().invoke(app, ["train", command, "ds", "--model", "m", "--out", "o", "--learning-rate", rate])
    assert ran.exit_code == 2
    assert "--learning-rate" in ran.stderr
