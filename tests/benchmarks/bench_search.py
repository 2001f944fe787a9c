"""A warm in-process search against parsing the query and splicing the same bytes. Gate: at most 10 times.

Run: python tests/benchmarks/bench_search.py. The records are generated here; both sides are timed in turns, medians
are compared.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.service.service import BASE, Service

GATE = 10.0
PATIENTS, CODES, PER_CODE = 40, 12, 25
ROUNDS = 15


def _rows() -> list[tuple[str, str, str | None, str]]:
    rng = random.Random(1)
    rows: list[tuple[str, str, str | None, str]] = []
    for p in range(PATIENTS):
        patient = f"pat-{p:04}"
        person = {
            "resourceType": "Patient", "id": patient, "identifier": [{"system": "urn:mrn", "value": f"S{p:07}"}],
            "name": [{"family": f"Family{p}", "given": ["Given"]}], "gender": "female", "birthDate": "1960-01-02",
        }  # fmt: skip
        rows.append(("Patient", patient, patient, json.dumps(person, separators=(",", ":"))))
        for n in range(CODES * PER_CODE):
            code = f"code-{n % CODES}"
            day = f"2023-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:15:00+00:00"
            body = {
                "resourceType": "Observation", "id": f"obs-{p}-{n}", "status": "final",
                "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                          "code": "laboratory", "display": "Laboratory"}]}],
                "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": f"Analyte {n % CODES}"}]},
                "subject": {"reference": f"Patient/{patient}"}, "encounter": {"reference": f"Encounter/enc-{p}-{n}"},
                "effectiveDateTime": day, "issued": day,
                "valueQuantity": {"value": n, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"},
                "referenceRange": [{"low": {"value": 1, "unit": "mg/dL"}, "high": {"value": 9, "unit": "mg/dL"}}],
            }  # fmt: skip
            rows.append(("Observation", f"obs-{p}-{n}", patient, json.dumps(body, separators=(",", ":"))))
    return rows


def _per_call(work: Callable[[str], object], urls: list[str]) -> float:
    start = time.perf_counter()
    for url in urls:
        work(url)
    return (time.perf_counter() - start) / len(urls) * 1e6


def _interleaved(sides: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Median µs of each side; the sides take turns."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            found[name].append(side())
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "world.duckdb"
        write_world_from_charts(_rows(), "train", path)
        world = World.open(path, threads=1)
        cold = [_cold(world, f"pat-{p:04}") for p in range(PATIENTS)]
        service = Service(world, now="2023-12-31T00:00:00+00:00", task_id="bench")
        searches = [
            f"{BASE}Observation?patient=pat-{p:04}&code=http://loinc.org|code-{c}&_count=20"
            for p in range(PATIENTS)
            for c in range(CODES)
        ]
        answers = {url: json.loads(service.request("GET", url).body) for url in searches}
        assert all(len(bundle["entry"]) == 20 for bundle in answers.values())
        pieces = {}
        for url in searches:
            body = service.request("GET", url).body
            entries = [e["fullUrl"].rpartition("/")[2] for e in answers[url]["entry"]]
            raws = [world.raw("Observation", id) or "" for id in entries]
            heads = [f'{{"fullUrl":"{BASE}Observation/{id}","resource":' for id in entries]
            pieces[url] = (body[: body.index('"entry":[') + 9], list(zip(heads, raws, strict=True)))

        def reference(url: str) -> str:
            pairs = parse_qsl(url.partition("?")[2])
            assert pairs
            head, entries = pieces[url]
            return head + ",".join([f'{h}{raw},"search":{{"mode":"match"}}}}' for h, raw in entries]) + "]}"

        assert all(reference(url) == service.request("GET", url).body for url in searches)
        fresh = [0]

        def unseen() -> float:
            # The same searches under query strings never seen before: nothing of the parsing is cached.
            fresh[0] += 1
            urls = [f"{url}&_id:not=none-{fresh[0]}" for url in searches]
            return _per_call(lambda url: service.request("GET", url), urls)

        people = [f"{BASE}Patient?identifier=S{p:07}" for p in range(PATIENTS)]
        reads = [f"{BASE}Observation/obs-{p}-{n}" for p in range(PATIENTS) for n in range(10)]
        medians = _interleaved({
            "reference: parse_qsl + splice 20": lambda: _per_call(reference, searches),
            "search, 20 entries": lambda: _per_call(lambda url: service.request("GET", url), searches),
            "search, unseen query string": unseen,
            "search in a new episode": lambda: _per_call(
                lambda url: Service(world, now="2023-12-31T00:00:00+00:00", task_id=url).request("GET", url), searches
            ),
            "patient by identifier": lambda: _per_call(lambda url: service.request("GET", url), people),
            "read by id": lambda: _per_call(lambda url: service.request("GET", url), reads),
        })  # fmt: skip
        world.close()
    base, first = medians["reference: parse_qsl + splice 20"], statistics.median(cold)
    print(f"{'':40}{'median us':>12}{'ratio':>8}")
    for name, value in medians.items():
        print(f"{name:40}{value:12.1f}{value / base:8.2f}")
    print(f"{f'first touch of a chart ({CODES * PER_CODE} results)':40}{first:12.1f}{first / base:8.2f}")
    ratio = medians["search, 20 entries"] / base
    print(f"gate: search / reference = {ratio:.2f} (at most {GATE:.0f})")
    return 0 if ratio <= GATE else 1


def _cold(world: World, patient: str) -> float:
    service = Service(world, now="2023-12-31T00:00:00+00:00", task_id="cold")
    return _per_call(lambda url: service.request("GET", url), [f"{BASE}Observation?patient={patient}&code=code-1"])


if __name__ == "__main__":
    sys.exit(main())
