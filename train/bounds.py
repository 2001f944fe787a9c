"""What a task's reward can be at least and at most: doing nothing, and the expert within the length that a model has."""

from __future__ import annotations

from typing import Any

import solvers
from fhirtasks.environments.spec import FhirSpec
from fhirtasks.episodes.environment import run_solver
from fhirtasks.episodes.tools import wire
from fhirtasks.episodes.types import Solver
from fhirtasks.rewards import reward
from fhirtasks.tasks.floors import floor


class Bounds:
    """Both bounds by task, each played once. ``longest`` is the tokens that a rollout may have, observations included."""

    def __init__(self, spec: FhirSpec, tokenizer: Any, longest: int, options: dict[str, Any]) -> None:
        self._spec = spec
        self._tokenizer = tokenizer
        self._longest = longest
        self._options = options
        self._do_nothing = floor("do-nothing", spec.tasks)
        self._floors: dict[str, float] = {}
        self._lengths: dict[str, int] = {}

    def floor(self, task_id: str) -> float:
        """The reward of answering at once with an empty list."""
        if task_id not in self._floors:
            found = self._spec.source.judge(task_id, self._play(task_id, self._do_nothing))
            self._floors[task_id] = reward(found.verdict, found.episode, self._spec.weights)
        return self._floors[task_id]

    def length(self, task_id: str) -> int:
        """Tokens of the expert's episode after the prompt."""
        if task_id not in self._lengths:
            task = self._spec.source.task(task_id)
            episode = self._play(task_id, solvers.solver(task.family))
            offered = list(task.public().tools) or None
            whole, prompt = (
                len(
                    self._tokenizer.apply_chat_template(
                        wire(messages), tools=offered, tokenize=True, return_dict=False, add_generation_prompt=more,
                        **self._options,
                    )
                )
                for messages, more in ((episode.messages, False), (episode.messages[:1], True))
            )  # fmt: skip
            self._lengths[task_id] = whole - prompt
        return self._lengths[task_id]

    def reachable(self, task_id: str) -> bool:
        """Whether the expert's episode fits."""
        return self.length(task_id) <= self._longest

    def _play(self, task_id: str, solver: Solver) -> Any:
        environment = self._spec.source.open(task_id)
        return run_solver(solver, environment.task, environment)
