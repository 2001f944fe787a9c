"""The layout and Bundles of the benchmark's server."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from service_doubles import NOW

from fhirtasks.fhir.hapi import indented, pretty
from fhirtasks.graph.world import World
from fhirtasks.service.service import Service

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


def test_layout() -> None:
    text = '{"a":[{"b":1.10,"c":["x","y"]},{"d":{}}],"e":[],"f":"[{,:}\\" \\\\"}'
    assert pretty(text) == (
        '{\n  "a": [ {\n    "b": 1.10,\n    "c": [ "x", "y" ]\n  }, {\n    "d": { }\n  } ],\n'
        '  "e": [ ],\n  "f": "[{,:}\\" \\\\"\n}'
    )
    assert indented('{\n  "a": 1\n}', 1) == '{\n    "a": 1\n  }'


@given(JSON)
def test_layout_changes_nothing_but_white_space(value: Any) -> None:
    compact = json.dumps(value, separators=(",", ":"))
    text = pretty(compact)
    assert json.loads(text) == value
    assert pretty(text) == text


def test_bundle(world: World) -> None:
    server = Service(world, now=NOW, task_id="t", style="hapi")
    text = server.request("GET", "Observation?patient=p1&_count=2&_format=json").body
    bundle = json.loads(text)
    assert list(bundle) == ["resourceType", "id", "meta", "type", "link", "entry"]
    assert bundle["meta"] == {"lastUpdated": "2023-11-13T10:15:00.000+00:00"}
    assert [link["relation"] for link in bundle["link"]] == ["self", "next"]
    assert bundle["link"][0]["url"] == "http://localhost:8080/fhir/Observation?patient=p1&_count=2&_format=json"
    head, _, rest = bundle["link"][1]["url"].partition("?_getpages=")
    assert head == "http://localhost:8080/fhir"
    assert rest[36:] == "&_getpagesoffset=2&_count=2&_format=json&_pretty=true&_bundletype=searchset"
    assert text == pretty(text)
    empty = json.loads(server.request("GET", "Observation?patient=nobody").body)
    assert (empty["total"], "entry" in empty) == (0, False)
    one = json.loads(server.request("GET", "Patient?identifier=S1000001").body)
    assert (one["total"], len(one["entry"])) == (1, 1)
    counted = json.loads(server.request("GET", "Observation?patient=p1&_total=accurate&_count=2").body)
    assert counted["total"] == json.loads(server.request("GET", "Observation?patient=p1&_summary=count").body)["total"]


def test_pages_are_those_of_the_first_answer(world: World) -> None:
    server = Service(world, now=None, task_id="t", style="hapi")
    first = json.loads(server.request("GET", "Observation?patient=p1").body)
    server.request(
        "POST", "Observation",
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p1"}}',
    )  # fmt: skip
    url, ids = first["link"][1]["url"], [entry["fullUrl"] for entry in first["entry"]]
    while url:
        page = json.loads(server.request("GET", url).body)
        ids += [entry["fullUrl"] for entry in page["entry"]]
        url = {link["relation"]: link["url"] for link in page["link"]}.get("next", "")
    assert len(ids) == len(set(ids)) == 45
