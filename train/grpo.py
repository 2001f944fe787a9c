"""``fhirtasks train grpo``: reinforcement learning on a release's tasks, by the reward that their graders give."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from fhirtasks.environments.reward import WEIGHTS
from fhirtasks.environments.rollout import Chat
from fhirtasks.environments.spec import FhirSpec
from fhirtasks.errors import UserError
from fhirtasks.printing import progress
from train.curriculum import read_curriculum, select
from train.record import PANELS, ROLLOUTS, RUN, Reports, dataset_record, plain, reports, versions, write_run

Vllm = Literal["off", "colocate", "server"]
SAMPLED: Final = 32
"""Tasks whose expert's episode is measured before the training begins."""
_RESUMES: Final = (
    "seed", "prompts", "generations", "max_completion_length", "max_message_length", "learning_rate", "beta", "temperature",
    "thinking", "lora", "vllm",
)  # fmt: skip
"""Options that a resumed run must have again, beside its model, tasks, rewards and processes. ``steps`` may be more."""


@dataclass(frozen=True)
class GrpoOptions:
    """One run. ``prompts`` tasks per step, ``generations`` rollouts of each. ``max_completion_length`` are the tokens of an
    episode, observations included, ``max_message_length`` those of one message: a rollout that goes on beyond them is cut off.

    ``lora`` is an adapter's rank; ``merge`` also writes the model that it makes. ``push`` is ORG/NAME on the Hub.
    """

    dataset: str
    model: str
    out: Path
    revision: str | None = None
    split: str = "train"
    families: tuple[str, ...] = ()
    curriculum: Path | None = None
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    steps: int = 100
    prompts: int = 8
    generations: int = 8
    batch: int = 8
    max_completion_length: int = 4096
    max_message_length: int | None = None
    learning_rate: float = 1e-6
    beta: float = 0.0
    temperature: float = 1.0
    thinking: bool = False
    lora: int | None = None
    merge: bool = False
    push: str | None = None
    resume: bool = False
    vllm: Vllm = "off"
    vllm_server: str | None = None
    vllm_memory: float = 0.3
    save_steps: int | None = None
    report_to: Reports = "auto"
    stop_on_alarm: bool = False
    seed: int = 0


def train_grpo(options: GrpoOptions) -> dict[str, Any]:
    """Trains and saves the model (or the adapter) to ``out``, with tokenizer, ``run.json``, card, panels and rollouts.

    Returns what ``run.json`` holds. UserError for anything that the user has to put right.
    """
    from train.resume import train_from

    _check(options)
    spec = FhirSpec(
        options.dataset,
        revision=options.revision,
        families=options.families,
        split=options.split,
        weights=options.weights,
    )
    rows = spec.train_dataset
    if options.curriculum is not None:
        rows = rows.select(select(rows["family"], rows["task_id"], read_curriculum(options.curriculum)))
    trainer = make_trainer(options, spec, rows)
    _fits(trainer, rows["task_id"])
    first: bool = trainer.accelerator.is_main_process
    if first:
        progress(f"{len(rows):,} tasks of {len(set(rows['family']))} families, {options.steps} steps")
    train_from(trainer, _begin(options, spec, rows["task_id"], write=first))
    trainer.save_model(str(options.out))
    run = _run(options, spec, trainer)
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


def make_trainer(options: GrpoOptions, spec: FhirSpec, rows: Any, **more: Any) -> Any:
    """The :class:`train.trainer.FhirTrainer` of a run; ``more`` goes to TRL's GRPOConfig."""
    from accelerate import PartialState
    from trl import GRPOConfig
    from trl.chat_template_utils import add_response_schema

    from train.models import adapter_config, load_tokenizer, loading, start_from
    from train.trainer import FhirTrainer

    state = PartialState()
    tokenizer = load_tokenizer(options.model)
    try:
        if spec.protocol == "text":
            Chat(tokenizer, {})
        elif getattr(tokenizer, "response_template", None) is None:
            tokenizer = add_response_schema(tokenizer)
    except ValueError:
        raise UserError(
            f"TRL does not know the chat template of {options.model}, so turns cannot be told apart in training. Take a model "
            f"that it knows (Qwen3 and others)"
            + ("." if spec.protocol == "text" else ", or a release of the protocol text.")
        ) from None
    with state.main_process_first():
        start = start_from(options.model, options.out / "start", write=state.is_main_process)
    on_gpu = state.device.type != "cpu"
    settings: dict[str, Any] = {
        "output_dir": str(options.out), "max_steps": options.steps, "seed": options.seed,
        "per_device_train_batch_size": options.batch, "gradient_accumulation_steps": _accumulation(options),
        "num_generations": options.generations, "max_completion_length": options.max_completion_length,
        "max_tool_calling_iterations": spec.rounds - 1, "learning_rate": options.learning_rate,
        "lr_scheduler_type": "constant", "beta": options.beta, "temperature": options.temperature,
        "chat_template_kwargs": {"enable_thinking": options.thinking},
        "use_vllm": options.vllm != "off", "vllm_gpu_memory_utilization": options.vllm_memory,
        "report_to": reports(options.report_to), "logging_steps": 1, "disable_tqdm": True,
        "save_strategy": "steps" if options.save_steps else "no", "save_steps": options.save_steps or 500,
        "use_cpu": not on_gpu, "bf16": on_gpu, "gradient_checkpointing": on_gpu,
    }  # fmt: skip
    if options.max_message_length is not None:
        name = "max_new_tokens" if options.vllm == "off" else "max_tokens"
        settings["generation_kwargs"] = {name: options.max_message_length}
    if options.vllm != "off":
        settings |= {"vllm_mode": options.vllm, "vllm_server_base_url": options.vllm_server}
    with loading(options.model):
        return FhirTrainer(
            start, spec, stop=options.stop_on_alarm, args=GRPOConfig(**settings | more), train_dataset=rows,
            processing_class=tokenizer, peft_config=None if options.lora is None else adapter_config(options.lora),
        )  # fmt: skip


def _accumulation(options: GrpoOptions) -> int:
    """Micro-batches per step, so that a step has the same rollouts whatever the number of processes."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rollouts, at_once = options.prompts * options.generations, options.batch * processes
    if rollouts % at_once:
        raise UserError(
            f"A step has {options.prompts} × {options.generations} = {rollouts} rollouts, which {processes} processes cannot "
            f"share in batches of {options.batch}; choose --batch so that batch × processes divides them."
        )
    return rollouts // at_once


def _check(options: GrpoOptions) -> None:
    from train.models import check_out

    check_out(options.out)
    if options.resume:
        from train.resume import needs_checkpoint

        needs_checkpoint(options.out)
    elif any((options.out / name).exists() for name in (PANELS, ROLLOUTS, RUN)):
        raise UserError(f"{options.out} holds a run already; give --out a new folder.")
    if options.generations < 2:
        raise UserError("--generations is at least 2: a group of one has nothing to be compared with.")
    if options.merge and options.lora is None:
        raise UserError("--merge is for adapters: give --lora with it.")
    if options.vllm not in get_args(Vllm):
        raise UserError(f"--vllm is {options.vllm!r}; it takes {', '.join(get_args(Vllm))}.")
    if options.vllm_server is not None and options.vllm != "server":
        raise UserError("--vllm-server is the URL for --vllm server.")
    if options.vllm in ("colocate", "server"):
        from importlib.util import find_spec

        if find_spec("vllm") is None:
            raise UserError(
                "--vllm needs vLLM (pip install 'trl[vllm]', with a GPU); leave it out to generate without."
            )


def _fits(trainer: Any, task_ids: list[str]) -> None:
    """UserError if no expert's episode fits into the completion length: then nothing right can be sampled."""
    step = max(1, len(task_ids) // SAMPLED)
    lengths = [trainer.bounds.length(one) for one in list(task_ids)[::step][:SAMPLED]]
    if min(lengths) > trainer.max_completion_length:
        raise UserError(
            f"--max-completion-length is {trainer.max_completion_length} and the experts' episodes have {min(lengths):,} to "
            f"{max(lengths):,} tokens (observations included); raise it."
        )


def _begin(options: GrpoOptions, spec: FhirSpec, task_ids: Sequence[str], *, write: bool) -> Path | None:
    """The checkpoint to go on from, None for a fresh start. UserError where there is none, or another run's.

    The manifest's digest stands for the records, tasks and graders of the release, the ids for what a curriculum chose.
    """
    from train.resume import begin, start_named

    manifest = dataset_record(spec.folder, options.dataset, options.revision)["manifest"]
    data = hashlib.sha256(json.dumps([manifest, options.split, *task_ids]).encode()).hexdigest()
    began = {name: getattr(options, name) for name in _RESUMES}
    began |= {"model": start_named(options.model), "reward": dict(options.weights)}
    began |= {"num_processes": int(os.environ.get("WORLD_SIZE", "1"))}
    return begin(options.out, began, data, resume=options.resume, write=write)


def _run(options: GrpoOptions, spec: FhirSpec, trainer: Any) -> dict[str, Any]:
    losses = [panel["loss"] for panel in trainer.history if "loss" in panel]
    return {
        "command": "grpo",
        "options": {name: plain(value) for name, value in asdict(options).items()},
        "protocol": spec.protocol,
        "processes": trainer.accelerator.num_processes,
        "dataset": dataset_record(spec.folder, options.dataset, options.revision),
        "curriculum": None if options.curriculum is None else options.curriculum.read_text(encoding="utf-8"),
        "versions": versions(),
        "alarms": [asdict(alarm) for alarm in trainer.raised.values()],
        "steps": trainer.state.global_step,
        "results": {name: value for name, value in (trainer.history or [{}])[-1].items() if math.isfinite(value)},
        "train_loss": sum(losses) / len(losses) if losses else None,
    }


def summary(run: Mapping[str, Any]) -> str:
    """A run in a few lines for the terminal."""
    last = run["results"]
    lines = [f"{run['steps']} steps; saved to {run['options']['out']}"]
    if last:
        lines += [
            f"accuracy {last['accuracy']:.3f} (ceiling {last['ceiling']:.3f}), "
            f"reward {last['reward']:.3f} (floor {last['floor']:.3f})",
            f"{last['length/mean']:.0f} tokens, {last['turns']:.1f} messages, {last['calls/all']:.1f} actions per rollout; "
            f"{last['zero_variance']:.0%} of groups without variance",
        ]
    lines += [f"{alarm['name']}: {alarm['sentence']}" for alarm in run["alarms"]]
    return "\n".join(lines)
