"""The truth of the referral families: one ServiceRequest with the code, priority and free text that the prompt
gives."""

from __future__ import annotations

from collections.abc import Sequence

from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Task
from graders import judge, subjects, writes
from graders.truth import Order, Truth


def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """Clinical truths of ``referral_order``, by task id."""
    return subjects.truths(tasks, world, _referral)


GRADERS = {"referral_order": judge.grader(truths)}


def _referral(task: Task, patient: str) -> Order:
    return writes.service(task, patient, priority=task.slots["priority"], text=task.slots["text"])
