"""The probe's model as an agent: it reads the conversation, says a message greedily, and the environment takes it raw."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from fhirtasks.evaluation.outcomes import Outcome
from fhirtasks.evaluation.sources import TaskSet
from fhirtasks.tasks.play import open_environment
from fhirtasks.tasks.types import Task
from train.probe_tokenizer import ASSISTANT, END, PAD, USER, Encoded, text_of


@dataclass(frozen=True, slots=True)
class Agent:
    """A model that speaks. ``reading``: tokens read at a time. A message is cut off after ``message`` tokens; a conversation
    of more than ``conversation`` is left, and so fails, as one that never ends.
    """

    model: Any
    tokenizer: Any
    device: str
    reading: int
    message: int
    conversation: int

    def play(self, tasks: Sequence[Task], source: TaskSet) -> list[Outcome]:
        """Every task played to its end and judged, in order."""
        environments = [open_environment(task, source.world(task)) for task in tasks]
        contexts = [self._marked(one.messages, task) for one, task in zip(environments, tasks, strict=True)]
        going = list(range(len(tasks)))
        while going:
            for places in _alike(going, contexts, self.reading):
                for place, said in zip(places, self.say([contexts[place] for place in places]), strict=True):
                    environment = environments[place]
                    known = len(environment.messages)
                    environment.step(self.tokenizer.decode(said, skip_special_tokens=False))
                    # The agent's own message stands in the context as it was said.
                    contexts[place] += [self._mark(ASSISTANT), *said, self._mark(END)]
                    contexts[place] += self._marked(environment.messages[known + 1 :], tasks[place])
            going = [
                place for place in going
                if not environments[place].done and len(contexts[place]) <= self.conversation
            ]  # fmt: skip
        outcomes = []
        for task, environment in zip(tasks, environments, strict=True):
            episode = environment.episode()
            outcomes.append(Outcome(task, episode, source.grade(task, episode)))
        return outcomes

    def say(self, contexts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The next message of each conversation, greedily, without its end mark."""
        import torch

        longest = max(map(len, contexts)) + 1
        ids = torch.full((len(contexts), longest), self._mark(PAD))
        mask = torch.zeros(len(contexts), longest, dtype=torch.long)
        for place, context in enumerate(contexts):
            ids[place, longest - len(context) - 1 :] = torch.tensor([*context, self._mark(ASSISTANT)])
            mask[place, longest - len(context) - 1 :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        said: list[list[int]] = [[] for _ in contexts]
        speaking = [True] * len(contexts)
        known: dict[str, Any] = {}
        # transformers 5.24 renamed the argument.
        parameters = inspect.signature(type(self.model.model).forward).parameters
        cache = "cache" if "cache" in parameters else "past_key_values"
        mixed = torch.autocast("cuda", torch.bfloat16) if self.device == "cuda" else nullcontext()
        with torch.no_grad(), mixed:
            for _ in range(self.message):
                output = self.model.model(
                    input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **known
                )
                known[cache] = getattr(output, cache)
                following = self.model.lm_head(output.last_hidden_state[:, -1]).argmax(-1)
                for place, token in enumerate(following.tolist()):
                    if speaking[place] and token != self._mark(END):
                        said[place].append(token)
                    else:
                        speaking[place] = False
                if not any(speaking):
                    break
                ids = following[:, None]
                mask = torch.cat([mask, mask.new_ones(len(contexts), 1)], 1)
                positions = positions[:, -1:] + 1
        return said

    def _mark(self, token: str) -> int:
        number: int = self.tokenizer.token_to_id(token)
        return number

    def _marked(self, messages: Sequence[Any], task: Task) -> list[int]:
        """Messages of the environment in tokens, each between its marks, as training has them."""
        tokens = []
        for message in messages:
            ids = self.tokenizer.encode(text_of(message, task.protocol)).ids
            tokens += [self._mark(USER), *ids, self._mark(END)]
        return tokens


def limits(episodes: Sequence[Encoded]) -> tuple[int, int]:
    """What an agent may need: tokens of the experts' longest message, and of their longest conversation with one more."""
    message = 0
    for episode in episodes:
        length = 0
        for mine in episode.said:
            length = length + 1 if mine else 0
            message = max(message, length)
    return message, max(len(episode.tokens) for episode in episodes) + message


def _alike(places: Sequence[int], contexts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
    """Conversations of like length, as many at a time as ``tokens`` allow."""
    groups: list[list[int]] = []
    for place in sorted(places, key=lambda place: (len(contexts[place]), place)):
        if not groups or (len(groups[-1]) + 1) * len(contexts[place]) > tokens:
            groups.append([])
        groups[-1].append(place)
    return groups
