"""A small release and a benchmark graph; experts and judges that know the small release alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluation_doubles import BENCHMARK_ROWS, TASKS, chart, expert, judge, lab, patient, write_release

import graders
import solvers
from fhirtasks.graph.world import write_world_from_charts


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graders, "truths", lambda tasks, world: {one.id: len(world.patients) for one in tasks})
    monkeypatch.setattr(graders, "grade", judge)
    monkeypatch.setattr(solvers, "solver", lambda family: expert)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path / "release", TASKS)


@pytest.fixture
def benchmark_file(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(BENCHMARK_ROWS), encoding="utf-8")
    return path


@pytest.fixture
def benchmark_graph(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark.duckdb"
    resources = [
        patient("S1", "S1", "Ann", "Moe", "1950-02-03"),
        lab("1", "S1", "GLU", (101, "mg/dL"), "2023-11-12T08:00:00+00:00"),
        lab("2", "S1", "GLU", (99, "mg/dL"), "2023-11-10T08:00:00+00:00"),
    ]
    write_world_from_charts(chart(resources), "test", path)
    return path
