"""Makes one partition of a release: a pure function of (world, partition).

Per row: draw a task, let the expert solve it, replay the episode from its raw text, hash it, filter it, grade it. What
fails is dropped with its reason and drawn again with other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

import graders
import solvers
from fhirtasks.episodes.types import Episode
from fhirtasks.fhir.jsontext import dumps
from fhirtasks.graph.world import World
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.release.preference import Pair, has_pair, pairs
from fhirtasks.release.privileged import teacher_texts
from fhirtasks.release.rows import Trajectory, hash_of, message_texts, provenance
from fhirtasks.synthesis.plan import TEST, Partition, PlannedRow
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.registry import family as family_named
from fhirtasks.tasks.seeds import rng
from fhirtasks.tasks.types import Draft, Family, Task
from fhirtasks.tasks.wording import reserved

DRAWS = 60
"""How often a family is asked for a case before a row's attempt is given up."""
ROUNDS = 6
"""How many attempts a row has."""
OVER_BUDGET = "over the token budget"
"""The reason of an episode that is longer than the build allows."""
_BUGS = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError)
"""What a family or an expert, anybody's, raises on records that it did not expect: the row is dropped and says so."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Something that is not in the release, and why; ``content_hash`` is empty where no episode was made."""

    content_hash: str
    family: str
    branch: str
    split: str
    reason: str


@dataclass(slots=True)
class Made:
    """A finished partition: rows in the plan's order, what was dropped on the way, pairs by the rows' content hash."""

    kept: list[Trajectory] = field(default_factory=list)
    dropped: list[Drop] = field(default_factory=list)
    pairs: dict[str, Pair] = field(default_factory=dict)


class Watch:
    """Seconds per stage, for benchmarks; they reach no output."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: str) -> None:
        """Books the time since the last lap on ``stage``."""
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def make(
    partition: Partition,
    world: World,
    *,
    matcher: Matcher | None = None,
    count_tokens: Callable[[Episode], int] | None = None,
    max_tokens: int | None = None,
    known: frozenset[str] = frozenset(),
    watch: Watch | None = None,
) -> Made:
    """All rows of the partition that can be made on this world; contents whose hash is ``known`` are duplicates.

    An episode of more than ``max_tokens`` by ``count_tokens`` is dropped and drawn again.
    """
    watch = watch or Watch()
    made = Made()
    kept: dict[str, Trajectory] = {}
    seen: set[str] = set()
    paired: dict[str, graders.Truth] = {}
    again: list[PlannedRow] = []

    def drop(row: PlannedRow, digest: str, reason: str) -> None:
        made.dropped.append(Drop(digest, row.family, row.branch, partition.split, reason))
        again.append(row)

    planned = partition.rows()
    pending = planned
    for attempt in range(ROUNDS):
        tried: list[tuple[PlannedRow, Task, Episode, str, int | None]] = []
        again = []
        for row in pending:
            try:
                task = draw(row, partition, world, attempt)
            except _BUGS as error:
                drop(row, "", f"sampling failed: {type(error).__name__}")
                continue
            watch.lap("sample")
            if task is None:
                drop(row, "", "no case found")
                continue
            try:
                episode = play(task, world, solvers.solver(row.family))
            except _BUGS as error:
                drop(row, "", f"expert failed: {type(error).__name__}")
                continue
            watch.lap("solve")
            replayed = replay_task(task, world, episode.raws)
            watch.lap("replay")
            digest = hash_of(task.protocol, episode.messages)
            tokens = count_tokens(episode) if count_tokens is not None else None
            watch.lap("hash")
            if replayed.messages != episode.messages:
                drop(row, digest, "replay differs")
            elif digest in seen or digest in known:
                drop(row, digest, "duplicate")
            elif over_budget(tokens, max_tokens):
                drop(row, digest, OVER_BUDGET)
            elif reason := held_out(matcher, task, episode):
                drop(row, digest, reason)
            else:
                seen.add(digest)
                tried.append((row, task, episode, digest, tokens))
            watch.lap("filter")
        truths = graders.truths([task for _, task, *_ in tried], world)
        for row, task, episode, digest, tokens in tried:
            verdict = graders.grade(task, episode, world, truths[task.id])
            if verdict.passed:
                origin = provenance(task, world.fingerprint, partition.graph)
                kept[row.id] = Trajectory(task, episode, verdict, origin, digest, tokens)
                if has_pair(digest):
                    paired[task.id] = truths[task.id]
            else:
                failed = ", ".join(check.name for check in verdict.checks if not check.passed)
                drop(row, digest, f"graded: {failed}")
        watch.lap("grade")
        if not again:
            break
        pending = tuple(again)
    made.kept = [kept[row.id] for row in planned if row.id in kept]
    made.pairs = pairs(made.kept, world, paired, forbidden(matcher))
    watch.lap("pairs")
    return made


def draw(row: PlannedRow, partition: Partition, world: World, attempt: int) -> Task | None:
    """The task of a planned row, or None if its family found no case of the branch in :data:`DRAWS` tries."""
    family = family_named(row.family)
    random = rng(f"{row.seed}/{attempt}")
    for _ in range(DRAWS):
        sketch = family.sample(world, random, row.branch, partition.mode)
        if sketch is not None and _asked_here(sketch, family, partition):
            break
    else:
        return None
    return Task(
        id=row.id, family=family.name, version=family.version, domain=family.domain, kind=family.kind,
        mode=partition.mode, protocol=partition.protocol, branch=row.branch, split=partition.split, now=sketch.now,
        instruction=sketch.instruction, context=sketch.context, slots=sketch.slots, params=sketch.params,
        gold=sketch.gold, patients=sketch.patients, scenario=sketch.scenario, difficulty=sketch.difficulty,
        seed=row.seed,
    )  # fmt: skip


def over_budget(tokens: int | None, most: int | None) -> bool:
    """Whether an episode has more tokens than it may."""
    return tokens is not None and most is not None and tokens > most


def _asked_here(sketch: Draft, family: Family, partition: Partition) -> bool:
    """Whether the draft's wording is one of its split's."""
    return not partition.test_wordings or (sketch.wording in reserved(family.wordings)) == (partition.split == TEST)


def held_out(matcher: Matcher | None, task: Task, episode: Episode) -> str:
    """The reason to drop a row of this task and episode, if it would tell of something that is held out; else empty."""
    match = matcher.leak(list(texts_of(task, episode))) if matcher is not None else None
    return f"holdout: {match.matcher}" if match is not None else ""


def forbidden(matcher: Matcher | None) -> Callable[[str], bool]:
    """Says of a text whether it tells of something that is held out."""
    return lambda text: matcher is not None and matcher.leak(text) is not None


def texts_of(task: Task, episode: Episode) -> Iterator[str]:
    """Every text that a row would put into the release."""
    yield from message_texts(episode.messages)
    yield task.instruction
    yield task.context
    yield from task.slots.values()
    yield from task.params.values()
    yield from task.scenario.add
    yield dumps(task.gold)
    yield from teacher_texts(task, episode)
