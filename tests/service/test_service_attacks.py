"""What a curious model asks: whole names, and every road to what is not yet known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from service_doubles import LOINC

from fhirtasks.fhir.jsontext import dumps
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.service import Service

NOW = "2023-11-13T10:15:00+00:00"
PERSON = {
    "resourceType": "Patient", "id": "p-two", "birthDate": "1989-11-02",
    "name": [{"family": "de la Cruz", "given": ["Maria Flor", "J."]}],
}  # fmt: skip


def asked(service: Service, url: str) -> dict[str, Any]:
    answer = service.request("GET", url)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Maria Flor J. de la Cruz", True),
        ("Maria Flor de la Cruz", True),
        ("flor cruz", True),
        ("Mar Cru", True),
        ("Maria", True),
        ("Maria Flor Duarte", False),
        ("Cruzado Maria", False),
        ("Flor", False),  # one word: R4's search, from the start of a part
    ],
)
def test_a_whole_name_finds_parts_of_several_words(world: World, name: str, found: bool) -> None:
    service = Service(world, now=NOW, task_id="t", scenario=Scenario(add=(dumps(PERSON),)))
    for style in ("%20", "+"):
        assert asked(service, f"Patient?_id=p-two&name={name.replace(' ', style)}")["total"] == int(found)


def test_what_becomes_known_later_is_reached_by_no_road(world: World) -> None:
    """Reads, counts, orders, pages and chains see a world that ends now: the same as if the rest were deleted."""
    rows = world.db.execute("SELECT type, id, available FROM resource ORDER BY id").fetchall()
    now = 1_699_870_500_000_000  # NOW in µs
    later = tuple(f"{type}/{id}" for type, id, available in rows if available is not None and available > now)
    assert len(later) > 10
    ours = Service(world, now=NOW, task_id="t")
    pruned = Service(world, now=NOW, task_id="t", scenario=Scenario(hide=later))
    roads = [
        *("Observation?_summary=count", "Observation?patient=p1&_count=0", "Observation?patient=p1&_total=accurate&_count=1"),
        *("Observation?_sort=-date&_count=5", "Observation?patient=p1&_sort=date&_count=3&_offset=30"),
        *("Observation?date=gt2023-11-13T10:15:00Z", "Observation?patient.identifier=S1000001&date=ge2024"),
        *("Observation?subject:Patient.birthdate=1950-02-28&_sort=-_id&_count=2", f"Observation?code={LOINC}|&_sort=code"),
        *("Patient?_sort=birthdate", "Observation?patient=p1,p2,p3,p10&status:not=final&_count=7&_offset=7"),
        *("Condition?recorded-date=ge2000", "Observation?code:not=K&date:missing=false"),
        "Observation?_id=" + ",".join(reference.partition("/")[2] for reference in later),
    ]  # fmt: skip
    for road in roads:
        assert ours.request("GET", road) == pruned.request("GET", road), road
    for reference in later:
        assert ours.request("GET", reference).status == 404
        assert ours.request("GET", f"{reference}/_history/1").status == 404


@pytest.mark.parametrize("text", ["\0", "a\x1bb", "\x0b"])
def test_control_characters_are_no_text(world: World, text: str) -> None:
    body = {"resourceType": "Observation", "status": "final", "code": {"text": text}}
    answer = Service(world, now=NOW, task_id="t").request("POST", "Observation", json.dumps(body))
    assert answer.status == 422
    assert "Observation.code.text" in answer.body
