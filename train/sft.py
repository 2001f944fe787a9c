"""``fhirtasks train sft``: supervised fine-tuning on a release's demonstrations, whole models or adapters.

Loss is taken on what the assistant says, end of turn included (:mod:`train.rendering`). A row that is too long is cut at the end
of a turn or left out, and both are counted; nothing is cut within a turn.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from fhirtasks.environments.source import folder_of
from fhirtasks.errors import UserError
from fhirtasks.printing import progress
from train.record import RUN, Reports, dataset_record, plain, reports, versions, write_run
from train.rendering import Conversation, Encoded, Rendering, read_conversations, renderings, stop_tokens

SAID: Final = 1_000
"""Rows after which it is said how many are tokens (about 80 rows a second and process)."""
_RESUMES: Final = (
    "seed", "rows", "learning_rate", "scheduler", "warmup", "epochs", "steps", "lora", "lora_alpha", "lora_dropout", "nf4",
)  # fmt: skip
"""Options that a resumed run must have again, beside its model and its rows."""

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Published for MedAgentBench with Qwen3-32B on one H100: ChartR, "MedAgentBench SFT" (2026,
    # https://www.chartrhealth.com/blog/medagentbench-sft-clinical-llm) and its training configuration; QLoRA is Dettmers et al.
    # (2023). Thinking is off because that is how the trained model is asked.
    "medagentbench": {
        "nf4": True, "lora": 64, "lora_alpha": 128, "lora_dropout": 0.05, "epochs": 3.0, "learning_rate": 1e-5,
        "scheduler": "cosine", "warmup": 0.03, "rows": 8, "batch": 1, "max_length": 5120, "thinking": False,
    },
}  # fmt: skip
"""Name -> options of a published recipe; whatever else is given stands."""


@dataclass(frozen=True)
class SftOptions:
    """One run. ``rows`` per optimizer step over all processes, ``batch`` of them per process at a time; lengths are tokens.

    ``turns`` trains one row per assistant turn. ``lora`` is an adapter's rank, ``nf4`` keeps the base in four bits (QLoRA);
    ``warmup`` is a share of the steps; ``steps`` end the run before its ``epochs`` do. ``push`` is ORG/NAME on the Hub.
    """

    dataset: str
    model: str
    out: Path
    revision: str | None = None
    split: str = "train"
    families: tuple[str, ...] = ()
    preset: str | None = None
    turns: bool = False
    max_length: int = 8192
    epochs: float = 1.0
    steps: int | None = None
    rows: int = 8
    batch: int = 1
    learning_rate: float = 2e-5
    scheduler: str = "cosine"
    warmup: float = 0.03
    lora: int | None = None
    lora_alpha: int | None = None
    lora_dropout: float = 0.0
    nf4: bool = False
    thinking: bool = False
    merge: bool = False
    push: str | None = None
    resume: bool = False
    save_steps: int | None = None
    report_to: Reports = "auto"
    seed: int = 0


def with_preset(preset: str | None, **given: Any) -> SftOptions:
    """The options of a run: what is given (None: not given) over the preset's over the usual. UserError for another preset."""
    if preset is not None and preset not in PRESETS:
        raise UserError(f"There is no preset {preset!r}; there are: {', '.join(PRESETS)}.")
    known = {one.name for one in fields(SftOptions)}
    told = {name: value for name, value in given.items() if value is not None}
    assert told.keys() <= known
    return SftOptions(**{**(PRESETS[preset] if preset else {}), **told, "preset": preset})


@dataclass(frozen=True, slots=True)
class Fitted:
    """What of the rows is trained. ``cut`` rows end with an earlier turn, ``left_out`` have no turn that fits.

    ``turns_left_out`` counts the turns that are not trained in both; ``longest`` is the tokens of the longest row there was.
    """

    rows: tuple[Encoded, ...]
    whole: int
    cut: int
    left_out: int
    turns: int
    turns_left_out: int
    longest: int

    def counts(self) -> dict[str, int]:
        """The counts as plain JSON, with the tokens that are read and those that carry loss."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "rows"}
        trained = sum(end - start for row in self.rows for start, end in row.spans)
        return {"rows": len(self.rows), **found, "tokens": sum(len(row.ids) for row in self.rows), "trained": trained}


def fit(rows: Iterable[Encoded], longest: int) -> Fitted:
    """The rows within so many tokens, cut at the ends of turns. UserError if nothing is left."""
    kept: list[Encoded] = []
    whole = cut = left_out = missed = most = 0
    for row in rows:
        most = max(most, len(row.ids))
        fits = row.within(longest)
        if fits is None:
            left_out += 1
            missed += len(row.spans)
            continue
        whole, cut = (whole + 1, cut) if len(fits.spans) == len(row.spans) else (whole, cut + 1)
        missed += len(row.spans) - len(fits.spans)
        kept.append(fits)
    if not kept:
        raise UserError(f"No turn fits into --max-length {longest}: the longest row has {most:,} tokens; raise it.")
    return Fitted(tuple(kept), whole, cut, left_out, sum(len(row.spans) for row in kept), missed, most)


def encode(rows: Sequence[Conversation], tokenizer: Any, options: SftOptions) -> tuple[list[Encoded], Rendering]:
    """The rows as tokens, and how they were rendered. UserError where no template keeps what it rendered before.

    One row per turn is always rendered as a server renders it. Whole episodes are where every prefix stays as it was, else with
    TRL's training template, which must then be saved with the model.
    """
    stops = stop_tokens(tokenizer, options.model)
    drift = None
    for rendering in renderings(tokenizer, thinking=options.thinking, stops=stops):
        found = []
        for row in rows:
            encoded = rendering.encode(row)
            if encoded.drift is not None:
                drift = drift or encoded.drift
                break
            if not all(encoded.stopped):
                raise UserError(
                    f"The chat template of {options.model} ends no turn with a token that stops generation (row {row.id}): a "
                    f"model trained on it never stops. See fhirtasks train check."
                )
            found.append(encoded)
            if len(found) % SAID == 0 and int(os.environ.get("RANK", "0")) == 0:
                progress(f"{len(found):,} of {len(rows):,} rows are tokens")
        else:
            return found, rendering
        if options.turns:
            break
    assert drift is not None
    raise UserError(
        f"The chat template of {options.model} shows turn {drift.turn} of {drift.id} other tokens in training than in use, "
        f"and TRL has no training template for it: "
        + ("take another model." if options.turns else "train one row per turn (--turns).")
    )


def train_sft(options: SftOptions) -> dict[str, Any]:
    """Trains and saves the model (or the adapter) to ``out``, with tokenizer, ``run.json`` and card.

    Returns what ``run.json`` holds. UserError for anything that the user has to put right.
    """
    from train.resume import train_from

    _check(options)
    folder = folder_of(options.dataset, options.revision)
    trainer, fitted, rendering = make_trainer(options, folder)
    first: bool = trainer.accelerator.is_main_process
    if first:
        progress(told(fitted))
    train_from(trainer, _begin(options, fitted, write=first))
    trainer.save_model(str(options.out))
    run = _run(options, folder, trainer, fitted, rendering)
    if first:
        write_run(options.out, run)
        if options.merge:
            from train.models import merge

            merge(options.out, options.out / "merged")
        if options.push is not None:
            from train.push import push_model

            push_model(options.out, options.push)
    trainer.accelerator.wait_for_everyone()
    return run


def make_trainer(options: SftOptions, folder: Path, **more: Any) -> tuple[Any, Fitted, Rendering]:
    """TRL's SFT trainer on the encoded rows; ``more`` goes to its SFTConfig."""
    from accelerate import PartialState
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from train.models import adapter_config, load_tokenizer, loading, start_from

    state = PartialState()
    tokenizer = load_tokenizer(options.model)
    rows = read_conversations(folder, options.split, options.families, turns=options.turns)
    encoded, rendering = encode(rows, tokenizer, options)
    fitted = fit(encoded, options.max_length)
    if rendering.template is not None:
        _keep_template(tokenizer, rendering.template)
    with state.main_process_first():
        start = start_from(options.model, options.out / "start", write=state.is_main_process)
    on_gpu = state.device.type != "cpu"
    settings: dict[str, Any] = {
        "output_dir": str(options.out), "num_train_epochs": options.epochs, "max_steps": options.steps or -1,
        "seed": options.seed, "per_device_train_batch_size": options.batch,
        "gradient_accumulation_steps": _accumulation(options), "learning_rate": options.learning_rate,
        "lr_scheduler_type": options.scheduler, "warmup_steps": options.warmup, "max_length": None,
        "report_to": reports(options.report_to), "logging_steps": 1, "disable_tqdm": True,
        "save_strategy": "steps" if options.save_steps else "epoch", "save_steps": options.save_steps or 500,
        "save_total_limit": 2, "use_cpu": not on_gpu, "bf16": on_gpu, "gradient_checkpointing": on_gpu,
    }  # fmt: skip
    # The rows are tokens already, and fit: the trainer renders, masks and cuts nothing.
    dataset = Dataset.from_dict(
        {"input_ids": [list(row.ids) for row in fitted.rows], "labels": [row.labels for row in fitted.rows]}
    )
    adapter = adapter_config(options.lora, options.lora_alpha, options.lora_dropout) if options.lora else None
    with loading(options.model):
        trainer = SFTTrainer(
            start, args=SFTConfig(**settings | more), train_dataset=dataset, processing_class=tokenizer,
            peft_config=adapter, quantization_config=_four_bits() if options.nf4 else None,
        )  # fmt: skip
    return trainer, fitted, rendering


def told(fitted: Fitted) -> str:
    """What is trained and what is not, in a sentence."""
    counts = fitted.counts()
    left = (
        f"; {counts['cut']:,} rows end with an earlier turn and {counts['left_out']:,} are left out, "
        f"{counts['turns_left_out']:,} turns in all (the longest row has {counts['longest']:,} tokens)"
        if counts["turns_left_out"]
        else "; nothing is cut"
    )
    return (
        f"{counts['rows']:,} rows, {counts['turns']:,} turns, {counts['tokens']:,} tokens, "
        f"{counts['trained']:,} of them with loss{left}"
    )


def summary(run: Mapping[str, Any]) -> str:
    """A run in a few lines for the terminal."""
    data, results = run["data"], run["results"]
    lines = [
        f"{run['steps']} steps on {data['rows']:,} rows ({data['turns']:,} turns); saved to {run['options']['out']}",
        f"rows cut at a turn {data['cut']:,}, left out {data['left_out']:,}, turns not trained {data['turns_left_out']:,}",
    ]
    if "loss" in results:
        lines.append(f"loss {results['loss']:.4f}, mean over the run {run['train_loss']:.4f}")
    if run["template"] == "training":
        lines.append("trained with TRL's training template, which is saved with the model: serve it with that one")
    return "\n".join(lines)


def _keep_template(tokenizer: Any, template: str) -> None:
    """Saves the template of the training with the model, and how tool calls are read, which TRL tells by the first one."""
    from contextlib import suppress

    from trl.chat_template_utils import add_response_schema

    with suppress(ValueError):
        add_response_schema(tokenizer)
    tokenizer.chat_template = template


def _four_bits() -> Any:
    """The base in NF4 with double quantisation, computed in bfloat16 (Dettmers et al. 2023)."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _accumulation(options: SftOptions) -> int:
    """Micro-batches per step, so that a step has the same rows whatever the number of processes."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    at_once = options.batch * processes
    if options.rows % at_once:
        raise UserError(
            f"A step has {options.rows} rows, which {processes} processes cannot share in batches of {options.batch}; "
            f"choose --rows and --batch so that batch × processes divides rows."
        )
    return options.rows // at_once


def _check(options: SftOptions) -> None:
    from train.models import check_out

    check_out(options.out)
    if options.nf4 and options.lora is None:
        raise UserError("--nf4 keeps the model in four bits, which cannot be trained: give --lora with it.")
    if options.merge and options.lora is None:
        raise UserError("--merge is for adapters: give --lora with it.")
    if options.nf4:
        from importlib.util import find_spec

        if find_spec("bitsandbytes") is None:
            raise UserError("--nf4 needs bitsandbytes: pip install bitsandbytes.")
    if options.resume:
        from train.resume import needs_checkpoint

        needs_checkpoint(options.out)
    elif (options.out / RUN).exists():
        raise UserError(f"{options.out} holds a run already; give --out a new folder.")
    _accumulation(options)
    reports(options.report_to)


def _begin(options: SftOptions, fitted: Fitted, *, write: bool) -> Path | None:
    """The checkpoint to go on from, None for a fresh start. UserError where there is none, or another run's."""
    from train.resume import begin, start_named

    digest = hashlib.sha256()
    for row in fitted.rows:
        digest.update(json.dumps([row.ids, row.spans]).encode())
    began = {"model": start_named(options.model), **{name: getattr(options, name) for name in _RESUMES}}
    return begin(options.out, began, digest.hexdigest(), resume=options.resume, write=write)


def _run(options: SftOptions, folder: Path, trainer: Any, fitted: Fitted, rendering: Rendering) -> dict[str, Any]:
    logged = trainer.state.log_history
    last: Mapping[str, Any] = next((one for one in reversed(logged) if "loss" in one), {})
    losses = [one["loss"] for one in logged if "loss" in one]
    names = ("loss", "mean_token_accuracy", "entropy", "grad_norm", "num_tokens")
    return {
        "command": "sft",
        "options": {name: plain(value) for name, value in asdict(options).items()},
        "processes": trainer.accelerator.num_processes,
        "dataset": dataset_record(folder, options.dataset, options.revision),
        "data": fitted.counts(),
        "template": "own" if rendering.template is None else "training",
        "versions": versions(),
        "steps": trainer.state.global_step,
        "results": {name: last[name] for name in names if name in last and math.isfinite(last[name])},
        "train_loss": sum(losses) / len(losses) if losses else None,
    }
