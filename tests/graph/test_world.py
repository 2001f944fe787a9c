"""Worlds: whole compartments, what they reference, nothing of anybody else; the same from a graph and from charts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fhirtasks.errors import UserError
from fhirtasks.graph.columns import columns_query
from fhirtasks.graph.world import World, write_world, write_world_from_charts


def body(reference: str, *references: str, **more: Any) -> tuple[str, str, str]:
    """(type, id, raw) of a resource that points at others."""
    type, _, id = reference.partition("/")
    links = [{"reference": target} for target in references]
    return type, id, json.dumps({"resourceType": type, "id": id, **more, "link": links}, separators=(",", ":"))


RESOURCES = [
    body("Patient/a"),
    body("Patient/b"),
    body("Patient/c"),
    body("Observation/a1", "Practitioner/p1", subject={"reference": "Patient/a"}, issued="2020-01-01T00:00:00Z"),
    body("Observation/b1", "Practitioner/p2", "Medication/m1", subject={"reference": "Patient/b"}),
    body("Observation/c1", "Group/g1", "RelatedThing/r1", subject={"reference": "Patient/c"}),
    body("Practitioner/p1", "Organization/o1"),
    body("Practitioner/p2"),
    body("Organization/o1", "Location/l1", "Organization/o1"),
    body("Location/l1", "Organization/o1", "Endpoint/missing"),
    body("Medication/m1", "Medication/m2"),
    body("Medication/m2"),
    body("Medication/unused"),
    body("Group/g1", "Patient/a", "Location/l2"),
    body("Location/l2"),
    body("RelatedThing/r1", "Observation/b1"),
]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph file as docs/architecture.md has it, made without the loader."""
    path = tmp_path / "graph.duckdb"
    db = duckdb.connect(str(path))
    db.execute("CREATE TABLE stage (type VARCHAR, id VARCHAR, raw VARCHAR)")
    db.executemany("INSERT INTO stage VALUES (?, ?, ?)", RESOURCES)
    db.execute(f"""CREATE TABLE resource AS
        SELECT type, id, CASE WHEN type = 'Patient' THEN id ELSE subject END AS patient, codes, categories, status,
            date_lo, date_hi,
            effective, value, unit, 1 AS source, raw FROM ({columns_query("stage")})""")
    db.execute("""CREATE TABLE edge (type VARCHAR, id VARCHAR, path VARCHAR, reference VARCHAR, kind VARCHAR,
    target_type VARCHAR, target_id VARCHAR, resolved BOOLEAN)""")
    known = {(type, id) for type, id, _ in RESOURCES}
    for type, id, raw in RESOURCES:
        resource = json.loads(raw)
        for link in [*resource["link"], *([resource["subject"]] if "subject" in resource else [])]:
            target = tuple(link["reference"].split("/"))
            row = [type, id, "link", link["reference"], "relative", *target, target in known]
            db.execute("INSERT INTO edge VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    db.execute("CREATE TABLE meta (key VARCHAR, value VARCHAR)")
    db.close()
    return path


def contents(path: Path) -> set[str]:
    world = World.open(path)
    rows = world.db.execute("SELECT type || '/' || id FROM resource").fetchall()
    world.close()
    return {row[0] for row in rows}


def test_compartments_and_the_closure_of_what_they_reference(graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.duckdb"
    write_world(graph, ["a"], "train", out)
    assert contents(out) == {
        "Patient/a", "Observation/a1", "Practitioner/p1", "Organization/o1", "Location/l1",
    }  # fmt: skip
    write_world(graph, ["b"], "train", out)
    assert contents(out) == {"Patient/b", "Observation/b1", "Practitioner/p2", "Medication/m1", "Medication/m2"}


def test_what_points_at_others_stays_out_with_what_only_it_references(graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.duckdb"
    write_world(graph, ["c"], "train", out)
    assert contents(out) == {"Patient/c", "Observation/c1"}
    write_world(graph, ["c", "a"], "train", out)
    assert {"Group/g1", "Location/l2"} <= contents(out)
    assert "RelatedThing/r1" not in contents(out)
    write_world(graph, ["c", "a", "b"], "train", out)
    assert contents(out) == {f"{type}/{id}" for type, id, _ in RESOURCES} - {"Medication/unused"}


def test_a_world_has_split_fingerprint_patients_raw(graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.duckdb"
    write_world(graph, ["b", "a"], "validation", out)
    world = World.open(out, threads=1)
    assert (world.split, world.patients, world.memo) == ("validation", ("a", "b"), {})
    assert world.raw("Patient", "a") == RESOURCES[0][2]
    assert world.raw("Patient", "c") is None
    assert world.raw("Observation", "a") is None
    assert world.db.execute("SELECT current_setting('threads')").fetchone() == (1,)
    shown = world.db.execute(f"SELECT count(*) FROM resource WHERE {world.visible_sql(0)}").fetchone()
    everything = world.db.execute("SELECT count(*) FROM resource").fetchone()
    assert shown == (everything[0] - 1,)
    again = pickle.loads(pickle.dumps(world))
    assert again.fingerprint == world.fingerprint
    again.close()
    world.close()


def test_the_same_world_from_graph_and_from_charts_in_any_order(graph: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.duckdb", tmp_path / "2.duckdb"
    write_world(graph, ["a", "b"], "train", first)
    world = World.open(first)
    rows = world.db.execute("SELECT type, id, patient, raw FROM resource").fetchall()
    write_world_from_charts(reversed(rows), "train", second)
    other = World.open(second)
    assert other.fingerprint == world.fingerprint
    everything = "SELECT * FROM resource"
    assert other.db.execute(everything).fetchall() == world.db.execute(everything).fetchall()
    changed = [(t, i, p, raw.replace("2020-01-01", "2020-01-02")) for t, i, p, raw in rows]
    other.close()
    write_world_from_charts(changed, "train", second)
    assert World.open(second).fingerprint != world.fingerprint


def test_an_empty_world(graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.duckdb"
    write_world(graph, [], "test", out)
    assert contents(out) == set()
    write_world_from_charts([], "test", tmp_path / "w2.duckdb")
    assert World.open(out).fingerprint == World.open(tmp_path / "w2.duckdb").fingerprint


def test_bad_input_is_one_sentence_and_leaves_nothing(graph: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(UserError, match="no Patient 'nobody'"):
        write_world(graph, ["a", "nobody"], "train", place / "w.duckdb")
    with pytest.raises(UserError, match="does not exist"):
        write_world(tmp_path / "none", ["a"], "train", place / "w.duckdb")
    with pytest.raises(UserError, match="does not exist"):
        write_world(graph, ["a"], "train", tmp_path / "nowhere" / "w.duckdb")
    with pytest.raises(RuntimeError):
        write_world_from_charts(_failing(), "train", place / "w.duckdb")
    assert list(place.iterdir()) == []
    with pytest.raises(UserError, match="cannot be read"):
        World.open(_text(tmp_path / "text"))
    with pytest.raises(UserError, match="cannot be read"):
        World.open(_other(tmp_path / "other.duckdb"))


def _failing() -> Any:
    yield ("Patient", "a", "a", "{}")
    raise RuntimeError("the source broke off")


def _text(path: Path) -> Path:
    path.write_text("no database")
    return path


def _other(path: Path) -> Path:
    duckdb.connect(str(path)).execute("CREATE TABLE something (x INTEGER)").close()
    return path
