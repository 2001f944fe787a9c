"""Judges recorded transcripts, ours or anyone's.

Clinical transcripts are replayed from their raw assistant texts. Compat ones are judged as the public grader does: on
the recorded history, where a write counts only if the next message says that it was accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fhirtasks.episodes.environment import ROUNDS
from fhirtasks.episodes.text import parse, result_of
from fhirtasks.episodes.transcripts import Transcript, transcript
from fhirtasks.episodes.types import Episode, EpisodeStatus, Finish, Invalid, Message, Observation, Turn
from fhirtasks.errors import UserError
from fhirtasks.evaluation.judge import Judge
from fhirtasks.evaluation.sources import open_tasks
from fhirtasks.tasks.play import raws_of, replay_task
from fhirtasks.tasks.types import Task


def grade_file(
    tasks: Path, episodes: Path, graph: Path | None, mode: str | None, judge: Judge | None = None
) -> list[dict[str, Any]]:
    """The verdict on every transcript of a JSONL file, in its order: ``id``, ``passed``, ``checks``.

    Each line holds ``id`` (or ``task_id``) and ``messages`` of role (``user``, ``assistant``, ``agent``) and content.
    A transcript without any assistant message fails ``completed``. UserError names the line of anything else that is
    wrong: no JSON, no id, an unknown or repeated id, a message without role or content. With ``judge`` each has its opinion
    as ``judge`` besides, which changes nothing else.
    """
    if mode not in (None, "clinical", "compat"):
        raise UserError(f"--mode is {mode!r}; it takes clinical or compat.")
    with open_tasks(tasks, graph) as source:
        recorded = list(read_transcripts(episodes))
        known = {task.id: task for task in source.tasks}
        for one in recorded:
            if one.id not in known:
                raise UserError(f"{episodes}, line {one.line}: {tasks} has no task {one.id!r}.")
        results = []
        for one in recorded:
            task = _in_mode(known[one.id], mode)
            if task.mode == "compat":
                episode = recorded_episode(task, one.messages)
            else:
                episode = replay_task(task, source.world(task), raws_of(one.messages, task.protocol))
            verdict = source.grade(task, episode)
            checks = [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in verdict.checks]
            told = {"id": task.id, "passed": verdict.passed, "checks": checks}
            results.append(told if judge is None else {**told, "judge": judge(task, episode).as_json()})
    return results


def read_transcripts(path: Path) -> Iterator[Transcript]:
    """The transcripts of a JSONL file; blank lines are skipped."""
    if not path.is_file():
        raise UserError(f"There is no file {path}; give a JSONL file with one transcript per line.")
    lines: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                found = transcript(number, line)
            except ValueError as error:
                raise UserError(f"{path}, line {number} {error}") from error
            if found.id in lines:
                raise UserError(
                    f"{path}: the task {found.id!r} stands on lines {lines[found.id]} and {number}; "
                    "keep one transcript per task and file."
                )
            lines[found.id] = number
            yield found
    if not lines:
        raise UserError(f"{path} is empty; give a JSONL file with one transcript per line.")


def recorded_episode(task: Task, messages: Sequence[Message]) -> Episode:
    """The episode that a recorded history tells of, by the dialect's own rules, nothing being run again.

    It ends where the dialect would have ended it: at an answer, at text that is no action, at the round limit. What
    stands after that could not have happened and is left out.
    """
    kept: list[Message] = []
    turns: list[Turn] = []
    status: EpisodeStatus = "task limit reached"
    result: str | None = None
    for index, message in enumerate(messages):
        if message.role != "assistant":
            kept.append(message)
            continue
        if len(turns) == ROUNDS[task.mode]:
            break
        kept.append(message)
        action = parse(message.content, task.mode)
        over = isinstance(action, Finish) or (isinstance(action, Invalid) and action.ends)
        reply = messages[index + 1] if index + 1 < len(messages) else None
        shown = None if over or reply is None or reply.role == "assistant" else Observation(reply.content, 0)
        turns.append(Turn(message.content, action, shown))
        if isinstance(action, Finish):
            status, result = "completed", result_of(message.content, task.mode)
        elif over:
            status = "agent invalid action"
        if over:
            break
    return Episode(task.id, tuple(kept), tuple(turns), status, result)


def _in_mode(task: Task, mode: str | None) -> Task:
    if mode is None or mode == task.mode:
        return task
    if mode == "compat":
        raise UserError(
            f"The task {task.id!r} is clinical and has no constants of the public grader; leave out --mode compat."
        )
    raise UserError(f"The task {task.id!r} was asked by compat's rules; leave out --mode clinical.")
