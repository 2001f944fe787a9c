"""Known collections are recognised whatever was said of them; what a person said of patients stays."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.graph import known
from fhirtasks.graph.load import load

MIMIC = "http://mimic.mit.edu/fhir/mimic"


def patient(number: int, **members: Any) -> str:
    identifier = [{"system": f"{MIMIC}/identifier/patient", "value": str(number)}]
    meta = {"profile": [f"{MIMIC}/StructureDefinition/mimic-patient"]}
    body = {"resourceType": "Patient", "id": f"p{number}", "meta": meta, "identifier": identifier, **members}
    return json.dumps(body)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of three patients: 1, 2 and 3."""
    table = dict(known.known_sources())
    digests = tuple(hashlib.sha256(str(number).encode()).hexdigest()[:12] for number in (1, 2, 3))
    old = table[known.DEMO]
    table[known.DEMO] = known.Known(
        old.title, old.markers, old.licence, old.real_patients, old.origin, old.citation, old.source, digests
    )
    monkeypatch.setattr(known, "known_sources", lambda: table)


def keys(tmp_path: Path, **files: str | list[str]) -> dict[str, str | None]:
    paths = []
    for name, lines in files.items():
        path = tmp_path / f"{name}.ndjson"
        path.write_text("\n".join([lines] if isinstance(lines, str) else lines) + "\n")
        paths.append(str(path))
    report = load(paths, tmp_path / "g.duckdb")
    return {row["name"].removesuffix(".ndjson"): row["known"] for row in report.sources}


OBSERVATION = json.dumps({"resourceType": "Observation", "id": "o", "meta": {"profile": [f"{MIMIC}/x"]}})
OTHER = json.dumps({"resourceType": "Patient", "id": "x", "name": [{"family": "Doe"}]})
SYNTHEA = json.dumps(
    {
        "resourceType": "Patient",
        "id": "s",
        "identifier": [{"system": "https://github.com/synthetichealth/synthea", "value": "s"}],
    }
)


def test_the_demo_is_told_from_the_full_collection(tmp_path: Path, demo: None) -> None:
    assert keys(tmp_path, a=[patient(1), patient(3)], b=OBSERVATION, c=OTHER, d=SYNTHEA) == {
        "a": "mimic-iv-fhir-demo",
        "b": "mimic-iv-fhir-demo",
        "c": None,
        "d": "synthea",
    }
    # Loading one patient more makes all of it the full collection; the graph is added to.
    assert keys(tmp_path, e=patient(4)) == {
        "a": "mimic-iv-fhir", "b": "mimic-iv-fhir", "c": None, "d": "synthea", "e": "mimic-iv-fhir",
    }  # fmt: skip


@pytest.mark.parametrize(
    "lines",
    [
        [patient(1), patient(2), patient(3), patient(4)],
        [patient(1), patient(4)],
        [patient(1, identifier=[])],
        [patient(1, identifier={"system": MIMIC, "value": "1"})],
        [patient(1, identifier=[{"system": "http://elsewhere", "value": "1"}])],
        [OBSERVATION],
        [OTHER, OBSERVATION, SYNTHEA],
    ],
)
def test_what_is_not_surely_the_demo_is_the_full_collection(tmp_path: Path, demo: None, lines: list[str]) -> None:
    assert keys(tmp_path, a=lines) == {"a": "mimic-iv-fhir"}


def test_the_table_says_where_it_is_from() -> None:
    for one in known.known_sources().values():
        assert one.source.startswith("https://") and one.origin.startswith("https://") and one.citation
    assert len(set(known.known_sources()[known.DEMO].patients)) == 100


def test_real_patients_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(OTHER + "\n")
    graph = tmp_path / "g.duckdb"
    assert not load([str(path)], graph).sources[0]["real_patients"]
    for real in (True, False):
        (source,) = load([str(path)], graph, real_patients=real).sources
        assert source["real_patients"] is True
    (tmp_path / "b.ndjson").write_text(SYNTHEA + "\n")
    assert [row["real_patients"] for row in load([str(tmp_path / "b.ndjson")], graph).sources] == [True, False]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("sources", "key"),
    [
        (
            ["mimic-iv-demo-fhir/MimicPatient.ndjson.gz", "mimic-iv-demo-fhir/MimicProcedure.ndjson.gz"],
            "mimic-iv-fhir-demo",
        ),
        (["synthea-ndjson"], "synthea"),
        (["synthea-bundles"], "synthea"),
    ],
)
def test_the_public_collections(shared: Path, tmp_path: Path, sources: list[str], key: str) -> None:
    report = load([str(shared / source) for source in sources], tmp_path / "g.duckdb", licence="MIT")
    assert {row["known"] for row in report.sources} == {key}
