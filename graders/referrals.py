"""The truth of the referral families: one ServiceRequest with the code, priority and free text that the prompt gives."""

from __future__ import annotations

from collections.abc import Sequence

from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Task
from graders import judge, subjects, writes
from graders.truth import Order, Truth

PATIENT_REFERRAL = (writes.SNOMED, "3457005")
"""SNOMED CT: Patient referral (procedure), the category that a referral is filed under."""


def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """Clinical truths of ``referral_order``, by task id."""
    return subjects.truths(tasks, world, _referral)


GRADERS = {"referral_order": judge.grader(truths)}


def _referral(task: Task, patient: str) -> Order:
    slots = task.slots
    return writes.service(task, patient, priority=slots["priority"], text=slots["text"], category=PATIENT_REFERRAL)
