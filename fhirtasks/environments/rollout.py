"""Plain text as a TRL rollout function: the trainer's model and our environment take turns, whatever generates.

Tokens are concatenated and never made again from text, so what is trained on is what was sampled. What the environment says is
in the sequence and masked (``env_mask``). An observation that would not fit into ``max_completion_length`` ends the rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fhirtasks.environments.source import source
from fhirtasks.evaluation.models import without_thinking


class TextRollout:
    """A TRL ``rollout_func``. A prompt's last message names its task (``task_id``), which no chat template shows."""

    __name__ = "text_rollout"

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = split

    def __call__(self, prompts: Sequence[Sequence[dict[str, Any]]], trainer: Any) -> dict[str, Any]:
        """Plays every prompt to its end; adds ``raws``, the assistant texts, to what TRL wants."""
        tasks = source(self._folder, self._split)
        environments = [tasks.open(prompt[-1]["task_id"]) for prompt in prompts]
        chat = Chat(trainer.processing_class, trainer.chat_template_kwargs)
        prompt_ids = [chat.prompt([{"role": one["role"], "content": one["content"]} for one in p]) for p in prompts]
        completion_ids: list[list[int]] = [[] for _ in prompts]
        masks: list[list[int]] = [[] for _ in prompts]
        logprobs: list[list[float]] | None = None
        raws: list[list[str]] = [[] for _ in prompts]
        longest = trainer.max_completion_length
        positions = getattr(trainer.model.config, "max_position_embeddings", None)
        waiting = list(range(len(prompts)))
        while waiting:
            contexts = [prompt_ids[i] + completion_ids[i] for i in waiting]
            generated, sampled = trainer._generate_single_turn(contexts, None, {}, 1)
            if sampled is not None and logprobs is None:
                logprobs = [[] for _ in prompts]
            going = []
            for place, i in enumerate(waiting):
                ids = generated[place][: longest - len(completion_ids[i])]
                completion_ids[i] += ids
                masks[i] += [1] * len(ids)
                if logprobs is not None:
                    logprobs[i] += sampled[place][: len(ids)]
                raw = without_thinking(chat.tokenizer.decode(ids, skip_special_tokens=True))
                raws[i].append(raw)
                if not ids or ids[-1] not in trainer.eos_token_ids:
                    continue  # cut off in the middle of a message: nobody answers it
                observation = environments[i].step(raw)
                if observation is None:
                    continue
                reply = chat.reply(observation.text)
                after = len(completion_ids[i]) + len(reply)
                if after >= longest or (positions is not None and len(prompt_ids[i]) + after >= positions):
                    continue
                completion_ids[i] += reply
                masks[i] += [0] * len(reply)
                if logprobs is not None:
                    logprobs[i] += [0.0] * len(reply)
                going.append(i)
            waiting = going
        return {
            "prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": logprobs, "env_mask": masks,
            "raws": raws,
        }  # fmt: skip


class Chat:
    """A tokenizer's chat template for a conversation that grows by tokens, rendered as TRL renders it for tools."""

    def __init__(self, tokenizer: Any, options: dict[str, Any]) -> None:
        from trl import get_training_chat_template
        from trl.chat_template_utils import is_chat_template_prefix_preserving

        self.tokenizer = tokenizer
        self._options = dict(options)
        if not is_chat_template_prefix_preserving(tokenizer):
            self._options["chat_template"] = get_training_chat_template(tokenizer)

    def prompt(self, messages: list[dict[str, Any]]) -> list[int]:
        """The tokens of a conversation, ready for the assistant's turn."""
        return self._ids(messages, True)

    def reply(self, text: str) -> list[int]:
        """The tokens between an assistant's end of turn and its next turn, when the user says this."""
        before = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
        prefix = self._ids(before, False)
        whole = self._ids([*before, {"role": "user", "content": text}], True)
        end = self.tokenizer.eos_token_id
        if end in prefix:  # the template's own white space after the end of turn belongs to the reply
            prefix = prefix[: len(prefix) - prefix[::-1].index(end)]
        if whole[: len(prefix)] != prefix:
            raise ValueError("the chat template does not keep what was said before; take another one for training")
        return whole[len(prefix) :]

    def _ids(self, messages: list[dict[str, Any]], more: bool) -> list[int]:
        found: list[int] = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=more, tokenize=True, return_dict=False, **self._options
        )
        return found
