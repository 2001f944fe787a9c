"""A Gymnasium environment over the tasks of a release: text in, text out, one task per episode.

    import gymnasium
    import fhirtasks.environments.gym  # registers fhirtasks/Fhir-v0

    env = gymnasium.make("fhirtasks/Fhir-v0", release="dataset", split="train")
    prompt, info = env.reset(options={"family": "latest_lab"})
    observation, reward, terminated, truncated, info = env.step("GET …")

An action is a raw assistant message of the task's protocol: plain text, or for tool calls the JSON text that
``fhirtasks.episodes.tools.raw_message`` makes. ``info`` has the task's public side, the messages so far, and at the end the verdict
and every reward component. The reward is 0 until the episode ends; a round limit truncates. Gymnasium's ``AsyncVectorEnv`` wants
``shared_memory=False`` for texts.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import gymnasium
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils import create_shared_memory

from fhirtasks.environments.reward import WEIGHTS
from fhirtasks.environments.spec import FhirSpec
from fhirtasks.episodes.code import CodeEnvironment
from fhirtasks.episodes.environment import Environment
from fhirtasks.episodes.tools import wire
from fhirtasks.errors import UserError
from fhirtasks.rewards import reward
from fhirtasks.tasks.types import Task

NAME: Final = "fhirtasks/Fhir-v0"
LONGEST: Final = 4_000_000
"""Characters of an observation, far above what a page of a search or a run of Python shows."""


class AnyText(gymnasium.spaces.Text):
    """Any text up to a length: records are written in every script, which no list of characters covers.

    Samples are of ASCII letters and digits and at most 64 characters long.
    """

    def __init__(self, longest: int, seed: int | None = None) -> None:
        super().__init__(longest, min_length=0, charset=string.ascii_letters + string.digits, seed=seed)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        if mask is None and probability is None:
            mask = (int(self.np_random.integers(1, 65)), None)
        return super().sample(mask, probability)


@create_shared_memory.register(AnyText)
def _create(space: AnyText, n: int = 1, ctx: Any = None) -> Any:
    # Gymnasium reads a Text's shared memory only once, before any text stands in it, and so would show empty observations.
    raise CustomSpaceError("texts do not pass through shared memory")


class FhirEnv(gymnasium.Env[str, str]):
    """The tasks of a release's split. ``families``, ``protocol`` and ``weights`` as :class:`FhirSpec` takes them."""

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 (as the base class has it)

    def __init__(
        self,
        release: str | Path,
        *,
        revision: str | None = None,
        families: Sequence[str] = (),
        split: str = "train",
        protocol: Any = None,
        weights: Mapping[str, float] = WEIGHTS,
        render_mode: str | None = None,
    ) -> None:
        self._spec = FhirSpec(
            release, revision=revision, families=families, split=split, protocol=protocol, weights=weights
        )
        self.observation_space = AnyText(LONGEST)
        self.action_space = AnyText(LONGEST)
        self.render_mode = render_mode
        self._episode: Environment | CodeEnvironment | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Opens a task and gives its prompt: one of all tasks, or of those with the ``task_id``, ``family``, ``branch`` asked for.

        UserError if no task has them.
        """
        super().reset(seed=seed)
        tasks = _asked(self._spec.tasks, options or {})
        task = tasks[int(self.np_random.integers(len(tasks)))]
        self._episode = self._spec.source.open(task.id)
        return self._episode.prompt, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Carries out one assistant message. After the last one the observation is what was still said, else empty.

        UserError for what is no text, and after the end.
        """
        if not isinstance(action, str):
            raise UserError(f"An action is a text, the raw assistant message; this one is of {type(action).__name__}.")
        if self._episode is None or self._episode.done:
            raise UserError("The episode is over; reset the environment for another one.")
        before = len(self._episode.messages) + 1
        self._episode.step(action)
        said = "\n".join(message.content for message in self._episode.messages[before:])
        if not self._episode.done:
            return said, 0.0, False, False, self._info()
        found = self._spec.source.judge(self._episode.task.id, self._episode.episode())
        info = self._info() | {"verdict": asdict(found.verdict), "components": dict(found.components)}
        cut = found.episode.status == "task limit reached"
        return said, reward(found.verdict, found.episode, self._spec.weights), not cut, cut, info

    def render(self) -> str | None:
        """The conversation so far, with ``render_mode="ansi"``."""
        if self.render_mode != "ansi" or self._episode is None:
            return None
        return "\n\n".join(
            f"{one['role']}: {one['content'] or one.get('tool_calls')}" for one in wire(self._episode.messages)
        )

    def __getstate__(self) -> dict[str, Any]:
        """Where it plays, not what: a world is a connection, so an episode under way stays in its process."""
        return self.__dict__ | {"_episode": None}

    def _info(self) -> dict[str, Any]:
        assert self._episode is not None
        task = self._episode.task
        return {
            "task_id": task.id, "family": task.family, "protocol": task.protocol, "mode": task.mode,
            "tools": list(task.tools), "messages": wire(self._episode.messages),
        }  # fmt: skip


def _asked(tasks: Sequence[Task], options: Mapping[str, Any]) -> list[Task]:
    known = {"task_id": "id", "family": "family", "branch": "branch"}
    # Gymnasium's checker passes options of its own making: what is not ours is not looked at.
    asked = {known[name]: value for name, value in options.items() if name in known}
    found = [task for task in tasks if all(getattr(task, field) == value for field, value in asked.items())]
    if not found:
        what = ", ".join(f"{name} {options[name]!r}" for name in known if name in options)
        raise UserError(f"No task has {what}; take values that the release's rl rows have.")
    return found


if NAME not in gymnasium.registry:
    gymnasium.register(NAME, entry_point="fhirtasks.environments.gym:FhirEnv")
