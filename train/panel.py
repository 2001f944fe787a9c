"""What a batch of rollouts shows: lengths, turns, calls, errors, degeneration, variance, and accuracy between floor and ceiling.

A reward alone hides how it was earned. :func:`panel` is a pure function over recorded rollouts, so what a trainer logs can be
worked out again from its ``rollouts.jsonl``. :mod:`train.guards` looks at a run of panels and names known failures.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from fhirtasks.environments.source import Judged
from fhirtasks.episodes.types import Episode, Finish, Get, Post

SAME: Final = 1e-6
"""Rewards that differ by less are equal: a group of such gives no gradient."""
LOOP: Final = 3
"""Times that a message may be said again in a row before the rollout counts as degenerate."""
WORDS: Final = 40
"""Words from which on repetition within a message is looked at."""
UNIQUE: Final = 0.3
"""Share of different four-word runs below which a message only repeats itself."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One episode of a model in training.

    ``tokens`` are those the model wrote (what the environment says is not counted); ``clipped`` is True where it was cut off in
    the middle of a message. ``calls`` are tools by name, in plain text the verbs ``GET``, ``POST``, ``FINISH``. ``errors`` of its
    actions were not carried out. ``floor`` is what doing nothing is rewarded on the same task; ``reachable`` says that the
    expert's episode fits into the length that the model has.
    """

    task_id: str
    family: str
    tokens: int
    clipped: bool
    turns: int
    calls: tuple[str, ...]
    errors: int
    finished: bool
    passed: bool
    degenerate: bool
    reward: float
    components: Mapping[str, float | None]
    floor: float = 0.0
    reachable: bool = True

    @property
    def acted(self) -> int:
        """Actions before the answer."""
        return sum(name not in ENDS for name in self.calls)


ENDS: Final = ("FINISH", "finish", "submit_answer")
"""The calls that end an episode."""


def rollout_of(
    family: str, found: Judged, *, tokens: int, clipped: bool, reward: float, floor: float, reachable: bool
) -> Rollout:
    """The record of a judged episode."""
    episode = found.episode
    actions = [turn.action for turn in episode.turns if not isinstance(turn.action, Finish)]
    carried = found.components["carried_out"]
    return Rollout(
        task_id=episode.task_id, family=family, tokens=tokens, clipped=clipped, turns=len(episode.raws),
        calls=_calls(episode), errors=0 if carried is None else len(actions) - round(carried * len(actions)),
        finished=episode.status == "completed", passed=found.verdict.passed, degenerate=degenerate(episode.raws),
        reward=reward, components=dict(found.components), floor=floor, reachable=reachable,
    )  # fmt: skip


def panel(rollouts: Sequence[Rollout], group: int) -> dict[str, float]:
    """The figures of one step. ``rollouts`` stand in their groups of ``group`` answers to one task, one group after the other.

    Shares are of rollouts unless said otherwise: ``length/*`` tokens; ``turns``, ``calls/*`` per rollout; ``errors`` of actions;
    ``inactive`` answered without any action; ``unanswered`` cut off before action and answer; ``zero_variance`` groups
    whose rewards are all equal; ``varies/*`` groups in which a component differs; ``accuracy`` passed, beside ``ceiling``;
    ``reward`` beside ``floor``. ValueError if the rollouts are no whole groups.
    """
    if not rollouts or len(rollouts) % group:
        raise ValueError(f"{len(rollouts)} rollouts are no groups of {group}")
    count = len(rollouts)
    lengths = sorted(one.tokens for one in rollouts)
    groups = [rollouts[start : start + group] for start in range(0, count, group)]
    actions = sum(one.acted for one in rollouts)
    found = {
        "length/mean": fmean(lengths),
        "length/p95": float(lengths[max(0, math.ceil(0.95 * count) - 1)]),
        "length/clipped": _share(one.clipped for one in rollouts),
        "turns": fmean(one.turns for one in rollouts),
        "calls/all": actions / count,
        "errors": sum(one.errors for one in rollouts) / actions if actions else 0.0,
        "inactive": _share(one.finished and not one.acted for one in rollouts),
        "unanswered": _share(one.clipped and not one.acted and not one.finished for one in rollouts),
        "finished": _share(one.finished for one in rollouts),
        "degenerate": _share(one.degenerate for one in rollouts),
        "accuracy": _share(one.passed for one in rollouts),
        "ceiling": _share(one.reachable for one in rollouts),
        "reward": fmean(one.reward for one in rollouts),
        "floor": fmean(one.floor for one in rollouts),
        "zero_variance": _share(not _differ([one.reward for one in some]) for some in groups),
    }
    for name, number in sorted(Counter(call for one in rollouts for call in one.calls).items()):
        found[f"calls/{name}"] = number / count
    for name in rollouts[0].components:
        values = [value for one in rollouts if (value := one.components[name]) is not None]
        if values:
            found[f"components/{name}"] = fmean(values)
            found[f"varies/{name}"] = _share(_differ([one.components[name] for one in some]) for some in groups)
    return found


def degenerate(raws: Sequence[str]) -> bool:
    """Whether what was said is empty, the same message over and over, or a message that repeats itself."""
    if not raws or any(not raw.strip() for raw in raws):
        return True
    row = 0
    for before, raw in zip(("", *raws), raws, strict=False):
        row = row + 1 if raw == before else 0
        if row >= LOOP:
            return True
    return any(_repeats(raw.split()) for raw in raws)


def _repeats(words: Sequence[str]) -> bool:
    if len(words) < WORDS:
        return False
    runs = [tuple(words[start : start + 4]) for start in range(len(words) - 3)]
    return len(set(runs)) / len(runs) < UNIQUE


def _calls(episode: Episode) -> tuple[str, ...]:
    named = tuple(call.name for message in episode.messages for call in message.tool_calls)
    verbs = {Get: "GET", Post: "POST", Finish: "FINISH"}
    return named or tuple(verbs[kind] for turn in episode.turns if (kind := type(turn.action)) in verbs)


def _differ(values: Sequence[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return len(known) > 1 and max(known) - min(known) > SAME


def _share(values: object) -> float:
    listed = [bool(value) for value in values]  # type: ignore[attr-defined]
    return sum(listed) / len(listed)
