"""Runs that go on where they ended: what a run began with, and the last of its checkpoints that was written to its end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from accelerate import PartialState
from transformers import TrainerCallback

from fhirtasks.errors import UserError
from train.record import plain

STARTED: Final = "started.json"
"""What a run began with, so that ``--resume`` goes on with nothing else."""
WHOLE: Final = "whole"
"""A file that stands in a checkpoint once all processes have written their part of it."""
LOCK: Final = ".lock"
"""A file that the process which trains into a folder keeps locked."""
_held: dict[Path, IO[str]] = {}


def begin(out: Path, options: Mapping[str, Any], data: str, *, resume: bool, write: bool) -> Path | None:
    """The checkpoint of ``out`` to go on from; None for a fresh start, which is recorded.

    ``options`` (by their names on the command line) and ``data``, a digest of what is trained on, must be the same again.
    With ``write`` False (a process that is not the first) nothing is touched. UserError where there is no checkpoint, or
    another run's.
    """
    began = json.loads(json.dumps({**{name: plain(value) for name, value in options.items()}, "data": data}))
    last = last_checkpoint(out)
    if write:
        _hold(out)
    if not resume:
        if any(out.glob("checkpoint-*")):
            raise UserError(f"{out} holds checkpoints of a run: go on by --resume, or choose another --out.")
        if write:
            out.mkdir(parents=True, exist_ok=True)
            (out / STARTED).write_text(json.dumps(began, indent=1) + "\n", encoding="utf-8")
        return None
    needs_checkpoint(out)
    before = json.loads((out / STARTED).read_text(encoding="utf-8"))
    other = [name for name in began if began[name] != before.get(name)]
    if other:
        what = "other rows" if other[0] == "data" else f"another --{other[0].replace('_', '-')}"
        raise UserError(f"The run in {out} began with {what}: give the same, or choose another --out.")
    if write:
        for broken in (folder for folder in out.glob("checkpoint-*") if not (folder / WHOLE).is_file()):
            shutil.rmtree(broken)
    return last


def _hold(out: Path) -> None:
    """Keeps every other process from training into this folder until this one ends. UserError where one does already."""
    place = out.resolve()
    if place in _held:
        return
    out.mkdir(parents=True, exist_ok=True)
    lock = _held[place] = (out / LOCK).open("a", encoding="utf-8")
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _held.pop(place).close()
        raise UserError(f"Another run is training into {out}: wait for it, or choose another --out.") from None
    except (ImportError, OSError):  # no such locks on this platform or file system
        return


def needs_checkpoint(out: Path) -> None:
    """UserError where ``out`` holds none: said before anything is loaded or written."""
    if last_checkpoint(out) is None or not (out / STARTED).is_file():
        raise UserError(f"{out} holds no checkpoint to go on from; begin without --resume, in a new --out.")


def last_checkpoint(out: Path) -> Path | None:
    """The checkpoint of the most steps that is whole; one that a kill cut off does not count."""
    whole = {int(mark.parent.name.rpartition("-")[2]): mark.parent for mark in out.glob(f"checkpoint-*/{WHOLE}")}
    return whole[max(whole)] if whole else None


def train_from(trainer: Any, checkpoint: Path | None) -> None:
    """Trains to the end, each checkpoint marked as whole. A checkpoint that has all the steps is only loaded."""
    trainer.add_callback(_Checkpoints())
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except _Ended:
        return


def start_named(model: str) -> str:
    """A start's name wherever the command is run: a folder's whole path, or the Hub's name."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


class _Ended(Exception):
    """The checkpoint has all the steps already."""


class _Checkpoints(TrainerCallback):  # type: ignore[misc]
    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Transformers looks at the number of steps only after a step, and would make one more.
        if state.global_step >= state.max_steps:
            raise _Ended

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()
