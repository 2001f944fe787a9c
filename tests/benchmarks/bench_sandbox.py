"""An empty execution in either sandbox against starting a bare ``python -I -S -c pass``: at most 0.1 embedded, 0.3 full CPython.

The reference runs before and after the two in every round; a round in which its two runs differ by more than 15 % does not
count, and the figure is the median of the rounds. Of the runs of a round the wall clock's quickest tenth is taken, of the
reference as of the sandboxes: the rest waited for other work on the same cores. Where too few rounds are steady by it, the
seconds of processor decide, of this process and all that descend from it; both are printed. What 40 resources of JSON cost
is printed beside, without a gate.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import orjson

from fhirtasks.errors import UserError
from fhirtasks.sandbox.embedded import EmbeddedSandbox
from fhirtasks.sandbox.forkserver import CpythonSandbox

NOW = "2141-03-05T08:30:00-05:00"
GATES = {"embedded": 0.1, "cpython": 0.3}
ROUNDS, TRIES, EACH = 7, 15, 100
WORK = "total = sum(one['valueQuantity']['value'] for one in resources['Observation'])\nprint(round(total, 1))"


@dataclass(frozen=True, slots=True)
class Cost:
    """One execution: the tenth percentile by the wall clock, the mean of processor, in milliseconds."""

    wall: float
    processor: float


def main() -> int:
    load = os.getloadavg()[0]
    print(f"python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} CPUs, load {load:.1f}")
    values = [{"id": f"o{n}", "valueQuantity": {"value": n / 7, "unit": "mg/dL"}, "text": "x" * 600} for n in range(40)]
    names = {"resources": orjson.dumps({"Observation": values}).decode()}
    cpython = CpythonSandbox()
    with EmbeddedSandbox() as embedded:
        boxes: dict[str, EmbeddedSandbox | CpythonSandbox] = {"embedded": embedded}
        try:
            cpython.__enter__()
            boxes["cpython"] = cpython
        except UserError as refused:
            print(refused)
        try:
            return _compare(boxes, names)
        finally:
            cpython.__exit__(None, None, None)


def _compare(boxes: dict[str, EmbeddedSandbox | CpythonSandbox], names: dict[str, str]) -> int:
    def empty(box: EmbeddedSandbox | CpythonSandbox) -> Callable[[], None]:
        return lambda: _run(box, "pass", {})

    rounds: list[tuple[Cost, dict[str, Cost], Cost]] = []
    for _ in range(TRIES):
        before = _cost(_reference, EACH // 4)
        costs = {name: _cost(empty(box), EACH) for name, box in boxes.items()}
        rounds.append((before, costs, _cost(_reference, EACH // 4)))
        if sum(_steady(before.wall, after.wall) for before, _, after in rounds) >= ROUNDS:
            break
    ratios = {"wall": _ratios(rounds, "wall", boxes), "processor": _ratios(rounds, "processor", boxes)}
    by = "wall" if len(ratios["wall"]["embedded"]) >= 5 else "processor"
    for kind in ("wall", "processor"):
        reference = statistics.median(getattr(before, kind) for before, _, _ in rounds)
        print(
            f"{kind}: python -I -S -c pass {reference:.2f} ms; {len(ratios[kind]['embedded'])} of {len(rounds)} rounds steady"
        )
        for name in boxes:
            cost = statistics.median(getattr(costs[name], kind) for _, costs, _ in rounds)
            told = f"{statistics.median(found):.3f}" if (found := ratios[kind][name]) else "no steady round"
            print(f"  {name:10} {cost:8.2f} ms, ratio {told} (at most {GATES[name]})")
    for name, box in boxes.items():
        cost_of_work = _cost(lambda box=box: _run(box, WORK, names), EACH // 2)  # type: ignore[misc]
        print(f"40 resources, {name}: {cost_of_work.wall:.2f} ms wall, {cost_of_work.processor:.2f} ms processor")
    if len(ratios[by]["embedded"]) < 5:
        print("the machine is too busy: fewer than 5 rounds are steady by either clock")
        return 1
    good = all(statistics.median(ratios[by][name]) <= GATES[name] for name in boxes)
    print(f"gates, by the {by} clock: {'passed' if good else 'MISSED'}")
    return 0 if good else 1


def _ratios(
    rounds: list[tuple[Cost, dict[str, Cost], Cost]], kind: str, names: dict[str, EmbeddedSandbox | CpythonSandbox]
) -> dict[str, list[float]]:
    """Per sandbox its ratio to the reference in every steady round."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for before, costs, after in rounds:
        one, other = getattr(before, kind), getattr(after, kind)
        if _steady(one, other):
            for name in names:
                found[name].append(getattr(costs[name], kind) / ((one + other) / 2))
    return found


def _steady(one: float, other: float) -> bool:
    return abs(one - other) <= 0.15 * max(one, other)


def _reference() -> None:
    subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)


def _run(box: EmbeddedSandbox | CpythonSandbox, code: str, names: dict[str, str]) -> None:
    session = box.session(NOW, "seed")
    assert session.run(code, names).end == "ok"
    session.close()


def _cost(work: Callable[[], None], times: int) -> Cost:
    walls = []
    before = _processor()
    for _ in range(times):
        start = perf_counter()
        work()
        walls.append(perf_counter() - start)
    return Cost(statistics.quantiles(walls, n=10)[0] * 1000, (_processor() - before) / times * 1000)


def _processor() -> float:
    """Seconds of processor of this process, of all that descend from it, and of all that these waited for."""
    stats = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stats[int(entry)] = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended just now
            continue
    family = [os.getpid()]
    for one in family:
        family += [pid for pid, fields in stats.items() if int(fields[1]) == one]
    # utime, stime and those of children that were waited for.
    return sum(int(ticks) for pid in family for ticks in stats[pid][11:15]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
