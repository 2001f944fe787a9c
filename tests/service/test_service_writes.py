"""Creates: checked, stored with id and meta, read back within the episode, never in the world."""

from __future__ import annotations

import json
from typing import Any

import pytest
from service_doubles import NOW

from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE, Service

BODY = (
    '{ "resourceType": "Observation", "status": "final", "code": {"text": "BP"},\n'
    ' "subject": {"reference": "Patient/p1"}, "meta": {"tag": [{"code": "x"}]},'
    ' "valueQuantity": {"value": 1.10, "unit": "kg"}, "id": "mine" }'
)


def service(world: World, **more: Any) -> Service:
    return Service(world, now=NOW, task_id="task", **more)


def changed(**members: Any) -> str:
    body = {**json.loads(BODY), **members}
    return json.dumps({key: value for key, value in body.items() if value is not None})


def test_a_created_resource_is_read_and_found_in_its_episode_only(world: World) -> None:
    server = service(world)
    before = json.loads(server.request("GET", "Observation?patient=p1").body)["total"]
    response = server.request("POST", f"{BASE}Observation", BODY)
    assert response.status == 201
    created = json.loads(response.body)
    assert created["id"] != "mine"
    assert created["meta"] == {"versionId": "1", "lastUpdated": "2023-11-13T10:15:00.000+00:00", "tag": [{"code": "x"}]}
    assert response.headers["Location"] == f"{BASE}Observation/{created['id']}/_history/1"
    assert '"value":1.10' in response.body
    for url in (f"Observation/{created['id']}", response.headers["Location"]):
        assert server.request("GET", url).body == response.body
    found = json.loads(server.request("GET", "Observation?patient=p1&code:text=bp&_id=" + created["id"]).body)
    assert [entry["resource"]["id"] for entry in found["entry"]] == [created["id"]]
    for search in ("Observation?patient=p1", "Observation?subject=Patient/p1"):
        assert json.loads(server.request("GET", search).body)["total"] == before + 1
    assert json.loads(server.request("GET", "Observation?patient=p2&_id=" + created["id"]).body)["total"] == 0
    assert [tuple(write) for write in server.writes] == [(f"{BASE}Observation", f"Observation/{created['id']}", BODY)]
    assert service(world).request("GET", f"Observation/{created['id']}").status == 404


def test_ids_derive_from_task_and_counter(world: World) -> None:
    def ids(task: str) -> list[str]:
        server = Service(world, now=NOW, task_id=task)
        return [json.loads(server.request("POST", "Observation", BODY).body)["id"] for _ in range(3)]

    assert ids("a") == ids("a")
    assert len({*ids("a"), *ids("b")}) == 6


@pytest.mark.parametrize(
    ("url", "body", "status"),
    [
        ("Observation", "", 400),
        ("Observation", "{", 400),
        ("Observation", "[]", 400),
        ("Observation", '{"resourceType":"Observation","resourceType":"Observation"}', 400),
        ("Observation", '{"resourceType":"Observation","value":NaN}', 400),
        ("Observation", "[" * 100_000, 400),
        ("Observation", '{"resourceType":"Observation","status":"\ud800"}', 400),
        ("Observation", '{"resourceType":"Observation","status":"\\ud800"}', 400),
        ("Patient", BODY, 400),
        ("Observations", BODY, 404),
        ("Observation/x", BODY, 405),
        ("", BODY, 405),
        ("Observation", changed(status="bogus"), 422),
        ("Observation", changed(status=None), 422),
        ("Observation", changed(code=None), 422),
        ("Observation", changed(foo=1), 422),
        ("Observation", changed(valueString="x"), 422),
        ("Observation", changed(effectiveDateTime="2023-11-13T10:15:00"), 422),
        ("Observation", changed(effectiveDateTime="13/11/2023"), 422),
        ("Observation", changed(code={"coding": []}), 422),
        ("Observation", changed(code={"text": ""}), 422),
        ("Observation", changed(subject={"reference": "Medication/1"}), 422),
        ("Observation", changed(subject={"reference": "S1000001"}), 422),
        ("Observation", changed(subject={}), 422),
        ("Observation", changed(note={"text": "x"}), 422),
        ("Observation", changed(valueQuantity={"value": "1.1"}), 422),
    ],
)
def test_wrong_writes_are_refused_and_change_nothing(world: World, url: str, body: str, status: int) -> None:
    server = service(world)
    response = server.request("POST", BASE + url, body)
    assert response.status == status, response.body
    outcome = json.loads(response.body)
    assert outcome["resourceType"] == "OperationOutcome"
    assert all(issue["severity"] == "error" and issue["diagnostics"] for issue in outcome["issue"])
    assert (status == 422) == ("expression" in outcome["issue"][0])
    assert server.writes == []


def test_a_server_without_writes(world: World) -> None:
    assert service(world, writable=False).request("POST", "Observation", BODY).status == 405


def test_scenario_adds_replaces_and_hides(world: World) -> None:
    later = (
        '{"resourceType":"Observation", "id":"new1", "status":"final", "subject":{"reference":"urn:uuid:p1"},\n'
        ' "code":{}, "effectiveDateTime":"2030-01-01"}'
    )
    other = (
        '{"resourceType":"Observation","id":"p1-o0","status":"final","subject":{"reference":"Patient/p1"},'
        '"code":{"text":"new"}}'
    )
    server = Service(
        world, now=None, task_id="t", scenario=Scenario(add=(later, other), hide=("Observation/p1-o1", "Patient/p2"))
    )
    bundle = json.loads(server.request("GET", "Observation?patient=p1&_count=100").body)
    ids = [entry["resource"]["id"] for entry in bundle["entry"]]
    assert ids == sorted({f"p1-o{n}" for n in range(45)} - {"p1-o1"} | {"new1"})
    assert json.loads(server.request("GET", "Observation/p1-o0").body)["code"] == {"text": "new"}
    assert server.request("GET", "Observation/p1-o1").status == 404
    assert server.request("GET", "Patient/p2").status == 404
    assert json.loads(server.request("GET", "Patient?identifier=S1000002").body)["total"] == 0
    assert json.loads(server.request("GET", "Observation?patient.identifier=S1000002").body)["total"] == 0
    assert '"id":"new1","status"' in server.request("GET", "Observation?patient=p1").body
    everyone = json.loads(server.request("GET", "Observation?_count=500").body)
    assert everyone["total"] == 180
    seen = Service(world, now=NOW, task_id="t", scenario=Scenario(add=(later,)))
    assert seen.request("GET", "Observation/new1").status == 200
