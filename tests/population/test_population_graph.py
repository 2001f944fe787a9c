"""Populating a graph: seeds add up, the same seed adds nothing, and the command works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb

from fhirtasks.population.populate import generate, populate


def test_seeds_add_up_and_the_same_seed_adds_nothing(tmp_path: Path) -> None:
    graph, said = tmp_path / "g.duckdb", list[str]()
    one = populate(graph, patients=3, seed=4, progress=said.append)
    assert one.resources["Patient"] == 3
    assert one.conflicts == one.unresolved_references == 0
    assert said
    again = populate(graph, patients=3, seed=4)
    assert again.fingerprint == one.fingerprint
    more = populate(graph, patients=2, seed=5)
    assert more.resources["Patient"] == 5
    assert more.resources["Organization"] == one.resources["Organization"]
    assert more.conflicts == 0
    other = populate(tmp_path / "h.duckdb", patients=2, seed=5)
    both = populate(tmp_path / "h.duckdb", patients=3, seed=4)
    assert other.fingerprint != both.fingerprint == more.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["g.duckdb", "h.duckdb"]


def test_what_is_read_back_is_what_was_made(tmp_path: Path) -> None:
    graph = tmp_path / "g.duckdb"
    populate(graph, patients=2, seed=9)
    with duckdb.connect(str(graph), read_only=True) as db:
        assert sorted(row[0] for row in db.execute("select raw from resource").fetchall()) == sorted(generate(2, 9))
        names, licences = zip(*db.execute("select name, licence from source").fetchall(), strict=True)
    assert set(licences) == {"CC0-1.0"}
    assert not any("/" in name for name in names)


def test_the_command_prints_one_json_value(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "fhirtasks",
        "populate",
        "--graph",
        str(tmp_path / "g.duckdb"),
        "--patients",
        "2",
        "--json",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["resources"]["Patient"] == 2
