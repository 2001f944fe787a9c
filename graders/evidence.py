"""The counterfactual check: an answer was read only if the episode would have looked different in a world where it
is wrong.

The episode's own requests are replayed over such worlds. If one of them gives the same observations, letter by
letter, then
what the episode was shown does not entail its answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirtasks.episodes.types import Episode, Get, Post, Turn
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import open_environment
from fhirtasks.tasks.types import Task
from graders import overlay
from graders.truth import Probe, Read, Truth


def unread(task: Task, episode: Episode, world: World, truth: Truth) -> str:
    """Why the episode does not entail its answer, as one clause; empty if it does. For clinical episodes."""
    read = [n for n, turn in enumerate(episode.turns) if isinstance(turn.action, Get) and turn.observation is not None]
    if not read:
        return "nothing was read"
    turns = episode.turns[: read[-1] + 1]
    shown = [
        (turn.action.url, turn.observation.text) for turn in turns if isinstance(turn.action, Get) and turn.observation
    ]
    for probe in truth.probes(Read([url for url, _ in shown], [text for _, text in shown])):
        if not _notices(task, turns, world, probe):
            return f"the episode would look the same if {probe.says}"
    return ""


def _notices(task: Task, turns: Sequence[Turn], world: World, probe: Probe) -> bool:
    """Whether these turns show something else in the probe's world."""
    scenario = overlay.merged(task.scenario, probe.add, probe.hide)
    # The prompt plays no part: an empty template saves making it.
    environment = open_environment(task, world, scenario=scenario, template="")
    for turn in _in_order(turns, probe.type):
        seen = environment.step(turn.raw)
        if isinstance(turn.action, Get) and (
            seen is None or turn.observation is None or seen.text != turn.observation.text
        ):
            return True
    return False


def _in_order(turns: Sequence[Turn], type: str) -> Sequence[Turn]:
    """Turns in an order that finds a difference early: reads of the type first, where no write can have changed a read.

    A strict episode's GETs do not depend on each other: next links say all that they stand for.
    """
    if any(isinstance(turn.action, Post) for turn in turns):
        return turns
    return sorted(turns, key=lambda turn: f"/{type}" not in turn.raw)
