"""Families that ask for one dictated write: all that must be found out is whose record it goes into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Task
from graders import identities, probes
from graders.truth import Order, Truth


def truths(tasks: Sequence[Task], world: World, order: Callable[[Task, str], Order]) -> dict[str, Truth]:
    """Truths by task id: an empty answer, ``order(task, patient id)``, and a patient who was found by reading."""
    persons = {task.id: identities.named(task, world) for task in tasks}
    bodies = identities.bodies(tasks, persons)
    found = {}
    for task in tasks:
        if task.id not in bodies:
            found[task.id] = Truth(problem=f"the slots name {len(persons[task.id])} patients")
            continue
        id = persons[task.id][0].id
        worlds = partial(probes.other_patient, id, bodies[task.id])
        found[task.id] = Truth(orders=(order(task, id),), probes=worlds)
    return found
