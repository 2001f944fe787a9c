"""Questions on a hospital's record small enough to be answered by hand: SQL and the expert say what stands there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import graders
from fhirtasks.episodes.types import Finish
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.tasks import questions
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.types import Task
from solvers import solver

FAMILIES = {family.name: family for family in questions.FAMILIES}
NOW = "2150-06-01T12:00:00-04:00"


def resource(kind: str, id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": id, "subject": {"reference": "Patient/p"}, **elements}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://hospital.example/codes", "code": code, "display": f"item {code}"}]}


def period(start: str, end: str) -> dict[str, str]:
    return {"start": f"2150-{start}:00-05:00", "end": f"2150-{end}:00-05:00"}


def stay(id: str, start: str, end: str, *wards: tuple[str, str, str]) -> dict[str, Any]:
    location = [{"location": {"reference": f"Location/{name}"}, "period": period(a, b)} for name, a, b in wards]
    return resource("Encounter", id, **{"class": {"code": "IMP"}}, period=period(start, end), location=location)


def order(id: str, drug: dict[str, Any], stay: str, at: str, valid: tuple[str, str] | None = None) -> dict[str, Any]:
    more = {"dispenseRequest": {"validityPeriod": period(*valid)}} if valid else {}
    encounter = {"reference": f"Encounter/{stay}"}
    return resource("MedicationRequest", id, **drug, encounter=encounter, authoredOn=f"2150-{at}:00-05:00", **more)


def named(drug: str) -> dict[str, Any]:
    return {"medicationCodeableConcept": {"text": drug}}


def result(id: str, at: str, value: str, unit: str = "mmol/L", code: str = "K", **more: Any) -> dict[str, Any]:
    quantity = {"value": float(value), "unit": unit}
    return resource(
        "Observation", id, code=coded(code), effectiveDateTime=f"2150-{at}:00-05:00", valueQuantity=quantity, **more
    )


def records() -> list[dict[str, Any]]:
    return [
        {"resourceType": "Patient", "id": "p", "birthDate": "2100-01-01"},
        {"resourceType": "Location", "id": "emergency", "name": "Emergency"},
        {"resourceType": "Location", "id": "west", "name": "Ward West"},
        stay("one", "01-01T08:00", "01-05T12:00", ("emergency", "01-01T08:00", "01-01T10:00"),
             ("west", "01-01T10:00", "01-05T12:00")),
        stay("two", "03-01T08:00", "03-02T08:00"),
        {"resourceType": "Medication", "id": "mix", "ingredient": [
            {"itemReference": {"reference": "Medication/salt"}}, {"itemReference": {"reference": "Medication/water"}}]},
        {"resourceType": "Medication", "id": "salt", "code": {"text": "Salt"}},
        {"resourceType": "Medication", "id": "water", "code": {"text": "Water"}},
        order("m1", named("Aspirin"), "one", "01-01T09:00", ("01-01T09:00", "01-04T09:00")),
        order("m2", {"medicationReference": {"reference": "Medication/mix"}}, "one", "01-01T11:00",
              ("01-03T00:00", "01-06T00:00")),
        order("m3", named("ASPIRIN"), "two", "03-01T09:00"),
        order("m4", named("Insulin"), "two", "03-01T09:30"),
        resource("Procedure", "s", code=coded("11"), performedDateTime="2150-01-01"),
        resource("Procedure", "t", code=coded("22"), performedPeriod=period("01-04T07:00", "01-04T08:00")),
        resource("Procedure", "u", code=coded("33"), performedDateTime="2150-01-05"),
        *(resource("Condition", f"c{n}", code=coded(code), encounter={"reference": f"Encounter/{where}"})
          for n, (code, where) in enumerate([("A", "one"), ("B", "one"), ("B", "two"), ("C", "two"), ("D", "two")])),
        resource("Specimen", "tube", type=coded("blood"), collection={"collectedDateTime": "2150-01-02T08:45:00-05:00"}),
        result("k1", "01-02T09:00", "4.0", issued="2150-01-02T10:30:00-05:00", specimen={"reference": "Specimen/tube"}),
        result("k2", "01-03T09:00", "5.0", issued="2150-01-03T09:40:00-05:00"),
        result("k3", "03-01T10:00", "3.0"),
        result("o1", "01-02T10:00", "300", "ml", "urine", category=[coded("Output")]),
        result("o2", "01-03T00:00", "70", "ml", "urine", category=[coded("Output")]),
        resource("MedicationAdministration", "a1", effectivePeriod=period("01-02T06:00", "01-03T06:00"),
                 dosage={"dose": {"value": 1000, "unit": "mL"}}, **named("Saline")),
        resource("MedicationAdministration", "a2", effectiveDateTime="2150-01-02T07:00:00-05:00",
                 dosage={"dose": {"value": 5, "unit": "mg"}}, **named("Morphine")),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    rows = [
        (body["resourceType"], body["id"], "p" if "subject" in body or body["id"] == "p" else None, dumps(body))
        for body in records()
    ]
    out = tmp_path_factory.mktemp("hospital") / "world.duckdb"
    write_world_from_charts(rows, "train", out)
    world = World.open(out, threads=1)
    yield world
    world.close()


PAIR = {"drug_one": "Aspirin", "drug_two": "Salt + Water"}
WINDOW = {"label": "item K", "code": "K", "t_from": "2150-01-01", "t_to": "2150-02-01"}
DAY = {"unit": "ml", "category": "Output", "t_from": "2150-01-02", "t_to": "2150-01-03"}
VISITS = {"one": "first", "other": "last"}

CASES: list[tuple[str, dict[str, str], str, Json]] = [
    ("ordered_together", {**PAIR, "scope": "day", "place": "first"}, "datetime", "2150-01-01T11:00:00"),
    ("ordered_together", {**PAIR, "scope": "encounter", "place": "last"}, "datetime", "2150-01-01T11:00:00"),
    ("ordered_together", {**PAIR, "scope": "day", "place": "second"}, "none", "no_matching_record"),
    ("days_both_in_force", PAIR, "duration", 2),
    ("within_days_after", {"code": "11", "label": "item 11", "days": "3", "what": "procedures"}, "set", ["22"]),
    ("within_days_after", {"code": "22", "label": "item 22", "days": "180", "what": "drugs"}, "set", ["aspirin", "insulin"]),
    ("within_days_after", {"code": "33", "label": "item 33", "days": "30", "what": "procedures"}, "set", []),
    ("time_to_result", {**WINDOW, "place": "first", "scale": "minutes"}, "duration", 105),
    ("time_to_result", {**WINDOW, "place": "last", "scale": "hours"}, "duration", 0.67),
    ("time_to_result", {**WINDOW, "t_from": "2150-03-01", "t_to": "2150-04-01", "place": "last", "scale": "hours"},
     "none", "no_matching_record"),
    ("ward_at", {"moment": "2150-01-01T09:59:00"}, "string", "Emergency"),
    ("ward_at", {"moment": "2150-01-01T10:00:00"}, "string", "Ward West"),
    ("ward_at", {"moment": "2150-01-05T12:00:00"}, "none", "no_matching_record"),
    ("new_or_dropped_drugs", {**VISITS, "kind": "new"}, "set", ["insulin"]),
    ("new_or_dropped_drugs", {**VISITS, "kind": "dropped"}, "set", ["salt + water"]),
    ("shared_diagnoses", VISITS, "set", ["B"]),
    ("mean_last_against_first", {"code": "K", "label": "item K", "unit": "mmol/L", "class": "IMP"}, "quantity", -1.5),
    ("visit_with_most", {"class": "IMP", "most": "time from start to end"}, "datetime", "2150-01-01T08:00:00"),
    ("visit_with_most", {"class": "IMP", "most": "Conditions"}, "datetime", "2150-03-01T08:00:00"),
    ("intake_minus_output", DAY, "quantity", 700),
    ("intake_minus_output", {**DAY, "t_from": "2150-01-03", "t_to": "2150-01-04"}, "quantity", -70),
    ("intake_minus_output", {**DAY, "t_from": "2150-02-03", "t_to": "2150-02-04"}, "none", "no_matching_record"),
]  # fmt: skip


def task(family: str, slots: dict[str, str]) -> Task:
    return Task(
        id=f"{family}-task", family=family, version="1", domain="questions", kind="query", mode="clinical", protocol="code",
        branch="", split="train", now=NOW, instruction="", context="", slots={"patient": "p", **slots}, params={}, gold={},
        patients=("p",), scenario=Scenario(), difficulty={}, seed="",
    )  # fmt: skip


@pytest.mark.parametrize(("family", "slots", "kind", "value"), CASES)
def test_what_is_true_by_hand_is_what_is_found(
    family: str, slots: dict[str, str], kind: str, value: Json, hospital: World
) -> None:
    one = task(family, slots)
    truth = graders.truths([one], hospital)[one.id]
    assert truth is not None
    found = ("none", truth.reason) if truth.value is None else (kind, loads(truth.value))
    assert found[0] == kind
    assert found[1] == value or float(str(found[1])) == value
    episode = play(one, hospital, solver(family))
    verdict = graders.grade(one, episode, hospital, truth)
    assert verdict.passed, verdict.checks
    last = episode.turns[-1].action
    assert isinstance(last, Finish) and isinstance(last.answer, dict) and last.answer["type"] == kind
    assert replay_task(one, hospital, episode.raws) == episode


@pytest.mark.parametrize(
    ("family", "slots"),
    [
        ("visit_with_most", {"class": "IMP", "most": "MedicationRequests"}),
        ("days_both_in_force", {"drug_one": "Aspirin", "drug_two": "Insulin"}),
        ("new_or_dropped_drugs", {"one": "second", "other": "last", "kind": "new"}),
    ],
)
def test_what_is_a_tie_or_has_no_meaning_is_not_asked(family: str, slots: dict[str, str], hospital: World) -> None:
    one = task(family, slots)
    assert graders.truths([one], hospital)[one.id] is None


@pytest.mark.parametrize(
    ("family", "element"),
    [
        ("vaccinated", "Immunization"),
        ("icu_stays_within", "Encounter.partOf"),
        ("time_to_result", "Observation.issued"),
        ("same_specimen_ratio", "Observation.specimen"),
    ],
)
def test_what_the_records_lack_is_named(family: str, element: str, hospital: World) -> None:
    lacks = FAMILIES[family].missing(hospital)
    assert lacks is not None and element in lacks
