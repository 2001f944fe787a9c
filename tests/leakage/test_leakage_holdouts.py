"""Holdout files: what is read from them, what is refused, and which patients of a graph they exclude."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fhirtasks.errors import UserError
from fhirtasks.leakage.holdouts import Holdouts, read_holdouts
from fhirtasks.population.taskfile import Person


def rows() -> list[dict[str, Any]]:
    return [
        {
            "id": "a_1",
            "instruction": "Which record is Zoë Müller's, born 1932-12-29?",
            "context": "",
            "sol": ["Q1234567"],
            "eval_MRN": "Q1234567",
        },
        {
            "id": "a_2",
            "instruction": "Is there a patient named Ines Okonjo, DOB 12/30/1940?",
            "context": "",
            "sol": ["Patient not found"],
        },
        {
            "id": "b_1",
            "instruction": "How old is Q7654321?",
            "context": "It is 2023-11-13T10:15:00+00:00.",
            "eval_MRN": "Q7654321",
            "sol": [63],
        },
        {
            "id": "b_2",
            "instruction": "Read the chart of Q1111111 from 2020-01-01.",
            "context": "Code 306181000000106",
            "eval_MRN": None,
        },
    ]


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_identifiers_people_and_instructions_are_read(tmp_path: Path) -> None:
    held = read_holdouts([write(tmp_path / "tasks.json", rows())])
    assert set(held.identifiers) == {"Q1111111", "Q1234567", "Q7654321"}
    assert set(held.people) == {Person("Ines Okonjo", date(1940, 12, 30)), Person("Zoë Müller", date(1932, 12, 29))}
    assert held.identifiers["Q7654321"] == [("tasks.json", "b_1")]
    assert held.counts["items"] == held.counts["texts"] == 4
    assert held.sources == {"tasks.json": 4}


def test_json_lines_and_order_give_the_same_digest(tmp_path: Path) -> None:
    one = read_holdouts([write(tmp_path / "tasks.json", rows())])
    lines = "\n".join(json.dumps(row) for row in reversed(rows())) + "\n\n"
    two = read_holdouts([write(tmp_path / "tasks.jsonl", lines)])
    both = read_holdouts([tmp_path / "tasks.json", tmp_path / "tasks.jsonl"])
    assert one.digest == two.digest == both.digest
    assert both.counts["items"] == 8 and len(both.identifiers["Q7654321"]) == 2
    assert read_holdouts([write(tmp_path / "less.json", rows()[:3])]).digest != one.digest


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("", "is empty"),
        ("[]", "holds nothing out"),
        ('[{"instruction"', "not JSON"),
        ('[{"instruction": 5, "id": "x", "sol": 1}]', "no text in 'instruction'"),
        ('{"sealed": 1}', "is sealed"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, clause: str) -> None:
    path = write(tmp_path / "bad.json", text)
    with pytest.raises(UserError) as caught:
        read_holdouts([path])
    assert "bad.json" in str(caught.value)
    assert clause in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read"):
        read_holdouts([tmp_path / "none.json"])


def patient(identifier: str, value: str, family: str, given: list[str], born: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": identifier,
        "identifier": [
            {"value": "irrelevant"},
            {"system": "https://h.example.org", "value": value},
            {"system": "https://no.example.org"},
        ],
        "name": [{"family": family, "given": given}],
        "birthDate": born,
    }


PATIENTS = [
    ("by-value", patient("by-value", "Q7654321", "A", ["B"], "1990-01-01"), True),
    ("by-case", patient("by-case", "q-765 4321", "A", ["B"], "1990-01-01"), True),
    ("by-part", patient("by-part", "MRN:Q7654321", "A", ["B"], "1990-01-01"), True),
    ("Q1234567", patient("Q1234567", "1", "A", ["B"], "1990-01-01"), True),
    ("name", patient("name", "2", "Müller", ["Zoë"], "1932-12-29"), True),
    ("accents", patient("accents", "3", "MULLER", ["zoe"], "1932-12-29"), True),
    ("order", patient("order", "4", "Zoë", ["Müller"], "1932-12-29"), True),
    ("middle", patient("middle", "5", "Müller", ["Zoë", "K."], "1932-12-29"), True),
    ("middle-name", patient("middle-name", "6", "Müller", ["Zoë", "Karla"], "1932-12-29"), True),
    ("initial", patient("initial", "7", "Müller", ["Z."], "1932-12-29"), True),
    ("month", patient("month", "8", "Müller", ["Zoë"], "1932-12"), True),
    ("other-day", patient("other-day", "9", "Müller", ["Zoë"], "1932-12-28"), False),
    ("other-name", patient("other-name", "10", "Müller", ["Zita"], "1932-12-29"), False),
    ("other-initial", patient("other-initial", "11", "Müller", ["K."], "1932-12-29"), False),
    ("other-value", patient("other-value", "Q76543210", "A", ["B"], "1990-01-01"), False),
    ("no-name", {"resourceType": "Patient", "id": "no-name", "birthDate": "1932-12-29"}, False),
    (
        "text-name",
        {"resourceType": "Patient", "id": "text-name", "name": [{"text": "Müller, Zoë"}], "birthDate": "1932-12-29"},
        True,
    ),
]


def test_patients_are_excluded_by_id_identifier_and_name_with_birth_date(tmp_path: Path) -> None:
    held = read_holdouts([write(tmp_path / "tasks.json", rows())])
    with duckdb.connect() as db:
        db.execute("create table resource (type varchar, id varchar, patient varchar, raw varchar)")
        for identifier, body, _ in PATIENTS:
            db.execute("insert into resource values ('Patient', ?, ?, ?)", [identifier, identifier, json.dumps(body)])
        db.execute("""insert into resource values ('Observation', 'Q7654321', 'other', '{"id": "Q7654321"}')""")
        db.execute(
            """insert into resource values ('Observation', 'o1', 'Q1111111', '{}')"""
        )  # its Patient was not loaded
        assert held.excluded_patients(db) == {"Q1111111"} | {
            identifier for identifier, _, excluded in PATIENTS if excluded
        }
        assert Holdouts().excluded_patients(db) == set()
