"""TRL's GRPO trainer with what our episodes need: an end, our replies to any call, and a panel of every step.

TRL plays environments itself but knows no end of an episode: it goes on until the model calls nothing. Here a rollout ends with
the call that answers, as every row of the SFT data does, so that nothing after it is ever sampled or trained.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import TrainerState
from trl import GRPOTrainer

from fhirtasks.environments.played import ENDED, FhirCode, FhirTools
from fhirtasks.environments.reward import raws_of
from fhirtasks.environments.source import judged
from fhirtasks.environments.spec import FhirSpec
from fhirtasks.episodes.tools import wire
from fhirtasks.printing import progress
from fhirtasks.rewards import reward
from train.bounds import Bounds
from train.guards import Alarm, alarms
from train.panel import Rollout, panel, rollout_of
from train.record import PANELS, ROLLOUTS


class FhirTrainer(GRPOTrainer):  # type: ignore[misc]
    """Trains on a :class:`FhirSpec`. ``stop`` ends the training at the first alarm; without it alarms are only said."""

    def __init__(self, model: Any, spec: FhirSpec, *, stop: bool = False, **options: Any) -> None:
        self.spec = spec
        self.history: list[dict[str, float]] = []
        self.raised: dict[str, Alarm] = {}
        self._stop = stop
        self._passes = 0
        self._written: list[list[int]] = []
        super().__init__(
            model,
            spec.reward_funcs,
            environment_factory=spec.environment_factory,
            rollout_func=spec.rollout_func,
            **options,
        )
        rendering = {
            **self.chat_template_kwargs,
            **({"chat_template": self.chat_template} if self.chat_template else {}),
        }
        self.bounds = Bounds(spec, self._tokenizer, self.max_completion_length, rendering)

    def train(self, resume_from_checkpoint: str | None = None, **options: Any) -> Any:
        """Trains as TRL does. From a checkpoint it goes on with that run's panels, and without what came after them."""
        if resume_from_checkpoint is not None:
            self._take_up(Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint, **options)

    def _take_up(self, checkpoint: Path) -> None:
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        self._passes = int(state.epoch)
        for logs in state.log_history:
            self._keep(logs)
        if self.accelerator.is_main_process:
            out = Path(self.args.output_dir)
            _cut(out / PANELS, state.global_step + 1)
            _cut(out / ROLLOUTS, state.global_step)  # those of a step are written before it is counted

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(dataset)
        for _ in range(self._passes):  # every pass over the tasks draws its own order, and TRL begins with the first
            torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    def _generate(self, prompts: list[Any]) -> Any:
        found = super()._generate(prompts)
        self._written = found[2] if found[2] is not None else [[1] * len(ids) for ids in found[1]]
        return found

    def _tool_call_loop(self, *state: Any) -> Any:
        # TRL answers a call of an unknown tool in words of its own; ours are those of every other episode.
        self._sync_tool_dicts = [_Offered(environment) for environment in self.environments]
        return super()._tool_call_loop(*state)

    def _get_tool_suffix_ids(self, tool_messages: list[dict[str, Any]]) -> list[int]:
        """The tokens of a tool's reply. Where the episode has ended they are too many, so TRL takes the reply back and stops."""
        if tool_messages[-1]["content"] == ENDED:
            return [self._tokenizer.pad_token_id] * (self.max_completion_length + 1)
        found: list[int] = super()._get_tool_suffix_ids(tool_messages)
        return found

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Any:
        found = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        said = [
            tuple(row["raws"]) if "raws" in row else raws_of(completion, self.spec.protocol)
            for row, completion in zip(inputs, completions, strict=True)
        ]
        rows = zip(inputs, said, completion_ids_list, self._written, strict=True)
        rollouts = gather_object([self._rollout(row, raws, ids, mask) for row, raws, ids, mask in rows])
        training = self.model.training
        group = self.num_generations if training else self.num_generations_eval
        for name, value in panel([rollout for rollout, _ in rollouts], group).items():
            self._metrics["train" if training else "eval"][f"panel/{name}"].append(value)
        if training and self.accelerator.is_main_process:
            self._record(rollouts)
        return found

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs as TRL does; what was logged of a training step is kept, and looked at for alarms."""
        super().log(logs, start_time)
        if "panel/reward" not in logs:
            return
        new = self._keep(logs)
        if self.accelerator.is_main_process:
            line = {"step": self.state.global_step, **self.history[-1], "alarms": [asdict(alarm) for alarm in new]}
            _append(Path(self.args.output_dir) / PANELS, [line])
            for alarm in new:
                progress(f"step {self.state.global_step}, {alarm.name}: {alarm.sentence}")
        if new and self._stop:
            self.control.should_training_stop = True

    def _keep(self, logs: Mapping[str, Any]) -> list[Alarm]:
        """Adds what was logged of a step to the history; the alarms that it is the first to raise."""
        if "panel/reward" not in logs:
            return []
        figures = {name.removeprefix("panel/"): value for name, value in logs.items() if name.startswith("panel/")}
        figures |= {name: logs[name] for name in ("entropy", "grad_norm", "loss", "kl") if logs.get(name) is not None}
        self.history.append(figures)
        new = [alarm for alarm in alarms(self.history) if alarm.name not in self.raised]
        self.raised |= {alarm.name: alarm for alarm in new}
        return new

    def _rollout(
        self, row: dict[str, Any], raws: Sequence[str], ids: Sequence[int], mask: Sequence[int]
    ) -> tuple[Rollout, list[dict[str, Any]]]:
        """The record of a rollout and its assistant messages."""
        task_id = row["task_id"]
        found = judged(self.spec.folder, self.spec.split, task_id, tuple(raws))
        record = rollout_of(
            row["family"], found, tokens=sum(mask), clipped=not ids or ids[-1] not in self.eos_token_ids,
            reward=reward(found.verdict, found.episode, self.spec.weights),
            floor=self.bounds.floor(task_id), reachable=self.bounds.reachable(task_id),
        )  # fmt: skip
        return record, wire(message for message in found.episode.messages if message.role == "assistant")

    def _record(self, rollouts: Sequence[tuple[Rollout, list[dict[str, Any]]]]) -> None:
        lines = [
            {"id": rollout.task_id, "messages": messages, "step": self.state.global_step, "rollout": asdict(rollout)}
            for rollout, messages in rollouts
        ]
        _append(Path(self.args.output_dir) / ROLLOUTS, lines)


class _Offered(dict[str, Callable[..., str]]):
    """An environment's answer to a call by any name."""

    def __init__(self, environment: FhirTools | FhirCode) -> None:
        super().__init__()
        self._environment = environment

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Callable[..., str]:
        return functools.partial(_called, self._environment, name)


def _called(environment: FhirTools | FhirCode, name: str, /, **arguments: Any) -> str:
    return environment._call(name, arguments)


def _append(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _cut(path: Path, step: int) -> None:
    """Takes off the lines from this step on. Lines stand in the order of their steps; a kill may have cut off the last one."""
    if not path.is_file():
        return
    kept = 0
    with path.open("rb+") as file:
        for line in file:
            if not line.endswith(b"\n") or json.loads(line)["step"] >= step:
                break
            kept += len(line)
        file.truncate(kept)
