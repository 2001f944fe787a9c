"""The sizes in which a probe runs: one for two cores, one for a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fhirtasks.errors import UserError
from train.probe_model import Shape
from train.probe_run import Training

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Preset:
    """The size of a probe. ``minutes`` limits the whole run; its shares go to training and to the learning curve.

    ``families`` are trained on, where the release has them (none of them, or none named: all that it has); the release's
    other families are the held-out ones. ``each``: tasks per family of held-out patients, wordings, families. ``marks``:
    minutes after which figures are taken on the way. ``shares`` of the patients make the learning curve, whose last point
    is the whole; a point's budget is the same share of the whole's, so that every row is read as often.
    """

    shape: Shape
    training: Training
    minutes: float
    families: tuple[str, ...] = ()
    each: tuple[int, int, int] = (60, 30, 20)
    reading: int = 16_384
    marks: tuple[float, ...] = ()
    shares: tuple[float, ...] = (1 / 16, 1 / 4)
    training_share: float = 0.6


PRESETS: Final = {
    "cpu": Preset(
        Shape(), Training(8_000_000), 28.0,
        ("latest_lab", "latest_lab_in_window", "magnesium_replacement", "patient_lookup"),
    ),
    "gpu": Preset(
        Shape(512, 6, 1536), Training(1_000_000_000, batch=131_072, rate=1e-3, usual=2_400, longest=7_800),
        8.0, each=(100, 50, 25), reading=300_000, marks=(2.0, 4.0), training_share=0.5,
    ),
}  # fmt: skip
"""``cpu``: under 30 minutes on two cores. ``gpu``: 8 minutes on one H200."""


def preset_named(name: str) -> Preset:
    """One of :data:`PRESETS`. UserError for another name."""
    if name not in PRESETS:
        raise UserError(f"--preset is {name!r}; it takes {' or '.join(PRESETS)}.")
    return PRESETS[name]


def device_of(preset: str, progress: Progress) -> str:
    """Where a preset runs. The GPU's preset goes on without a GPU, and says that its figures are then no GPU's."""
    import torch

    if preset != "gpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    progress("there is no GPU here: the preset runs on the CPU, within the same minutes")
    return "cpu"
