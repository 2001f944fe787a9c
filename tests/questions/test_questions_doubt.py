"""Records that may be taken one way or the other: what hangs on them is not asked, all else is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhirtasks.fhir.jsontext import dumps
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.tasks.questions import BY_NAME
from fhirtasks.tasks.questions.pool import pool


def concept(*codes: str) -> dict[str, Any]:
    return {
        "coding": [
            {"system": "http://hospital.example/codes", "code": code, "display": f"item {code}"} for code in codes
        ]
    }


def condition(id: str, code: str, onset: str, verified: str = "confirmed", **more: Any) -> dict[str, Any]:
    return about(
        "Condition",
        id,
        code=concept(code),
        onsetDateTime=onset,
        verificationStatus={"coding": [{"code": verified}]},
        **more,
    )


def procedure(id: str, code: str, at: str, status: str) -> dict[str, Any]:
    return about("Procedure", id, code=concept(code), performedDateTime=at, status=status)


def result(id: str, at: str, *codes: str) -> dict[str, Any]:
    return about("Observation", id, code=concept(*codes), status="final", effectiveDateTime=at)


def about(kind: str, id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": id, "subject": {"reference": "Patient/p"}, **elements}


RECORDS = [
    {"resourceType": "Patient", "id": "p", "birthDate": "1960-01-01"},
    condition("c1", "whole", "2013-02-03"),
    condition("c2", "year", "2014"),
    condition("c3", "month", "2013-06"),
    condition("c4", "mistaken", "2013-02-03", "entered-in-error"),
    condition("c5", "refuted", "2013-02-03", "refuted"),
    condition("c6", "ended", "2013-02-03", abatementDateTime="2014"),
    procedure("p1", "done", "2013-02-03", "completed"),
    procedure("p2", "undone", "2013-02-03", "not-done"),
    procedure("p3", "stopped", "2013-02-03", "stopped"),
    result("o1", "2013-02-03T10:00:00Z", "k", "other"),
    result("o2", "2013-02-04T10:00:00Z", "x", "k"),
    result("o3", "2013-02-05T10:00:00Z", "y", "y"),
]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    out = tmp_path_factory.mktemp("doubt") / "world.duckdb"
    rows = [(one["resourceType"], one["id"], "p", dumps(one)) for one in RECORDS]
    write_world_from_charts(rows, "train", out)
    world = World.open(out, threads=1)
    yield world
    world.close()


def asked(family: str, world: World) -> dict[tuple[str, str], str]:
    """Code and last day of the window -> branch, of what is asked from 2013 on."""
    found = {}
    for branch, rows in pool(BY_NAME[family], world).items():
        for one, _ in rows:
            if one.slots.get("t_from", "2013-01-01") == "2013-01-01":
                found[one.slots["code"], one.slots["t_to"][:4]] = branch
    return found


def test_what_a_year_or_a_month_leaves_open_is_not_asked(clinic: World) -> None:
    found = asked("ever_diagnosed", clinic)
    assert found["whole", "2014"] == found["month", "2014"] == "true"
    assert found["year", "2016"] == "true" and ("year", "2014") not in found
    rows = [one for rows in pool(BY_NAME["ever_diagnosed"], clinic).values() for one, _ in rows]
    assert not [one for one in rows if one.slots["code"] == "year" and one.slots["t_from"] == "2014-01-01"]


def test_an_end_within_a_year_is_neither_before_nor_after_its_middle(clinic: World) -> None:
    days = {one.slots["day"] for rows in pool(BY_NAME["active_conditions"], clinic).values() for one, _ in rows}
    assert "2014-07-01" not in days and "2012-07-01" in days


def test_what_hangs_on_a_void_record_is_not_asked(clinic: World) -> None:
    found = asked("ever_diagnosed", clinic)
    assert not {"mistaken", "refuted"} & {code for code, _ in found}
    found = asked("procedure_in_window", clinic)
    assert found["done", "2014"] == found["stopped", "2014"] == "true"
    assert "undone" not in {code for code, _ in found}


def test_a_code_that_stands_behind_another_one_is_not_asked_about(clinic: World) -> None:
    assert {code for code, _ in asked("time_of_nth_result", clinic)} == {"x", "y"}
