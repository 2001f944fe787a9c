"""How fast a build is: kept trajectories per second over all stages, each stage's share, rows against plain JSONL, growth.

The reference is one core's ``orjson.dumps(..., OPT_SORT_KEYS)`` and sha256 of the very rows that were kept, measured before
and after each build; a round in which the two differ by more than 15 % does not count. ``--long`` adds the peak memory at
10,000 and 100,000 tasks.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
import pyarrow.parquet as pq

from fhirtasks.episodes.types import Episode, Message
from fhirtasks.population.populate import populate
from fhirtasks.release.rows import Trajectory, message_list, sft_table, verdict_json
from fhirtasks.release.writer import ShardWriter
from fhirtasks.synthesis import build as build_module
from fhirtasks.synthesis import publish as publish_module
from fhirtasks.synthesis import stages as stages_module
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.synthesis.jobs import make_partition
from fhirtasks.synthesis.partition import Watch
from fhirtasks.tasks.codec import task_from_json, task_to_json
from fhirtasks.tasks.types import Verdict

GATE_BUILD, GATE_WRITE = 0.02, 0.5
FAMILIES = 10
WORKERS = min(2, os.cpu_count() or 1)
WRITTEN = 40_000
"""Rows at most that are written again as shards and as JSONL."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=100_000)
    options.add_argument("--patients", type=int, default=200)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--long", action="store_true", help="peak memory at 10,000 and 100,000 tasks")
    chosen = options.parse_args()
    print(
        f"python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("duckdb", "orjson", "pyarrow"))
        + f", {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        graph = place / "g.duckdb"
        populate(graph, patients=chosen.patients, seed=0)
        built = place / "warm"
        build(config(built, graph, chosen.tasks, WORKERS))
        rows = [row for path in sorted((built / "sft").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
        gc.collect()
        gc.freeze()  # the cycle collector would walk these rows, which are the benchmark's, in every build of one worker
        size = sum(len(reference_bytes(row)) for row in rows) / len(rows)
        print(f"{len(rows):,} rows, {size:,.0f} bytes each; {chosen.patients} patients")
        fast = throughput(place, graph, rows, chosen)
        shares(place, graph, chosen.tasks)
        written = writing(place, rows[:WRITTEN], chosen.rounds)
        growth(place, graph, chosen)
        if chosen.long:
            memory(place, graph)
    good = fast >= GATE_BUILD and written >= GATE_WRITE
    print(f"gates: build {GATE_BUILD}, rows {GATE_WRITE}: {'passed' if good else 'MISSED'}")
    raise SystemExit(0 if good else 1)


def config(out: Path, graph: Path, tasks: int, workers: int = 1) -> BuildConfig:
    return BuildConfig(out, graph, per_family=max(1, tasks // FAMILIES), workers=workers)


def reference_bytes(row: dict[str, Any]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)


def reference(rows: list[dict[str, Any]]) -> float:
    """Rows per second of sorted orjson.dumps and sha256, on one core."""
    started, done = perf_counter(), 0
    while perf_counter() - started < 0.3:
        for row in rows:
            hashlib.sha256(reference_bytes(row)).digest()
        done += len(rows)
    return done / (perf_counter() - started)


def interleaved(rounds: int, base: Callable[[], float], subject: Callable[[int], float]) -> tuple[float, float, float]:
    """Medians of subject, base and their ratio over rounds in which the base held still; at most three times as many tries."""
    kept: list[tuple[float, float]] = []
    for number in range(3 * rounds):
        before = base()
        rate = subject(number)
        after = base()
        if abs(before - after) <= 0.15 * max(before, after):
            kept.append((rate, (before + after) / 2))
        if len(kept) == rounds:
            break
    if not kept:
        raise SystemExit("the machine is too busy: the reference moved by more than 15 % in every round")
    median = statistics.median
    return (
        median(rate for rate, _ in kept),
        median(base for _, base in kept),
        median(rate / base for rate, base in kept),
    )


def throughput(place: Path, graph: Path, rows: list[dict[str, Any]], chosen: Any) -> float:
    """The ratio of builds with all workers."""

    def once(number: int) -> float:
        started = perf_counter()
        report = build(config(place / f"build{number}", graph, chosen.tasks, WORKERS))
        return report.kept / (perf_counter() - started)

    rate, base, ratio = interleaved(chosen.rounds, lambda: reference(rows), once)
    print(
        f"build, {WORKERS} worker(s): {rate:,.0f} kept/s; reference {base:,.0f} rows/s; ratio {ratio:.4f}", flush=True
    )
    return ratio


def shares(place: Path, graph: Path, tasks: int) -> None:
    """Seconds of each stage in one undisturbed build of one worker."""
    watch = Watch()
    seconds = watch.seconds

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started, inner = perf_counter(), sum(seconds.values())
        yield
        seconds[name] = seconds.get(name, 0.0) + perf_counter() - started - (sum(seconds.values()) - inner)

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            with timed(name):
                return function(*arguments, **more)

        return run

    def make(job: Any) -> int:
        watch.lap("other")
        seconds.pop("other")
        return make_partition(job, watch)

    changes = [
        (stages_module, "make_partition", make),
        (stages_module, "survey_world", wrap("worlds", stages_module.survey_world)),
        (stages_module, "merge", wrap("merge", stages_module.merge)),
        (publish_module, "write_split", wrap("write", publish_module.write_split)),
        (build_module, "finish", wrap("documents", build_module.finish)),
    ]
    kept = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, function in changes:
        setattr(module, name, function)
    try:
        started = perf_counter()
        kept_rows = build(config(place / "shares", graph, tasks)).kept
        total = perf_counter() - started
    finally:
        for module, name, function in kept:
            setattr(module, name, function)
    seconds["rest"] = total - sum(seconds.values())
    print(
        f"one worker: {kept_rows / total:,.0f} kept/s; "
        + ", ".join(f"{name} {second / total:.0%}" for name, second in seconds.items())
    )


def writing(place: Path, rows: list[dict[str, Any]], rounds: int) -> float:
    """Rows per second into shards, against the same trajectories as plain JSONL."""
    made = [trajectory(row) for row in rows]

    def jsonl() -> float:
        started = perf_counter()
        with (place / "rows.jsonl").open("wb") as file:
            for row in made:
                file.write(orjson.dumps(plain(row)) + b"\n")
        return len(made) / (perf_counter() - started)

    def shards(number: int) -> float:
        started = perf_counter()
        writer = ShardWriter(place / f"shards{number}", "sft", "train")
        for start in range(0, len(made), 64):
            writer.write(sft_table(made[start : start + 64]))
        writer.close()
        return len(made) / (perf_counter() - started)

    rate, base, ratio = interleaved(rounds, jsonl, shards)
    print(f"rows into sft shards: {rate:,.0f} rows/s; JSONL {base:,.0f} rows/s; ratio {ratio:.2f}")
    return ratio


def trajectory(row: dict[str, Any]) -> Trajectory:
    task = task_from_json(row["task"])
    messages = tuple(Message(message["role"], message["content"]) for message in row["messages"])
    episode = Episode(task.id, messages, (), "completed", None)
    provenance = orjson.loads(row["provenance"])
    return Trajectory(task, episode, Verdict(True, 1.0, ()), provenance, row["content_hash"], row["tokens"])


def plain(row: Trajectory) -> dict[str, Any]:
    """The same columns as a JSONL row: the tasks' and verdicts' JSON is made here, as it is for the shards."""
    return {
        "id": row.task.id, "messages": message_list(row.episode.messages), "tools": "[]", "family": row.task.family,
        "branch": row.task.branch, "domain": row.task.domain, "kind": row.task.kind, "protocol": row.task.protocol,
        "mode": row.task.mode, "split": row.task.split, "task": task_to_json(row.task), "verdict": verdict_json(row.verdict),
        "provenance": orjson.dumps(row.provenance, option=orjson.OPT_SORT_KEYS).decode(), "tokens": row.tokens,
        "content_hash": row.content_hash,
    }  # fmt: skip


def growth(place: Path, graph: Path, chosen: Any) -> None:
    """Seconds per task as tasks double, and seconds as patients double."""
    tasks = chosen.tasks // 20
    figures = []
    for factor in (1, 2, 4):
        started = perf_counter()
        kept = build(config(place / f"tasks{factor}", graph, tasks * factor)).kept
        seconds = perf_counter() - started
        figures.append(f"{kept:,} tasks {seconds:.1f} s ({seconds / kept * 1e3:.2f} ms each)")
    print("tasks: " + "; ".join(figures))
    figures = []
    for patients in (chosen.patients, 2 * chosen.patients, 4 * chosen.patients):
        larger = place / f"g{patients}.duckdb"
        populate(larger, patients=patients, seed=0)
        started = perf_counter()
        build(config(place / f"patients{patients}", larger, tasks))
        figures.append(f"{patients:,} patients {perf_counter() - started:.1f} s")
    print("patients, the same tasks: " + "; ".join(figures))


def memory(place: Path, graph: Path) -> None:
    """Peak resident memory of a build in a process of its own."""
    code = (
        "import resource, sys; from pathlib import Path; from fhirtasks.synthesis.build import BuildConfig, build; "
        "build(BuildConfig(Path(sys.argv[1]), Path(sys.argv[2]), per_family=int(sys.argv[3]))); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    figures = []
    for tasks in (10_000, 100_000):
        command = [sys.executable, "-c", code, place / f"memory{tasks}", graph, str(tasks // FAMILIES)]
        started = perf_counter()
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
        figures.append(f"{tasks:,} tasks {peak:,.0f} MiB ({perf_counter() - started:.0f} s)")
    print("peak memory: " + "; ".join(figures))


if __name__ == "__main__":
    main()
