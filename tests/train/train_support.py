"""A tiny model made here, and a stand-in for sampling that says what a script tells it to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import solvers
from fhirtasks.environments.spec import FhirSpec
from fhirtasks.episodes.environment import run_solver
from fhirtasks.tasks.floors import floor


def make_model(folder: Path, texts: Iterable[str], template: str = "qwen3", seed: int = 0, **shape: int) -> Path:
    """Saves a two-layer Qwen3 with a byte-level BPE learned from these texts and the named chat template of TRL's.

    ``shape`` overrides what its configuration says.
    """
    import torch
    import trl
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=1500, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    stored = Path(trl.__file__).parent / "chat_templates" / f"{template}.jinja"
    tokenizer.chat_template = stored.read_text(encoding="utf-8")
    torch.manual_seed(seed)
    usual = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 65536,
    }  # fmt: skip
    config = Qwen3Config(
        vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        **usual | shape,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def spoken(spec: FhirSpec) -> list[str]:
    """Texts of the release for a tokenizer: prompts, what experts say, and the tools."""
    texts = [row["prompt"][0]["content"] for row in spec.train_dataset]
    for task in spec.tasks[:4]:
        environment = spec.source.open(task.id)
        episode = run_solver(solvers.solver(task.family), environment.task, environment)
        texts += [message.content for message in episode.messages]
    return [*texts, json.dumps(list(spec.tasks[0].public().tools))]


def expert(spec: FhirSpec, task_id: str) -> tuple[str, ...]:
    """The raw texts of the expert."""
    environment = spec.source.open(task_id)
    return run_solver(solvers.solver(environment.task.family), environment.task, environment).raws


def idle(spec: FhirSpec, task_id: str) -> tuple[str, ...]:
    """The raw texts of doing nothing."""
    environment = spec.source.open(task_id)
    return run_solver(floor("do-nothing", spec.tasks), environment.task, environment).raws


def as_sampled(raw: str, protocol: str) -> str:
    """A raw assistant message as Qwen3 writes it."""
    if protocol == "text":
        return raw
    value = json.loads(raw)
    calls = [
        f"<tool_call>\n{json.dumps({'name': one['name'], 'arguments': one['arguments']}, ensure_ascii=False)}\n</tool_call>"
        for one in value["tool_calls"]
    ]
    return "\n".join([value["content"], *calls]).strip("\n")


@dataclass
class _Played:
    messages: list[str]
    seen: list[int] = field(default_factory=list)


class Scripted:
    """Takes the place of a trainer's ``_generate_single_turn``: the n-th rollout of a task in a batch follows its script.

    ``script(task_id, n)`` gives the messages as they are sampled; what is left when they are used up is an empty message.
    """

    def __init__(self, trainer: Any, script: Callable[[str, int], Sequence[str]]) -> None:
        self._trainer = trainer
        self._tokenizer = trainer._tokenizer
        self._script = script
        self._prompts = {row["prompt"][0]["content"]: row["task_id"] for row in trainer.train_dataset}
        self._playing: list[_Played] = []
        self.contexts: list[list[int]] = []
        trainer._generate_single_turn = self

    def __call__(self, contexts: list[list[int]], *_: object, **__: object) -> tuple[list[list[int]], None]:
        first = not all(any(self._follows(context, one) for one in self._playing) for context in contexts)
        if first:
            self._begin(contexts)
        said = []
        waiting = list(self._playing)
        for context in contexts:
            self.contexts.append(context)
            one = next(one for one in waiting if self._follows(context, one))
            waiting.remove(one)
            text = one.messages.pop(0) if one.messages else ""
            ids = [*self._tokenizer.encode(text, add_special_tokens=False), self._tokenizer.eos_token_id]
            one.seen = context + ids
            said.append(ids)
        return said, None

    def _begin(self, contexts: list[list[int]]) -> None:
        counts: dict[str, int] = {}
        self._playing = []
        for context in contexts:
            text = self._tokenizer.decode(context)
            task_id = next(found for prompt, found in self._prompts.items() if prompt in text)
            number = counts[task_id] = counts.get(task_id, -1) + 1
            self._playing.append(_Played(list(self._script(task_id, number)), context))

    @staticmethod
    def _follows(context: list[int], one: _Played) -> bool:
        return context[: len(one.seen)] == one.seen
