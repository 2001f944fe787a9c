"""Environment steps per second against the same loop with a stub that answers from memory. Gate: at least 0.45 times as fast.

Run: python tests/benchmarks/bench_environment.py. The loop is a trainer's without its model: the tokens of a message are decoded,
the environment answers, the answer is tokenised. Messages are the experts'; the stub gives the answers that were recorded. The
stub is timed before and after the environment, in turns; a round in which its two times differ by more than 15 % does not
count; medians are compared. Seconds are the process's own (cores may be shared), of ``code`` the clock's, because Python runs in
a process of its own. Judging (replay, grading, reward) is timed beside it, per episode.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import solvers
from fhirtasks.environments.source import Source
from fhirtasks.environments.spec import FhirSpec
from fhirtasks.episodes.environment import run_solver
from fhirtasks.episodes.types import Episode, Protocol
from fhirtasks.population.populate import populate
from fhirtasks.synthesis.build import BuildConfig, build

GATE = 0.45
ROUNDS, TRIES = 5, 15
FAMILIES: dict[Protocol, tuple[str, ...]] = {
    "text": ("latest_lab", "mean_lab_in_window", "record_blood_pressure"),
    "tools": ("latest_lab", "mean_lab_in_window", "record_blood_pressure"),
    "code": ("active_conditions",),
}
GATED = ("text", "tools")
"""Protocols whose steps are searches and writes; a step of ``code`` runs Python, whose cost is the model's."""


@dataclass(frozen=True)
class Recorded:
    """An expert's episode: the tokens of its messages, and what the environment said after each."""

    task_id: str
    messages: tuple[list[int], ...]
    replies: tuple[str, ...]


def main() -> int:
    print(
        f"python {platform.python_version()}, duckdb {version('duckdb')}, tokenizers {version('tokenizers')}, "
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'protocol':10}{'stub steps/s':>14}{'steps/s':>10}{'ratio':>8}{'judging ms':>12}{'rounds':>8}")
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "g.duckdb"
        populate(graph, patients=40, seed=3)
        for protocol, families in FAMILIES.items():
            out = Path(folder) / protocol
            build(BuildConfig(out, graph, families=families, per_family=24, seed=3, protocol=protocol))
            ratios[protocol] = _measure(FhirSpec(out), protocol)
    worst = min(ratios[name] for name in GATED)
    print(f"gate: environment / stub = {worst:.2f} (at least {GATE:.2f})")
    return 0 if worst >= GATE else 1


def _measure(spec: FhirSpec, protocol: str) -> float:
    episodes = {task.id: _expert(spec.source, task.id) for task in spec.tasks}
    tokenizer = _tokenizer([message.content for episode in episodes.values() for message in episode.messages])
    recorded = [_recorded(tokenizer, one) for one in episodes.values()]
    steps = sum(len(one.messages) for one in recorded)

    def real() -> None:
        for one in recorded:
            environment = spec.source.open(one.task_id)
            for ids in one.messages:
                observation = environment.step(tokenizer.decode(ids))
                tokenizer.encode(observation.text if observation else "")

    def stub() -> None:
        for one in recorded:
            for ids, reply in zip(one.messages, one.replies, strict=True):
                tokenizer.decode(ids)
                tokenizer.encode(reply)

    real()
    clock = time.perf_counter if protocol == "code" else time.process_time
    before_and_after, taken = [], []
    for _ in range(TRIES):
        first, subject, last = (_seconds(work, clock) for work in (stub, real, stub))
        if abs(first - last) <= 0.15 * max(first, last):
            before_and_after.append((first + last) / 2)
            taken.append(subject / ((first + last) / 2))
        if len(taken) == ROUNDS:
            break
    judging = _seconds(lambda: [spec.source.replay(id, episode.raws) for id, episode in episodes.items()], clock)
    if not taken:
        print(f"{protocol:10} no round counted: the machine is too busy")
        return 0.0
    base, ratio = statistics.median(before_and_after), 1 / statistics.median(taken)
    print(
        f"{protocol:10}{steps / base:14,.0f}{ratio * steps / base:10,.0f}{ratio:8.2f}"
        f"{1e3 * judging / len(episodes):12.1f}{len(taken):8}"
    )
    return ratio


def _expert(source: Source, task_id: str) -> Episode:
    environment = source.open(task_id)
    return run_solver(solvers.solver(environment.task.family), environment.task, environment)


def _recorded(tokenizer: Any, episode: Episode) -> Recorded:
    shown: dict[str, str] = {}
    for turn in episode.turns:
        shown[turn.raw] = turn.observation.text if turn.observation else ""
    raws = episode.raws
    return Recorded(
        episode.task_id, tuple(tokenizer.encode(raw).ids for raw in raws), tuple(shown[raw] for raw in raws)
    )


def _tokenizer(texts: list[str]) -> Any:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts[:400], trainers.BpeTrainer(vocab_size=8000, initial_alphabet=alphabet, show_progress=False)
    )
    return bpe


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    with _no_collector():
        start = clock()
        work()
        return clock() - start


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
