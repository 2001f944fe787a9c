"""Loading: everything kept as it was, the same graph in any order, conflicts by rule, errors that name their place."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fhirtasks.errors import UserError
from fhirtasks.graph.load import LoadReport, load
from fhirtasks.graph.store import counts, fingerprint, open_graph, read, sources


def rows(graph: Path) -> tuple[list[Any], list[Any], list[Any]]:
    with open_graph(graph) as db:
        return (
            db.execute("select * from resource").fetchall(),
            db.execute("select * from superseded order by all").fetchall(),
            db.execute("select * from edge order by all").fetchall(),
        )


def raw(graph: Path, type_: str, id_: str) -> str | None:
    with open_graph(graph) as db:
        return read(db, type_, id_)


def lab(id_: str, value: str = "1.10", **more: Any) -> str:
    extra = "".join(f',"{key}":{json.dumps(item, separators=(",", ":"))}' for key, item in more.items())
    return (
        f'{{"resourceType":"Observation","id":"{id_}","subject":{{"reference":"Patient/p"}},'
        f'"valueQuantity":{{"value":{value}}}{extra}}}'
    )


PATIENT = {"resourceType": "Patient", "id": "p", "name": [{"family": "Núñez", "given": ["Zoë \U0001f600"]}]}


def test_texts_survive(write: Any, tmp_path: Path) -> None:
    odd = (
        '{ "valueDecimal" : 1e400,\t"resourceType": "Unheard", "id": "u.1",\r "x": [1.10, -0.0, 0.10000000000000000000000001], '
        '"y": "\\u00e9\\ud83d\\ude00 \\/\\\\ud800", "extension": [] }'
    )
    graph = tmp_path / "g.duckdb"
    report = load([str(write("all.ndjson", odd, PATIENT, lab("a")))], graph)
    assert report.resources == {"Observation": 1, "Patient": 1, "Unheard": 1}
    assert raw(graph, "Unheard", "u.1") == odd.replace(" :", ":").replace(": ", ":").replace(", ", ",").replace(
        "{ ", "{"
    ).replace(" }", "}").replace("\t", "").replace("\r ", "")
    assert raw(graph, "Observation", "a") == lab("a")
    assert json.loads(raw(graph, "Patient", "p") or "") == PATIENT
    assert raw(graph, "Patient", "q") is None


def test_every_wrapping_of_the_same_records_is_the_same_graph(write: Any, tmp_path: Path) -> None:
    lines = [json.dumps(PATIENT), *(lab(f"o{i}", f"{i}.50") for i in range(40))]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": "@"}]}
    plain = write("plain.ndjson", *lines)
    wrapped = {
        "crlf.jsonl": ("\ufeff" + "\r\n\r\n".join(lines)).encode(),
        "squeezed.ndjson.gz": gzip.compress("\n".join(lines).encode()),
        "bundle.json": json.dumps(bundle, indent=1).replace('"@"', ('}, {\n "resource":').join(lines)).encode(),
        "several.json": "\n".join(lines).encode(),
    }
    archive, tarball = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("../../outside/é.ndjson", "\n".join(lines[:20]))
        zipped.writestr(
            "inner/rest.json.gz",
            gzip.compress(json.dumps(bundle).replace('"@"', '},{"resource":'.join(lines[20:])).encode()),
        )
        zipped.writestr("LICENSE.txt", "text")
    wrapped["everything.zip"] = archive.getvalue()
    with tarfile.open(fileobj=tarball, mode="w:gz") as tar:
        info = tarfile.TarInfo("deep/nested.zip")
        info.size = len(archive.getvalue())
        tar.addfile(info, io.BytesIO(archive.getvalue()))
    wrapped["tarball.tgz"] = tarball.getvalue()
    (tmp_path / "folder" / "Übung").mkdir(parents=True)
    (tmp_path / "folder" / "Übung" / "x.ndjson").write_bytes(wrapped["crlf.jsonl"])
    (tmp_path / "folder" / "README.md").write_text("about")
    (tmp_path / "folder" / ".hidden.json").write_text("not json")
    expected = load([str(plain)], tmp_path / "plain.duckdb")
    assert expected.resources == {"Observation": 40, "Patient": 1}
    for name, data in wrapped.items():
        path = tmp_path / name
        path.write_bytes(data)
        report = load([str(path)], tmp_path / "other.duckdb")
        assert (report.fingerprint, report.resources) == (expected.fingerprint, expected.resources), name
        (tmp_path / "other.duckdb").unlink()
    report = load(
        [str(tmp_path / "folder"), str(tmp_path / "everything.zip")], tmp_path / "g.duckdb", licence="CC0-1.0"
    )
    assert report.fingerprint == expected.fingerprint
    assert report.skipped == ["everything.zip/LICENSE.txt", "folder/.hidden.json", "folder/README.md"]
    assert [(row["name"], row["licence"], row["notes"]) for row in report.sources] == [
        ("everything.zip", "CC0-1.0", "LICENSE.txt"), ("folder", "CC0-1.0", "README.md"),
    ]  # fmt: skip
    assert not (tmp_path.parent / "outside").exists()


def test_order_and_number_of_calls_do_not_matter(write: Any, tmp_path: Path) -> None:
    files = [
        write("a.ndjson", PATIENT, lab("1"), lab("2", meta={"versionId": "9"})),
        write("b.ndjson", lab("1"), lab("2", "2.0", meta={"versionId": "10"}), lab("3")),
        write("c.ndjson", lab("3", "3.5"), lab("3", "3.50"), lab("4", encounter={"reference": "Encounter/e"})),
        write("d.json", {"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/p"}}),
    ]
    together, apart, twice = (tmp_path / f"{name}.duckdb" for name in ("together", "apart", "twice"))
    reports = [load([str(file) for file in files], together)]
    for file in reversed(files):
        reports.append(load([str(file)], apart))
    for order in (files, files[::-1]):
        reports.append(load([str(file) for file in order], twice))
    assert rows(together) == rows(apart) == rows(twice)
    assert {report.fingerprint for report in (reports[0], reports[4], reports[6])} == {reports[0].fingerprint}
    assert reports[0].fingerprint != reports[1].fingerprint
    assert (reports[0].conflicts, reports[0].superseded, reports[0].unresolved_references) == (2, 3, 0)
    assert raw(together, "Observation", "2") == lab("2", "2.0", meta={"versionId": "10"})


def current_of(write: Any, tmp_path: Path, *bodies: str) -> tuple[str | None, LoadReport]:
    """The current body after loading the bodies, the same in both orders."""
    found = []
    for number, order in enumerate((bodies, bodies[::-1])):
        graph = tmp_path / f"{number}.duckdb"
        graph.unlink(missing_ok=True)
        report = load([str(write(f"{number}.ndjson", *order))], graph)
        found.append((raw(graph, "Observation", "o"), report.fingerprint))
    assert found[0] == found[1]
    return found[0][0], report


def test_which_body_is_current(write: Any, tmp_path: Path) -> None:
    def body(value: str, **meta: str) -> str:
        return lab("o", value, meta=meta)

    late, early = body("1", lastUpdated="2020-01-01T00:00:00+01:00"), body("2", lastUpdated="2019-12-31T22:59:59.5Z")
    assert current_of(write, tmp_path, body("3", versionId="10"), body("4", versionId="9"), body("5"), late)[0] == body(
        "3", versionId="10"
    )
    assert current_of(write, tmp_path, early, late, body("9"))[0] == late
    one, report = current_of(write, tmp_path, body("1.0"), body("1"), body("1.00"))
    assert one in (body("1.0"), body("1"), body("1.00"))
    assert (report.conflicts, report.superseded) == (1, 2)


def test_bodies_that_differ_in_the_order_of_keys_are_one(write: Any, tmp_path: Path) -> None:
    first, second = (
        '{"resourceType":"Observation","id":"o","a":{"x":1.10,"y":[2]}}',
        '{"resourceType":"Observation","id":"o","a":{"y":[2],"x":1.10}}',
    )
    current, report = current_of(write, tmp_path, second, first)
    assert current == first
    assert (report.conflicts, report.superseded) == (0, 0)


def test_conflicts_can_be_refused(write: Any, tmp_path: Path) -> None:
    graph = tmp_path / "g.duckdb"
    load([str(write("a.ndjson", lab("1")))], graph, on_conflict="error")
    load([str(write("same.ndjson", lab("1")))], graph, on_conflict="error")
    before = graph.read_bytes()
    with pytest.raises(
        UserError, match="1 resources have several bodies, Observation/1 for one; load with --on-conflict keep"
    ):
        load([str(write("b.ndjson", lab("1", "2")))], graph, on_conflict="error")
    assert graph.read_bytes() == before
    load([str(write("b.ndjson", lab("1", "2")))], graph)
    assert load([str(write("c.ndjson", lab("2")))], graph, on_conflict="error").conflicts == 1


def test_a_history_with_a_deletion(write: Any, tmp_path: Path) -> None:
    def entry(version: int, method: str = "PUT", id_: str = "o") -> dict[str, Any]:
        about = {"etag": f'W/"{version}"', "lastModified": f"2020-01-0{version}T00:00:00Z", "status": "200"}
        body = json.loads(lab(id_, str(version), meta={"versionId": str(version)})) if method == "PUT" else None
        return {
            "request": {"method": method, "url": f"Observation/{id_}"},
            "response": about,
            **({"resource": body} if body else {}),
        }

    deleted = [entry(3, "DELETE"), entry(2), entry(1), entry(1, "DELETE", "kept"), entry(2, "PUT", "kept")]
    graph = tmp_path / "g.duckdb"
    report = load([str(write("h.json", {"resourceType": "Bundle", "type": "history", "entry": deleted}))], graph)
    assert (report.resources, report.bundles, report.superseded) == ({"Observation": 1}, 1, 2)
    assert raw(graph, "Observation", "o") is None
    again = load([str(write("late.ndjson", lab("o", "4", meta={"versionId": "4"})))], graph)
    assert again.resources == {"Observation": 2}


def test_bundles_of_every_shape(write: Any, tmp_path: Path) -> None:
    uuid = "c757873d-ec9a-4326-a141-556f43239520"
    inner = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {"resourceType": "Device", "id": "d"}}],
    }
    outer = {
        "resourceType": "Bundle", "type": "transaction", "entry": [
            {"fullUrl": f"urn:uuid:{uuid}", "resource": {"resourceType": "Patient"}, "request": {"method": "POST"}},
            {"fullUrl": "http://h/Patient/seven", "resource": {"resourceType": "Patient"}},
            {"resource": {"resourceType": "Basic", "code": {"text": "no id at all"}}},
            {"resource": inner}, {"request": {"method": "GET", "url": "Patient"}}, {"response": {"status": "201"}},
        ],
    }  # fmt: skip
    graph = tmp_path / "g.duckdb"
    report = load(
        [
            str(write("b.json", outer)),
            str(write("empty.json", {"resourceType": "Bundle", "type": "searchset", "total": 0})),
        ],
        graph,
    )
    assert (report.resources, report.bundles) == ({"Basic": 1, "Device": 1, "Patient": 2}, 3)
    assert raw(graph, "Patient", uuid) == f'{{"id":"{uuid}","resourceType":"Patient"}}'
    assert raw(graph, "Patient", "seven") == '{"id":"seven","resourceType":"Patient"}'
    assert load([str(write("b.json", outer))], graph).fingerprint == report.fingerprint


GOOD = lab("good")
MISTAKES = {
    "cut.ndjson": (GOOD + "\n" + GOOD[:40], r"cut\.ndjson, line 2 is not JSON \(.*truncated"),
    "trailing.ndjson": (GOOD + '\n\n{"resourceType":"Patient",}\n', r"trailing\.ndjson, line 3 is not JSON"),
    "nan.ndjson": ('{"resourceType":"Patient","id":"1","x":NaN}', r"line 1 is not JSON"),
    "list.ndjson": (GOOD + "\n[1]", r"line 2 is JSON but no FHIR resource"),
    "untyped.ndjson": ('{"id":"1"}', r"line 1 is JSON but no FHIR resource \(.*resourceType"),
    "numbered.ndjson": ('{"resourceType":"Patient","id":7}', r"line 1 is JSON but no FHIR resource"),
    "anonymous.ndjson": (
        '{"resourceType":"Patient","id":""}',
        r"line 1 is JSON but no FHIR resource \(its id is empty\)",
    ),
    "half.ndjson": ('{"resourceType":"Patient","id":"1","x":"\\udc00"}', r"line 1 is not JSON \(.*surrogate"),
    "other.ndjson": ('{"resourceType":"Patient","id":"1","x":"\\ud800\\u0041"}', r"line 1 is not JSON"),
    "latin.ndjson": (
        '{"resourceType":"Patient","id":"1","x":"é"}'.encode("latin-1"),
        r"line 1 is not UTF-8 \(byte 40\)",
    ),
    "deep.ndjson": (
        '{"resourceType":"Patient","id":"1","x":' + "[" * 100_000 + "]" * 100_000 + "}",
        r"nested too deeply",
    ),
    "broken.json": ('{\n"resourceType": "Patient",\n "id": }', r"broken\.json, line 3, is not JSON"),
    "nothing.json": ("\n", r"nothing\.json is empty"),
    "entry.json": (
        '{"resourceType":"Bundle","entry":[{"resource":{"id":"1"}}]}',
        r"entry \(number 1\) that is JSON but no FHIR",
    ),
    "shape.json": ('{"resourceType":"Bundle","entry":{"resource":{}}}', r"is a malformed Bundle"),
    "cut.ndjson.gz": (gzip.compress(GOOD.encode())[:-9], r"cut\.ndjson\.gz is cut off"),
    "fake.ndjson.gz": (GOOD, r"fake\.ndjson\.gz is damaged, or not what its name says"),
    "fake.zip": (GOOD, r"fake\.zip is damaged, or not what its name says"),
    "fake.tgz": (GOOD, r"fake\.tgz is damaged, or not what its name says"),
    "table.csv": ("a,b", r"is of a kind that fhirtasks does not read"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_and_leave_nothing(name: str, tmp_path: Path) -> None:
    content, message = MISTAKES[name]
    path, graph = tmp_path / name, tmp_path / "g.duckdb"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message):
        load([str(path)], graph)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    good = tmp_path / "good.ndjson"
    good.write_text(GOOD)
    load([str(good)], graph)
    before = graph.read_bytes()
    with pytest.raises(UserError, match=message):
        load([str(good), str(path)], graph)
    assert graph.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["g.duckdb", "good.ndjson", name])


def test_an_encrypted_zip(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.ndjson", GOOD)
    data = bytearray(buffer.getvalue())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + flags] |= 1
    (tmp_path / "secret.zip").write_bytes(data)
    with pytest.raises(UserError, match=r"secret\.zip/a\.ndjson is encrypted; unpack"):
        load([str(tmp_path / "secret.zip")], tmp_path / "g.duckdb")


def test_what_cannot_be_loaded_or_written(tmp_path: Path, write: Any) -> None:
    with pytest.raises(UserError, match="does not exist; give NDJSON"):
        load([str(tmp_path / "missing")], tmp_path / "g.duckdb")
    with pytest.raises(UserError, match="nothing to load"):
        load([], tmp_path / "g.duckdb")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="No FHIR resource was found"):
        load([str(tmp_path / "empty"), str(write("blank.ndjson", ""))], tmp_path / "g.duckdb")
    with pytest.raises(UserError, match="cannot be written"):
        load([str(write("a.ndjson", GOOD))], tmp_path / "no" / "folder" / "g.duckdb")
    other = tmp_path / "other.duckdb"
    duckdb.connect(str(other)).close()
    for path, message in (
        (other, "is not a graph; make one"),
        (write("text", "x"), "is not a graph"),
        (tmp_path / "empty", "is a folder"),
    ):
        with pytest.raises(UserError, match=message):
            load([str(write("a.ndjson", GOOD))], path)
        with pytest.raises(UserError, match=message):
            open_graph(path)
    with pytest.raises(UserError, match="does not exist; make it with fhirtasks load"):
        open_graph(tmp_path / "g.duckdb")


def test_a_graph_of_another_version(tmp_path: Path, write: Any) -> None:
    graph = tmp_path / "g.duckdb"
    load([str(write("a.ndjson", GOOD))], graph)
    with duckdb.connect(str(graph)) as db:
        db.execute("update meta set value = '0' where key = 'graph_version'")
    with pytest.raises(UserError, match="is a graph of version 0"):
        open_graph(graph)


def test_a_second_load_at_the_same_time_is_refused(tmp_path: Path, write: Any) -> None:
    source, graph = str(write("a.ndjson", GOOD)), tmp_path / "g.duckdb"
    messages: list[str] = []

    def nested(message: str) -> None:
        if message.startswith("reading") and not messages:
            messages.append(message)
            with pytest.raises(UserError, match="is being loaded by another process"):
                load([source], graph)

    load([source], graph, progress=nested)
    assert messages and graph.exists()


def test_report_and_store_agree(tmp_path: Path, write: Any) -> None:
    graph = tmp_path / "g.duckdb"
    report = load([str(write("a.ndjson", PATIENT, GOOD))], graph, licence="ODbL-1.0", origin="doi:10.1/x")
    with open_graph(graph) as db:
        assert counts(db) == report.resources
        assert fingerprint(db) == report.fingerprint
        stated = {"licence": "ODbL-1.0", "origin": "doi:10.1/x", "real_patients": False, "known": None, "notes": None}
        assert sources(db) == report.sources == [{"name": "a.ndjson", **stated}]
        assert db.execute("select distinct source from resource").fetchall() == [(0,)]
        assert [row[0] for row in db.execute("describe resource").fetchall()] == [
            "type", "id", "patient", "codes", "categories", "status", "date_lo", "date_hi", "effective", "value",
            "unit", "source", "raw",
        ]  # fmt: skip
    assert json.loads(json.dumps(report.as_json()))["resources"] == {"Observation": 1, "Patient": 1}


def test_a_very_long_line(tmp_path: Path) -> None:
    path, graph = tmp_path / "long.ndjson", tmp_path / "g.duckdb"
    body = '{"resourceType":"Binary","id":"b","data":"' + "QUJD" * 8_000_000 + '"}'
    path.write_text(GOOD + "\n" + body + "\n" + lab("after"))
    assert load([str(path)], graph).resources == {"Binary": 1, "Observation": 2}
    assert raw(graph, "Binary", "b") == body
