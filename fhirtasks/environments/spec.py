"""One object that turns a release into reinforcement learning with TRL.

    spec = FhirSpec("org/dataset", revision="v1.0.0", families=["latest_lab"])
    trainer = GRPOTrainer(
        model, spec.reward_funcs, args, train_dataset=spec.train_dataset,
        environment_factory=spec.environment_factory, rollout_func=spec.rollout_func,
    )

``rl`` gives the tasks and ``charts`` the world; no graph and no server is needed. The tools' protocols have an
``environment_factory``, plain text a ``rollout_func``; the other one is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from fhirtasks.environments.played import ENVIRONMENTS, FhirCode, FhirTools
from fhirtasks.environments.reward import WEIGHTS, FhirReward
from fhirtasks.environments.rollout import TextRollout
from fhirtasks.environments.source import Source, chosen, folder_of, source
from fhirtasks.episodes import code
from fhirtasks.episodes.environment import ROUNDS
from fhirtasks.episodes.text import prompt
from fhirtasks.episodes.types import Protocol
from fhirtasks.errors import UserError
from fhirtasks.rewards import COMPONENTS
from fhirtasks.tasks.types import Task


class FhirSpec:
    """The tasks of a release as a dataset, an environment and a reward.

    ``release`` is a folder or ``ORG/NAME`` on the Hub at the tag ``revision``. ``families`` names those to take (none: all),
    ``weights`` the reward components that count. UserError for a release, family, protocol or component that is not there.
    """

    def __init__(
        self,
        release: str | Path,
        *,
        revision: str | None = None,
        families: Sequence[str] = (),
        split: str = "train",
        protocol: Protocol | None = None,
        weights: Mapping[str, float] = WEIGHTS,
    ) -> None:
        unknown = sorted(weights.keys() - COMPONENTS.keys())
        if unknown or not any(value > 0 for value in weights.values()) or min(weights.values()) < 0:
            what = f"There is no reward component {unknown[0]!r}" if unknown else "A reward needs weights above 0"
            raise UserError(f"{what}; there are: {', '.join(COMPONENTS)}.")
        self.folder = folder_of(release, revision)
        self.split = split
        self.weights = dict(weights)
        self.tasks: tuple[Task, ...] = tuple(chosen(self.source.tasks.values(), families, protocol))
        self.protocol: Protocol = self.tasks[0].protocol

    @property
    def source(self) -> Source:
        """The release's split as this process has it open."""
        return source(self.folder, self.split)

    @property
    def rounds(self) -> int:
        """Assistant messages that an episode may have."""
        return code.ROUNDS if self.protocol == "code" else ROUNDS[self.tasks[0].mode]

    @cached_property
    def train_dataset(self) -> Any:
        """A ``datasets.Dataset`` of ``prompt``, ``task_id``, ``family`` and ``branch``, in the release's order."""
        from datasets import Dataset

        named = [{"task_id": task.id} if self.protocol == "text" else {} for task in self.tasks]
        return Dataset.from_dict(
            {
                "prompt": [
                    [{"role": "user", "content": prompt(task.public()), **name}]
                    for task, name in zip(self.tasks, named, strict=True)
                ],
                "task_id": [task.id for task in self.tasks],
                "family": [task.family for task in self.tasks],
                "branch": [task.branch for task in self.tasks],
            }
        )

    @property
    def environment_factory(self) -> partial[FhirTools] | partial[FhirCode] | None:
        """Makes one environment per rollout; picklable. None for plain text."""
        return None if self.protocol == "text" else partial(ENVIRONMENTS[self.protocol], self.folder, self.split)

    @property
    def rollout_func(self) -> TextRollout | None:
        """Plays plain text; None for the tools' protocols, which TRL plays."""
        return TextRollout(self.folder, self.split) if self.protocol == "text" else None

    @property
    def reward_funcs(self) -> list[FhirReward]:
        """The one reward; its components are logged beside it."""
        return [FhirReward(self.folder, self.split, self.weights)]
