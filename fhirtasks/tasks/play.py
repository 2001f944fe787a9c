"""Plays a task on its world: by an expert, step by step, or again from recorded text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias

from fhirtasks.episodes.code import CPYTHON_SCHEMAS, CodeEnvironment
from fhirtasks.episodes.environment import Environment, replay, run_solver
from fhirtasks.episodes.tools import raw_of
from fhirtasks.episodes.types import Episode, Message, Protocol, Solver
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.sandbox import embedded, forkserver
from fhirtasks.service.service import Service
from fhirtasks.tasks.types import Task

Sandbox: TypeAlias = Literal["embedded", "cpython"]
"""What runs the Python of the ``code`` protocol. Released rows are always made, replayed and judged with ``embedded``."""


def open_environment(
    task: Task,
    world: World,
    *,
    scenario: Scenario | None = None,
    template: str | None = None,
    functions: str | None = None,
    sandbox: Sandbox = "embedded",
) -> Environment | CodeEnvironment:
    """A fresh episode of the task. ``scenario`` takes the place of the task's own (for what-if worlds of a grader).

    UserError if ``cpython`` is asked for where this platform cannot hold it.
    """
    service = open_service(task, world, scenario)
    if task.protocol == "code":
        if sandbox == "cpython":
            told = replace(task.public(), tools=CPYTHON_SCHEMAS)
            return CodeEnvironment(told, service, partial(forkserver.run_once, now=task.now, seed=task.id))
        return CodeEnvironment(task.public(), service, partial(embedded.run_once, now=task.now, seed=task.id))
    return Environment(task.public(), service, template=template, functions=functions)


def open_service(task: Task, world: World, scenario: Scenario | None = None) -> Service:
    """What the task's requests are asked, as nothing had been written yet."""
    return Service(
        world,
        now=task.now,
        task_id=task.id,
        scenario=task.scenario if scenario is None else scenario,
        style="hapi" if task.mode == "compat" else "compact",
    )


def play(task: Task, world: World, solver: Solver) -> Episode:
    """The solver's episode of this task."""
    environment = open_environment(task, world)
    return run_solver(solver, environment.task, environment)


def raws_of(messages: Iterable[Message], protocol: Protocol) -> list[str]:
    """The raw assistant texts of a conversation: all that a replay needs."""
    said = [message for message in messages if message.role == "assistant"]
    return [message.content if protocol == "text" else raw_of(message) for message in said]


def replay_task(task: Task, world: World, raws: Iterable[str], *, scenario: Scenario | None = None) -> Episode:
    """The episode that these raw assistant texts make."""
    return replay(open_environment(task, world, scenario=scenario), raws)
