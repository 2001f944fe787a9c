"""Question families: truth for all tasks at once against a loop, its cost as patients grow, kept trajectories per second.

1. The truth of all that can be asked of a family in one statement, against a loop over the same questions: one statement per
   question, through the same ``truths()``, which is as fast as a loop by patient can be here. The loop runs on a sample of the
   questions and is taken times their number. Families with fewer than 1,000 questions are not compared: a statement costs
   some 40 ms whatever it is asked.
2. The same cost per question with 100, 1,000 and 10,000 patients (copies of 100, at most 40 records of a type each), for the
   same number of questions; and of finding out what a family can ask, per patient. Reading a world's tables once is printed
   beside.
3. Kept trajectories of the ``code`` protocol per second: drawn, solved, run, replayed, hashed, graded by one process, against
   one core's sorted ``orjson.dumps`` and sha256 of the same rows.

Seconds are those of the processor (DuckDB on one thread): other work on the same cores hardly moves them. References run
before and after; a round in which they differ by more than 15 % does not count. ``--sizes 1 10`` leaves 10,000 patients out.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

import duckdb
import orjson

from fhirtasks.graph.views import views
from fhirtasks.graph.world import World, write_world
from fhirtasks.population.populate import populate
from fhirtasks.release.rows import message_list, verdict_json
from fhirtasks.synthesis.partition import Made, make
from fhirtasks.synthesis.plan import Partition
from fhirtasks.tasks.codec import task_to_json
from fhirtasks.tasks.questions import BY_NAME
from fhirtasks.tasks.questions.pool import _candidates as candidates
from fhirtasks.tasks.questions.truth import truths
from fhirtasks.tasks.questions.types import Asked, Question
from fhirtasks.tasks.quotas import Quota

FAMILIES = (
    "visited_emergency",
    "count_results",
    "nth_value",
    "diagnoses_of_visit",
    "signed_change",
    "busiest_practitioner",
)
GATE_ONCE, GATE_FLAT = 300.0, 3.0
ROUNDS, LOOPED, ASKED = 5, 12, 1_000
KEPT = ("count_results", "nth_value", "signed_change", "diagnoses_of_visit", "aggregate_of_values")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", type=int, nargs="*", default=[1, 10, 100], help="copies of 100 patients")
    sizes = options.parse_args().sizes
    print(
        f"python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("duckdb", "orjson", "pydantic-monty"))
        + f", {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; seconds of processor"
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        populate(place / "graph.duckdb", patients=100, seed=5)
        graph = World.open(place / "graph.duckdb")
        patients = graph.patients
        graph.close()
        write_world(place / "graph.duckdb", patients, "train", place / "world.duckdb")
        world = World.open(place / "world.duckdb", threads=1)
        ratio = at_once(world)
        kept(world)
        world.close()
        growth = flat(place, sizes)
    good = ratio >= GATE_ONCE and growth <= GATE_FLAT
    print(f"gates: at once {GATE_ONCE:.0f} times, growth {GATE_FLAT:.0f} times: {'passed' if good else 'MISSED'}")
    return 0 if good else 1


def at_once(world: World) -> float:
    """The median over families of the loop's cost over that of one statement; the loop is the reference."""
    ratios = []
    for name in FAMILIES:
        question = BY_NAME[name]
        asked = candidates(question, world)
        assert len(asked) >= ASKED, (name, len(asked))
        sample = asked[:: len(asked) // LOOPED][:LOOPED]
        assert truths(question, sample, world) == {
            task: truth for one in sample for task, truth in truths(question, [one], world).items()
        }

        def loop(question: Question = question, sample: Sequence[Asked] = sample) -> float:
            return _seconds(lambda: [truths(question, [one], world) for one in sample]) / len(sample)

        rounds = []
        for _ in range(3 * ROUNDS):
            before = loop()
            once = _seconds(lambda question=question, asked=asked: truths(question, asked, world))  # type: ignore[misc]
            after = loop()
            if abs(before - after) <= 0.15 * max(before, after):
                rounds.append(((before + after) / 2, once / len(asked)))
            if len(rounds) == ROUNDS:
                break
        if not rounds:
            print(f"{name}: no steady round")
            continue
        ratios.append(statistics.median(one / once for one, once in rounds))
        one, once = (statistics.median(times) * 1000 for times in zip(*rounds, strict=True))
        print(
            f"{name:22} {len(asked):5,} questions: at once {once:.3f} ms each, in a loop {one:.1f} ms each: "
            f"{ratios[-1]:,.0f} times ({len(rounds)} steady rounds)"
        )
    found = statistics.median(ratios) if ratios else 0.0
    print(f"truth at once: {found:,.0f} times the loop (median of families)")
    return found


def flat(place: Path, sizes: Sequence[int]) -> float:
    """How much dearer with the most patients than with the fewest: a question, or what can be asked of a patient."""
    costs: dict[int, float] = {}
    drawing: dict[int, float] = {}
    for copies in sizes:
        path = place / f"copies-{copies}.duckdb"
        copied(place / "world.duckdb", copies, path)
        world = World.open(path, threads=1)
        tables = _seconds(lambda world=world: views(world))  # type: ignore[misc]
        each, found = [], 0.0
        for name in FAMILIES:
            question = BY_NAME[name]
            started = process_time()
            asked = candidates(question, world)[:ASKED]
            found += process_time() - started
            times = [
                _seconds(lambda question=question, asked=asked, world=world: truths(question, asked, world))  # type: ignore[misc]
                for _ in range(3)
            ]
            each.append(statistics.median(times) / len(asked))
        costs[copies] = statistics.mean(each)
        patients = len(world.patients)
        drawing[copies] = found / len(FAMILIES) / patients
        print(
            f"{patients:6,} patients: {costs[copies] * 1000:.3f} ms per question; once for all, per patient: tables "
            f"{tables / patients * 1000:.2f} ms, what a family can ask {drawing[copies] * 1000:.2f} ms"
        )
        world.close()
        path.unlink()
    growth = max(costs.values()) / costs[min(costs)]
    growth_drawn = max(drawing.values()) / drawing[min(drawing)]
    print(f"most patients against fewest: a question {growth:.2f} times, what can be asked {growth_drawn:.2f} times")
    return max(growth, growth_drawn)


def kept(world: World) -> None:
    """Trajectories per second of one process, and the reference's rows per second; reported, without a gate."""
    quotas = tuple(Quota(name, "train", branch, 12) for name in KEPT for branch in BY_NAME[name].branches)
    versions = {name: BY_NAME[name].version for name in KEPT}
    partition = Partition("train", 0, 1, quotas, versions, "clinical", "code", 0, "bench")
    make(partition, world)  # pools are asked once per world
    made: list[Made] = []
    rates, ratios = [], []
    for _ in range(3 * ROUNDS):
        before = _reference(made)
        spent = _seconds(lambda: made.append(make(partition, world)))
        after = _reference(made)
        rate = len(made[-1].kept) / spent
        rates.append(rate)
        if before and abs(before - after) <= 0.15 * max(before, after):
            ratios.append(rate * 2 / (before + after))
        if len(ratios) == ROUNDS:
            break
    told = f"{statistics.median(ratios):.4f} of" if ratios else "no steady round against"
    print(
        f"kept code trajectories: {statistics.median(rates):,.0f} per second of this process (its workers run beside it), "
        f"{told} sorted dumps and sha256 ({_reference(made):,.0f} rows per second)"
    )


def _reference(made: list[Made]) -> float:
    """Rows per second of sorted dumps and sha256; 0 before there are rows."""
    if not made:
        return 0.0
    rows: list[dict[str, Any]] = [
        {
            "id": row.task.id, "messages": message_list(row.episode.messages), "task": task_to_json(row.task),
            "verdict": verdict_json(row.verdict), "provenance": row.provenance, "content_hash": row.content_hash,
        }
        for row in made[-1].kept
    ]  # fmt: skip

    def work() -> None:
        for row in rows * 20:
            hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).digest()

    return len(rows) * 20 / _seconds(work)


def copied(source: Path, copies: int, out: Path) -> None:
    """A world of so many copies of each patient, whose ids and references are their own; at most 40 records of a type each."""
    with duckdb.connect(str(out)) as db:
        db.execute(f"ATTACH '{source}' AS one (READ_ONLY)")
        db.execute("CREATE TABLE meta AS FROM one.meta")
        db.execute(f"""CREATE TABLE resource AS SELECT * EXCLUDE (n, copy) REPLACE (
                CASE WHEN patient IS NULL THEN id ELSE id || copy END AS id, patient || copy AS patient,
                CASE WHEN patient IS NULL THEN raw ELSE
                    regexp_replace(replace(raw, '"id":"' || id || '"', '"id":"' || id || copy || '"'),
                        '"(Patient|Encounter|Condition|Observation|MedicationRequest|Procedure)/([^"]+)"',
                        '"\\1/\\2' || copy || '"', 'g') END AS raw)
            FROM (SELECT *, row_number() OVER (PARTITION BY patient, type ORDER BY md5(id)) AS n FROM one.resource),
                (SELECT '-' || lpad(i::VARCHAR, 4, '0') AS copy FROM range({int(copies)}) r(i))
            WHERE CASE WHEN patient IS NULL THEN copy = '-0000' ELSE n <= 40 END""")


def _seconds(work: Callable[[], object]) -> float:
    started = process_time()
    work()
    return process_time() - started


if __name__ == "__main__":
    sys.exit(main())
