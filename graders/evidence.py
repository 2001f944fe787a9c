"""The counterfactual check: an answer was read only if the episode would have looked different in a world where it
is wrong.

The episode's own requests are replayed over such worlds. If one of them gives the same observations, letter by
letter, then what the episode was shown does not entail its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from fhirtasks.episodes.code import CodeEnvironment
from fhirtasks.episodes.environment import Environment
from fhirtasks.episodes.types import Action, Episode, Get, Post, Turn
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks.play import open_environment, open_service
from fhirtasks.tasks.types import Task
from graders import overlay
from graders.truth import Probe, Read, Truth


def unread(task: Task, episode: Episode, world: World, truth: Truth) -> str:
    """Why the episode does not entail its answer, as one clause; empty if it does. For clinical episodes.

    Where something was created, only what was read before the first POST that took effect counts: an order rests on
    what was known.
    """
    created = (n for n, turn in enumerate(episode.turns) if isinstance(turn.action, Post) and _took_effect(turn))
    first_post = next(created, len(episode.turns))
    turns = episode.turns[:first_post]
    shown = [(turn.action, turn.observation.text) for turn in turns if turn.observation and _reads(turn.action)]
    if not shown:
        return "nothing was read" if first_post == len(episode.turns) else "nothing was read before the first POST"
    environment = None
    for probe in truth.probes(Read([asked.url for asked, _ in shown], [text for _, text in shown])):
        scenario = overlay.merged(task.scenario, probe.add, probe.hide)
        if environment is None:  # the prompt plays no part: an empty template saves making it
            environment = open_environment(task, world, scenario=scenario, template="")
        else:
            environment.service = open_service(task, world, scenario)
        if not _notices(environment, shown, probe):
            return f"the episode would look the same if {probe.says}"
    return ""


def _reads(action: Action) -> TypeGuard[Get | Post]:
    return isinstance(action, Get) or (isinstance(action, Post) and action.searches)


def _took_effect(turn: Turn) -> bool:
    return turn.observation is not None and turn.observation.status == 201


def _notices(environment: Environment | CodeEnvironment, reads: Sequence[tuple[Get | Post, str]], probe: Probe) -> bool:
    """Whether these reads show something else in the probe's world, which the environment now has.

    A strict episode's reads do not depend on each other (a next link says all that it stands for), so those of the
    probe's type, where a difference is likely, come first.
    """
    wanted = f"{BASE}{probe.type}"
    for asked, text in sorted(reads, key=lambda read: not read[0].url.startswith(wanted)):
        if environment.dispatch(asked).text != text:
            return True
    return False
