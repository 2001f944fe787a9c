"""Alarms over a run of panels: the ways in which reinforcement learning of agents is known to go wrong.

Each rule is read off the panels of the last :data:`WINDOW` steps, most of them beside those of the first. The thresholds are
ours; the failures are those that published runs report: inaction that a shaped reward pays, rewards that rise without accuracy,
lengths that explode, tools that fall into disuse, groups without variance, rollouts cut off before they act.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, TypeAlias

WINDOW: Final = 5
"""Steps that an alarm looks at."""

Panels: TypeAlias = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A known failure, and one sentence on what the panels show."""

    name: str
    sentence: str


def alarms(history: Panels) -> list[Alarm]:
    """What is wrong at the end of a run of panels (:func:`train.panel.panel`, with ``entropy`` and ``grad_norm`` where known).

    Empty while there are fewer than :data:`WINDOW` panels; rules that compare wait for twice as many.
    """
    if len(history) < WINDOW:
        return []
    late = history[-WINDOW:]
    early = history[:WINDOW] if len(history) >= 2 * WINDOW else None
    found = []
    for name, rule in RULES.items():
        sentence = rule(early, late)
        if sentence is not None:
            found.append(Alarm(name, sentence))
    return found


def _inaction(early: Panels | None, late: Panels) -> str | None:
    reward, floor, inactive = (_mean(late, name) for name in ("reward", "floor", "inactive"))
    if floor >= 0.2 and reward <= floor + 0.02:
        return (
            f"The reward is {reward:.2f} and doing nothing earns {floor:.2f}: it pays not to act; change the weights."
        )
    if inactive >= 0.5:
        return f"{inactive:.0%} of rollouts answer without any action; doing nothing earns {floor:.2f}."
    return None


def _format(early: Panels | None, late: Panels) -> str | None:
    if early is None:
        return None
    reward, accuracy = (_mean(late, name) - _mean(early, name) for name in ("reward", "accuracy"))
    if reward >= 0.05 and accuracy <= 0.2 * reward:
        return f"The reward rose by {reward:.2f} and accuracy by {accuracy:.2f}: what is learned is the form, not the task."
    return None


def _length(early: Panels | None, late: Panels) -> str | None:
    if early is None:
        return None
    before, now = _mean(early, "length/mean"), _mean(late, "length/mean")
    clipped = _mean(late, "length/clipped") - _mean(early, "length/clipped")
    if now >= 2 * before or clipped >= 0.2:
        return (
            f"Rollouts grew from {before:.0f} to {now:.0f} tokens, {_mean(late, 'length/clipped'):.0%} of them cut off."
        )
    return None


def _tools(early: Panels | None, late: Panels) -> str | None:
    if early is None:
        return None
    before, now = _mean(early, "calls/all"), _mean(late, "calls/all")
    if before >= 0.5 and now <= before / 2:
        return f"Actions per rollout fell from {before:.1f} to {now:.1f}: tools fall into disuse."
    return None


def _variance(early: Panels | None, late: Panels) -> str | None:
    share = _mean(late, "zero_variance")
    if share < 0.9:
        return None
    right = _mean(late, "accuracy")
    why = (
        "the tasks are solved"
        if right > 0.9
        else "nothing is right yet, so warm up by SFT"
        if right < 0.1
        else "they agree"
    )
    return f"{share:.0%} of groups have equal rewards and teach nothing ({why}); see train passk and --curriculum."


def _truncation(early: Panels | None, late: Panels) -> str | None:
    share, ceiling = _mean(late, "unanswered"), _mean(late, "ceiling")
    if share >= 0.2:
        return f"{share:.0%} of rollouts are cut off before they act or answer; raise --max-completion-length."
    if ceiling < 0.9:
        return f"Only {ceiling:.0%} of the experts' episodes fit into --max-completion-length; raise it."
    return None


def _degenerate(early: Panels | None, late: Panels) -> str | None:
    share = _mean(late, "degenerate")
    return f"{share:.0%} of rollouts are empty or repeat themselves." if share >= 0.2 else None


def _entropy(early: Panels | None, late: Panels) -> str | None:
    if early is None:
        return None
    before, now = _mean(early, "entropy"), _mean(late, "entropy")
    if now <= 0.2 * before:  # false for what was not measured (NaN)
        return f"The entropy of the tokens fell from {before:.3f} to {now:.3f}: the rollouts stop differing."
    return None


def _gradient(early: Panels | None, late: Panels) -> str | None:
    last = late[-1].get("grad_norm", 0.0)
    if not math.isfinite(last):
        return "The gradient is not a number any more; go back to a checkpoint and lower the learning rate."
    if early is not None and last >= 10 * _mean(early, "grad_norm") > 0:
        return f"The gradient's norm rose from {_mean(early, 'grad_norm'):.2f} to {last:.2f}."
    return None


RULES: Final[Mapping[str, Callable[[Panels | None, Panels], str | None]]] = {
    "inaction": _inaction,
    "format": _format,
    "length": _length,
    "tools": _tools,
    "variance": _variance,
    "truncation": _truncation,
    "degenerate": _degenerate,
    "entropy": _entropy,
    "gradient": _gradient,
}
"""Alarm -> its rule over the first panels (None while there are too few) and the last ones."""


def _mean(panels: Panels, name: str) -> float:
    """The mean of a figure; NaN where no panel has it."""
    values = [row[name] for row in panels if name in row]
    return fmean(values) if values else math.nan
