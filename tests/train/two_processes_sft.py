"""A script for ``accelerate launch``: SFT steps on a release; the first process writes the losses.

Run: accelerate launch --cpu --num_processes 2 two_processes_sft.py RELEASE MODEL OUT BATCH
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from train.sft import SftOptions, make_trainer


def main(release: str, model: str, out: str, batch: str) -> None:
    torch.set_num_threads(1)
    options = SftOptions(
        dataset=release, model=model, out=Path(out), steps=3, rows=4, batch=int(batch), max_length=16384,
        learning_rate=1e-3, report_to="none",
    )  # fmt: skip
    trainer, fitted, _ = make_trainer(options, Path(release))
    trainer.train()
    if trainer.accelerator.is_main_process:
        logged = [row for row in trainer.state.log_history if "loss" in row]
        found: dict[str, Any] = {
            "processes": trainer.accelerator.num_processes,
            "loss": [row["loss"] for row in logged],
            "grad_norm": [row["grad_norm"] for row in logged],
            "rows": len(fitted.rows),
            "weights": [float(value.double().sum()) for value in trainer.model.parameters()],
        }
        (Path(out) / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
