"""What is held out is read from whatever a benchmark is given as, and each fact of a row finds its place."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.holdouts import read_heldout, read_sealed
from fhirtasks.benchmarks.hub import is_hub, parse
from fhirtasks.benchmarks.phrases import addresses_in, parameters_in, phones_in
from fhirtasks.benchmarks.shapes import held_out
from fhirtasks.errors import UserError
from fhirtasks.population.taskfile import Person

FHIR_AGENTBENCH = """split,question_id,question,sql_query,true_answer,assumption,patient_fhir_id,template,val_dict,true_fhir_ids
test,q1,"Hours since patient 10099918's last wbc test, please?",select,[[87.]],clock,0a8eebfd-0000-522e-89f0-1d4a13abdebc,t,\
"{'patient_id': '10099918', 'lab_name': 'wbc'}","{'Observation': ['5a8eebfd-0000-522e-89f0-1d4a13abdebd'], 'Medication': ['6a']}"
test,q2,"Gender of 10099919?",select,[],,1a8eebfd-0000-522e-89f0-1d4a13abdebc,t,"{""patient_id"": 10099919}",{}
"""
MEDCALC = """Row Number,Calculator ID,Note ID,Patient Note,Question,Relevant Entities,Ground Truth Answer
1,2,pmc-9999550-1,"A man of 87 came in.
He weighed 48 kg.",What is it?,"{'sex': 'Male', 'age': [87, 'years'], 'weight': [48.0, 'kg']}",25.238
2,2,17,A woman of 30 came in too.,What is it?,"{""pregnant"": true, ""height"": null}",
"""
TREC = """<?xml version="1.0" encoding="UTF-8"?>
<topics task="a track">
  <topic number="1">
    A man of 45 with
    a long history.
  </topic>
  <topic number="2" template="eyes"><field name="pressure">22 mmHg</field><field name="age">50</field></topic>
  <topic number="3"><summary>A woman falls.</summary></topic>
</topics>
"""
TASKS = [
    {
        "id": "task1_1",
        "instruction": 'Record of the patient with name Ines Okonjo and DOB of 1932-12-29? Else "Nobody here".',
        "context": "It is 2023-11-13T10:15:00+00:00.",
        "sol": ["Q1234567"],
        "eval_MRN": "Q1234567",
    },
    {"id": "task3_1", "instruction": 'Record "118/77 mmHg" for Q7654321.', "eval_MRN": "Q7654321"},
]


def write(path: Path, value: str | bytes) -> Path:
    path.write_bytes(value if isinstance(value, bytes) else value.encode())
    return path


def read(path: Path | str) -> list[HeldOut]:
    return list(read_heldout(path))


def test_medagentbench_tasks(tmp_path: Path) -> None:
    first, second = read(write(tmp_path / "t.json", json.dumps(TASKS)))
    assert (first.source, first.id, first.texts) == ("t.json", "task1_1", (TASKS[0]["instruction"],))
    assert first.identifiers == ("Q1234567",) and first.answer == "Q1234567"
    assert first.people == (Person("Ines Okonjo", date(1932, 12, 29)),)
    assert set(first.parameters) == {"1932-12-29", "Nobody here", "Ines Okonjo"}
    assert second.parameters == ("Q7654321", "118/77 mmHg") and second.answer is None


def test_fhir_agentbench_questions(tmp_path: Path) -> None:
    first, second = read(write(tmp_path / "anything", FHIR_AGENTBENCH))
    assert first == HeldOut(
        source="anything", id="q1", texts=("Hours since patient 10099918's last wbc test, please?",),
        identifiers=("0a8eebfd-0000-522e-89f0-1d4a13abdebc", "10099918", "5a8eebfd-0000-522e-89f0-1d4a13abdebd"),
        parameters=("10099918", "wbc"), answer="[[87.]]",
    )  # fmt: skip
    assert second.answer is None and "10099919" in second.identifiers


def test_medcalc_notes_without_the_calculators_question(tmp_path: Path) -> None:
    first, second = read(write(tmp_path / "m.csv", MEDCALC))
    assert first.texts == ("A man of 87 came in.\nHe weighed 48 kg.",) and first.identifiers == ("pmc-9999550-1",)
    assert first.parameters == ("sex: Male", "age: 87 years", "weight: 48.0 kg") and first.answer == "25.238"
    assert (second.identifiers, second.parameters, second.answer) == ((), ("pregnant: True",), None)


def test_trec_topics_of_all_years(tmp_path: Path) -> None:
    first, second, third = read(write(tmp_path / "topics", TREC))
    assert (first.id, first.texts) == ("1", ("A man of 45 with a long history.",))
    assert second.texts == ("pressure: 22 mmHg; age: 50",) and second.parameters == ("pressure: 22 mmHg", "age: 50")
    assert third.texts == ("A woman falls.",)


ROW = {
    "id": "a",
    "prompt": [
        {"role": "system", "content": "You are a very helpful agent."},
        {"role": "user", "content": "Potassium of MRN Q1234567 of 12 Elm Street, (555) 123-4567?"},
    ],
    "answer": "4.10",
    "patient": {"given": ["Ann"], "family": "Moe", "birthDate": "1950-02-03"},
    "chart": json.dumps(
        {
            "resourceType": "Patient", "id": "pat-77771", "identifier": [{"value": "W9876543"}],
            "name": [{"family": "Roe", "given": ["Al"]}], "birthDate": "1940-01-02",
            "telecom": [{"system": "phone", "value": "555-222-3333"}], "address": [{"line": ["3 High St"], "city": "Bo"}],
        }
    ),
}  # fmt: skip


def forms(rows: list[dict[str, Any]], folder: Path) -> list[Path]:
    """The same rows in every form of file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, folder / "rows.parquet")
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    with pa.OSFile(str(folder / "rows.feather"), "wb") as file, pa.ipc.new_file(file, table.schema) as indexed:
        indexed.write_table(table)
    with pa.CompressedOutputStream(str(folder / "lines.zst"), "zstd") as packed:
        packed.write(lines)
    write(folder / "lines", lines)
    write(folder / "bom.jsonl", b"\xef\xbb\xbf" + lines)
    write(folder / "list.json", json.dumps(rows, indent=2))
    write(folder / "wrapped.json", json.dumps({"version": 1, "data": rows}))
    write(folder / "wide.json", json.dumps(rows).encode("utf-16"))
    write(folder / "lines.gz", gzip.compress(lines))
    write(folder / "lines.bz2", bz2.compress(lines))
    write(folder / "lines.xz", lzma.compress(lines))
    return sorted(folder.iterdir())


def test_any_row_is_read_by_its_shape_in_any_file(tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "id": "b"}, {**ROW, "id": "c"}]
    for path in forms(rows, tmp_path):
        items = read(path)
        assert [item.id for item in items] == ["a", "b", "c"], path
        item = items[0]
        assert item.texts == (), "what three rows repeat is boilerplate"
        assert item.identifiers == ("Q1234567", "pat-77771", "W9876543"), path
        assert item.people == (Person("Ann Moe", date(1950, 2, 3)), Person("Al Roe", date(1940, 1, 2))), path
        assert item.phones == ("(555) 123-4567", "555-222-3333") and item.addresses == (
            "12 Elm Street",
            "3 High St, Bo",
        )
        assert item.answer == "4.10" and json.loads(item.resources[0])["id"] == "pat-77771"
    (alone,) = read(write(tmp_path / "one.jsonl", json.dumps(ROW)))
    assert alone.texts == tuple(message["content"] for message in ROW["prompt"])


def test_a_bundle_is_its_resources(tmp_path: Path) -> None:
    entry = [{"resource": {"resourceType": "Observation", "id": "o1"}}, {"resource": json.loads(ROW["chart"])}]
    (item,) = read(write(tmp_path / "b.json", json.dumps({"resourceType": "Bundle", "entry": entry})))
    assert len(item.resources) == 2 and "W9876543" in item.identifiers


def test_lines_are_items_and_a_note_is_one(tmp_path: Path) -> None:
    lines = read(write(tmp_path / "l.txt", "Q1234567\nAnn Moe, born 3 Feb 1950\nWhat is the level of Q7654321?\n"))
    assert [item.identifiers for item in lines] == [("Q1234567",), (), ("Q7654321",)]
    assert lines[1].people == (Person("Ann Moe", date(1950, 2, 3)),)
    (note,) = read(write(tmp_path / "n.txt", "HPI: a man of 40.\n\nPMH: nothing at all.\n"))
    assert note.texts == ("HPI: a man of 40.\n\nPMH: nothing at all.",)


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    write(tmp_path / "l.txt", "Q1234567\n")
    write(tmp_path / "t.xml", TREC)
    write(tmp_path / ".hidden", "Q9999999\n")
    assert [item.source for item in read(tmp_path)] == ["l.txt", "t.xml", "t.xml", "t.xml"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"\x89PNG\x00\x01", "neither text"),
        (b"PAR1 not really", "cannot be read"),
        (b"ARROW1 not really", "cannot be read"),
        (gzip.compress(b'{"a": "b c d e"}\n' * 9, mtime=0)[:-12], "cannot be read"),
        (b'{"question": "one two three four"}\n{"question": \n', "line 2: not JSON"),
        (b'[{"question": "one two three four"}, {"question"]', "row 2: not JSON"),
        (b"<topics><topic>", "is not XML"),
        (b"<html></html>", "without a <topic>"),
        (b"<topics><topic number='1'/></topics>", "topic 1 is empty"),
        (b"[]", "holds nothing out"),
        (b'{"id": 1}\n', "holds nothing out"),
        (FHIR_AGENTBENCH.replace('"Gender of 10099919?"', "").encode(), "row 2: no text in 'question'"),
        (MEDCALC.replace("A woman of 30 came in too.", "").encode(), "row 2: no text in 'Patient Note'"),
        (MEDCALC.encode() + b"3,2\n", "row 4 has 2 cells"),
        (MEDCALC.encode() + b'3,2,"never closed\n', "bad CSV"),
        (json.dumps([*TASKS, {"id": "x", "instruction": 3}]).encode(), "row 3"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path, value: bytes, message: str) -> None:
    path = write(tmp_path / "held.csv" if b"Row Number" in value else tmp_path / "held", value)
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value) and "held" in str(caught.value) and "; " in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read"):
        read(tmp_path / "none.json")


def test_only_a_sealed_file_is_sealed(tmp_path: Path) -> None:
    assert read_sealed(write(tmp_path / "s.json", '{"sealed": 1, "keys": []}')) == {"sealed": 1, "keys": []}
    assert read_sealed(write(tmp_path / "t.json", json.dumps(TASKS))) is None
    assert read_sealed(write(tmp_path / "l.txt", "sealed")) is None
    assert read_sealed(tmp_path / "none") is None


def test_names_of_hub_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse("hub:org/name") == parse("org/name") == ("org/name", None, None, None)
    assert parse("hub:org/name@v1:cfg:test") == ("org/name", "v1", "cfg", "test")
    with pytest.raises(UserError, match="names no Hub dataset"):
        parse("hub:name")
    assert is_hub("org/name") and not is_hub("org/name.json") and not is_hub(Path("org/name")) and not is_hub("./x/y")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    write(tmp_path / "org" / "name", "x")
    assert not is_hub("org/name") and is_hub("hub:org/name") and is_hub(Path("hub:org/name"))


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_is_read_without_error(value: Any) -> None:
    item = held_out("x", 1, value)
    assert item is None or item.source == "x"


def test_facts_in_running_text() -> None:
    assert parameters_in('Give "BP" 118/77 mmHg at 3.5, on 2023-11-13, for 2 g.') == [
        "BP",
        "118/77 mmHg",
        "3.5",
        "2023-11-13",
        "2 g",
    ]
    assert phones_in("call +1 555-123-4567 or (555) 123-4567 x12, not 5551234567890 or 2023-11-13") == [
        "+1 555-123-4567",
        "(555) 123-4567 x12",
    ]
    assert addresses_in("lives at 742 Evergreen Terrace, Springfield, IL 62704 now") == [
        "742 Evergreen Terrace, Springfield, IL 62704"
    ]
    assert addresses_in("took 2 mg Warfarin St stopped; 5 mg Drive") == []


@pytest.mark.shared
def test_real_files(shared: Path) -> None:
    tasks = read(shared / "medagentbench" / "test_data_v2.json")
    assert len(tasks) == 300 and len({one for item in tasks for one in item.identifiers}) == 98
    assert len({person for item in tasks for person in item.people}) == 30
    patients = read(shared / "synthea-ndjson" / "Patient.ndjson.gz")
    assert len(patients) == 79 and all(p.people and p.phones and p.addresses and p.resources for p in patients)
