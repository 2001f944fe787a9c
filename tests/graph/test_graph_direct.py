"""Files that DuckDB reads itself give the same graph, and the same errors, as those read line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirtasks.errors import UserError
from fhirtasks.graph import stage
from fhirtasks.graph.load import load
from fhirtasks.graph.store import open_graph

PLAIN = '{"resourceType":"Observation","id":"o%d","status":"final","subject":{"reference":"Patient/p"}%s}'
DEEP = ',"extension":' + "[" * 2000 + "]" * 2000

ODD = {
    "plain": "",
    "digits": ',"valueQuantity":{"value":1.10,"unit":"mg"}',
    "exponent": ',"valueQuantity":{"value":1.0E-5}',
    "integer": ',"valueInteger":123456789012345678901234567890',
    "space": ', "valueString":"a"',
    "solidus": ',"valueString":"a\\/b"',
    "escape": ',"valueString":"\\u0041"',
    "script": ',"valueString":"Ärztin 医"',
    "words": ',"valueString":"NaN, Infinity"',
    "logical": ',"performer":[{"identifier":{"value":"7"}}]',
    "more": ',"focus":[{"reference":"Patient/p"},{"reference":"Patient/q"}]',
    "twice": ',"status":"final"',
    "nan": ',"valueDecimal":NaN',
    "minus": ',"valueDecimal":-Infinity',
    "comma": ',"note":[1,]',
    "half": ',"valueString":"\\ud800"',
    "deep": DEEP,
    "two": '}{"resourceType":"Observation","id":"x"',
    "cut": ',"note":[',
    "control": ',"valueString":"\x01"',
}
LINES = {
    "crlf": "\r\n",
    "blank": "\n\n",
    "newline": "\n",
    "no id": '\n{"resourceType":"Patient","active":true}\n',
    "empty id": '\n{"resourceType":"Patient","id":""}\n',
    "number id": '\n{"resourceType":"Patient","id":5}\n',
    "bundle": '\n{"resourceType":"Bundle","id":"b","type":"collection","entry":[]}\n',
    "patient": '\n{"resourceType":"Patient","id":"p"}\n',
    "unknown": '\n{"resourceType":"Basic","id":"p","subject":{"reference":"Patient/p"}}\n',
    "array": "\n[1]\n",
    "latin": "\n\udce4\n",
}


def loaded(text: str, folder: Path) -> object:
    folder.mkdir()
    file, graph = folder / "o'bs.ndjson", folder / "graph"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        report = load([str(file)], graph).as_json()
    except UserError as error:
        return str(error)
    with open_graph(graph) as db:
        return report, [db.sql(f"from {table} order by all").fetchall() for table in ("resource", "edge", "bundle")]


@pytest.mark.parametrize(
    "text",
    [*("\n".join(PLAIN % (i, more if i == 3 else "") for i in range(6)) for more in ODD.values()),
     *(between.join(PLAIN % (i, "") for i in range(3)) for between in LINES.values())],
    ids=[*ODD, *LINES],
)  # fmt: skip
def test_graph_direct_is_the_same(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = loaded(text, tmp_path / "a")
    monkeypatch.setattr(stage, "_DIRECT_BYTES", 1)
    assert loaded(text, tmp_path / "b") == expected


def test_graph_direct_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The careful way is not walked where it need not be."""
    monkeypatch.setattr(stage, "_DIRECT_BYTES", 1)
    monkeypatch.setattr(stage.Reader, "lines_of", None)
    assert isinstance(loaded("\n".join(PLAIN % (i, "") for i in range(6)), tmp_path / "a"), tuple)
