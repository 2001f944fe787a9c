"""Charts for the patients of a task file, in the shapes of the benchmark's server."""

from __future__ import annotations

import json
from bisect import bisect
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.errors import UserError
from fhirtasks.population.populate import generate
from fhirtasks.population.taskfile import Person, Row, identifiers, people, read_rows, times

BENCHMARK = Path(__file__).parents[2].parent / "shared" / "data" / "medagentbench" / "test_data_v2.json"
NOW = datetime.fromisoformat("2021-06-01T08:30:00+00:00")


def task_file(folder: Path, patients: int = 60) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "id": f"x_{n}",
            "instruction": f"Who holds W{n:07d} today?",
            "context": f"Now: {NOW.isoformat()}.",
            "eval_MRN": f"W{n:07d}",
        }
        for n in range(patients)
    ]
    rows.append(
        {
            "id": "y_1",
            "instruction": "Find the patient named Olga Ferreira, born 1961-04-05.",
            "context": "",
            "eval_MRN": "W0000003",
            "sol": ["W0000003"],
        }
    )
    rows.append(
        {
            "id": "y_2",
            "instruction": "Find the patient named Nobody Atall, born 1971-04-05.",
            "context": "",
            "sol": ["Patient not found"],
        }
    )
    path = folder / "tasks.json"
    path.write_text(json.dumps(rows))
    return path


def charts(path: Path, seed: int = 0) -> list[dict[str, Any]]:
    return [json.loads(text) for text in generate(1, seed, path)]


def test_patients_have_the_file_s_identifiers_names_and_birth_dates(tmp_path: Path) -> None:
    found = {row["id"]: row for row in charts(task_file(tmp_path)) if row["resourceType"] == "Patient"}
    assert sorted(found) == [f"W{n:07d}" for n in range(60)]
    assert all(row["identifier"][0]["value"] == row["id"] for row in found.values())
    named = found["W0000003"]
    assert (named["name"][0]["given"], named["name"][0]["family"], named["birthDate"]) == (
        ["Olga"],
        "Ferreira",
        "1961-04-05",
    )
    people_there = {(row["name"][0]["family"], row["birthDate"]) for row in found.values()}
    assert ("Atall", "1971-04-05") not in people_there
    assert ("Atall", "1971-04-02") in people_there


def test_every_case_occurs_around_the_time_that_the_tasks_state(tmp_path: Path) -> None:
    values: dict[str, dict[str, list[tuple[datetime, float]]]] = defaultdict(lambda: defaultdict(list))
    patients = set()
    for row in charts(task_file(tmp_path)):
        if row["resourceType"] == "Patient":
            patients.add(row["id"])
        elif row["resourceType"] == "Observation" and "valueQuantity" in row:
            taken = datetime.fromisoformat(row["effectiveDateTime"])
            assert taken <= NOW
            who = row["subject"]["reference"].removeprefix("Patient/")
            values[row["code"]["coding"][0]["code"]][who].append((taken, row["valueQuantity"]["value"]))
    assert set(values) == {"K", "MG", "GLU", "A1C"}
    day, year = timedelta(days=1), NOW - NOW.replace(year=NOW.year - 1)
    cases: Counter[str] = Counter()
    for who in patients:
        taken, value = max(values["MG"].get(who, []), default=(None, 0.0))
        if taken is None or NOW - taken > day:
            cases["mg absent" if taken is None else "mg outside"] += 1
        else:
            cases["mg " + ("severe", "moderate", "mild", "normal")[bisect((1.0, 1.5, 1.9000001), value)]] += 1
            cases["mg at 24 h"] += NOW - taken == day
        taken, value = max(values["K"].get(who, []), default=(None, 0.0))
        cases["k absent" if taken is None else f"k {(value > 3.5) - (value < 3.5)}"] += 1
        taken, value = max(values["A1C"].get(who, []), default=(None, 0.0))
        cases["a1c absent" if taken is None else f"a1c {(NOW - taken > year) - (NOW - taken < year)}"] += 1
        count = sum(NOW - taken <= day for taken, _ in values["GLU"].get(who, []))
        cases["glu none" if count == 0 else "glu page" if count > 20 else "glu some"] += 1
    assert len(cases) == 18
    assert min(cases.values()) >= 3


def test_same_file_same_charts_and_valid_r4(tmp_path: Path) -> None:
    from fhir.resources.R4B import get_fhir_model_class

    path = task_file(tmp_path, patients=4)
    lines = list(generate(1, 0, path))
    assert lines == list(generate(7, 0, path))
    assert len({(row["resourceType"], row["id"]) for row in charts(path)}) == len(lines)
    for text in lines:
        get_fhir_model_class(json.loads(text)["resourceType"]).model_validate_json(text)


def test_a_file_without_patients_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"instruction": "Say hello."}]')
    with pytest.raises(UserError, match="mentions no patient"):
        next(generate(1, 0, path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Find the record of 'Zoë Müller-Ñandú', born 29 Dec 1932.", [("Zoë Müller-Ñandú", "1932-12-29")]),
        ("Patient Stafford, Peter (DOB: 12/29/1932) needs a referral", [("Stafford, Peter", "1932-12-29")]),
        ("please look up Peter J. Stafford, date of birth December 29th, 1932", [("Peter J. Stafford", "1932-12-29")]),
        ("Who is María de la Cruz (born 1950-02-03)?", [("María de la Cruz", "1950-02-03")]),
        ("patient with the name of peter stafford born 1950-02-03", [("peter stafford", "1950-02-03")]),
        (
            "Is John Smith born 1950-01-01 or Jane Doe born 1951-02-02?",
            [("Jane Doe", "1951-02-02"), ("John Smith", "1950-01-01")],
        ),
        ("The patient named José Núñez, b. 04/03/1940", [("José Núñez", "1940-03-04"), ("José Núñez", "1940-04-03")]),
        ("DOB 1950-02-03, name: Lee Chang. MRN?", [("Lee Chang", "1950-02-03")]),
        ("What was the potassium on 2020-01-01 for W1234567?", []),
        ("It is 2023-11-13T10:15:00+00:00; order it for Ward Nine.", []),
    ],
)
def test_people_are_found_by_general_patterns(text: str, expected: list[tuple[str, str]]) -> None:
    row = Row(1, "x", text, "", None, ())
    assert people(row) == [Person(name, date.fromisoformat(born)) for name, born in expected]


def test_identifiers_and_times_are_found_and_codes_are_not() -> None:
    rows = [
        Row(
            1,
            "a",
            "Order 306181000000106 for 0338-1715-40, patient W12-3456 on 2020-01-01",
            "",
            "W12-9999",
            ("W12-8888", "none", "2020-01-01"),
        ),
        Row(2, "b", "x", "It is 2023-11-13T10:15:00+00:00 and 2020-01-01.", None, ()),
    ]
    assert identifiers(rows) == ["W12-3456", "W12-8888", "W12-9999"]
    assert times(rows[1]) == ["2023-11-13T10:15:00+00:00"]


@pytest.mark.shared
def test_the_public_file_gives_its_98_patients() -> None:
    if not BENCHMARK.exists():
        pytest.skip("the public task file is not beside the checkout")
    rows = read_rows(BENCHMARK)
    found = {row["id"]: row for row in charts(BENCHMARK) if row["resourceType"] == "Patient"}
    assert set(found) == {raw["eval_MRN"] for raw in json.loads(BENCHMARK.read_text()) if "eval_MRN" in raw}
    named = [(row.record, people(row)) for row in rows if row.record and people(row)]
    assert len(named) == 28
    for record, (who,) in named:
        assert found[str(record)]["birthDate"] == who.birth_date.isoformat()
        assert " ".join((*found[str(record)]["name"][0]["given"], found[str(record)]["name"][0]["family"])) == who.name
    missing = [who for row in rows if not row.record for who in people(row)]
    assert len(missing) == 2
    there = {
        (" ".join((*row["name"][0]["given"], row["name"][0]["family"])), row["birthDate"]) for row in found.values()
    }
    assert not {(who.name, who.birth_date.isoformat()) for who in missing} & there
