"""Plays a task on its world: by an expert, step by step, or again from recorded text."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from fhirtasks.episodes.code import CodeEnvironment
from fhirtasks.episodes.environment import Environment, replay, run_solver
from fhirtasks.episodes.tools import raw_of
from fhirtasks.episodes.types import Episode, Message, Protocol, Solver
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.sandbox.embedded import run_once
from fhirtasks.service.service import Service
from fhirtasks.tasks.types import Task


def open_environment(
    task: Task,
    world: World,
    *,
    scenario: Scenario | None = None,
    template: str | None = None,
    functions: str | None = None,
) -> Environment | CodeEnvironment:
    """A fresh episode of the task. ``scenario`` takes the place of the task's own (for what-if worlds of a grader)."""
    service = Service(
        world,
        now=task.now,
        task_id=task.id,
        scenario=task.scenario if scenario is None else scenario,
        style="hapi" if task.mode == "compat" else "compact",
    )
    if task.protocol == "code":
        return CodeEnvironment(task.public(), service, partial(run_once, now=task.now, seed=task.id))
    return Environment(task.public(), service, template=template, functions=functions)


def play(task: Task, world: World, solver: Solver) -> Episode:
    """The solver's episode of this task."""
    return run_solver(solver, task.public(), open_environment(task, world))


def raws_of(messages: Iterable[Message], protocol: Protocol) -> list[str]:
    """The raw assistant texts of a conversation: all that a replay needs."""
    said = [message for message in messages if message.role == "assistant"]
    return [message.content if protocol == "text" else raw_of(message) for message in said]


def replay_task(task: Task, world: World, raws: Iterable[str], *, scenario: Scenario | None = None) -> Episode:
    """The episode that these raw assistant texts make."""
    return replay(open_environment(task, world, scenario=scenario), raws)
