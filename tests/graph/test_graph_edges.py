"""References become edges: every kind, resolved over the whole graph, or counted and listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirtasks.graph.load import load
from fhirtasks.graph.store import open_graph, unresolved

U1, U2 = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def refer(type_: str, id_: str, **elements: Any) -> dict[str, Any]:
    """A resource whose elements are reference strings (or anything else, taken as it is)."""
    made = {name: {"reference": value} if isinstance(value, str) else value for name, value in elements.items()}
    return {"resourceType": type_, "id": id_, **made}


def edges(graph: Path) -> set[tuple[Any, ...]]:
    with open_graph(graph) as db:
        return set(
            db.execute("select id, path, reference, kind, target_type, target_id, resolved from edge").fetchall()
        )


PRACTITIONER = {
    "resourceType": "Practitioner",
    "id": "d",
    "identifier": [{"system": "http://npi", "value": "9"}, {"value": "loose"}],
}
TARGETS = [{"resourceType": "Patient", "id": "p"}, {"resourceType": "Patient", "id": U1}, PRACTITIONER]


@pytest.mark.parametrize(
    ("reference", "kind", "target"),
    [
        ("Patient/p", "relative", ("Patient", "p", True)),
        ("Patient/p/_history/3", "relative", ("Patient", "p", True)),
        ("Patient/none", "relative", ("Patient", "none", False)),
        ("https://any.example/base/Patient/p", "absolute", ("Patient", "p", True)),
        ("https://any.example/base/Patient/p/_history/1", "absolute", ("Patient", "p", True)),
        ("https://any.example/base/Patient/none", "absolute", ("Patient", "none", False)),
        ("https://any.example/page.html", "absolute", (None, None, False)),
        (f"urn:uuid:{U1}", "urn", ("Patient", U1, True)),
        (f"urn:uuid:{U2}", "urn", (None, None, False)),
        ("urn:oid:1.2.3", "urn", (None, None, False)),
        ("Practitioner?identifier=http://npi|9", "conditional", ("Practitioner", "d", True)),
        ("Practitioner?identifier=http%3A%2F%2Fnpi%7C9", "conditional", ("Practitioner", "d", True)),
        ("Practitioner?identifier=9", "conditional", ("Practitioner", "d", True)),
        ("Practitioner?identifier=|loose", "conditional", ("Practitioner", "d", True)),
        ("Practitioner?identifier=|9", "conditional", (None, None, False)),
        ("Patient?identifier=http://npi|9", "conditional", (None, None, False)),
        ("Practitioner?name=x", "conditional", (None, None, False)),
        ("#inside", "contained", (None, None, True)),
        ("#", "contained", (None, None, True)),
        ("#outside", "contained", (None, None, False)),
        ("/Patient/p", "other", (None, None, False)),
        ("a name", "other", (None, None, False)),
    ],
)
@pytest.mark.parametrize("place", ["usual", "odd"])
def test_kinds(write: Any, tmp_path: Path, reference: str, kind: str, target: tuple[Any, ...], place: str) -> None:
    """The same edge, be it at a place that the columns know or anywhere else."""
    contained = {"contained": [{"resourceType": "Basic", "id": "inside"}]}
    path = "encounter" if place == "usual" else "extension"
    elements = (
        {"encounter": reference}
        if place == "usual"
        else {"extension": [{"url": "u", "valueReference": {"reference": reference}}]}
    )
    graph = tmp_path / "g.duckdb"
    report = load([str(write("a.ndjson", refer("Observation", "o", **elements, **contained), *TARGETS))], graph)
    assert edges(graph) == {("o", path, reference, kind, *target)}
    assert report.unresolved_references == (not target[2])
    with open_graph(graph) as db:
        listed = unresolved(db)
    assert listed == report.unresolved_examples
    expected = {"type": "Observation", "id": "o", "path": path, "reference": reference, "kind": kind}
    assert listed == ([] if target[2] else [expected])


def test_a_reference_by_identifier_alone(write: Any, tmp_path: Path) -> None:
    def by(value: str, **more: str) -> dict[str, Any]:
        return {**more, "identifier": {"system": "http://npi", "value": value}}

    lines = [
        refer(
            "Observation", "o", subject=by("9", type="Practitioner"), performer=[by("9"), by("8", type="Practitioner")]
        ),
        {
            "resourceType": "Patient",
            "id": "p",
            "identifier": [{"value": "x", "assigner": by("9", reference="Practitioner/d")}],
        },
        PRACTITIONER,
    ]
    graph = tmp_path / "g.duckdb"
    assert load([str(write("a.ndjson", *lines))], graph).unresolved_references == 1
    assert edges(graph) == {
        ("o", "subject", "Practitioner?identifier=http://npi|9", "logical", "Practitioner", "d", True),
        ("o", "performer", "?identifier=http://npi|9", "logical", "Practitioner", "d", True),
        ("o", "performer", "Practitioner?identifier=http://npi|8", "logical", "Practitioner", None, False),
        ("p", "identifier", "Practitioner/d", "relative", "Practitioner", "d", True),
    }


def test_a_urn_is_looked_up_in_its_own_bundle_first(write: Any, tmp_path: Path) -> None:
    def bundle(patient: str, id_: str) -> dict[str, Any]:
        named = {"fullUrl": f"urn:uuid:{U1}", "resource": {"resourceType": "Patient", "id": patient}}
        pointing = refer("Observation", id_, subject=f"urn:uuid:{U1}")
        return {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [named, {"fullUrl": f"urn:uuid:{id_}", "resource": pointing}],
        }

    graph = tmp_path / "g.duckdb"
    report = load([str(write("a.json", bundle("a", "oa"))), str(write("b.json", bundle("b", "ob")))], graph)
    assert report.unresolved_references == 0
    assert {(edge[0], edge[5]) for edge in edges(graph)} == {("oa", "a"), ("ob", "b")}
    with open_graph(graph) as db:
        assert db.execute("select id, patient from resource where type = 'Observation' order by id").fetchall() == [
            ("oa", "a"),
            ("ob", "b"),
        ]
    # Outside any Bundle the urn could mean either, so it means none; in a graph that knows one it is resolved.
    loose = str(write("c.ndjson", refer("Observation", "oc", subject=f"urn:uuid:{U1}")))
    assert load([loose], graph).unresolved_references == 1
    alone = tmp_path / "alone.duckdb"
    load([loose], alone)
    assert load([str(write("a.json", bundle("a", "oa")))], alone).unresolved_references == 0


def test_compartments_are_found_over_edges(write: Any, tmp_path: Path) -> None:
    lines = [
        {"resourceType": "Patient", "id": "p", "identifier": [{"system": "s", "value": "1"}]},
        {"resourceType": "Patient", "id": "q"},
        refer("Observation", "conditional", subject="Patient?identifier=s|1"),
        refer("Observation", "direct", subject="Patient/gone"),
        refer("Provenance", "one", target=[{"reference": "Patient/p"}, {"reference": "Observation/direct"}]),
        refer("Provenance", "two", target=[{"reference": "Patient/p"}, {"reference": "Patient/q"}]),
        refer(
            "Appointment",
            "visit",
            participant=[{"actor": {"reference": "Patient/q"}}, {"actor": {"reference": "Practitioner/d"}}],
        ),
        refer("Organization", "none", partOf="Organization/other"),
    ]
    graph = tmp_path / "g.duckdb"
    load([str(write("a.ndjson", *lines))], graph)
    with open_graph(graph) as db:
        found = dict(db.execute("select id, patient from resource").fetchall())
        ordered = db.execute("select patient from resource").fetchall()
    assert found == {
        "p": "p", "q": "q", "conditional": "p", "direct": "gone", "one": "p", "two": None, "visit": "q", "none": None,
    }  # fmt: skip
    assert ordered == sorted(ordered, key=lambda row: (row[0] is None, row[0]))


REFERENCES = st.sampled_from(
    ["Patient/p", "Patient/none", "#inside", f"urn:uuid:{U1}", "Practitioner?identifier=9", "x"]
)
TREES = st.recursive(
    REFERENCES.map(lambda text: {"reference": text}),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1)
    ),
    max_leaves=6,
)


def texts_in(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [text for key, item in value.items() if key != "reference" for text in texts_in(item)]
    return []


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["Observation", "Encounter", "Unheard"]), st.dictionaries(
    st.sampled_from(["subject", "encounter", "performer", "serviceProvider", "x"]), TREES)), min_size=1, max_size=8))  # fmt: skip
def test_no_reference_is_lost(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[str, dict[str, Any]]]
) -> None:
    folder = tmp_path_factory.mktemp("edges")
    lines = [refer(type_, f"r{i}", **elements) for i, (type_, elements) in enumerate(found)]
    (folder / "a.ndjson").write_text("\n".join(map(json.dumps, [*lines, *TARGETS])))
    load([str(folder / "a.ndjson")], folder / "g.duckdb")
    expected = sorted(
        (line["id"], path, text) for line in lines for path, tree in line.items() for text in texts_in(tree)
    )
    with open_graph(folder / "g.duckdb") as db:
        assert sorted(db.execute("select id, path, reference from edge").fetchall()) == expected
