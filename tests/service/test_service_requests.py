"""Wrong input gets a server's answers; hostile values change nothing."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_doubles import NOW

from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE, Service


def service(world: World, **more: Any) -> Service:
    return Service(world, now=NOW, task_id="t", **more)


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "Observation?foo=1", 400),
        ("GET", "Observation?patient=p1&code:below=K", 400),
        ("GET", "Observation?date=yesterday", 400),
        ("GET", "Observation?date=xx2023", 400),
        ("GET", "Observation?date=2023-13", 400),
        ("GET", "Observation?date=2023-01-01,2023-02-01", 400),
        ("GET", "Observation?date=2023-01-01/2023-02-01", 400),
        ("GET", "Observation?code=a|b|c", 400),
        ("GET", "Observation?code=|", 400),
        ("GET", "Observation?_count=-1", 400),
        ("GET", "Observation?_count=ten", 400),
        ("GET", "Observation?_sort=colour", 400),
        ("GET", "Observation?_include=Observation:subject", 400),
        ("GET", "Observation?_summary=text", 400),
        ("GET", "Observation?subject.name.x=1", 400),
        ("GET", "Observation?encounter.status=x", 400),
        ("GET", "Condition?date=2023", 400),
        ("GET", "Patient?legal-sex=F", 400),
        ("GET", "Patient?_format=xml", 406),
        ("GET", "Patients", 404),
        ("GET", "patient/p1", 404),
        ("GET", "Patient/nobody", 404),
        ("GET", "Patient/p1/_history/2", 404),
        ("GET", "Patient/p1/Observation/x/y", 404),
        ("GET", "Patient/p1&_format=json", 404),
        ("GET", "Patient&_format=json", 404),
        ("GET", "", 404),
        ("GET", f"{BASE}/Patient/p1", 404),
        ("GET", "http://elsewhere.example/fhir/Patient", 404),
        ("GET", "/other/Patient", 404),
        ("GET", "Patient/p1 and more", 400),
        ("GET", "Patient?name=\ud800", 400),
        ("GET", "Patient?name=%ED%A0%80", 200),
        ("GET", f"{BASE[:-1]}?_getpages=nothing", 410),
        ("PUT", "Patient/p1", 405),
        ("DELETE", "Patient/p1", 405),
        ("PATCH", "Patient/p1", 405),
        ("get", "Patient/p1", 405),
        ("GET", "Patient/p1", 200),
        ("GET", f"{BASE}Patient/p1/", 200),
        ("GET", "/fhir/Patient/p1", 200),
        ("GET", "Patient/p1/_history/1", 200),
        ("GET", "Appointment?patient=p1", 200),
        ("GET", "metadata", 200),
    ],
)
@pytest.mark.parametrize("style", ["compact", "hapi"])
def test_statuses(world: World, method: str, url: str, status: int, style: Any) -> None:
    response = service(world, style=style).request(method, url)
    assert response.status == status, response.body
    body = json.loads(response.body)
    assert (body["resourceType"] == "OperationOutcome") == (status >= 400)
    assert response.headers["Content-Type"].startswith("application/fhir+json")


def test_an_unknown_parameter_is_told_the_known_ones(world: World) -> None:
    text = json.loads(service(world).request("GET", "Observation?foo=1").body)["issue"][0]["diagnostics"]
    assert "'foo'" in text
    assert "category, code" in text


HOSTILE = st.one_of(
    st.text(st.characters(), max_size=30),
    st.sampled_from(
        [
            "' OR 1=1 --",
            '"; DROP TABLE resource; --',
            "\0",
            "x" * 10_000,
            "😀",
            "%",
            "%zz",
            "\\",
            "a\\",
            "|",
            "$",
            "a,b\\,c",
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["Patient", "Observation", "Condition"]),
    st.sampled_from(["identifier", "name", "family:exact", "birthdate", "_id", "code", "code:text", "patient", "date",
                     "encounter", "_count", "_sort", "category:not", "subject.name", "_lastUpdated", ""]),
    HOSTILE,
    st.booleans(),
)  # fmt: skip
def test_hostile_values_get_an_answer(world: World, type: str, name: str, value: str, encoded: bool) -> None:
    server = service(world)
    text = quote(value, safe="", errors="replace") if encoded else value
    for method, url, body in (("GET", f"{type}?{name}={text}", None), ("POST", f"{type}/_search", f"{name}={text}")):
        response = server.request(method, url, body)
        assert response.status in (200, 400, 404)
        json.loads(response.body)
    response = server.request("GET", f"{type}/{text}")
    assert response.status in (200, 400, 404)
    response.body.encode(errors="surrogatepass")
    assert world.db.execute("SELECT count(*) FROM resource").fetchone() == (193,)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["GET", "POST"]), st.text(max_size=40))
def test_any_text_is_answered(world: World, url: str, method: str, body: str) -> None:
    json.loads(service(world).request(method, url, body).body)


def test_the_same_requests_give_the_same_bytes(world: World) -> None:
    urls = ["Patient?name=ann", "Observation?patient=p1&_count=3", "Observation?patient=p1&_sort=-date", "metadata"]
    for style in ("compact", "hapi"):
        first, second = (service(world, style=style) for _ in range(2))
        assert [first.request("GET", u) for u in urls] == [second.request("GET", u) for u in urls]
