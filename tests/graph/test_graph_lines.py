"""Lines that are plain are found a block at a time and give the same graph, and the same errors, as lines taken one by one."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirtasks.errors import UserError
from fhirtasks.graph import stage
from fhirtasks.graph.bundles import minified
from fhirtasks.graph.lines import Lines, read_lines
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
def test_plain_lines_are_the_same(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = loaded(text, tmp_path / "a")

    def none_plain(block: bytearray, size: int) -> Lines:
        lines = read_lines(block, size)
        lines.kinds[:] = -1
        return lines

    monkeypatch.setattr(stage, "read_lines", none_plain)
    assert loaded(text, tmp_path / "b") == quick


@pytest.mark.parametrize("more", ["plain", "digits", "exponent", "integer", "solidus", "escape", "script", "more"])
def test_plain_lines_are_not_taken_one_by_one(more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.Reader, "_careful", None)
    text = "\n".join(PLAIN % (i, ODD[more]) for i in range(6))
    assert isinstance(loaded(text, tmp_path / "a"), tuple)
    assert isinstance(loaded(text.replace(":", ": ").replace(",", " , "), tmp_path / "b"), tuple)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.sampled_from(list('aefilnNIF01-., :[]{}"\\\t\u00e9')), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("anif:, ", max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
JUNK = st.sampled_from([*' \t\r,:[]{}"0', "NaN", "nan", "-Infinity", "inf", "iNf", ",", "  ", '\\"', "", "é", "\x00"])


@settings(deadline=None, max_examples=500)
@given(JSONS, st.booleans(), JUNK, st.integers(0, 200), st.integers(0, 2))
def test_a_plain_line_is_strict_or_refused(value: object, spaced: bool, junk: str, at: int, cut: int) -> None:
    """Whatever stands in a line: if it is called plain and DuckDB takes it, it is minified JSON."""
    line = '{"resourceType":"Basic","id":"1","x":' + json.dumps(value, separators=None if spaced else (",", ":")) + "}"
    at = min(at, len(line))
    line = line[:at] + junk + line[at + cut :]
    block = bytearray(line.replace("\n", " ").encode() + b"\n")
    if read_lines(block, len(block)).kinds[0] < 0:
        return
    with duckdb.connect() as db:
        try:
            db.execute("select json_extract_string(?, ['$.id'])", [line])
        except duckdb.Error:
            return
    assert _is_minified(line)


def _is_minified(line: str) -> bool:
    try:
        return minified(line.encode()) == line.encode()
    except ValueError:
        return False
