"""The truth of the vital-sign families: a measurement that is dictated must be recorded, for the right patient, now."""

from __future__ import annotations

from collections.abc import Sequence

from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Task
from graders import judge, subjects, writes
from graders.truth import Truth


def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """Clinical truths of ``record_blood_pressure``, by task id."""
    return subjects.truths(tasks, world, writes.blood_pressure)


GRADERS = {"record_blood_pressure": judge.grader(truths)}
