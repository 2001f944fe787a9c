"""A model's attempts at a release's tasks, judged: sampled here, or taken from recorded transcripts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.environments.source import Judged, Source, chosen, folder_of, source
from fhirtasks.episodes.environment import run_solver
from fhirtasks.episodes.transcripts import transcript
from fhirtasks.episodes.types import Invalid
from fhirtasks.errors import UserError
from fhirtasks.evaluation.models import Cut, InfrastructureError, Speaker, Unasked
from fhirtasks.printing import progress
from fhirtasks.tasks.floors import FLOORS, floor
from fhirtasks.tasks.play import raws_of
from fhirtasks.tasks.types import Task
from train.passk import Attempt, Tried, difficulty_of, possible_answers, report


@dataclass(frozen=True)
class PasskOptions:
    """One diagnostic: ``samples`` attempts at each of ``limit`` tasks per family, or the attempts of a JSONL file."""

    dataset: str
    revision: str | None = None
    split: str = "train"
    families: tuple[str, ...] = ()
    samples: int = 12
    k: int | None = None
    limit: int | None = 20
    rollouts: Path | None = None
    guessable: bool = False


def diagnose(options: PasskOptions, speaker: Speaker | None) -> dict[str, Any]:
    """The report of :func:`train.passk.report`. UserError for what the user has to put right.

    ``k`` is the fewest attempts that a task has, unless given. A task of which some attempt could not be asked is left out, and
    counted in ``unasked``; InfrastructureError if none is left.
    """
    found = source(folder_of(options.dataset, options.revision), options.split)
    tasks = _first(chosen(found.tasks.values(), options.families, None), options.limit if speaker is not None else None)
    unasked = 0
    if speaker is not None:
        attempts, reason = sample(found, tasks, speaker, options.samples)
        asked = [task for task in tasks if len(attempts[task.id]) == options.samples]
        unasked = len(tasks) - len(asked)
        if unasked:
            progress(f"{unasked:,} of {len(tasks):,} tasks are left out: the model could not be asked ({reason}).")
        if not asked:
            raise InfrastructureError(reason)
        tasks = asked
    else:
        assert options.rollouts is not None
        attempts = recorded(found, options.rollouts)
        tasks = [task for task in tasks if task.id in attempts]
        if not tasks:
            raise UserError(
                f"{options.rollouts} has no attempt at a task of these families in the split {options.split}."
            )
    fewest = min(len(attempts[task.id]) for task in tasks)
    k = fewest if options.k is None else options.k
    if not 1 <= k <= fewest:
        raise UserError(f"-k is {k} and some task has {fewest} attempts only; take at most so many, or more attempts.")
    floors = passed_by_floors(found, tasks)
    tried = [
        Tried(task.id, task.family, difficulty_of(task), tuple(attempts[task.id]), task.id in floors) for task in tasks
    ]
    answers = possible_answers(found.tasks.values())
    return {"unasked": unasked, **report(tried, k, answers, guessable=options.guessable)}


def sample(
    found: Source, tasks: Sequence[Task], speaker: Speaker, samples: int
) -> tuple[dict[str, list[Attempt]], str]:
    """So many episodes of each task, ``speaker.batch`` at a time: attempts by task, in their order, and why one that lacks could
    not be asked."""
    waiting = [task for task in tasks for _ in range(samples)]
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    reason = ""
    for start in range(0, len(waiting), speaker.batch):
        playing = [(task, found.open(task.id)) for task in waiting[start : start + speaker.batch]]
        cut: set[int] = set()
        unasked: set[int] = set()
        while going := [
            place
            for place, (_, environment) in enumerate(playing)
            if not environment.done and place not in cut | unasked
        ]:
            said = speaker([(playing[place][1].task, playing[place][1].messages) for place in going])
            for place, raw in zip(going, said, strict=True):
                if isinstance(raw, Unasked):
                    unasked.add(place)
                    reason = str(raw)
                    continue
                playing[place][1].step(raw)
                if isinstance(raw, Cut):
                    cut.add(place)
        for place, (task, environment) in enumerate(playing):
            if place in unasked:
                continue
            judged = found.judge(task.id, environment.episode())
            attempts[task.id].append(attempt_of(judged, place in cut))
        progress(f"{min(start + speaker.batch, len(waiting)):,} of {len(waiting):,} attempts")
    return attempts, reason


def recorded(found: Source, path: Path) -> dict[str, list[Attempt]]:
    """The attempts of a JSONL file of transcripts (several per task), replayed and judged; other tasks' lines are passed over.

    A line of ``train grpo`` says in its ``rollout`` whether it was cut off, one of ``evaluate`` by ``cut``.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; give a JSONL file with one transcript per line.")
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                one = transcript(number, line)
            except ValueError as error:
                raise UserError(f"{path}, line {number} {error}") from error
            if one.id not in found.tasks:
                continue
            about = json.loads(line).get("rollout")
            clipped = one.cut or (isinstance(about, dict) and bool(about.get("clipped")))
            judged = found.replay(one.id, raws_of(one.messages, found.tasks[one.id].protocol))
            attempts[one.id].append(attempt_of(judged, clipped))
    return attempts


def attempt_of(judged: Judged, cut: bool) -> Attempt:
    """What counts of a judged episode."""
    episode = judged.episode
    valid = episode.status == "completed" and not any(isinstance(turn.action, Invalid) for turn in episode.turns)
    return Attempt(judged.verdict.passed, valid, cut, episode.result or "")


def passed_by_floors(found: Source, tasks: Sequence[Task]) -> set[str]:
    """The tasks that a policy passes which does not think: what can be had by chance."""
    passed = set()
    for name in FLOORS:
        solver = floor(name, found.tasks.values())
        for task in tasks:
            if task.id in passed:
                continue
            environment = found.open(task.id)
            try:
                episode = run_solver(solver, environment.task, environment)
            except (ValueError, LookupError, TypeError, ArithmeticError):
                continue  # it broke down on what it was shown
            if found.judge(task.id, episode).verdict.passed:
                passed.add(task.id)
    return passed


def _first(tasks: Sequence[Task], limit: int | None) -> list[Task]:
    """The first tasks of every family."""
    seen: dict[str, int] = defaultdict(int)
    kept = []
    for task in tasks:
        seen[task.family] += 1
        if limit is None or seen[task.family] <= limit:
            kept.append(task)
    return kept
