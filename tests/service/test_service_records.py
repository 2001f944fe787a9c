"""On real records: both tiers agree for every type and parameter that the records answer."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirtasks.fhir.searchparams import TYPES, params_of
from fhirtasks.fhir.searchvalues import values
from fhirtasks.graph.load import load
from fhirtasks.graph.world import World, write_world
from fhirtasks.service.charts import Charts
from fhirtasks.service.parse import compile_query
from fhirtasks.service.service import Service

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module", params=["synthea-bundles", "synthea-ndjson"])
def records(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = SHARED / request.param
    if not folder.is_dir():
        pytest.skip("the public records are not beside the checkout")
    place = tmp_path_factory.mktemp(request.param)
    load([str(folder)], place / "graph.duckdb")
    graph = World.open(place / "graph.duckdb")
    patients = graph.patients[:12]
    graph.close()
    write_world(place / "graph.duckdb", patients, "train", place / "world.duckdb")
    world = World.open(place / "world.duckdb", threads=1)
    yield world
    world.close()


@pytest.mark.shared
def test_both_tiers_agree_on_every_parameter(records: World) -> None:
    rng, charts, checked = random.Random(3), Charts.of(records), 0
    for type in TYPES:
        rows = records.db.execute("SELECT patient, raw FROM resource WHERE type = ? ORDER BY id", [type]).fetchall()
        rows = [row for row in rows if row[0] is not None and type != "Patient"]
        for name, param in params_of(type).items():
            for patient, raw in rng.sample(rows, min(3, len(rows))):
                found = [v for v in values(json.loads(raw), param) if isinstance(v, str) and v[0] not in "\2\3"]
                if param.kind not in ("token", "reference") or not found:
                    continue
                asked = rng.choice(found)
                asked = f"{asked[1:]}|" if asked[0] == "\1" else asked.lstrip("\0")
                asked = asked.replace(",", "\\,").replace("$", "\\$")
                query = compile_query(type, f"patient={patient}&{name}={asked.replace('&', '%26').replace('+', '%2B')}")
                ids = frozenset([patient])
                memory = charts.in_memory(query, ids, None).ordered(query)
                sql = charts.filled(charts.in_sql(query, ids, None).ordered(query))
                assert [(r.id, r.body) for r in memory] == [(r.id, r.body) for r in sql], (type, name, asked)
                assert memory, (type, name, asked)
                checked += 1
    assert checked > 100


@pytest.mark.shared
def test_a_patient_is_found_by_what_the_record_says(records: World) -> None:
    service = Service(records, now=None, task_id="t")
    for id in records.patients:
        person = json.loads(records.raw("Patient", id) or "")
        name = person["name"][0]
        searches = [
            f"identifier={person['identifier'][0]['value']}",
            f"family={name['family']}&given={name['given'][0]}&birthdate={person['birthDate']}",
            f"name={name['given'][0]} {name['family']}&birthdate={person['birthDate']}",
        ]
        for search in searches:
            bundle = json.loads(service.request("GET", f"Patient?{search}").body)
            assert id in [entry["resource"]["id"] for entry in bundle["entry"]], search
        chart = json.loads(service.request("GET", f"Observation?patient={id}&_summary=count").body)
        count = records.db.execute("SELECT count(*) FROM resource WHERE type = 'Observation' AND patient = ?", [id])
        assert (chart["total"],) == count.fetchone()
