"""A small run of GRPO, and how it is broken off; as a script, how it is killed.

Run: breaking_off.py RELEASE MODEL OUT {nowhere,step,checkpoint} STEP [--resume]
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from train_support import Scripted, as_sampled, expert, idle
from transformers import TrainerCallback

from fhirtasks.environments.spec import FhirSpec
from train import grpo
from train.grpo import GrpoOptions, train_grpo

STEPS = 6


class BrokenOff(BaseException):
    """Stands in for a kill."""


def options(folder: Path, model: Path, out: Path, **more: Any) -> GrpoOptions:
    """Two tasks per step of one family's few, so that the run goes over them more than once; a checkpoint every step."""
    given: dict[str, Any] = {
        "dataset": str(folder), "model": str(model), "out": out, "families": ("patient_lookup",), "steps": STEPS,
        "prompts": 2, "generations": 2, "batch": 4, "max_completion_length": 8192, "learning_rate": 1e-3, "save_steps": 1,
        "report_to": "none", "seed": 7, **more,
    }  # fmt: skip
    return GrpoOptions(**given)


def breaking(make: Callable[..., Any], where: str, step: int, end: Callable[[], None]) -> Callable[..., Any]:
    """``make_trainer`` of a run whose messages are the expert's or idle by the draw, and that meets its ``end`` there.

    ``step``: after the rollouts of the step that follows so many, before its panel. ``checkpoint``: when the model of the
    checkpoint after so many steps is written, and nothing else of it.
    """

    class Ends(TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if where == "step" and state.global_step == step:
                end()

    def made(chosen: GrpoOptions, spec: FhirSpec, rows: Any, **more: Any) -> Any:
        trainer = make(chosen, spec, rows, **more)
        trainer.add_callback(Ends())

        def script(task_id: str, number: int) -> list[str]:
            raws = expert(spec, task_id) if torch.rand(()) < 0.5 else idle(spec, task_id)
            return [as_sampled(raw, "text") for raw in raws]

        Scripted(trainer, script)
        save = trainer._save_optimizer_and_scheduler

        def saving(folder: str) -> None:
            if where == "checkpoint" and trainer.state.global_step == step:
                end()
            save(folder)

        trainer._save_optimizer_and_scheduler = saving
        return trainer

    return made


def main(folder: str, model: str, out: str, where: str, step: str, resume: str) -> None:
    torch.set_num_threads(1)
    grpo.make_trainer = breaking(grpo.make_trainer, where, int(step), lambda: os.kill(os.getpid(), signal.SIGKILL))
    train_grpo(options(Path(folder), Path(model), Path(out), resume=bool(resume)))


if __name__ == "__main__":
    main(*sys.argv[1:])
