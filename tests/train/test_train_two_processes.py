"""Two processes under ``accelerate launch`` train as one does with the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.small_releases import release

pytestmark = [pytest.mark.train, pytest.mark.proof]
pytest.importorskip("trl", reason="needs the train extra")

from train_support import make_model, spoken  # noqa: E402

from fhirtasks.environments.spec import FhirSpec  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def launched(script: str, processes: int, out: Path, *arguments: str) -> dict[str, Any]:
    """What a script wrote that ran under ``accelerate launch`` with so many processes on CPU."""
    out.mkdir()
    # accelerate starts several processes only by its multi-GPU launcher, which without a GPU makes processes on CPU (gloo).
    kind = "--multi_gpu" if processes > 1 else "--cpu"
    command = [
        sys.executable, "-m", "accelerate.commands.launch", kind, "--num_machines", "1", "--mixed_precision", "no",
        "--dynamo_backend", "no", "--num_processes", str(processes), "--main_process_port", "0",
        str(HERE / script), *arguments,
    ]  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    run = subprocess.run(command, env=environment, cwd=out, capture_output=True, text=True, timeout=1500, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    found: dict[str, Any] = json.loads((out / "found.json").read_text(encoding="utf-8"))
    assert found["processes"] == processes
    return found


@pytest.mark.parametrize("protocol", ["text", "tools"])
def test_grpo_on_fixed_completions_has_the_loss_of_one_process(protocol: str, tmp_path: Path) -> None:
    folder = release(protocol)
    model = make_model(tmp_path / "model", spoken(FhirSpec(folder)))
    one = launched("two_processes.py", 1, tmp_path / "one", str(folder), str(model), str(tmp_path / "one"), "4")
    two = launched("two_processes.py", 2, tmp_path / "two", str(folder), str(model), str(tmp_path / "two"), "2")
    print(f"{protocol}: losses of one process {one['loss']}, of two {two['loss']}")
    assert len(one["loss"]) == 3 and any(one["loss"])
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4, abs=1e-5)
    for mine, theirs in zip(two["history"], one["history"], strict=True):
        same = [name for name in theirs if name not in ("grad_norm", "entropy", "loss")]
        assert {name: mine[name] for name in same} == pytest.approx({name: theirs[name] for name in same})
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("protocol", ["text", "tools"])
def test_sft_has_the_loss_of_one_process(protocol: str, tmp_path: Path) -> None:
    folder = release(protocol)
    model = make_model(tmp_path / "model", spoken(FhirSpec(folder)))
    one = launched("two_processes_sft.py", 1, tmp_path / "one", str(folder), str(model), str(tmp_path / "one"), "4")
    two = launched("two_processes_sft.py", 2, tmp_path / "two", str(folder), str(model), str(tmp_path / "two"), "2")
    print(f"{protocol}: losses of one process {one['loss']}, of two {two['loss']}")
    assert len(one["loss"]) == 3 and one["rows"] == two["rows"] and all(loss > 0 for loss in one["loss"])
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-3)
