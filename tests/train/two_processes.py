"""A script for ``accelerate launch``: GRPO steps on fixed completions; the first process writes the losses.

Run: accelerate launch --cpu --num_processes 2 two_processes.py RELEASE MODEL OUT BATCH
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from train_support import Scripted, as_sampled, expert, idle

from fhirtasks.environments.spec import FhirSpec
from train.grpo import GrpoOptions, make_trainer


def main(release: str, model: str, out: str, batch: str) -> None:
    torch.set_num_threads(1)
    options = GrpoOptions(
        dataset=release, model=model, out=Path(out), steps=3, prompts=2, generations=2, batch=int(batch),
        max_completion_length=8192, learning_rate=1e-3, report_to="none",
    )  # fmt: skip
    spec = FhirSpec(release)
    trainer = make_trainer(options, spec, spec.train_dataset)

    # A group of two lies within one process and within one micro-batch, so its first rollout is the expert's everywhere.
    def script(task_id: str, number: int) -> list[str]:
        raws = expert(spec, task_id) if number % 2 == 0 else idle(spec, task_id)
        return [as_sampled(raw, spec.protocol) for raw in raws]

    Scripted(trainer, script)
    trainer.train()
    if trainer.accelerator.is_main_process:
        found: dict[str, Any] = {
            "processes": trainer.accelerator.num_processes,
            "loss": [row["loss"] for row in trainer.state.log_history if "loss" in row],
            "history": trainer.history,
            "weights": [float(value.double().sum()) for value in trainer.model.parameters()],
        }
        (Path(out) / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
