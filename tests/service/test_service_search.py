"""Search by three routes: the memory tier, the SQL tier, and a naive filter over parsed JSON."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_doubles import LOCAL, LOINC, NOW, charts

from fhirtasks.fhir.dates import BEGINNING, END, instant, parse_range, search_range
from fhirtasks.graph.world import World
from fhirtasks.service.charts import Charts
from fhirtasks.service.parse import compile_query
from fhirtasks.service.service import BASE, Service

Row = tuple[str, str, str | None, str]
ROWS = charts()


def service(world: World, now: str | None = NOW, **more: Any) -> Service:
    return Service(world, now=now, task_id="t", **more)


def get(server: Service, url: str) -> dict[str, Any]:
    response = server.request("GET", url)
    assert response.status == 200, response.body
    return json.loads(response.body)


def ids(bundle: dict[str, Any]) -> list[str]:
    return [entry["fullUrl"].rpartition("/")[2] for entry in bundle.get("entry", [])]


# -- the naive route


def _dates(node: Any, key: str = "") -> list[str]:
    if isinstance(node, dict):
        return [d for k, v in node.items() if k not in ("birthDate", "lastUpdated") for d in _dates(v, k)]
    if isinstance(node, list):
        return [d for v in node for d in _dates(v, key)]
    return [node] if isinstance(node, str) and parse_range(node) else []


def _seen(resource: dict[str, Any], now: str | None) -> bool:
    if now is None:
        return True
    last = [span[0] if "T" in d else span[1] - 1 for d in _dates(resource) if (span := parse_range(d))]
    return not last or max(last) <= instant(now)


def _tokens(concept: Any) -> list[tuple[str, str]]:
    concepts = concept if isinstance(concept, list) else [concept] if concept else []
    return [(c.get("system", ""), c["code"]) for one in concepts for c in one.get("coding", [])]


def _token_match(found: list[tuple[str, str]], text: str) -> bool:
    def unescape(part: str) -> str:
        return part.replace("\\|", "|").replace("\\,", ",").replace("\\$", "$")

    for part in text.replace("\\,", "\0").split(","):
        part = part.replace("\0", "\\,")
        pieces = [unescape(p.replace("\1", "\\|")) for p in part.replace("\\|", "\1").split("|")]
        for system, code in found:
            if len(pieces) == 1 and code == pieces[0]:
                return True
            if len(pieces) == 2 and system == pieces[0] and pieces[1] in ("", code):
                return True
    return False


def _span(resource: dict[str, Any]) -> tuple[int, int] | None:
    if "effectiveDateTime" in resource:
        return parse_range(resource["effectiveDateTime"])
    period = resource.get("effectivePeriod")
    if period is None:
        return None
    start, end = (parse_range(period[k]) if k in period else None for k in ("start", "end"))
    return (start[0] if start else BEGINNING), (end[1] if end else END)


def _date_match(resource: dict[str, Any], text: str) -> bool:
    span = _span(resource)
    prefix = text[:2] if text[:2].isalpha() else "eq"
    asked = search_range(text.removeprefix(prefix))
    assert asked is not None
    if span is None:
        return False
    contained = asked[0] <= span[0] and span[1] <= asked[1]
    above, below = span[1] > asked[1], span[0] < asked[0]
    return {
        "eq": contained, "ne": not contained, "gt": above, "lt": below, "ge": above or contained,
        "le": below or contained, "sa": span[0] >= asked[1], "eb": span[1] <= asked[0],
    }[prefix]  # fmt: skip


def _plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


NAIVE: dict[str, Callable[[dict[str, Any], str, str], bool]] = {
    "code": lambda r, p, v: _token_match(_tokens(r.get("code")), v),
    "code:not": lambda r, p, v: not _token_match(_tokens(r.get("code")), v),
    "category": lambda r, p, v: _token_match(_tokens(r.get("category")), v),
    "status": lambda r, p, v: _token_match([("", r["status"])], v),
    "date": lambda r, p, v: _date_match(r, v),
    "_id": lambda r, p, v: r["id"] in v.split(","),
    "encounter": lambda r, p, v: (
        r.get("encounter", {}).get("reference", "").rpartition("/")[2].rpartition(":")[2] == v.rpartition("/")[2]
    ),
    "code:text": lambda r, p, v: any(
        _plain(t).startswith(_plain(v))
        for t in [r["code"].get("text", ""), *(c["display"] for c in r["code"].get("coding", []))]
    ),
    "date:missing": lambda r, p, v: (_span(r) is None) == (v == "true"),
    "patient": lambda r, p, v: p in [part.removeprefix("Patient/") for part in v.split(",")],
    "subject": lambda r, p, v: p in [part.rpartition("Patient/")[2] for part in v.split(",")],
}


def naive(rows: Sequence[Row], pairs: list[tuple[str, str]], now: str | None) -> list[str]:
    found = []
    for type, id, patient, raw in rows:
        resource = json.loads(raw)
        if (
            type == "Observation"
            and _seen(resource, now)
            and all(NAIVE[n](resource, patient or "", v) for n, v in pairs)
        ):
            found.append(id)
    return sorted(found)


CODES = [
    "K", f"{LOINC}|K", f"{LOCAL}|K", "|MG", "MG", f"{LOINC}|", "K,GLU", f"{LOCAL}|GLU,|MG", "nothing", "a\\|b\\,c\\$d",
    "k", "2823-3", f"{LOINC}|a\\|b\\,c\\$d",
]  # fmt: skip
ASKED = [
    "2023", "2023-11", "2023-11-12", "2023-11-12T10:15:00Z", "2023-11-12T10:15:00+00:00", "2023-11-12T10:15Z",
    "2023-11-12T05:15:00-05:00", "2022-11-13T10:15:00Z", "2022-02-28", "2023-11-13T10:15:01Z",
]  # fmt: skip
PAIR = st.one_of(
    st.tuples(st.just("code"), st.sampled_from(CODES)),
    st.tuples(st.just("code:not"), st.sampled_from(CODES)),
    st.tuples(st.just("code:text"), st.sampled_from(["bp", "pot", "éc", "ec", "K", "zz"])),
    st.tuples(st.just("category"), st.sampled_from(["laboratory", "laboratory,vital-signs", "x|laboratory"])),
    st.tuples(st.just("status"), st.sampled_from(["final", "amended,final", "entered-in-error", "|final", "x|final"])),
    st.tuples(st.just("date"), st.tuples(st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"]),
                                         st.sampled_from(ASKED)).map("".join)),
    st.tuples(st.just("date:missing"), st.sampled_from(["true", "false"])),
    st.tuples(st.just("encounter"), st.sampled_from(["p1-e1", "Encounter/p2-e1", "Encounter/none"])),
    st.tuples(st.just("_id"), st.sampled_from(["p1-o3", "p1-o3,p2-o40,p9-o1", "none"])),
)  # fmt: skip
PATIENT = st.one_of(
    st.just([]),
    st.tuples(st.just("patient"), st.sampled_from(["p1", "Patient/p2", "p3,p10", "nobody"])).map(lambda pair: [pair]),
    st.tuples(st.just("subject"), st.sampled_from(["Patient/p1", f"{BASE}Patient/p2", "p3"])).map(lambda pair: [pair]),
)
NOWS = st.sampled_from([None, NOW, "2022-11-13T10:15:00+00:00", "2023-11-12T10:14:59+00:00", "1990-01-01T00:00:00Z"])


@settings(max_examples=300, deadline=None)
@given(PATIENT, st.lists(PAIR, max_size=3), NOWS)
def test_search_equals_a_naive_filter_on_both_tiers(
    world: World, patient: list[tuple[str, str]], pairs: list[tuple[str, str]], now: str | None
) -> None:
    pairs = patient + pairs
    expected = naive(ROWS, pairs, now)
    bundle = get(service(world, now), "Observation?" + urlencode([*pairs, ("_count", "500")]))
    assert ids(bundle) == expected
    assert bundle["total"] == len(expected)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["p1", "p2", "p3,p10"]),
    st.lists(PAIR, max_size=2),
    NOWS,
    st.lists(
        st.sampled_from(["date", "-date", "code", "-code", "_id", "-_id", "status", "-encounter"]),
        max_size=2,
        unique=True,
    ),
)
def test_both_tiers_give_the_same_bytes(
    world: World, patient: str, pairs: list[tuple[str, str]], now: str | None, sort: list[str]
) -> None:
    text = urlencode([("patient", patient), *pairs, *([("_sort", ",".join(sort))] if sort else [])])
    query = compile_query("Observation", text)
    charts, now_us = Charts.of(world), None if now is None else instant(now)
    patients = frozenset(patient.split(","))
    memory = charts.in_memory(query, patients, now_us).ordered(query)
    sql = charts.filled(charts.in_sql(query, patients, now_us).ordered(query))
    assert [(r.id, r.body) for r in memory] == [(r.id, r.body) for r in sql]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60), st.sampled_from(["compact", "hapi"]),
    st.sampled_from(["patient=p1", "status=final", "patient=p2,p3&_sort=-date", ""]),
    st.sampled_from([None, NOW]),
)  # fmt: skip
def test_pages_put_together_are_the_whole(world: World, count: int, style: Any, search: str, now: str | None) -> None:
    server = service(world, now, style=style)
    whole = ids(get(server, f"Observation?{search}&_count=5000"))
    url, pages = f"{BASE}Observation?{search}&_count={count}", []
    while url:
        bundle = get(server, url)
        assert len(bundle.get("entry", [])) <= count
        pages += ids(bundle)
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links.get("next", "")
        if style == "hapi":
            assert ("total" in bundle) == (len(whole) <= count)
        else:
            assert bundle["total"] == len(whole)
    assert pages == whole
    assert len(set(pages)) == len(pages)


def test_default_page_is_20_in_id_order(world: World) -> None:
    found = ids(get(service(world, None), "Observation?patient=p1"))
    assert found == sorted(f"p1-o{n}" for n in range(45))[:20]


def test_sort_by_date_descending_puts_undated_last_and_breaks_ties_by_id(world: World) -> None:
    found = ids(get(service(world, None), "Observation?patient=p1&_sort=-date&_count=100"))
    spans = {id: _span(json.loads(raw)) for type, id, patient, raw in ROWS if type == "Observation" and patient == "p1"}
    dated = [id for id in found if spans[id] is not None]
    assert found == dated + sorted(set(found) - set(dated))
    for before, after in pairwise(dated):
        assert spans[before] > spans[after] or (spans[before] == spans[after] and before < after)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("identifier=S1000001", ["p1"]),
        ("identifier=urn:mrn|S1000002", ["p2"]),
        ("identifier=other|S1000002", []),
        ("identifier=S100000", []),
        ("family=nunez", ["p1", "p3"]),
        ("family=NÚÑEZ", ["p1", "p3"]),
        ("family:exact=Nunez Smith", ["p3"]),
        ("family:contains=smith", ["p3"]),
        ("family=smith", []),
        ("given=ann", ["p2", "p3"]),
        ("given=an", ["p1", "p2", "p3"]),
        ("given=maria", ["p1"]),
        ("name=o'hara", ["p2"]),
        ("name=Ana Nuñez", ["p1"]),
        ("name=Ana Wu", []),
        ("name=Li,o'h", ["p10", "p2"]),
        ("birthdate=1950-02-28", ["p1"]),
        ("birthdate=1950-02", ["p1", "p2"]),
        ("birthdate=lt1950-03-01", ["p1", "p2"]),
        ("birthdate=ge2000", ["p3"]),
        ("family=nunez&birthdate=1950-02-28", ["p1"]),
        ("_id=p10,p2", ["p10", "p2"]),
        ("phone=555-S1000003", ["p3"]),
        ("phone=p1@x.example", []),
        ("email=p1@x.example", ["p1"]),
        ("telecom=p1@x.example", ["p1"]),
        ("gender=female", ["p1", "p10", "p2", "p3"]),
        ("gender=male", []),
        ("address=sao", ["p1", "p10", "p2", "p3"]),
        ("address-city=SÃO P", ["p1", "p10", "p2", "p3"]),
    ],
)  # fmt: skip
def test_patient_searches(world: World, search: str, expected: list[str]) -> None:
    name, _, value = search.partition("=")
    assert ids(get(service(world), f"Patient?{quote(name, safe=':')}={quote(value, safe='=&')}")) == expected


@pytest.mark.parametrize(
    "search",
    [
        "patient=p1", "patient=Patient/p1", f"patient={BASE}Patient/p1", "subject=Patient/p1", "subject:Patient=p1",
        "subject=p1", "patient.identifier=S1000001", "subject:Patient.family=nunez&patient.birthdate=1950-02-28", 
        "patient=p1&patient=p1,p2",
    ],
)  # fmt: skip
def test_ways_to_name_the_patient(world: World, search: str) -> None:
    assert get(service(world, None), f"Observation?{search}")["total"] == 45


def test_plus_in_a_time_zone_is_understood_and_empty_values_are_ignored(world: World) -> None:
    server = service(world, None)
    plain = get(server, "Observation?patient=p1&date=ge2023-11-12T10:15:00Z")
    assert ids(get(server, "Observation?patient=p1&date=ge2023-11-12T10:15:00+00:00")) == ids(plain)
    assert ids(
        get(server, "Observation?patient=p1&date=ge2023-11-12T10%3A15%3A00%2B00%3A00&code=&_format=json")
    ) == ids(plain)
    post = server.request("POST", "Observation/_search", "patient=p1&date=ge2023-11-12T10:15:00Z")
    assert post.status == 200
    assert ids(json.loads(post.body)) == ids(plain)


def test_counts_without_entries(world: World) -> None:
    server = service(world, None)
    for search in ("_summary=count", "_count=0"):
        bundle = get(server, f"Observation?patient=p1&{search}")
        assert (bundle["total"], "entry" in bundle, len(bundle["link"])) == (45, False, 1)


def test_bodies_are_spliced_as_stored(world: World) -> None:
    stored = {id: raw for _, id, _, raw in ROWS}
    body = service(world, None).request("GET", "Observation?patient=p1&_count=100").body
    for id in [f"p1-o{n}" for n in range(45)]:
        assert f'"resource":{stored[id]},"search"' in body
    assert '"value":1.10' in body


def test_a_body_without_id_is_served_with_it(world: World) -> None:
    server = service(world, None)
    assert get(server, "Condition?patient=p1&_id=p1-noid")["entry"][0]["resource"]["id"] == "p1-noid"
    assert json.loads(server.request("GET", "Condition/p1-noid").body)["id"] == "p1-noid"


def test_what_comes_later_is_unseen_by_search_and_read(world: World) -> None:
    server = service(world, NOW)
    hidden = [id for type, id, _, raw in ROWS if type == "Observation" and not _seen(json.loads(raw), NOW)]
    assert hidden
    for id in hidden:
        assert server.request("GET", f"Observation/{id}").status == 404
    found = set(ids(get(server, "Observation?_count=5000")))
    assert found.isdisjoint(hidden)
    assert len(found) + len(hidden) == 180
