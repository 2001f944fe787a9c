"""The three public record folders: counts are the files' own, and texts come back as they were."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from fhirtasks.graph.load import load
from fhirtasks.graph.store import open_graph, read

FOLDERS = [pytest.param("mimic-iv-demo-fhir", marks=pytest.mark.proof), "synthea-bundles", "synthea-ndjson"]


def parse(text: str | bytes) -> Any:
    """JSON with every number as its text, so that 1.10 and 1.1 differ."""
    return json.loads(text, parse_float=lambda digits: ("number", digits), parse_int=lambda digits: ("number", digits))


def texts(folder: Path) -> Iterator[bytes]:
    """Every resource's text (for Bundles, as msgspec cuts it out)."""
    for path in sorted(folder.iterdir()):
        if path.name.endswith(".ndjson.gz"):
            with gzip.open(path) as lines:
                yield from lines
        elif path.suffix == ".json":
            entries = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])["entry"]
            yield from (
                bytes(entry["resource"]) for entry in msgspec.json.decode(entries, type=list[dict[str, msgspec.Raw]])
            )


@pytest.mark.shared
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder(name: str, shared: Path, tmp_path: Path) -> None:
    graph = tmp_path / "g.duckdb"
    report = load([str(shared / name)], graph, licence="see the folder")
    ids: dict[str, set[str]] = {}
    rng = random.Random(7)
    sample: list[bytes] = []
    for seen, text in enumerate(texts(shared / name)):
        resource = orjson.loads(text)
        ids.setdefault(resource["resourceType"], set()).add(resource["id"])
        if seen < 1_000:
            sample.append(text)
        elif (place := rng.randrange(seen + 1)) < 1_000:
            sample[place] = text
    assert report.resources == {type_: len(found) for type_, found in sorted(ids.items())}
    with open_graph(graph) as db:
        differing = []
        for resource in map(parse, sample):
            type_, id_ = resource["resourceType"], resource["id"]
            loaded = read(db, type_, id_)
            assert loaded is not None
            if parse(loaded) != resource:
                others = db.execute("select raw from superseded where type = ? and id = ?", [type_, id_]).fetchall()
                assert resource in [parse(other) for (other,) in others]
                differing.append(id_)
        assert len(differing) <= report.superseded
        strangers = (
            "select count(*) from resource where patient not in (select id from resource where type = 'Patient')"
        )
        assert db.execute(strangers).fetchall() == [(0,)]
        charted = db.execute("select count(*) from resource where type = 'Observation' and patient is null").fetchall()
        assert charted == [(0,)]
    assert report.unresolved_references == 0
    assert (report.conflicts > 0) == (name == "synthea-bundles")
    assert report.bundles == (42 if name == "synthea-bundles" else 0)
