"""Over HTTP: the same answers, and a clean stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fhirtasks.errors import UserError
from fhirtasks.graph.world import World
from fhirtasks.service.http import serve, serving
from fhirtasks.service.service import Service

pytest.importorskip("uvicorn")


def test_http_answers_as_the_service_does(world: World) -> None:
    def make(base: str) -> Service:
        return Service(world, now=None, task_id="serve", base=base)

    with serving(make) as base, httpx.Client() as client:
        direct = make(base)
        for url in (
            "Patient?name=Ana%20Nu%C3%B1ez",
            "Observation?patient=p1&date=ge2022-01-01T00:00:00+00:00",
            "Patient/p1",
            "x",
            "Patient?foo=1",
        ):
            answer, expected = client.get(base + url), direct.request("GET", base + url)
            assert (answer.status_code, answer.text) == (expected.status, expected.body)
            assert answer.headers["content-type"] == "application/fhir+json;charset=UTF-8"
        seen = []
        url = base + "Observation?patient=p1&_count=7"
        while url:
            bundle = client.get(url).json()
            seen += [entry["fullUrl"] for entry in bundle["entry"]]
            url = {link["relation"]: link["url"] for link in bundle["link"]}.get("next", "")
        assert len(set(seen)) == len(seen) == 45
        body = (
            '{"resourceType":"Observation","status":"final","code":{"text":"é"},"subject":{"reference":"Patient/p1"}}'
        )
        created = client.post(base + "Observation", content=body.encode())
        assert created.status_code == 201
        assert client.get(created.headers["location"]).text == created.text
        assert client.post(base + "Observation", content=b"\xff").status_code == 400
        assert client.delete(base + "Patient/p1").status_code == 405
        form = client.post(base + "Observation/_search", data={"patient": "p2", "_summary": "count"})
        assert form.json()["total"] == 45


def test_the_pages_of_the_benchmarks_server_follow_one_another(world: World) -> None:
    """Its next links are at the base URL without a slash."""
    with serving(lambda base: Service(world, now=None, task_id="serve", base=base, style="hapi")) as base:
        seen, url = [], base + "Observation?patient=p1&_count=7"
        while url:
            answer = httpx.get(url)
            assert answer.status_code == 200, answer.text
            seen += [entry["fullUrl"] for entry in answer.json()["entry"]]
            url = {link["relation"]: link["url"] for link in answer.json()["link"]}.get("next", "")
        assert len(set(seen)) == len(seen) == 45
        assert httpx.get(base[:-1] + "x/Patient/p1").status_code == 404


def test_interrupting_stops_cleanly(world_path: Path) -> None:
    code = (
        "from fhirtasks.service.http import serve; from pathlib import Path; "
        f"serve(Path({str(world_path)!r}), port=0, announce=lambda base: print(base, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    base = process.stdout.readline().strip()
    for _ in range(100):
        try:
            assert httpx.get(base + "Patient/p1").status_code == 200
            break
        except httpx.ConnectError:
            continue
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors == ""


def test_bad_places(world_path: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="Cannot listen"):
            serve(world_path, port=taken.getsockname()[1])
    with pytest.raises(UserError, match="no port"):
        serve(world_path, port=70_000)
    with pytest.raises(UserError, match="does not exist"):
        serve(tmp_path / "none.duckdb")
    (tmp_path / "text.duckdb").write_text("no database")
    with pytest.raises(UserError, match="cannot be read"):
        serve(tmp_path / "text.duckdb")
