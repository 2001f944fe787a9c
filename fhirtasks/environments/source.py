"""The tasks of one split of a release and the one world that all of a process's episodes share."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from multiprocessing.util import Finalize
from pathlib import Path

from fhirtasks.episodes.code import CodeEnvironment
from fhirtasks.episodes.environment import Environment
from fhirtasks.episodes.types import Episode
from fhirtasks.errors import UserError
from fhirtasks.evaluation.sources import TaskSet, open_tasks
from fhirtasks.rewards import components
from fhirtasks.tasks.play import open_environment, replay_task
from fhirtasks.tasks.types import Task, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """An episode with its verdict and its reward components by name."""

    episode: Episode
    verdict: Verdict
    components: Mapping[str, float | None]


class Source:
    """A split of a release: its tasks by id, in the release's order. :func:`source` opens each once per process."""

    def __init__(self, folder: Path, split: str, found: TaskSet) -> None:
        self.folder = folder
        self.split = split
        self.tasks = {task.id: task for task in found.tasks}
        self._found = found

    def task(self, task_id: str) -> Task:
        """The task with this id. UserError if the split has none."""
        if task_id not in self.tasks:
            raise UserError(f"{self.folder} has no task {task_id!r} in the split {self.split}; take an id of its rows.")
        return self.tasks[task_id]

    def open(self, task_id: str) -> Environment | CodeEnvironment:
        """A fresh episode of a task over the shared world; what it writes is its own."""
        task = self.task(task_id)
        return open_environment(task, self._found.world(task))

    def judge(self, task_id: str, episode: Episode) -> Judged:
        """The verdict on an episode and what it is rewarded for."""
        verdict = self._found.grade(self.task(task_id), episode)
        return Judged(episode, verdict, components(verdict, episode))

    def replay(self, task_id: str, raws: Iterable[str]) -> Judged:
        """The episode that these raw assistant texts make, judged: what ``fhirtasks grade`` would say of them."""
        task = self.task(task_id)
        return self.judge(task_id, replay_task(task, self._found.world(task), raws))


def source(folder: Path, split: str) -> Source:
    """The split of a release folder, opened once per process and closed at its end. UserError for what is no release."""
    return _source(folder, split, os.getpid())


_OPEN: list[ExitStack] = []


@cache
def _source(folder: Path, split: str, process: int) -> Source:
    # A process that was forked opens its own: a DuckDB connection does not work there, since its threads stay behind, and to
    # close it would wait for them for ever.
    opened = ExitStack()
    found = opened.enter_context(open_tasks(folder, split=split))
    _OPEN.append(opened)  # else multiprocessing lets go of it in a forked process, which closes it
    Finalize(None, opened.close, exitpriority=0)  # at the end of this process, also where multiprocessing started it
    return Source(folder, split, found)


@lru_cache(maxsize=1024)
def judged(folder: Path, split: str, task_id: str, raws: tuple[str, ...]) -> Judged:
    """:meth:`Source.replay`, remembered: rewards, logs and panels ask about the same rollouts."""
    return source(folder, split).replay(task_id, raws)


def folder_of(release: str | Path, revision: str | None = None) -> Path:
    """The folder of a release: itself, or ``ORG/NAME`` at a tag (None: main) pulled once into the user's cache.

    UserError where there is neither folder nor dataset.
    """
    if Path(release).is_dir():
        if revision is not None:
            raise UserError(f"{release} is a folder and has no revisions; leave out the revision.")
        return Path(os.path.abspath(release))
    name = str(release)
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise UserError(
            f"There is no release folder {name}; give one that fhirtasks build wrote, or ORG/NAME of the Hub."
        )
    from fhirtasks.release.hub import Remote
    from fhirtasks.release.pull import pull

    commit = Remote(name).commit_of(revision)
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fhirtasks" / name / commit
    cached.parent.mkdir(parents=True, exist_ok=True)
    with _locked(cached.with_name(f"{commit}.lock")):
        if not cached.is_dir():
            pull(name, cached, tag=revision)
    return cached


def chosen(tasks: Iterable[Task], families: Sequence[str], protocol: str | None) -> list[Task]:
    """The tasks of these families (none named: all) in this protocol (None: the release's one). UserError if none."""
    found = [task for task in tasks if not families or task.family in families]
    there = sorted({task.protocol for task in found})
    if protocol is None and len(there) > 1:
        raise UserError(f"The tasks speak {', '.join(there)}; name one protocol.")
    found = [task for task in found if protocol in (None, task.protocol)]
    lacking = sorted(set(families) - {task.family for task in found})
    if lacking or not found:
        what = f"of the family {lacking[0]!r}" if lacking else "of this split"
        raise UserError(f"The release has no tasks {what}" + (f" in the protocol {protocol}." if protocol else "."))
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: those of one machine start a training run together."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
