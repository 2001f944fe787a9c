"""Tokens per second of a step of ``train sft`` against a bare step of the same model on the same batches. Gate: 0.80 of it.

Run: python tests/benchmarks/bench_training.py. A step is that of the trainer which ``train sft`` makes: collation, forward, loss
on what the assistant says, backward, clipping, AdamW, schedule, and what TRL measures and logs. The bare step is
``model(**batch).loss.backward()`` over the same micro-batches and the same AdamW, on a copy of the model, right after it; so the
two take turns, step by step, in one process. Ratios are taken per pair, medians are given, the first steps do not count. Rendering
rows as tokens, which is done once before the training, is timed beside it. What the step has more is mostly TRL's loss, which on
CPU makes the logits of every token twice to save memory: the smaller the model, the larger that share.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from train_support import make_model, spoken
from transformers import AutoModelForCausalLM, TrainerCallback
from transformers.utils.logging import disable_progress_bar

from fhirtasks.environments.spec import FhirSpec
from fhirtasks.population.populate import populate
from fhirtasks.synthesis.build import BuildConfig, build
from train.models import load_tokenizer
from train.rendering import read_conversations
from train.sft import SftOptions, encode, make_trainer

GATE = 0.80
FAMILIES = ("patient_lookup", "record_blood_pressure")
SHAPE = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 64}
WARM, STEPS = 2, 15
ROWS, BATCH = 2, 2
"""Rows of a step, and how many of them go through one backward pass."""


class Turns(TrainerCallback):  # type: ignore[misc]
    """Runs a bare step after each of the trainer's, on what that one was given, and keeps both times and the tokens."""

    def __init__(self, bare: Callable[[list[dict[str, Any]]], None]) -> None:
        self._bare = bare
        self._begun = time.perf_counter()
        self.batches: list[dict[str, Any]] = []
        self.pairs: list[tuple[float, float, int]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        ended = time.perf_counter()
        self._bare(self.batches)
        bare = time.perf_counter() - ended
        tokens = sum(int(batch["attention_mask"].sum()) for batch in self.batches)
        self.pairs.append((ended - self._begun, bare, tokens))
        self.batches.clear()
        self._begun = time.perf_counter()


def main() -> int:
    disable_progress_bar()
    warnings.simplefilter("ignore")
    print(
        f"python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
        + f", {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'rows':10}{'bare tokens/s':>15}{'tokens/s':>10}{'ratio':>8}{'step ms':>9}{'rendered/s':>12}{'steps':>7}")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        graph, release = Path(folder) / "g.duckdb", Path(folder) / "release"
        populate(graph, patients=40, seed=3)
        build(BuildConfig(release, graph, families=FAMILIES, per_family=24, seed=3, protocol="text"))
        model = make_model(Path(folder) / "model", spoken(FhirSpec(release)), **SHAPE)
        for turns in (False, True):
            ratios.append(_measure(release, model, Path(folder) / f"out{turns}", turns))
    print(f"gate: step of train sft / bare step = {min(ratios):.2f} (at least {GATE:.2f})")
    return 0 if min(ratios) >= GATE else 1


def _measure(release: Path, model: Path, out: Path, turns: bool) -> float:
    options = SftOptions(
        dataset=str(release), model=str(model), out=out, turns=turns, steps=WARM + STEPS, rows=ROWS, batch=BATCH,
        report_to="none",
    )  # fmt: skip
    begun = time.perf_counter()
    rows = read_conversations(release, "train", (), turns=turns)
    encode(rows, load_tokenizer(str(model)), options)
    rendered = len(rows) / (time.perf_counter() - begun)
    trainer, _, _ = make_trainer(options, release, save_strategy="no")
    timed = Turns(_bare_step(model, options.learning_rate))
    trainer.add_callback(timed)
    step = trainer.training_step

    def training_step(model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        timed.batches.append(dict(inputs))
        return step(model, inputs, *more, **named)

    trainer.training_step = training_step
    with redirect_stdout(StringIO()):  # the log of every step is written, and not shown
        trainer.train()
    pairs = timed.pairs[WARM:]
    ratio = statistics.median(bare / ours for ours, bare, _ in pairs)
    ours, bare = (statistics.median(pair[2] / pair[place] for pair in pairs) for place in (0, 1))
    taken = 1e3 * statistics.median(pair[0] for pair in pairs)
    print(
        f"{'turns' if turns else 'episodes':10}{bare:15,.0f}{ours:10,.0f}{ratio:8.2f}{taken:9,.0f}{rendered:12,.0f}"
        f"{len(pairs):7}"
    )
    return ratio


def _bare_step(folder: Path, learning_rate: float) -> Callable[[list[dict[str, Any]]], None]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, fused=True)

    def step(batches: list[dict[str, Any]]) -> None:
        for batch in batches:
            (model(**batch, use_cache=False).loss / len(batches)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    sys.exit(main())
