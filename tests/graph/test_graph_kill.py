"""A load that is killed leaves the graph as it was, and the next one finishes the work."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhirtasks.graph.load import load
from fhirtasks.graph.store import open_graph

LOAD = "import sys; from pathlib import Path; from fhirtasks.graph.load import load; load([sys.argv[1]], Path(sys.argv[2]))"


def lab(number: int) -> str:
    note = [{"text": f"note {number} " * 20}]
    return json.dumps(
        {"resourceType": "Observation", "id": f"o{number}", "subject": {"reference": "Patient/p"}, "note": note}
    )


def kill_and_resume(folder: Path, kills: int, seed: int) -> int:
    """Kills loads at random moments of their run; gives how many were killed before they had finished."""
    first, second, graph = folder / "first.ndjson", folder / "second.ndjson", folder / "g.duckdb"
    first.write_text("\n".join(lab(i) for i in range(50)))
    second.write_text("\n".join(lab(i) for i in range(40, 8_000)))
    before = load([str(first)], graph).fingerprint
    after = load([str(first), str(second)], folder / "expected.duckdb").fingerprint
    command = [sys.executable, "-c", LOAD, str(second), str(graph)]
    start = time.perf_counter()
    subprocess.run([*command[:-1], str(folder / "timed.duckdb")], check=True)
    whole = time.perf_counter() - start
    rng, interrupted = random.Random(seed), 0
    for _ in range(kills):
        with subprocess.Popen(command) as process:
            time.sleep(rng.uniform(0.3, 1.0) * whole)
            process.send_signal(signal.SIGKILL)
        with open_graph(graph) as db:
            found = db.execute("select value from meta where key = 'fingerprint'").fetchall()[0][0]
            rows = db.execute("select count(*) from resource").fetchall()[0][0]
        assert (found, rows) in ((before, 50), (after, 8_000))
        interrupted += process.returncode == -signal.SIGKILL
        if found == after:
            load([str(first)], folder / "fresh.duckdb")
            (folder / "fresh.duckdb").replace(graph)
    assert load([str(second)], graph).fingerprint == after
    names = {"first.ndjson", "second.ndjson", "g.duckdb", "expected.duckdb", "timed.duckdb"}
    assert {path.name for path in folder.iterdir()} == names
    return interrupted


def test_ten_kills(tmp_path: Path) -> None:
    assert kill_and_resume(tmp_path, kills=10, seed=1) >= 2  # how many are early enough depends on the machine


@pytest.mark.proof
def test_many_kills(tmp_path: Path) -> None:
    assert kill_and_resume(tmp_path, kills=150, seed=2) >= 75
