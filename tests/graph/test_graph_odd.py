"""Loading what few have and somebody sends: numbers and nesting beyond all measure, cut archives, links, odd fullUrls."""

from __future__ import annotations

import errno
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.errors import UserError
from fhirtasks.graph.load import load
from fhirtasks.graph.store import open_graph

PATIENT = {"resourceType": "Patient", "id": "p", "identifier": [{"system": "s", "value": "v"}]}


def rows(graph: Path, query: str) -> list[Any]:
    with open_graph(graph) as db:
        found: list[Any] = db.execute(query).fetchall()
        return found


def nested(levels: int, **more: Any) -> str:
    """A Patient whose element ``x`` makes its text that many levels deep."""
    head = json.dumps({"resourceType": "Patient", "id": "p", **more})[:-1]
    return f'{head},"x":{"[" * (levels - 1)}{"]" * (levels - 1)}}}'


@pytest.mark.parametrize("number", ["1e400", "-0", "7" * 5000, "1e-999999999999"])
def test_a_number_beyond_any_type_disturbs_no_reference(write: Any, tmp_path: Path, number: str) -> None:
    """References by identifier alone are looked for in Python, where such numbers do not fit."""
    lab = f'{{"resourceType":"Observation","id":"o","subject":{{"identifier":{{"system":"s","value":"v"}}}},"n":{number}}}'
    load([str(write("a.ndjson", PATIENT, lab))], tmp_path / "g")
    assert rows(tmp_path / "g", "select patient, raw from resource where id = 'o'") == [("p", lab)]


def test_nesting_is_taken_to_a_stated_depth(write: Any, tmp_path: Path) -> None:
    subject = {"identifier": {"system": "s", "value": "v"}}
    source = write("a.ndjson", nested(500, subject=subject), nested(500, active=True), json.dumps(PATIENT))
    report = load([str(source)], tmp_path / "g")  # two bodies are compared, and references by identifier looked for
    assert (report.conflicts, report.superseded) == (1, 2)
    for name, text in {
        "b.ndjson": nested(501),
        "c.ndjson": " " + nested(501),
        "d.json": f'{{"resourceType":"Bundle","entry":[{{"resource":{nested(498)}}}]}}',
    }.items():
        with pytest.raises(UserError, match="is nested too deeply"):
            load([str(write(name, text))], tmp_path / "h")
    brackets = '{"resourceType":"Patient","id":"p","x":"\\\\","y":"\\\\\\"' + "[" * 600 + '"}'
    load([str(write("e.ndjson", brackets))], tmp_path / "h")


def test_a_version_without_end_is_no_number(write: Any, tmp_path: Path) -> None:
    bodies = [{"resourceType": "Patient", "id": "p", "meta": {"versionId": version}} for version in ("9" * 5000, "3")]
    gone = {"request": {"method": "DELETE", "url": "Patient/q"}, "response": {"etag": f'W/"{"9" * 40}"'}}
    history = {"resourceType": "Bundle", "type": "history", "entry": [gone]}
    load([str(write("a.ndjson", *bodies, history))], tmp_path / "g")
    assert json.loads(rows(tmp_path / "g", "select raw from resource")[0][0]) == bodies[1]


def test_an_id_of_null_is_refused(write: Any, tmp_path: Path) -> None:
    """It would be given one, and so have two."""
    for text in ('{"resourceType":"Patient","id":null}', '{"id":null,"resourceType":"Patient"}'):
        with pytest.raises(UserError, match=r"a\.ndjson, line 1 is JSON but no FHIR resource"):
            load([str(write("a.ndjson", text))], tmp_path / "g")


def test_ndjson_called_json_may_begin_with_a_blank_line(write: Any, tmp_path: Path) -> None:
    load([str(write("a.json", "", PATIENT, {**PATIENT, "id": "q"}))], tmp_path / "g")
    assert rows(tmp_path / "g", "select id from resource order by id") == [("p",), ("q",)]


def test_a_cut_tar_archive_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    """Python's reader takes a cut or damaged header, or none, for the end."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for number in range(3):
            content = json.dumps({**PATIENT, "id": f"p{number}", "x": "y" * 600}).encode()
            member = tarfile.TarInfo(f"p{number}.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    data = whole.getvalue()
    end = 3 * (512 + 1024)  # a header and two blocks each; then the end mark
    path = tmp_path / "a.tar"
    for size in (1400, 1536, 1600, end, end + 100):
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match=r"a\.tar.* is damaged"):
            load([str(path)], tmp_path / "g")
    path.write_bytes(data[:1540] + b"\xff" * 20 + data[1560:])
    with pytest.raises(UserError, match=r"a\.tar is damaged"):
        load([str(path)], tmp_path / "g")
    path.write_bytes(data)
    assert load([str(path)], tmp_path / "g").resources == {"Patient": 3}


def test_links_in_a_folder_are_followed(write: Any, tmp_path: Path) -> None:
    write("real/a.ndjson", PATIENT)
    write("src/sub/b.ndjson", {**PATIENT, "id": "q"})
    (tmp_path / "src" / "link").symlink_to("../real")
    (tmp_path / "src" / "sub" / "round").symlink_to("..")
    (tmp_path / "src" / "lost.ndjson").symlink_to("nowhere")
    report = load([str(tmp_path / "src")], tmp_path / "g")
    assert (report.resources, report.skipped) == ({"Patient": 2}, ["src/lost.ndjson"])


def test_a_full_url_that_names_no_type_is_a_target(write: Any, tmp_path: Path) -> None:
    entries = [
        {"fullUrl": "http://x.example/one", "resource": PATIENT},
        {"resource": {"resourceType": "Observation", "id": "o", "subject": {"reference": "http://x.example/one"}}},
        {"resource": {"resourceType": "Observation", "id": "u", "subject": {"reference": "http://x.example/two"}}},
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    report = load([str(write("b.json", bundle))], tmp_path / "g")
    assert [one["reference"] for one in report.unresolved_examples] == ["http://x.example/two"]
    assert rows(tmp_path / "g", "select id, patient from resource order by id") == [("o", "p"), ("p", "p"), ("u", None)]


def test_every_code_is_found_whatever_stands_between(write: Any, tmp_path: Path) -> None:
    lacking = {"display": "no code"}
    coding = [{"code": "a"}, lacking, {"system": "s", "code": "b"}]
    lab = {"resourceType": "Observation", "id": "o", "code": {"coding": coding}, "category": [{"coding": coding}]}
    visit = {
        "resourceType": "Encounter",
        "id": "e",
        "type": [{"coding": coding[:1]}, {"text": "t"}, {"coding": coding[2:]}],
    }
    load([str(write("a.ndjson", lab, visit))], tmp_path / "g")
    found = rows(tmp_path / "g", "select codes, categories from resource order by id")
    assert found == [(["|a", "s|b"], []), (["|a", "s|b"], ["|a", "s|b"])]


def test_a_full_disk_is_not_blamed_on_the_source(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fhirtasks.graph.texts.os.pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        load([str(write("a.ndjson", PATIENT))], tmp_path / "g")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ndjson"]
