"""The reward of a rollout as TRL asks for it: its assistant messages are replayed, graded and rewarded, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fhirtasks.environments.source import judged, source
from fhirtasks.episodes.tools import raw_message, read_message
from fhirtasks.episodes.transcripts import printable
from fhirtasks.episodes.types import Protocol
from fhirtasks.fhir.jsontext import dumps
from fhirtasks.rewards import reward

WEIGHTS: Final[Mapping[str, float]] = {"outcome": 1.0}
"""The components that count unless others are asked for: the verdict alone, which nothing but a right episode earns."""


class FhirReward:
    """A TRL reward function: the weighted mean of reward components, in [0, 1]. Every component is logged.

    It needs the dataset column ``task_id`` and, for plain text, the ``raws`` that our rollout function gives.
    """

    __name__ = "fhir_reward"

    def __init__(self, folder: Path, split: str, weights: Mapping[str, float] = WEIGHTS) -> None:
        self._folder = folder
        self._split = split
        self.weights = dict(weights)

    def __call__(
        self,
        completions: Sequence[Any],
        task_id: Sequence[str],
        raws: Sequence[Sequence[str]] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **_: object,
    ) -> list[float]:
        if raws is None:
            tasks = source(self._folder, self._split)
            raws = [raws_of(one, tasks.task(id).protocol) for one, id in zip(completions, task_id, strict=True)]
        said = [tuple(one) for one in raws]
        found = [judged(self._folder, self._split, *one) for one in zip(task_id, said, strict=True)]
        for name in found[0].components if found else ():
            values = [one.components[name] for one in found]
            applying = [value for value in values if value is not None]
            if log_metric is not None and applying:
                log_metric(f"components/{name}", sum(applying) / len(applying))
            if log_extra is not None:
                log_extra(name, values)
        return [reward(one.verdict, one.episode, self.weights) for one in found]


def raws_of(completion: Sequence[Mapping[str, Any]], protocol: Protocol) -> tuple[str, ...]:
    """The raw assistant texts of a completion as TRL gives it: all that a replay needs."""
    said = [message for message in completion if message["role"] == "assistant"]
    return tuple((message.get("content") or "") if protocol == "text" else _raw(message) for message in said)


def _raw(message: Mapping[str, Any]) -> str:
    content = printable(message.get("content") or "")
    try:
        _, calls = read_message(dumps({"tool_calls": message.get("tool_calls") or []}))
        return raw_message(content, calls)
    except (ValueError, RecursionError):  # arguments that are no JSON (NaN): a message that calls nothing
        return raw_message(content, [])
