"""The probe's model as an agent: it reads the conversation, says a message greedily, and the environment takes it raw."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final

from fhirtasks.evaluation.report import Outcome
from fhirtasks.evaluation.sources import TaskSet
from fhirtasks.tasks.play import open_environment
from fhirtasks.tasks.types import Task
from train.probe_model import LONGEST
from train.probe_tokenizer import ASSISTANT, END, PAD, USER, text_of

LONGEST_MESSAGE: Final = 320
"""Tokens of one message; the longest of the experts' (a prescription) has about 120."""


def play_tasks(
    model: Any, tokenizer: Any, tasks: Sequence[Task], source: TaskSet, *, batch: int, device: str
) -> list[Outcome]:
    """Every task played to its end and judged, in order. ``batch``: tokens that are read at a time.

    A conversation longer than the model's positions is left, and so fails, as any agent's that never ends.
    """
    environments = [open_environment(task, source.world(task)) for task in tasks]
    contexts = [
        _marked(tokenizer, environment.messages, task) for environment, task in zip(environments, tasks, strict=True)
    ]
    going = [place for place, environment in enumerate(environments) if not environment.done]
    while going:
        going = [place for place in going if len(contexts[place]) < LONGEST - LONGEST_MESSAGE]
        for places in _alike(going, contexts, batch):
            said = say(model, tokenizer, [contexts[place] for place in places], device)
            for place, tokens in zip(places, said, strict=True):
                environment = environments[place]
                known = len(environment.messages)
                environment.step(tokenizer.decode(tokens, skip_special_tokens=False))
                # The assistant's own message stands in the context as it was said.
                contexts[place] += [tokenizer.token_to_id(ASSISTANT), *tokens, tokenizer.token_to_id(END)]
                contexts[place] += _marked(tokenizer, environment.messages[known + 1 :], tasks[place])
        going = [place for place in going if not environments[place].done]
    outcomes = []
    for task, environment in zip(tasks, environments, strict=True):
        episode = environment.episode()
        outcomes.append(Outcome(task, episode, source.grade(task, episode)))
    return outcomes


def say(model: Any, tokenizer: Any, contexts: Sequence[Sequence[int]], device: str) -> list[list[int]]:
    """The next message of each conversation, greedily, without its end mark; at most :data:`LONGEST_MESSAGE` tokens."""
    import torch

    pad, end, mine = (tokenizer.token_to_id(token) for token in (PAD, END, ASSISTANT))
    longest = max(map(len, contexts)) + 1
    ids = torch.full((len(contexts), longest), pad)
    mask = torch.zeros(len(contexts), longest, dtype=torch.long)
    for place, context in enumerate(contexts):
        ids[place, longest - len(context) - 1 :] = torch.tensor([*context, mine])
        mask[place, longest - len(context) - 1 :] = 1
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    said: list[list[int]] = [[] for _ in contexts]
    open_ = [True] * len(contexts)
    known: dict[str, Any] = {}
    # transformers 5.24 renamed the argument.
    parameters = inspect.signature(type(model.model).forward).parameters
    cache = "cache" if "cache" in parameters else "past_key_values"
    mixed = torch.autocast("cuda", torch.bfloat16) if device == "cuda" else nullcontext()
    with torch.no_grad(), mixed:
        for _ in range(LONGEST_MESSAGE):
            output = model.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **known)
            known[cache] = getattr(output, cache)
            following = model.lm_head(output.last_hidden_state[:, -1]).argmax(-1)
            for place, token in enumerate(following.tolist()):
                if open_[place] and token != end:
                    said[place].append(token)
                else:
                    open_[place] = False
            if not any(open_):
                break
            ids = following[:, None]
            mask = torch.cat([mask, mask.new_ones(len(contexts), 1)], 1)
            positions = positions[:, -1:] + 1
    return said


def _marked(tokenizer: Any, messages: Sequence[Any], task: Task) -> list[int]:
    """Messages of the environment in tokens, each between its marks, as training has them."""
    tokens = []
    for message in messages:
        ids = tokenizer.encode(text_of(message, task.protocol)).ids
        tokens += [tokenizer.token_to_id(USER), *ids, tokenizer.token_to_id(END)]
    return tokens


def _alike(places: Sequence[int], contexts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
    """Conversations of like length, as many at a time as ``tokens`` allow."""
    groups: list[list[int]] = []
    for place in sorted(places, key=lambda place: (len(contexts[place]), place)):
        if not groups or (len(groups[-1]) + 1) * len(contexts[place]) > tokens:
            groups.append([])
        groups[-1].append(place)
    return groups
