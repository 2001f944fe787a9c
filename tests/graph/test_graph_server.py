"""A FHIR server as a source: paged, on loopback, with the faults that servers have."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fhirtasks.errors import UserError
from fhirtasks.graph.load import load

Answer = Callable[[str, dict[str, str]], tuple[int, Any]]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            status, body = answer(url.path.removeprefix("/fhir/"), query)
            data = body if isinstance(body, bytes) else json.dumps(body, indent=2).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/fhir"
    finally:
        server.shutdown()
        server.server_close()


LABS = [{"resourceType": "Observation", "id": f"o{i}", "subject": {"reference": "Patient/p"}} for i in range(7)]
STATEMENT = {
    "resourceType": "CapabilityStatement",
    "rest": [{"resource": [
        {"type": "Observation", "interaction": [{"code": "read"}, {"code": "search-type"}]},
        {"type": "Patient", "interaction": [{"code": "search-type"}]},
        {"type": "Unsearchable", "interaction": [{"code": "read"}]},
    ]}],
}  # fmt: skip


def bundle(resources: list[dict[str, Any]], following: str | None = None) -> dict[str, Any]:
    links = [{"relation": "self", "url": "http://x"}] + ([{"relation": "next", "url": following}] if following else [])
    outcome = {"resource": {"resourceType": "OperationOutcome", "id": "hint"}, "search": {"mode": "outcome"}}
    entries = [{"resource": resource, "search": {"mode": "match"}} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": [*entries, outcome]}


def polite(path: str, query: dict[str, str]) -> tuple[int, Any]:
    if path == "metadata":
        return 200, STATEMENT
    if path == "Patient":
        return 200, bundle([{"resourceType": "Patient", "id": "p"}])
    if path == "Observation":
        at = int(query.get("page", 0))
        # The link shows another host, as servers behind a proxy do.
        following = f"http://inside.invalid:8080/fhir/Observation?page={at + 3}" if at + 3 < len(LABS) else None
        return 200, bundle(LABS[at : at + 3], following)
    return 404, {"resourceType": "OperationOutcome"}


def test_all_pages_of_all_types(tmp_path: Path) -> None:
    with serving(polite) as base:
        report = load([base.replace("http://", "http://user:secret@")], tmp_path / "g.duckdb", licence="CC0-1.0")
        assert report.resources == {"Observation": 7, "Patient": 1}
        assert (report.bundles, report.unresolved_references) == (0, 0)
        assert [row["name"] for row in report.sources] == [base + "/"]
        records = tmp_path / "same.ndjson"
        records.write_text("\n".join(map(json.dumps, [*LABS, {"resourceType": "Patient", "id": "p"}])))
        assert load([str(records)], tmp_path / "files.duckdb").fingerprint == report.fingerprint


def test_a_server_without_a_statement_is_asked_for_known_types(tmp_path: Path) -> None:
    with serving(lambda path, query: (404, {}) if path == "metadata" else polite(path, query)) as base:
        assert load([base], tmp_path / "g.duckdb").resources == {"Observation": 7, "Patient": 1}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((500, {"resourceType": "OperationOutcome"}), "answered 500 Internal Server Error; nothing was loaded"),
        ((401, {}), "answered 401 Unauthorized"),
        ((200, b"<html>"), "answered with something that is not JSON"),
        ((200, {"resourceType": "Patient", "id": "1"}), "answered with something that is no Bundle"),
        ((200, {"resourceType": "Bundle", "entry": [{"resource": {"id": "1"}}]}), "is JSON but no FHIR resource"),
        ((200, bundle(LABS, "http://inside.invalid/fhir/Observation?_count=500")), "its paging goes in a circle"),
    ],
)
def test_faults(tmp_path: Path, fault: tuple[int, Any], message: str) -> None:
    with serving(lambda path, query: fault if path == "Observation" else polite(path, query)) as base:
        with pytest.raises(UserError, match=message):
            load([base], tmp_path / "g.duckdb")
        assert list(tmp_path.iterdir()) == []


def test_nobody_there(tmp_path: Path) -> None:
    with serving(polite) as base:
        pass
    with pytest.raises(UserError, match=r"cannot be reached \(.*\); is the server running"):
        load([base], tmp_path / "g.duckdb")


def one_type(pages: Answer) -> Answer:
    """A server of Patients alone; ``pages`` answers the searches."""
    patient = {"type": "Patient", "interaction": [{"code": "search-type"}]}
    statement = {"resourceType": "CapabilityStatement", "rest": [{"resource": [patient]}]}
    return lambda path, query: (200, statement) if path == "metadata" else pages(path, query)


def test_a_busy_server_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("fhirtasks.graph.server.time.sleep", slept.append)
    answers = iter([429, 503, 429, 200, 429, 429, 429, 429, 429])
    asked = one_type(lambda path, query: (next(answers), bundle([{"resourceType": "Patient", "id": "p"}])))
    with serving(asked) as base:
        assert load([base], tmp_path / "g").resources == {"Patient": 1}
        with pytest.raises(UserError, match="answered 429"):
            load([base], tmp_path / "h")
    assert slept == [1, 2, 4, 1, 2, 4, 8]


def test_a_server_without_a_statement_that_stays_busy_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhirtasks.graph.server.time.sleep", lambda seconds: None)

    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path == "Patient":
            return 200, bundle([{"resourceType": "Patient", "id": "p"}])
        return (429 if path == "Observation" else 404), {}

    with serving(answer) as base, pytest.raises(UserError, match=r"Observation.* answered 429"):
        load([base], tmp_path / "g")


def test_paging_that_brings_nothing_new_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is linked by a URL of its own, so no circle shows."""
    monkeypatch.setattr("fhirtasks.graph.server._MOST_EMPTY", 5)
    people = [{"resourceType": "Patient", "id": "p"}]
    for resources in (people, []):
        count = itertools.count(2)

        def answer(path: str, query: dict[str, str], given: Any = resources, count: Any = count) -> tuple[int, Any]:
            return 200, bundle(given, f"Patient?page={next(count)}")

        with serving(one_type(answer)) as base, pytest.raises(UserError, match="came before"):
            load([base], tmp_path / "g")
    assert list(tmp_path.iterdir()) == []


def test_a_link_of_a_query_alone_and_a_byte_order_mark(tmp_path: Path) -> None:
    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        assert path == "Patient"
        page = bundle(
            [{"resourceType": "Patient", "id": query.get("page", "1")}], None if "page" in query else "?page=2"
        )
        return 200, b"\xef\xbb\xbf" + json.dumps(page).encode()

    with serving(one_type(answer)) as base:
        assert load([base], tmp_path / "g").resources == {"Patient": 2}


@pytest.mark.parametrize("source", ["http://[::1/fhir", "http://me:secret@x.example/fhir/Patient?name=a"])
def test_what_is_no_base_url_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="base URL") as caught:
        load([source], tmp_path / "g")
    assert "secret" not in str(caught.value)


def test_a_next_link_that_is_no_url_is_refused(tmp_path: Path) -> None:
    with (
        serving(one_type(lambda path, query: (200, bundle([], "http://[::1")))) as base,
        pytest.raises(UserError, match="no URL"),
    ):
        load([base], tmp_path / "g")
