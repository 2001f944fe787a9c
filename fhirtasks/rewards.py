"""Reward components: pure functions of a verdict and its episode, each in [0, 1]. Nothing else knows what is rewarded.

``outcome`` is the verdict; what stands beside it is grounded in what was carried out, never in what was said. A component that
an episode cannot earn or lose is None: the trainers leave it out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fhirtasks.episodes.types import Call, Episode, Finish, Invalid, Turn
from fhirtasks.tasks.types import Verdict

Component = Callable[[Verdict, Episode], float | None]


def outcome(verdict: Verdict, episode: Episode) -> float:
    """1 if every check passed."""
    return float(verdict.passed)


def partial(verdict: Verdict, episode: Episode) -> float:
    """How far an episode got, 1 only if all passed, 0 if nothing was read or written, whatever was said.

    Of a typed answer its partial credit, by the share of its evidence that was fetched. Else the share of what was to be answered
    (and read) and written that is right; a write too many, too few or for another patient leaves nothing. What holds of an episode
    that does nothing (its form, no write where none is due) earns nothing.
    """
    if verdict.passed:
        return 1.0
    if not any(map(_worked, episode.turns)):
        return 0.0
    holds: dict[str, list[bool]] = {}
    for check in verdict.checks:
        holds.setdefault(check.name, []).append(check.passed)
    if "writes_count" not in holds:
        return verdict.score * (evidence_recall(verdict, episode) or 0.0)
    if not all(holds["writes_count"] + holds.get("write_subject", [])):
        return 0.0
    answered = all(holds.get("answer", [False]) + holds.get("evidence", []))
    earned = [answered, *(held for name, found in holds.items() if name.startswith("write_") for held in found)]
    return sum(earned) / len(earned)


def finished(verdict: Verdict, episode: Episode) -> float:
    """1 if the episode ended with an answer of its protocol."""
    return float(episode.status == "completed")


def grounded(verdict: Verdict, episode: Episode) -> float | None:
    """1 if what the answer rests on was read, cited and not typed; None where the graders did not get so far."""
    return _share(verdict, ("evidence", "cited", "literal"))


def evidence_recall(verdict: Verdict, episode: Episode) -> float | None:
    """The share of what the true answer rests on that was fetched, however wrong the answer; None where that is nothing."""
    return dict(verdict.measures).get("evidence_recall")


def evidence_precision(verdict: Verdict, episode: Episode) -> float | None:
    """The share of what is cited that the true answer rests on, 0 where nothing is cited; None where it rests on nothing."""
    return dict(verdict.measures).get("evidence_precision")


def scope(verdict: Verdict, episode: Episode) -> float | None:
    """1 if nothing was asked of another patient, and no reference was guessed; None for graders that do not look."""
    return _share(verdict, ("scope", "references"))


def carried_out(verdict: Verdict, episode: Episode) -> float | None:
    """The share of actions that were carried out: understood, not refused, and, for Python, without an exception."""
    tried = [turn for turn in episode.turns if not isinstance(turn.action, Finish)]
    return sum(map(_worked, tried)) / len(tried) if tried else None


def computed(verdict: Verdict, episode: Episode) -> float | None:
    """1 if Python ran without an exception at least once; None for protocols without it."""
    runs = [turn for turn in episode.turns if isinstance(turn.action, Call) and turn.action.name == "execute_python"]
    calls = any(isinstance(turn.action, Call) for turn in episode.turns)
    return float(any(map(_worked, runs))) if calls else None


COMPONENTS: Final[Mapping[str, Component]] = {
    function.__name__: function
    for function in (
        *(outcome, partial, finished, grounded, evidence_recall, evidence_precision, scope, carried_out, computed),
    )
}
"""Every component by name."""


def components(verdict: Verdict, episode: Episode) -> dict[str, float | None]:
    """All components of one episode."""
    return {name: component(verdict, episode) for name, component in COMPONENTS.items()}


def reward(verdict: Verdict, episode: Episode, weights: Mapping[str, float]) -> float:
    """The weighted mean of the components that apply. ValueError for a name that is none of :data:`COMPONENTS`."""
    unknown = sorted(weights.keys() - COMPONENTS.keys())
    if unknown:
        raise ValueError(f"no reward component is called {unknown[0]!r}; there are: {', '.join(COMPONENTS)}")
    found = {name: COMPONENTS[name](verdict, episode) for name in weights}
    total = sum(weights[name] for name, value in found.items() if value is not None)
    return sum(weights[name] * value for name, value in found.items() if value is not None) / total if total else 0.0


def _share(verdict: Verdict, names: Sequence[str]) -> float | None:
    """The share of these checks, as far as they were made, that passed."""
    found = [check.passed for check in verdict.checks if check.name in names]
    return sum(found) / len(found) if found else None


def _worked(turn: Turn) -> bool:
    if isinstance(turn.action, Invalid) or turn.observation is None or not 200 <= turn.observation.status < 300:
        return False
    if not isinstance(turn.action, Call) or turn.action.name != "execute_python":
        return True
    return "error" not in json.loads(turn.observation.body)
