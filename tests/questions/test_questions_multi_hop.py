"""Multi-hop questions on a record small enough to be answered by hand: SQL and the expert say what stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from fhirtasks.episodes.types import Call
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.questions.multi_hop import QUESTIONS
from fhirtasks.tasks.questions.types import Truth
from fhirtasks.tasks.types import Task
from graders.damage_code import Solved
from solvers import solver


def resource(kind: str, id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": id, "subject": {"reference": "Patient/p"}, **elements}


def to(reference: str) -> dict[str, str]:
    return {"reference": reference}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://hospital.example/codes", "code": code, "display": f"item {code}"}]}


def at(moment: str) -> str:
    return f"2150-{moment}:00-05:00"


def period(start: str, end: str) -> dict[str, str]:
    return {"start": at(start), "end": at(end)}


def encounter(id: str, kind: str, start: str, end: str, **more: Any) -> dict[str, Any]:
    return resource("Encounter", id, **{"class": {"code": kind}}, period=period(start, end), **more)


def result(id: str, moment: str, value: float, **more: Any) -> dict[str, Any]:
    limits = [{"low": {"value": 3.5}, "high": {"value": 5.0}}]
    quantity = {"value": value, "unit": "mmol/L"}
    known = {"code": coded("K"), "valueQuantity": quantity, "referenceRange": limits, **more}
    return resource("Observation", id, effectiveDateTime=at(moment), **known)


def order(id: str, drug: str, visit: str, moment: str, route: str = "", **more: Any) -> dict[str, Any]:
    dosage = {"dosageInstruction": [{"route": {"coding": [{"code": route}]}}]} if route else {}
    return resource("MedicationRequest", id, medicationCodeableConcept={"text": drug}, encounter=to(f"Encounter/{visit}"),
                    authoredOn=at(moment), **{"status": "completed", **dosage, **more})  # fmt: skip


def given(id: str, stay: str, drug: str, dose: float, unit: str = "mg", status: str = "completed") -> dict[str, Any]:
    return resource("MedicationAdministration", id, status=status, context=to(f"Encounter/{stay}"),
                    medicationCodeableConcept={"text": drug}, effectiveDateTime=at("01-02T12:00"),
                    dosage={"dose": {"value": dose, "unit": unit}})  # fmt: skip


def micro(id: str, code: str, moment: str, members: list[str], **more: Any) -> dict[str, Any]:
    named = [to(f"Observation/{one}") for one in members]
    return resource("Observation", id, code=coded(code), effectiveDateTime=at(moment), hasMember=named, **more)


def susceptibility(id: str, antibiotic: str, found: str) -> dict[str, Any]:
    code = {"coding": [{"code": id, "display": antibiotic}]}
    value = {"coding": [{"code": found}]}
    return resource("Observation", id, code=code, effectiveDateTime=at("01-04T00:00"), valueCodeableConcept=value)


def seen_by(person: str, house: str) -> dict[str, Any]:
    return {"participant": [{"individual": to(person)}], "serviceProvider": to(house)}


def home(code: str) -> dict[str, Any]:
    return {"hospitalization": {"dischargeDisposition": {"coding": [{"code": code}]}}}


def ward(name: str, start: str, end: str) -> dict[str, Any]:
    return {"location": to(f"Location/{name}"), "period": period(start, end)}


NPI = "http://npi.example"

RECORDS: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "p", "birthDate": "2100-01-01"},
    {"resourceType": "Practitioner", "id": "ada", "name": [{"given": ["Ada", "Maria"], "family": "Ito"}],
     "identifier": [{"system": NPI, "value": "7"}]},
    {"resourceType": "Practitioner", "id": "bo", "name": [{"given": ["Bo"], "family": "Lind"}]},
    {"resourceType": "Organization", "id": "east", "name": "Clinic East"},
    {"resourceType": "Organization", "id": "west", "name": "Clinic West"},
    {"resourceType": "Location", "id": "bay", "name": "Bay 1"},
    {"resourceType": "Location", "id": "far", "name": "Bay 3", "identifier": [{"system": NPI, "value": "8"}]},
    encounter("one", "IMP", "01-01T08:00", "01-06T12:00", **home("HOME"), **seen_by("Practitioner/ada", "Organization/east"),
              location=[ward("bay", "01-01T08:00", "01-02T00:00"),
                        {"location": {"display": "Bay 2"}, "period": {"start": at("01-02T00:00")}}]),
    encounter("icu-a", "ACUTE", "01-02T00:00", "01-03T00:00", partOf=to("Encounter/one")),
    encounter("icu-b", "ACUTE", "01-04T00:00", "01-04T20:00", partOf=to("Encounter/one")),
    encounter("two", "IMP", "03-01T08:00", "03-09T08:00", **home("REHAB"),
              **seen_by(f"Practitioner?identifier={NPI}|7", "Organization/west"),
              location=[{"location": {"reference": f"Location?identifier={NPI}|8", "display": "the third"}}]),
    encounter("icu-c", "ACUTE", "03-02T00:00", "03-03T12:00", partOf=to("Encounter/two")),
    encounter("three", "AMB", "05-01T08:00", "05-01T09:00", **seen_by("Practitioner/bo", "Organization/west")),
    resource("Condition", "c1", code=coded("SEPSIS"), encounter=to("Encounter/one")),
    resource("Condition", "c2", code=coded("SEPSIS"), encounter=to("Encounter/two")),
    resource("Condition", "c3", code=coded("GOUT"), encounter=to("Encounter/one"), onsetDateTime=at("01-01T09:00"),
             clinicalStatus={"coding": [{"code": "active"}]}),
    resource("Condition", "c4", code=coded("RASH"), encounter=to("Encounter/three"), onsetDateTime=at("05-01T08:10"),
             clinicalStatus={"coding": [{"code": "active"}]}),
    resource("Condition", "c5", code=coded("OLD"), onsetDateTime=at("05-01T08:20"),
             clinicalStatus={"coding": [{"code": "resolved"}]}),
    resource("Procedure", "p1", code=coded("CUT"), performedDateTime=at("01-01T10:00")),
    resource("Procedure", "p2", code=coded("CUT"), performedPeriod=period("01-04T09:00", "01-04T10:00")),
    resource("Specimen", "tube", type=coded("BLOOD"), collection={"collectedDateTime": at("01-04T08:30")}),
    resource("DiagnosticReport", "panel", code=coded("LYTES"), effectiveDateTime=at("01-04T09:00"),
             result=[to("Observation/k4")]),
    result("k1", "01-01T10:00", 4.0, encounter=to("Encounter/one")),
    result("k2", "01-01T20:00", 4.4, encounter=to("Encounter/one")),
    result("k3", "01-02T06:00", 4.8, encounter=to("Encounter/one")),
    result("k4", "01-04T09:00", 6.1, encounter=to("Encounter/one"), specimen=to("Specimen/tube")),
    result("k5", "01-04T20:00", 7.0),
    result("k7", "03-05T08:00", 3.6, encounter=to("Encounter/two")),
    result("k8", "05-01T08:30", 3.7, encounter=to("Encounter/three")),
    result("k6", "03-20T08:00", 3.0, valueQuantity={"value": 3.0, "unit": "mmol/L", "comparator": "<"}),
    micro("t1", "CULTURE", "01-03T00:00", ["g1"], encounter=to("Encounter/one")),
    micro("g1", "COLI", "01-03T12:00", ["s1", "s2"]),
    susceptibility("s1", "AMPICILLIN/SULBACTAM", "R"),
    susceptibility("s2", "CEFAZOLIN", "S"),
    order("m1", "Ampicillin-Sulbactam 3 g", "one", "01-02T09:00", "IV"),
    order("m2", "CefaZOLIN", "one", "01-03T13:00", "IV"),
    order("m3", "cefazolin", "one", "01-05T13:00", "PO"),
    order("m4", "Ampicillin-Sulbactam 3 g", "two", "03-02T09:00", "IV"),
    order("m5", "Allopurinol", "one", "01-03T20:00", "PO", status="active",
          reasonReference=[to("Condition/c1"), to("Condition/c3")]),
    order("m6", "Zinc", "three", "05-01T08:30", status="stopped", reasonReference=[to("Condition/c4")]),
    given("a1", "icu-a", "Heparin", 2.5),
    given("a2", "icu-c", "Heparin", 1.25),
    given("a3", "icu-c", "HEPARIN", 2.5),
    given("a4", "icu-c", "Heparin", 9, unit="mL"),
    given("a5", "icu-c", "Heparin", 9, status="not-done"),
]  # fmt: skip


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    rows = [
        (body["resourceType"], body["id"], "p" if "subject" in body or body["id"] == "p" else None, dumps(body))
        for body in RECORDS
    ]
    out = tmp_path_factory.mktemp("multi_hop") / "world.duckdb"
    write_world_from_charts(rows, "train", out)
    world = World.open(out, threads=1)
    yield world
    world.close()


COLI = {"code": "COLI", "label": "item COLI", "place": "last"}
K = {"code": "K", "label": "item K", "unit": "mmol/L"}
CUT = {**K, "procedure_code": "CUT", "procedure": "item CUT"}
ICU = {"stay_class": "ACUTE"}
YEAR = {"t_from": "2150-01-01", "t_to": "2151-01-01"}

CASES: list[tuple[str, dict[str, str], str, Json]] = [
    ("resisted_drug_ordered", {**COLI, "span": "before"}, "boolean", True),
    ("resisted_drug_ordered", {**COLI, "span": "after"}, "boolean", False),
    ("resisted_drug_ordered", {**COLI, "span": "before or after"}, "boolean", True),
    ("peak_in_stay", {**K, **ICU, "place": "first"}, "quantity", 6.1),
    ("peak_in_stay", {**K, **ICU, "place": "last"}, "none", "false_premise"),
    ("peak_in_stay", {**K, **ICU, "code": "NA", "place": "first"}, "none", "no_matching_record"),
    ("routes_in_visit_of_diagnosis", {"code": "GOUT", "label": "item GOUT", "status": "completed"}, "map",
     {"ampicillin-sulbactam 3 g": ["IV"], "cefazolin": ["IV", "PO"]}),
    ("routes_in_visit_of_diagnosis", {"code": "RASH", "label": "item RASH", "status": "stopped"}, "none",
     "no_matching_record"),
    ("first_result_after_procedure", {**CUT, "days": "1", "place": "first"}, "quantity", 4.4),
    ("first_result_after_procedure", {**CUT, "days": "3", "place": "last"}, "quantity", 7.0),
    ("first_result_after_procedure", {**CUT, "code": "NA", "days": "3", "place": "last"}, "none", "no_matching_record"),
    ("change_around_first_order", {**K, "drug": "ampicillin-sulbactam 3 g"}, "quantity", 1.3),
    ("change_around_first_order", {**K, "drug": "zinc"}, "none", "no_matching_record"),
    ("ward_at_peak", {**K, "t_from": "2150-01-01", "t_to": "2150-01-02"}, "string", "Bay 1"),
    ("ward_at_peak", {**K, "t_from": "2150-01-01", "t_to": "2150-01-04"}, "string", "Bay 2"),
    ("ward_at_peak", {**K, **YEAR}, "none", "not_recorded"),
    ("ward_at_peak", {**K, "t_from": "2150-03-01", "t_to": "2150-04-01"}, "string", "Bay 3"),
    ("ward_at_peak", {**K, "t_from": "2150-04-01", "t_to": "2150-05-01"}, "none", "no_matching_record"),
    ("ward_at_peak", {**K, "t_from": "2150-05-01", "t_to": "2150-06-01"}, "none", "not_recorded"),
    ("behind_latest_abnormal", {"code": "K", "label": "item K", "t_from": "2150-01-01", "t_to": "2150-01-04T20:00"}, "record",
     {"value": 6.1, "specimen": "item BLOOD", "collected": "2150-01-04T08:30:00", "panel": "item LYTES"}),
    ("behind_latest_abnormal", {"code": "K", "label": "item K", "t_from": "2150-01-01", "t_to": "2150-01-03"}, "none",
     "no_matching_record"),
    ("amount_given_in_stay", {**ICU, "drug": "heparin", "unit": "mg", "place": "last"}, "quantity", 3.75),
    ("amount_given_in_stay", {**ICU, "drug": "heparin", "unit": "mL", "place": "first"}, "none", "no_matching_record"),
    ("busiest_practitioner", YEAR, "record", {"practitioner": "Ada Ito", "encounters": 2, "organization": "Clinic West"}),
    ("busiest_practitioner", {"t_from": "2140-01-01", "t_to": "2141-01-01"}, "none", "no_matching_record"),
    ("conditions_without_order", YEAR, "set", ["RASH"]),
    ("conditions_without_order", {"t_from": "2150-01-01", "t_to": "2150-05-01"}, "set", []),
    ("discharge_after_longest_stay", {**ICU, "code": "SEPSIS", "label": "item SEPSIS"}, "code", "REHAB"),
    ("discharge_after_longest_stay", {**ICU, "code": "GOUT", "label": "item GOUT"}, "code", "HOME"),
    ("discharge_after_longest_stay", {**ICU, "code": "RASH", "label": "item RASH"}, "none", "no_matching_record"),
]  # fmt: skip


def task(family: str, slots: dict[str, str]) -> Task:
    return Task(
        id=f"{family}-task", family=family, version="1", domain="questions", kind="query", mode="clinical", protocol="code",
        branch="", split="train", now="2150-06-01T12:00:00-04:00", instruction="", context="",
        slots={"patient": "p", **slots}, params={}, gold={}, patients=("p",), scenario=Scenario(), difficulty={}, seed="",
    )  # fmt: skip


def test_every_family_is_answered_by_hand() -> None:
    assert {family for family, *_ in CASES} == {question.name for question in QUESTIONS}


@pytest.mark.parametrize(("family", "slots", "kind", "value"), CASES)
def test_what_is_true_by_hand_is_what_is_found(
    family: str, slots: dict[str, str], kind: str, value: Json, hospital: World
) -> None:
    one = task(family, slots)
    truth = graders.truths([one], hospital)[one.id]
    assert truth is not None
    found = ("none", truth.reason) if truth.value is None else (kind, loads(truth.value))
    assert dumps([found[0], found[1]]) == dumps([kind, value])
    episode = play(one, hospital, solver(family))
    verdict = graders.grade(one, episode, hospital, truth)
    assert verdict.passed, verdict.checks
    assert replay_task(one, hospital, episode.raws) == episode


@pytest.mark.parametrize(
    ("family", "slots"),
    [
        ("resisted_drug_ordered", {**COLI, "code": "YEAST", "span": "after"}),
        ("routes_in_visit_of_diagnosis", {"code": "SEPSIS", "label": "item SEPSIS", "status": "completed"}),
        ("first_result_after_procedure", {**CUT, "procedure_code": "SEW", "days": "1", "place": "first"}),
        ("change_around_first_order", {**K, "drug": "aspirin"}),
        ("behind_latest_abnormal", {"code": "K", "label": "item K", "t_from": "2150-01-01", "t_to": "2150-02-01"}),
        ("amount_given_in_stay", {"stay_class": "HH", "drug": "heparin", "unit": "mg", "place": "last"}),
        ("busiest_practitioner", {"t_from": "2150-03-01", "t_to": "2150-06-01"}),
        ("conditions_without_order", {"t_from": "2150-02-01", "t_to": "2150-03-01"}),
    ],
)
def test_what_is_a_tie_or_has_no_meaning_is_not_asked(family: str, slots: dict[str, str], hospital: World) -> None:
    one = task(family, slots)
    assert graders.truths([one], hospital)[one.id] is None


@pytest.mark.parametrize(
    ("family", "slots", "kind", "needed"),
    [
        ("resisted_drug_ordered", {**COLI, "span": "after"}, "MedicationRequest", True),
        ("ward_at_peak", {**K, "t_from": "2150-05-01", "t_to": "2150-06-01"}, "Encounter", True),
        ("ward_at_peak", {**K, **YEAR}, "Encounter", False),
        ("ward_at_peak", {**K, "t_from": "2150-04-01", "t_to": "2150-05-01"}, "Encounter", False),
        ("peak_in_stay", {**K, **ICU, "place": "last"}, "Observation", False),
        (
            "amount_given_in_stay",
            {**ICU, "drug": "heparin", "unit": "mL", "place": "first"},
            "MedicationAdministration",
            True,
        ),
        ("discharge_after_longest_stay", {**ICU, "code": "RASH", "label": "item RASH"}, "Encounter", True),
    ],
)
def test_a_type_of_which_nothing_comes_is_looked_at_where_it_matters(
    family: str, slots: dict[str, str], kind: str, needed: bool, hospital: World
) -> None:
    """The code prints the right answer whatever was fetched, so that it runs without what is left out too."""
    one = task(family, slots)
    truth = graders.truths([one], hospital)[one.id]
    assert isinstance(truth, Truth)
    solved = Solved(one, play(one, hospital, solver(family)), hospital, truth)

    def without(left_out: str) -> list[str]:
        def change(call: Call) -> Call | None:
            if call.name == "execute_python":
                return Call(call.name, {"code": "print(sorted(resources))"})
            return None if call.arguments.get("resource_type") == left_out else call

        verdict = graders.grade(one, replay_task(one, hospital, solved.calling(change)), hospital, truth)
        return [f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed]

    assert without("nothing") == []
    assert without(kind) == ([f"evidence: {kind} was not looked at"] if needed else [])


def test_two_results_are_compared_where_they_are_of_one_specimen(tmp_path: Path) -> None:
    """Not with that of another tube of the same day, nor with that of the same tube in another unit."""
    one, other = {"specimen": to("Specimen/tube")}, {"specimen": to("Specimen/second")}
    mg = {"value": 9.0, "unit": "mg/dL"}
    records = [
        {"resourceType": "Patient", "id": "p", "birthDate": "2100-01-01"},
        result("k1", "01-01T08:00", 4.5, **one),
        result("k2", "01-02T08:00", 6.0, **other),
        result("na1", "01-01T08:00", 1.5, code=coded("NA"), **one),
        result("a2", "01-01T08:30", 3.0, code=coded("NA"), **other),
        result("a3", "01-01T08:00", 9.0, code=coded("NA"), valueQuantity=mg, **one),
    ]
    write_world_from_charts(
        [(body["resourceType"], body["id"], "p", dumps(body)) for body in records], "train", tmp_path / "world.duckdb"
    )
    world = World.open(tmp_path / "world.duckdb", threads=1)
    asked = {"code_one": "K", "label_one": "item K", "code_two": "NA", "label_two": "item NA", "day": "2150-01-01"}
    try:
        for day, value, reason in (("2150-01-01", "3.0", ""), ("2150-01-03", None, "no_matching_record")):
            put = task("same_specimen_ratio", {**asked, "day": day})
            truth = graders.truths([put], world)[put.id]
            assert isinstance(truth, Truth) and (truth.value, truth.reason) == (value, reason)
            verdict = graders.grade(put, play(put, world, solver(put.family)), world, truth)
            assert verdict.passed, verdict.checks
    finally:
        world.close()
