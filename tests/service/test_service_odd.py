"""What few ask and somebody posts: references as Synthea writes them, canonical URLs, groups, bodies made to break a walk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.graph.load import load
from fhirtasks.graph.world import World
from fhirtasks.service import service as module
from fhirtasks.service.service import Service

NOW = "2023-11-13T10:15:00+00:00"
LACKING = {"display": "no code"}


def lab(id: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": id, "status": "final", "code": {"text": "x"}, **more}


RECORDS = [
    {
        "resourceType": "Patient",
        "id": "p",
        "meta": {"versionId": "4", "profile": ["http://a.example/StructureDefinition/x"]},
    },
    {"resourceType": "Patient", "id": "q", "meta": {"profile": ["http://b.example/StructureDefinition/x"]}},
    lab(
        "coded",
        subject={"reference": "Patient/p"},
        code={"coding": [{"code": "a"}, LACKING, {"system": "s", "code": "b"}]},
    ),
    lab("urn", encounter={"reference": "urn:uuid:0a0a0a0a-0000-4000-8000-000000000001"}),
    lab("literal", encounter={"reference": "Encounter/0a0a0a0a-0000-4000-8000-000000000001"}),
    lab("group", subject={"reference": "Group/g"}),
    lab("device", subject={"reference": "Device/d"}),
    lab("other", subject={"reference": "Patient/q"}),
]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("odd")
    (folder / "a.ndjson").write_text("\n".join(map(json.dumps, RECORDS)))
    load([str(folder / "a.ndjson")], folder / "g")
    world = World.open(folder / "g", threads=1)
    yield world
    world.close()


def found(world: World, url: str) -> list[str]:
    answer = Service(world, now=None, task_id="t").request("GET", url)
    assert answer.status == 200, answer.body
    return [entry["resource"]["id"] for entry in json.loads(answer.body).get("entry", [])]


@pytest.mark.parametrize(
    ("url", "ids"),
    [
        ("Observation?code=b", ["coded"]),
        ("Observation?code=s|b", ["coded"]),
        ("Observation?patient=p&code=b", ["coded"]),
        ("Observation?encounter=urn:uuid:0a0a0a0a-0000-4000-8000-000000000001", ["literal", "urn"]),
        ("Observation?encounter=0a0a0a0a-0000-4000-8000-000000000001", ["literal", "urn"]),
        ("Patient?_profile=http://a.example/StructureDefinition/x", ["p"]),
        ("Observation?subject=Group/g,Device/d", ["device", "group"]),
        ("Observation?subject=Group/g,Patient/q", ["group", "other"]),
        ("Observation?patient=Group/g,Patient/q", ["other"]),
    ],
)
def test_both_tiers_find_it(records: World, monkeypatch: pytest.MonkeyPatch, url: str, ids: list[str]) -> None:
    assert found(records, url) == ids
    monkeypatch.setattr(module, "MAX_CHARTS", -1)
    assert found(records, url) == ids


def test_the_version_is_the_one_that_the_body_names(records: World) -> None:
    service = Service(records, now=None, task_id="t")
    answers = {version: service.request("GET", f"Patient/p/_history/{version}").status for version in ("1", "4")}
    assert answers == {"1": 404, "4": 200}
    assert service.request("GET", "Patient/q/_history/1").status == 200


def test_numbers_without_end_are_searched_over(tmp_path: Path) -> None:
    body = json.dumps(lab("o", subject={"reference": "Patient/p"}))[:-1] + f',"valueInteger":{"7" * 5000}}}'
    (tmp_path / "a.ndjson").write_text(f'{{"resourceType":"Patient","id":"p"}}\n{body}')
    load([str(tmp_path / "a.ndjson")], tmp_path / "g")
    service = Service(World.open(tmp_path / "g"), now=None, task_id="t")
    answer = service.request("GET", "Observation?patient=p&status=final")
    assert answer.status == 200
    assert "7" * 5000 in answer.body


def deep(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"url": "http://x.example", "valueString": "y"}
    for _ in range(levels):
        inner = {"url": "http://x.example", "extension": [inner]}
    return inner


@pytest.mark.parametrize("odd", [["x"], {"a": 1}])
@pytest.mark.parametrize(
    "body",
    [
        lambda odd: lab("x", contained=[{"resourceType": "Patient", "id": odd}]),
        lambda odd: lab("x", contained=[{"resourceType": odd, "id": "x"}], subject={"reference": "#x"}),
        lambda odd: {
            "resourceType": "Condition", "subject": {"reference": "Patient/p"},
            "verificationStatus": {"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": odd,
            }]},
        },
        lambda odd: {"resourceType": "TestScript", "meta": [odd]},
        lambda odd: lab("x", text={"status": "generated", "div": odd}),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused(records: World, body: Any, odd: Any) -> None:
    posted = body(odd)
    answer = Service(records, now=NOW, task_id="t").request("POST", posted["resourceType"], json.dumps(posted))
    assert answer.status == 422, answer.body


def test_a_body_that_no_walk_or_number_holds_is_refused(records: World) -> None:
    service = Service(records, now=NOW, task_id="t")
    for body in (
        json.dumps(lab("x", extension=[deep(300)])),
        json.dumps(lab("x"))[:-1] + ',"valueQuantity":{"value":1e999999999999999999999}}',
    ):
        answer = service.request("POST", "Observation", body)
        assert answer.status == 400, answer.body
        assert json.loads(answer.body)["issue"][0]["code"] == "structure"


def test_wrapped_base64_is_read_in_one_go(records: World) -> None:
    """Lines of 76 letters, as mail has them: R4's own expression tries each line break in many ways."""
    service = Service(records, now=NOW, task_id="t")
    lines = ("QUJD" * 19 + "\r\n") * 400
    for data, status in ((lines, 201), (lines + "!", 422), ("QUJD QUJD", 201), ("QUJDQ", 422)):
        body = {"resourceType": "Binary", "contentType": "text/plain", "data": data}
        assert service.request("POST", "Binary", json.dumps(body)).status == status


def test_what_is_created_belongs_to_the_patient_that_it_would_belong_to_when_loaded(tmp_path: Path) -> None:
    agent = [{"who": {"reference": "Practitioner/d"}}]
    bodies: list[dict[str, Any]] = [
        {"resourceType": "Provenance", "target": [{"reference": "Patient/p"}], "recorded": NOW, "agent": agent},
        {
            "resourceType": "Appointment", "status": "proposed",
            "participant": [{"status": "accepted", "actor": {"reference": who}} for who in ("Practitioner/d", "Patient/p")],
        },
        {
            "resourceType": "Appointment", "status": "proposed",
            "participant": [{"status": "accepted", "actor": {"reference": who}} for who in ("Patient/q", "Patient/p")],
        },
    ]  # fmt: skip
    people = [{"resourceType": "Patient", "id": id} for id in ("p", "q")]
    loaded = [{**body, "id": str(number)} for number, body in enumerate(bodies)]
    totals = []
    for name, records in {"before": people, "after": [*people, *loaded]}.items():
        (tmp_path / name).with_suffix(".ndjson").write_text("\n".join(map(json.dumps, records)))
        load([str((tmp_path / name).with_suffix(".ndjson"))], tmp_path / name)
        service = Service(World.open(tmp_path / name), now=NOW, task_id="t")
        if name == "before":
            statuses = [service.request("POST", body["resourceType"], json.dumps(body)).status for body in bodies]
            assert statuses == [201] * 3
        searches = [
            service.request("GET", f"{type}?patient=p&_summary=count") for type in ("Provenance", "Appointment")
        ]
        totals.append([json.loads(answer.body)["total"] for answer in searches])
    assert totals == [[1, 1], [1, 1]]
