"""Questions about several patients, and about cultures, performers, orders and plans, on records answered by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from questions_support import draw

import graders
from fhirtasks.episodes.code import CodeEnvironment
from fhirtasks.episodes.types import Call, Observation
from fhirtasks.fhir.dates import instant
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.views import views
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.tasks.play import open_environment, play, replay_task
from fhirtasks.tasks.questions import BY_NAME
from fhirtasks.tasks.questions.families import family
from fhirtasks.tasks.types import Task, Verdict
from solvers import solver

NOW = "2021-01-20T12:00:00+00:00"
COHORTS = [name for name, question in BY_NAME.items() if question.code[:3] in ("G11", "G12", "G13")]


def of(patient: str, kind: str, id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": id, "subject": {"reference": f"Patient/{patient}"}, **elements}


def coded(*codes: str) -> dict[str, Any]:
    return {
        "coding": [{"system": "http://clinic.example/codes", "code": code, "display": f"the {code}"} for code in codes]
    }


def person(id: str, born: str, **more: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "birthDate": born, **more}


def members(*ids: str) -> list[dict[str, str]]:
    return [{"reference": f"Observation/{id}"} for id in ids]


def potassium(patient: str, id: str, at: str, value: float) -> dict[str, Any]:
    quantity = {"value": value, "unit": "mmol/L"}
    return of(patient, "Observation", id, code=coded("K"), effectiveDateTime=at, valueQuantity=quantity)


def order(patient: str, id: str, at: str, drug: str = "Aspirin", **more: Any) -> dict[str, Any]:
    return of(patient, "MedicationRequest", id, authoredOn=at, **{"medicationCodeableConcept": {"text": drug}, **more})


def culture(id: str, at: str, specimen: str, *grown: str) -> dict[str, Any]:
    more = {"hasMember": members(*grown)} if grown else {}
    reference = {"reference": f"Specimen/{specimen}"}
    return of("a", "Observation", id, code=coded("CULT"), effectiveDateTime=at, specimen=reference, **more)


def visit(patient: str, id: str, at: str, **more: Any) -> dict[str, Any]:
    return of(patient, "Encounter", id, **{"class": {"code": "AMB"}}, period={"start": at}, **more)


VISIT = {"encounter": {"reference": "Encounter/va"}}
NURSE = "Practitioner?identifier=http://clinic.example/staff|7"


def records() -> list[dict[str, Any]]:
    return [
        person("a", "1950-05-05", deceasedDateTime="2020-04-10T08:00:00+00:00"),
        person("b", "1951-01-01"),
        person("c", "1952-12-31"),
        person("d", "1980-01-01", deceasedDateTime="2020-09-01"),
        person("e", "1949-06-01"),
        # Who has what: X a, b and d; Y b and c. The condition of b has the time of its visit.
        of("a", "Condition", "xa", code=coded("X"), onsetDateTime="2020-01-10"),
        visit("b", "vb", "2020-02-01T09:00:00+00:00"),
        of("b", "Condition", "xb", code=coded("X"), encounter={"reference": "Encounter/vb"}),
        of("b", "Condition", "yb", code=coded("Y"), onsetDateTime="2020-02-02"),
        of("c", "Condition", "yc", code=coded("Y"), onsetDateTime="2019-01-01"),
        of("d", "Condition", "xd", code=coded("X"), onsetDateTime="2020-01-31"),
        order("a", "oa", "2020-01-17T09:00:00+00:00", "ASPIRIN"),
        order("b", "ob", "2020-02-01T10:00:00+00:00"),
        order("d", "od", "2020-01-30T10:00:00+00:00"),
        potassium("a", "ka0", "2019-01-10T08:00:00+00:00", 9),
        potassium("a", "ka", "2020-01-10T08:00:00+00:00", 4),
        potassium("b", "kb", "2020-02-01T08:00:00+00:00", 5),
        potassium("c", "kc", "2020-03-01T08:00:00+00:00", 6),
        potassium("d", "kd", "2020-03-01T08:00:00+00:00", 1),
        potassium("e", "ke", "2020-06-01T08:00:00+00:00", 3),
        # Cultures of a: coli twice from blood and urine, in between nothing.
        *(of("a", "Specimen", id, type=coded(kind)) for id, kind in [("s1", "BLOOD"), ("s2", "BLOOD"), ("s3", "URINE")]),
        culture("t1", "2020-01-01T08:00:00+00:00", "s1", "coli1", "coccus"),
        culture("t2", "2020-02-01T08:00:00+00:00", "s2"),
        culture("t3", "2020-03-01T08:00:00+00:00", "s3", "coli2"),
        of("a", "Observation", "coccus", code=coded("COCCUS"), effectiveDateTime="2020-01-01T08:00:00+00:00"),
        *(of("a", "Observation", id, code=coded("COLI"), effectiveDateTime=at, hasMember=members(*tested))
          for id, at, tested in [("coli1", "2020-01-01T08:00:00+00:00", ("p1", "p2", "p3")),
                                 ("coli2", "2020-03-01T08:00:00+00:00", ("p4",))]),
        of("a", "Observation", "p1", code=coded("AMP"), valueCodeableConcept=coded("R")),
        of("a", "Observation", "p2", code=coded("CEF"), valueCodeableConcept=coded("S")),
        of("a", "Observation", "p3", code=coded("PEN"), interpretation=[coded("R")]),
        of("a", "Observation", "p4", code=coded("AMP"), valueCodeableConcept=coded("S")),
        # A visit of a: two procedures by two people, three orders of which one was given.
        {"resourceType": "Practitioner", "id": "w1", "name": [{"given": ["Ada", "B"], "family": "Low"}]},
        {"resourceType": "Practitioner", "id": "w2", "name": [{"given": ["Cy"], "family": "Nurse"}],
         "identifier": [{"system": "http://clinic.example/staff", "value": "7"}]},
        visit("a", "va", "2020-03-05T09:00:00+00:00", participant=[{"individual": {"reference": "Practitioner/w1"}}]),
        of("a", "Procedure", "q1", code=coded("11"), **VISIT),
        of("a", "Procedure", "q2", code=coded("22"), performer=[{"actor": {"reference": NURSE}}], **VISIT),
        order("a", "o1", "2020-03-05T10:00:00+00:00", "Heparin", **VISIT),
        order("a", "o2", "2020-03-05T11:00:00+00:00", "HEPARIN", **VISIT),
        order("a", "o3", "2020-03-05T12:00:00+00:00", "Insulin", reasonReference=[{"reference": "Condition/xa"}], **VISIT),
        of("a", "MedicationAdministration", "g1", request={"reference": "MedicationRequest/o2"},
           effectiveDateTime="2020-03-05T13:00:00+00:00", medicationCodeableConcept=coded("HEP")),
        of("a", "CarePlan", "plan", status="active", category=[coded("DIET")], addresses=[{"reference": "Condition/xa"}],
           goal=[{"reference": "Goal/g"}]),
        of("a", "CarePlan", "past", status="completed", category=[coded("DIET")], addresses=[{"reference": "Condition/xd"}]),
        of("a", "CarePlan", "bare", status="active", category=[coded("REST")]),
        of("a", "Goal", "g", description={"text": "Less salt"}),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    rows = []
    for body in records():
        owner = body["id"] if body["resourceType"] == "Patient" else body.get("subject", {}).get("reference", "")[8:]
        rows.append((body["resourceType"], body["id"], owner or None, dumps(body)))
    out = tmp_path_factory.mktemp("clinic") / "world.duckdb"
    write_world_from_charts(rows, "train", out)
    world = World.open(out, threads=1)
    yield world
    world.close()


def task(family: str, patients: str = "a", **slots: str) -> Task:
    cohort = {"patients": patients} if "," in patients else {}
    several = tuple(patients.split(", "))
    return Task(
        id=f"{family}-task", family=family, version="1", domain="questions", kind="query", mode="clinical", protocol="code",
        branch="", split="train", now=NOW, instruction="", context="", slots={"patient": several[0], **cohort, **slots},
        params={}, gold={}, patients=several, scenario=Scenario(), difficulty={}, seed="",
    )  # fmt: skip


X = {"code": "X", "label": "the X"}
AFTER = {**X, "drug": "aspirin"}
PEERS = {"patient": "b", "code": "K", "label": "the K", "unit": "mmol/L"}
START = {"class": "AMB", "start": "2020-03-05T09:00:00"}
BLOOD = {"code": "CULT", "label": "the CULT", "material": "BLOOD", "specimen": "the BLOOD"}
COLI = {"code": "COLI", "label": "the COLI"}
DIET = {"code": "DIET", "label": "the DIET"}

CASES: list[tuple[Task, Json]] = [
    (task("cohort_with_diagnosis", "a, b, c, d", **X), ["a", "b", "d"]),
    (task("cohort_with_diagnosis", "c, e", **X), []),
    (task("cohort_count_ordered", "a, b, c", drug="aspirin"), 2),
    (task("cohort_count_ordered", "c, e", drug="aspirin"), 0),
    (task("cohort_top_diagnoses", "a, b, c, d", k="1"), ["X"]),
    (task("cohort_top_diagnoses", "a, b, c, d", k="2"), ["X", "Y"]),
    (task("cohort_top_diagnoses", "b, c, d", k="1"), ["X", "Y"]),
    (task("cohort_order_after_diagnosis", "a, b, c, d, e", days="7", **AFTER), ["a", "b"]),
    (task("cohort_order_after_diagnosis", "a, b, c, d, e", days="6", **AFTER), ["b"]),
    (task("cohort_order_after_diagnosis", "c, d", days="30", **AFTER), []),
    (task("percentile_among_same_age", "a, b, c, d, e", years="2", **PEERS), 75),
    (task("percentile_among_same_age", "a, b, c, d, e", years="40", **PEERS), 80),
    (task("cohort_survival", "a, b, c, d", months="3", **X), 0.6667),
    (task("cohort_survival", "a, b, c, d", months="2", **X), 1),
    (task("organisms_in_culture", place="first", **BLOOD), ["the COCCUS", "the COLI"]),
    (task("organisms_in_culture", place="last", **BLOOD), []),
    (task("organisms_in_culture", place="last", **{**BLOOD, "material": "URINE"}), ["the COLI"]),
    (task("resisted_antibiotics", place="first", **COLI), ["the AMP", "the PEN"]),
    (task("resisted_antibiotics", place="second", **COLI), []),
    (task("procedures_and_performers", **START), {"11": ["Ada Low"], "22": ["Cy Nurse"]}),
    (task("ordered_never_given", **START), ["insulin"]),
    (task("reason_of_order", drug="insulin", day="2020-03-05"), "X"),
    (task("care_plan_addresses", what="conditions", **DIET), ["X"]),
    (task("care_plan_addresses", what="goals", **DIET), ["Less salt"]),
    (task("care_plan_addresses", what="goals", **{**DIET, "code": "REST"}), []),
]


@pytest.mark.parametrize(("one", "value"), CASES, ids=lambda case: getattr(case, "family", ""))
def test_what_is_true_by_hand_is_what_is_found(one: Task, value: Json, clinic: World) -> None:
    truth = graders.truths([one], clinic)[one.id]
    assert truth is not None and truth.value is not None
    found = loads(truth.value)
    assert found == value or float(str(found)) == value
    episode = play(one, clinic, solver(one.family))
    verdict = graders.grade(one, episode, clinic, truth)
    assert verdict.passed, (verdict.checks, episode.messages[-2].content[-400:])
    assert replay_task(one, clinic, episode.raws) == episode


@pytest.mark.parametrize(
    "one",
    [
        task("cohort_top_diagnoses", "a, c", k="1"),
        task("percentile_among_same_age", "a, b, c, d, e", years="1", **PEERS),
        task("cohort_survival", "a, b, c, d", months="12", **X),
        task("cohort_survival", "c, e", months="3", **X),
        task("reason_of_order", drug="heparin", day="2020-03-05"),
    ],
    ids=lambda one: one.family,
)
def test_what_too_few_have_is_not_asked(one: Task, clinic: World) -> None:
    assert graders.truths([one], clinic)[one.id] is None


def call(one: Task, world: World, name: str, **arguments: Any) -> Observation:
    environment = open_environment(one, world)
    assert isinstance(environment, CodeEnvironment)
    return environment.dispatch(Call(name, arguments))


def told(observation: Observation) -> Any:
    return loads(observation.text)


def test_the_tools_open_the_records_of_the_cohort_and_no_others(clinic: World) -> None:
    one = task("cohort_with_diagnosis", "a, b, c", **X)
    seen = told(call(one, clinic, "coverage", patient="a, Patient/b,c"))
    assert seen["patients"] == ["Patient/a", "Patient/b", "Patient/c"]
    assert seen["types"]["Condition"]["count"] == 4
    assert told(call(one, clinic, "fetch", patient="b,b", resource_type="Condition"))["fetched"] == 2
    refused = call(one, clinic, "fetch", patient="a, d", resource_type="Condition")
    assert refused.status == 400 and "d is no patient of this task; ask about a, b, c" in refused.text
    reply = told(call(one, clinic, "fetch_references", references=["Condition/xb", "Condition/xd"]))
    assert (reply["ids"], reply["not_permitted"]) == (["Condition/xb"], 1)


def test_a_task_of_one_patient_takes_one_id(clinic: World) -> None:
    one = task("care_plan_addresses", what="goals", **DIET)
    assert told(call(one, clinic, "coverage", patient="Patient/a"))["patient"] == "Patient/a"
    refused = call(one, clinic, "coverage", patient="a,a")
    assert refused.text == dumps({"error": "a,a is not the patient of this task; ask about a"})


def judged(
    one: Task, world: World, calls: list[tuple[str, dict[str, Json]]], value: Json, evidence: list[Json]
) -> Verdict:
    answer: dict[str, Json] = {"type": "set", "value": dumps(value), "unit": "", "evidence": evidence}
    said = [
        dumps({"content": "", "tool_calls": [{"name": name, "arguments": arguments}]})
        for name, arguments in [*calls, ("submit_answer", answer)]
    ]
    return graders.grade(one, replay_task(one, world, said), world, graders.truths([one], world)[one.id])


def test_a_cohort_was_read_only_if_each_patient_was(clinic: World) -> None:
    one = task("cohort_with_diagnosis", "a, b, c, d", **X)
    for patients, passed in [(["a, b, c, d"], True), (["a, b", "c", "d"], True), (["a, b, d"], False)]:
        calls: list[tuple[str, dict[str, Json]]] = [
            ("fetch", {"patient": text, "resource_type": "Condition"}) for text in patients
        ]
        verdict = judged(one, clinic, calls, ["a", "b", "d"], ["Condition/xa"])
        assert verdict.passed is passed, verdict.checks
        assert passed or next(check.name for check in verdict.checks if not check.passed) == "evidence"


def test_that_nobody_has_it_is_shown_by_a_look_at_all(clinic: World) -> None:
    one = task("cohort_with_diagnosis", "c, e", **X)
    assert judged(one, clinic, [("coverage", {"patient": "c, e"})], [], []).passed
    assert not judged(one, clinic, [("coverage", {"patient": "e"})], [], []).passed


@pytest.mark.parametrize("name", COHORTS)
def test_a_drawn_cohort_is_named_whole_and_nothing_of_it_is_hidden(name: str, population: World) -> None:
    if family(BY_NAME[name]).missing(population) is not None:
        assert name == "cohort_survival"  # nobody dies among the embedded patients
        return
    for branch in BY_NAME[name].branches:
        one = draw(name, population, branch, 1)
        assert ", ".join(one.patients) == one.slots["patients"] and one.slots["patients"] in one.context
        assert 4 <= len(set(one.patients)) == len(one.patients) <= 12
        assert one.slots["patient"] in one.patients
        query = "SELECT count(*) FROM record WHERE available > ? AND list_contains(?::VARCHAR[], patient)"
        later = views(population).execute(query, [instant(one.now), list(one.patients)]).fetchone()
        assert later == (0,)
