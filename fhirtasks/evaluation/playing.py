"""Plays tasks by a solver, by a model that is asked, or by what was said before, and has every episode judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from fhirtasks.episodes.code import CodeEnvironment
from fhirtasks.episodes.environment import Environment, replay, run_solver
from fhirtasks.episodes.types import Solver
from fhirtasks.evaluation.models import Cut, InfrastructureError, Policy, Speaker
from fhirtasks.evaluation.outcomes import Outcome
from fhirtasks.evaluation.sources import TaskSet
from fhirtasks.tasks.play import Sandbox, open_environment
from fhirtasks.tasks.types import Task


@dataclass(frozen=True, slots=True)
class Prompting:
    """The benchmark's prompt text and tool list, from the user's files (None for our own prompt), and the sandbox."""

    template: str | None = None
    functions: str | None = None
    sandbox: Sandbox = "embedded"


def play_solver(
    tasks: Sequence[Task], source: TaskSet, solver_of: Callable[[Task], Solver], prompting: Prompting
) -> Iterator[Outcome]:
    """Every task by a solver. One that breaks down on what it was shown has failed, and the outcome says how."""
    for task in tasks:
        environment = _opened(task, source, prompting)
        error = ""
        try:
            run_solver(solver_of(task), environment.task, environment)
        except (ValueError, LookupError, TypeError, ArithmeticError) as broken:
            error = f"the solver broke down: {type(broken).__name__}: {broken}"
        yield _judged(task, source, environment, error)


def ask_policy(
    tasks: Sequence[Task], source: TaskSet, policy: Policy, prompting: Prompting, concurrency: int
) -> Iterator[Outcome]:
    """Every task by a policy, in order, several conversations at a time; only the asking happens in threads."""
    outcomes: dict[int, Outcome] = {}
    waiting = iter(enumerate(tasks))
    asked: dict[Future[str], tuple[int, Environment | CodeEnvironment]] = {}
    cut: set[int] = set()
    due = 0
    with ThreadPoolExecutor(concurrency) as pool:

        def ask(index: int, environment: Environment | CodeEnvironment) -> None:
            asked[pool.submit(policy, environment.task, environment.messages)] = (index, environment)

        while True:
            while len(asked) < concurrency and (following := next(waiting, None)) is not None:
                ask(following[0], _opened(following[1], source, prompting))
            if not asked:
                return
            done, _ = wait(asked, return_when=FIRST_COMPLETED)
            for future in done:
                index, environment = asked.pop(future)
                try:
                    raw = future.result()
                    environment.step(raw)
                    if isinstance(raw, Cut):
                        cut.add(index)
                except InfrastructureError as error:
                    outcomes[index] = Outcome(tasks[index], None, None, str(error))
                    continue
                if environment.done:
                    outcomes[index] = _judged(tasks[index], source, environment, cut=index in cut)
                else:
                    ask(index, environment)
            while due in outcomes:
                yield outcomes.pop(due)
                due += 1


def ask_in_batches(tasks: Sequence[Task], source: TaskSet, speaker: Speaker, prompting: Prompting) -> Iterator[Outcome]:
    """Every task by a model that answers several conversations at once, in order; where one ends the next task begins."""
    outcomes: dict[int, Outcome] = {}
    waiting = iter(enumerate(tasks))
    playing: list[tuple[int, Environment | CodeEnvironment]] = []
    cut: set[int] = set()
    due = 0
    while True:
        while len(playing) < speaker.batch and (following := next(waiting, None)) is not None:
            playing.append((following[0], _opened(following[1], source, prompting)))
        if not playing:
            return
        said = speaker([(environment.task, environment.messages) for _, environment in playing])
        for (index, environment), raw in zip(playing, said, strict=True):
            environment.step(raw)
            if isinstance(raw, Cut):
                cut.add(index)
            if environment.done:
                outcomes[index] = _judged(tasks[index], source, environment, cut=index in cut)
        playing = [one for one in playing if not one[1].done]
        while due in outcomes:
            yield outcomes.pop(due)
            due += 1


def play_again(task: Task, source: TaskSet, raws: Sequence[str], prompting: Prompting) -> Outcome:
    """The task by what was said of it before: nothing is asked."""
    environment = _opened(task, source, prompting)
    replay(environment, raws)
    return _judged(task, source, environment, cut=any(isinstance(raw, Cut) for raw in raws))


def _opened(task: Task, source: TaskSet, prompting: Prompting) -> Environment | CodeEnvironment:
    return open_environment(
        task, source.world(task), template=prompting.template, functions=prompting.functions, sandbox=prompting.sandbox
    )


def _judged(
    task: Task, source: TaskSet, environment: Environment | CodeEnvironment, error: str = "", cut: bool = False
) -> Outcome:
    episode = environment.episode()
    return Outcome(task, episode, source.grade(task, episode), error, cut)
