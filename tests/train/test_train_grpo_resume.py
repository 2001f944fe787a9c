"""A run of GRPO that was broken off goes on to the very model, panels and rollouts of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.small_releases import release

pytestmark = pytest.mark.train
pytest.importorskip("trl", reason="needs the train extra")

from breaking_off import STEPS, BrokenOff, breaking, options  # noqa: E402
from train_support import make_model, spoken  # noqa: E402

from fhirtasks.environments.spec import FhirSpec  # noqa: E402
from fhirtasks.errors import UserError  # noqa: E402
from train import grpo  # noqa: E402
from train.grpo import GrpoOptions, train_grpo  # noqa: E402
from train.resume import LOCK, WHOLE, begin, last_checkpoint  # noqa: E402

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), spoken(FhirSpec(release("text"))))


@pytest.fixture(scope="module")
def straight(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing broke off."""
    return ran(options(release("text"), model, tmp_path_factory.mktemp("run") / "straight"))


def ran(chosen: GrpoOptions, where: str = "nowhere", step: int = 0) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo, "make_trainer", breaking(grpo.make_trainer, where, step, _breaks))
        train_grpo(chosen)
    return chosen.out


def _breaks() -> None:
    raise BrokenOff


def test_two_runs_do_not_share_a_folder(model: Path, tmp_path: Path) -> None:
    code = (
        "import fcntl, sys, time\nfile = open(sys.argv[1], 'a')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\ntime.sleep(60)"
    )
    chosen = options(release("text"), model, tmp_path / "out")
    chosen.out.mkdir()
    with subprocess.Popen([sys.executable, "-c", code, chosen.out / LOCK], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(UserError, match="Another run is training into"):
            train_grpo(chosen)
        other.kill()
    assert not (chosen.out / "panel.jsonl").exists()
    begin(chosen.out, {}, "", resume=False, write=True)


def model_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(folder / "model.safetensors")
    return found


def assert_same(one: Path, other: Path) -> None:
    """The same to the bit: parameters, panels, rollouts, and what the record says of the run."""
    mine, theirs = (model_of(folder) for folder in (one, other))
    assert mine.keys() == theirs.keys() and all(mine[name].equal(theirs[name]) for name in mine)
    for name in ("panel.jsonl", "rollouts.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    runs = [json.loads((folder / "run.json").read_text(encoding="utf-8")) for folder in (one, other)]
    for run in runs:
        del run["options"]
    assert runs[0] == runs[1] and runs[0]["steps"] == STEPS


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_was_broken_off_twice_goes_on_to_the_same_model(model: Path, straight: Path, tmp_path: Path) -> None:
    before, after = (model_of(folder) for folder in (model, straight))
    assert all(not before[name].equal(after[name]) for name in before), "rewards vary, so the model moves"
    assert steps(straight / "panel.jsonl") == list(range(1, STEPS + 1))
    chosen = options(release("text"), model, tmp_path / "out")
    with pytest.raises(BrokenOff):
        ran(chosen, "step", 3)
    assert steps(chosen.out / "panel.jsonl") == [1, 2, 3] and max(steps(chosen.out / "rollouts.jsonl")) == 3
    assert last_checkpoint(chosen.out) == chosen.out / "checkpoint-3"
    with (chosen.out / "panel.jsonl").open("a") as file:
        file.write('{"step": 4, "rew')  # a kill in the middle of a line
    with pytest.raises(BrokenOff):
        ran(replace(chosen, resume=True), "checkpoint", 5)
    assert (chosen.out / "checkpoint-5" / "model.safetensors").is_file(), "the checkpoint was begun"
    assert last_checkpoint(chosen.out) == chosen.out / "checkpoint-4"
    passes = json.loads((chosen.out / "checkpoint-4" / "trainer_state.json").read_text(encoding="utf-8"))["epoch"]
    assert 1 < passes < 2, "it goes on in the middle of its second pass over the tasks"
    with pytest.raises(UserError, match="holds a run already"):
        train_grpo(chosen)
    ran(replace(chosen, resume=True))
    assert_same(chosen.out, straight)
    assert all((folder / WHOLE).is_file() for folder in chosen.out.glob("checkpoint-*"))


def test_a_run_that_has_ended_stays_as_it_is_or_goes_on_to_more_steps(
    model: Path, straight: Path, tmp_path: Path
) -> None:
    chosen = options(release("text"), model, tmp_path / "out", steps=4)
    ran(chosen)
    whole = model_of(chosen.out)
    (chosen.out / "model.safetensors").unlink()
    (chosen.out / "run.json").unlink()  # as after a kill between the last step and the end
    ran(replace(chosen, resume=True))
    again = model_of(chosen.out)
    assert all(whole[name].equal(again[name]) for name in whole)
    assert steps(chosen.out / "panel.jsonl") == [1, 2, 3, 4]
    ran(replace(chosen, resume=True, steps=STEPS))
    assert_same(chosen.out, straight)


def test_another_run_is_not_gone_on_with(model: Path, straight: Path, tmp_path: Path) -> None:
    chosen = options(release("text"), model, straight, resume=True)
    held = {path: path.read_bytes() for path in straight.glob("*.json*")}
    others: dict[str, dict[str, Any]] = {
        "another --learning-rate": {"learning_rate": 1e-4},
        "another --seed": {"seed": 8},
        "another --prompts": {"prompts": 1, "batch": 2},
        "another --reward": {"weights": {"outcome": 1.0, "partial": 0.5}},
        "another --lora": {"lora": 4},
        "other rows": {"families": ("record_blood_pressure",)},
    }
    for said, other in others.items():
        with pytest.raises(UserError, match=f"began with {said}: give the same, or choose another --out"):
            train_grpo(replace(chosen, **other))
    assert held == {path: path.read_bytes() for path in straight.glob("*.json*")}
    with pytest.raises(UserError, match="holds no checkpoint to go on from"):
        train_grpo(replace(chosen, out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    for name in ("panel.jsonl", "rollouts.jsonl", "run.json"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).touch()
        with pytest.raises(UserError, match="holds a run already"):
            train_grpo(replace(chosen, out=folder, resume=False))


@pytest.mark.proof
def test_what_was_killed_goes_on_to_the_same_model(model: Path, straight: Path, tmp_path: Path) -> None:
    """``kill -9`` of a process of its own, in the middle of a step and while a checkpoint is being written."""
    out = tmp_path / "out"
    for where, step, resume in (("step", 3, ""), ("checkpoint", 5, "--resume")):
        command = [sys.executable, str(HERE / "breaking_off.py"), str(release("text")), str(model), str(out), where]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}
        run = subprocess.run(
            [*command, str(step), resume], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert run.returncode == -signal.SIGKILL, run.stderr[-4000:]
        assert last_checkpoint(out) == out / f"checkpoint-{3 if where == 'step' else 4}"
    assert (out / "checkpoint-5").is_dir() and not (out / "checkpoint-5" / WHOLE).exists()
    ran(options(release("text"), model, out, resume=True))
    assert_same(out, straight)
