"""The clinical verdict, the same for every family: the episode against its task's truth, one named check at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fhirtasks.episodes.types import Episode, Finish, Invalid
from fhirtasks.fhir.jsontext import Json
from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Check, Task, Verdict
from graders import Grader, compat, evidence, writes
from graders.answers import compare
from graders.truth import Truth


def grader(clinical: Callable[[Sequence[Task], World], dict[str, Truth]]) -> Grader:
    """The judge of a family in both modes: ``clinical`` finds its clinical truths, compat's rules need no more than params."""

    def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth | compat.Truth]:
        ours = [task for task in tasks if task.mode == "clinical"]
        theirs = [task for task in tasks if task.mode == "compat"]
        found: dict[str, Truth | compat.Truth] = {}
        if ours:
            found |= clinical(ours, world)
        if theirs:
            found |= compat.truths(theirs, world)
        return found

    return Grader(truths, grade)


def grade(task: Task, episode: Episode, world: World, truth: Truth | compat.Truth) -> Verdict:
    """The verdict in the task's mode."""
    if isinstance(truth, compat.Truth):
        return compat.grade(task, episode, truth)
    return clinical(task, episode, world, truth)


def clinical(task: Task, episode: Episode, world: World, truth: Truth) -> Verdict:
    """The verdict in clinical mode. What was read is looked into only where everything else is right."""
    checks = [
        Check(
            "completed", done := episode.status == "completed", "" if done else f"the episode ended: {episode.status}"
        ),
        _protocol(episode),
    ]
    checks += _answer(episode, truth)
    checks += writes.check(episode, truth.orders)
    if all(check.passed for check in checks):
        why = evidence.unread(task, episode, world, truth)
        checks.append(Check("evidence", not why, why))
    return Verdict.of(checks)


def _protocol(episode: Episode) -> Check:
    """A POST without JSON was answered and may have been put right: the checks of writes judge it."""
    wrong = [turn.action.reason for turn in episode.turns if isinstance(turn.action, Invalid) and turn.action.ends]
    return Check("protocol", not wrong, wrong[0] if wrong else "")


def _answer(episode: Episode, truth: Truth) -> list[Check]:
    """Shape and value of the answer; value is looked at only in an answer of a right shape."""
    last = episode.turns[-1].action if episode.turns else None
    if truth.problem:
        return [Check("answer", False, f"the task has no truth: {truth.problem}")]
    if not isinstance(last, Finish):
        return [Check("answer_shape", False, "no answer was given")]
    given: Json = last.answer
    wrong = [compare(shape, given).shape for shape in (truth.answer, *truth.shapes)]
    if all(wrong):
        return [Check("answer_shape", False, wrong[0])]
    same = compare(truth.answer, given)
    detail = same.value or same.shape
    return [Check("answer_shape", True), Check("answer", same.none, detail)]
