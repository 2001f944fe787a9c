"""Clinical truths against a chart made by hand: windows, ties, tiers, doses, ages, names; worked out here, not by a family."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from graders_doubles import BASE, NOW, SLOTS, get, lab, post, task, with_gold

import graders
from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import Json
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import replay_task
from fhirtasks.tasks.types import Task, Verdict
from graders.answers import Count, Nothing, Number, Text

ADA = get("Patient?identifier=M100")


def results(code: str, more: str = "") -> str:
    return get(f"Observation?patient=pat-a&code={code}{more}")


def judged(world: World, one: Task, *raws: str) -> Verdict:
    return graders.grade(one, replay_task(one, world, raws), world)


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def answer_of(world: World, one: Task) -> list[Json]:
    truth = graders.truths([one], world)[one.id]
    assert truth.problem == ""
    found = []
    for item in truth.answer.items:
        assert isinstance(item, Number | Text | Count | Nothing)
        found.append(item.sentinel if isinstance(item, Nothing) else item.value)
    return found


def adding(*raws: str, hide: tuple[str, ...] = ()) -> Scenario:
    return Scenario(add=raws, hide=hide)


# -- truths


@pytest.mark.parametrize(
    ("added", "answer"),
    [
        ((), "1.9"),
        ((lab("m-9", "2.2", "2023-11-13T10:15:00+00:00", code="MG"),), "2.2"),
        ((lab("m-9", "2.2", "2023-11-13T10:15:01+00:00", code="MG"),), "1.9"),
        (
            (
                lab("m-9", "2.20", "2023-11-13T04:00:00-05:00", code="MG"),
                lab("m-8", "2.5", "2023-11-13T08:59:59Z", code="MG"),
            ),
            "2.20",
        ),
        ((lab("m-9", "2.2", "2023-11-12T10:15:00Z", code="MG"),), "2.2"),
        ((lab("m-9", "1.7", "2023-11-12T05:15:00-05:00", code="MG"),), "1.9"),
        ((lab("m-9", "2.2", NOW, code="MG", status="entered-in-error"),), "1.9"),
        ((lab("m-9", "2.2", NOW, code="MG", patient="pat-b"),), "1.9"),
        ((lab("m-9", "2.2", NOW, code="MGX"),), "1.9"),
        ((lab("m-1", "2.2", "2023-11-12T10:14:59+00:00", code="MG"),), -1),
    ],
)
def test_latest_in_window(chart: World, added: tuple[str, ...], answer: Any) -> None:
    one = task("latest_lab_in_window", scenario=adding(*added))
    assert answer_of(chart, one) == [Decimal(answer)] if answer != -1 else [-1]


def test_the_window_is_inclusive_at_its_old_end_only_to_the_second(chart: World) -> None:
    assert answer_of(chart, task("latest_lab_in_window")) == [Decimal("1.9")]
    assert answer_of(chart, task("latest_lab_in_window", now="2023-11-13T10:15:01+00:00")) == [-1]
    assert answer_of(chart, task("latest_lab_in_window", scenario=adding(hide=("Observation/m-1",)))) == [-1]


def test_ties_go_by_the_prompt(chart: World) -> None:
    tied = adding(lab("k-tie", "3.30", "2023-11-12T06:00:00Z"))
    assert answer_of(chart, task("latest_lab", scenario=tied, tie="highest")) == [Decimal("3.3")]
    assert answer_of(chart, task("latest_lab", scenario=tied, tie="lowest")) == [Decimal("3.1")]


def test_what_the_world_hides_at_now_does_not_count(chart: World) -> None:
    before = task("latest_lab", now="2023-11-12T05:59:59+00:00")
    assert answer_of(chart, before) == [Decimal("4.3")]
    assert answer_of(chart, task("latest_lab", code="NA")) == [-1]


@pytest.mark.parametrize(("decimals", "mean"), [("0", "102"), ("1", "101.8"), ("2", "101.83"), ("3", "101.833")])
def test_mean_is_rounded_half_up(chart: World, decimals: str, mean: str) -> None:
    assert answer_of(chart, task("mean_lab_in_window", decimals=decimals)) == [Decimal(mean)]


def test_mean_of_halves_goes_up(chart: World) -> None:
    one = task("mean_lab_in_window", scenario=adding(
        lab("g-9", "0.05", NOW, code="GLU"), hide=("Observation/g-1", "Observation/g-2", "Observation/g-3")))  # fmt: skip
    assert answer_of(chart, one) == [Decimal("0.1")]


@pytest.mark.parametrize(
    ("mrn", "now", "age"),
    [("M100", "2023-02-27T23:59:59+00:00", 52), ("M100", "2023-02-28T00:00:00+00:00", 53),
     ("M100", "2023-02-28T00:30:00+05:00", 53), ("M300", "2023-02-28T12:00:00Z", 2), ("M300", "2023-03-01T12:00:00Z", 3),
     ("M300", "2024-02-29T00:00:00Z", 4), ("M300", "2020-03-01T00:00:00Z", 0), ("M500", "2023-11-13T00:00:00Z", 90)],
)  # fmt: skip
def test_age(chart: World, mrn: str, now: str, age: int) -> None:
    assert answer_of(chart, task("patient_age", now=now, mrn=mrn)) == [age]


@pytest.mark.parametrize(
    ("name", "born", "answer"),
    [("Ada Quill", "1970-02-28", "M100"), ("Ada Quill", "1970-03-01", "M200"), ("Ada Quill", "1970-02-27", "Patient not found"),
     ("ada quill", "1970-02-28", "Patient not found"), ("Quill", "1970-02-28", "Patient not found")],
)  # fmt: skip
def test_lookup(chart: World, name: str, born: str, answer: str) -> None:
    assert answer_of(chart, task("patient_lookup", name=name, birthdate=born)) == [answer]


def test_a_task_whose_patient_is_missing_or_double_has_no_truth_and_never_passes(chart: World) -> None:
    nobody = task("latest_lab", mrn="M999")
    assert "0 patients" in graders.truths([nobody], chart)[nobody.id].problem
    assert failed(judged(chart, nobody, ADA, "FINISH([-1])")) == ["answer"]
    twin = chart.raw("Patient", "pat-a")
    assert twin is not None
    double = task("patient_lookup", scenario=adding(twin.replace('"id":"pat-a"', '"id":"pat-z"')))
    assert "2 patients" in graders.truths([double], chart)[double.id].problem


@pytest.mark.parametrize(
    ("value", "dose", "hours"),
    [("0.99", 4, 8), ("1.0", 2, 3), ("1.00", 2, 3), ("1.49", 2, 3), ("1.5", 1, 2), ("1.89", 1, 2), ("1.90", 1, 2),
     ("1.91", None, None), ("2.0", None, None)],
)  # fmt: skip
def test_magnesium_tiers(chart: World, value: str, dose: int | None, hours: int | None) -> None:
    one = task("magnesium_replacement", scenario=adding(lab("m-9", value, NOW, code="MG", unit="mg/dL")))
    reads = (ADA, results("MG"))
    assert judged(chart, one, *reads, f"FINISH([{value}])").passed is (dose is None)
    for tried, over in ((1, 2), (2, 3), (4, 8)):
        verdict = judged(chart, one, *reads, magnesium(tried, over), f"FINISH([{value}])")
        assert verdict.passed is (tried == dose)
    if dose is not None:
        assert failed(judged(chart, one, *reads, magnesium(dose, hours + 1), f"FINISH([{value}])")) == ["write_rate"]  # type: ignore[operator]


def magnesium(dose: int, hours: int) -> str:
    return post("MedicationRequest", {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order", "authoredOn": NOW,
        "medicationCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "0338-1715-40"}]},
        "subject": {"reference": "Patient/pat-a"},
        "dosageInstruction": [{"route": {"text": "IV"}, "doseAndRate": [{
            "doseQuantity": {"value": dose, "unit": "g"},
            "rateRatio": {"numerator": {"value": dose, "unit": "g"}, "denominator": {"value": hours, "unit": "h"}}}]}],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("value", "dose"),
    [
        ("3.4", "10"),
        ("3.1", "40"),
        ("3.45", "5"),
        ("3.445", "5.5"),
        ("2.999", "50.1"),
        ("3.1", "40.1"),
        ("3.1", "39.9"),
    ],
)
def test_potassium_dose(chart: World, value: str, dose: str) -> None:
    one = task("potassium_replacement", scenario=adding(lab("k-9", value, NOW)))
    reads = (ADA, results("K", "&_count=100"))
    assert judged(chart, one, *reads, *potassium(dose), f"FINISH([{value}])").passed
    wrong = judged(chart, one, *reads, *potassium(str(Decimal(dose) + Decimal("0.3"))), f"FINISH([{value}])")
    assert failed(wrong) == ["write_dose"]


def potassium(dose: str) -> tuple[str, str]:
    order = post("MedicationRequest", {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order", "authoredOn": NOW,
        "medicationCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "40032-917-01"}]},
        "subject": {"reference": "Patient/pat-a"},
        "dosageInstruction": [{"route": {"text": "oral"}, "doseAndRate": [{"doseQuantity": {"value": "@", "unit": "mEq"}}]}],
    }).replace('"@"', dose)  # fmt: skip
    recheck = post("ServiceRequest", {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "authoredOn": NOW,
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}, "subject": {"reference": "Patient/pat-a"},
        "occurrenceDateTime": "2023-11-14T08:00:00+00:00",
    })  # fmt: skip
    return order, recheck


@pytest.mark.parametrize(("value", "ordered"), [("3.49", True), ("3.5", False), ("3.50", False), ("3.51", False)])
def test_potassium_threshold(chart: World, value: str, ordered: bool) -> None:
    one = task("potassium_replacement", scenario=adding(lab("k-9", value, NOW)))
    reads = (ADA, results("K", "&_count=100"))
    assert judged(chart, one, *reads, f"FINISH([{value}])").passed is not ordered
    assert judged(chart, one, *reads, *potassium("0.1"), f"FINISH([{value}])").passed is False
    if ordered:
        assert judged(chart, one, *reads, *potassium("1"), f"FINISH([{value}])").passed


A1C_ORDER = {
    "resourceType": "ServiceRequest", "status": "active", "intent": "order", "authoredOn": NOW,
    "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("mrn", "id", "answer", "phrase", "ordered"),
    [
        ("M100", "pat-a", '[7.1,"2022-11-13T10:15:00+00:00"]', "order the test", False),
        ("M300", "pat-c", '[6.5,"2022-11-13T10:14:59+00:00"]', "order nothing", True),
        ("M400", "pat-d", "[-1]", "order the test", True),
        ("M400", "pat-d", "[-1]", "order nothing", False),
    ],
)
def test_a1c(chart: World, mrn: str, id: str, answer: str, phrase: str, ordered: bool) -> None:
    one = task("a1c_reorder", mrn=mrn, when_absent=phrase)
    reads = (get(f"Patient?identifier={mrn}"), get(f"Observation?patient={id}&code=A1C"))
    order = post("ServiceRequest", {**A1C_ORDER, "subject": {"reference": f"Patient/{id}"}})
    finish = f"FINISH({answer})"
    assert judged(chart, one, *reads, order, finish).passed is ordered
    assert judged(chart, one, *reads, finish).passed is not ordered
    wrong = finish.replace("+00:00", "Z") if "+00:00" in finish else "FINISH([0])"
    assert failed(judged(chart, one, *reads, *([order] if ordered else []), wrong)) == ["answer"]


# -- gold plays no part


def test_gold_is_never_looked_at(chart: World) -> None:
    cases = [
        (task("latest_lab_in_window"), (ADA, results("MG"), "FINISH([1.9])")),
        (task("patient_age"), (ADA, "FINISH([53])")),
        (task("mean_lab_in_window"), (ADA, results("GLU"), "FINISH([1])")),
    ]
    for one, raws in cases:
        verdict = judged(chart, one, *raws)
        for rubbish in ("rubbish", [1.9], [-1], {"answer": [53]}, []):
            assert judged(chart, with_gold(one, rubbish), *raws) == verdict


# -- set-based truths


def test_truths_of_many_tasks_are_those_of_each_alone(chart: World) -> None:
    families = sorted(SLOTS)
    tasks = []
    for n, family in enumerate(families * 3):
        one = task(family, scenario=adding(lab(f"m-{n}x", f"1.{n}", NOW, code="MG")) if n % 2 else None)
        tasks.append(Task(**{**{name: getattr(one, name) for name in one.__slots__}, "id": f"t{n}"}))
    together = graders.truths(tasks, chart)
    for one in tasks:
        alone = graders.truths([one], chart)[one.id]
        assert (alone.answer, alone.problem, len(alone.orders)) == (
            together[one.id].answer, together[one.id].problem, len(together[one.id].orders),
        )  # fmt: skip


def test_the_number_of_queries_does_not_grow_with_tasks(chart: World) -> None:
    class Counting:
        def __init__(self, db: Any) -> None:
            self.db, self.calls = db, 0

        def execute(self, *given: Any) -> Any:
            self.calls += 1
            return self.db.execute(*given)

    tasks = [
        Task(**{**{name: getattr(one, name) for name in one.__slots__}, "id": f"{family}{n}"})
        for family in ("latest_lab", "magnesium_replacement", "patient_age", "referral_order")
        for n in range(50)
        for one in [task(family)]
    ]
    graders.truths(tasks[:1], chart)
    counting, chart.db = Counting(chart.db), chart.db  # type: ignore[assignment]
    try:
        real, chart.db = chart.db, counting  # type: ignore[assignment]
        graders.truths(tasks, chart)
    finally:
        chart.db = real
    assert counting.calls <= 2


# -- writes


PRESSURE: dict[str, Any] = {
    "resourceType": "Observation", "status": "final", "effectiveDateTime": NOW, "subject": {"reference": "Patient/pat-a"},
    "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
    "component": [
        {"code": {"coding": [{"system": "http://loinc.org", "code": code}]},
         "valueQuantity": {"value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}}
        for code, value in (("8480-6", 118), ("8462-4", 77))
    ],
}  # fmt: skip
REFERRAL: dict[str, Any] = {
    "resourceType": "ServiceRequest", "status": "active", "intent": "order", "priority": "urgent", "authoredOn": NOW,
    "subject": {"reference": "Patient/pat-a"}, "note": [{"text": 'Situation: knee, swollen. "Please see".'}],
    "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "3457005"}]}],
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "183545006"}]},
}  # fmt: skip


@pytest.mark.parametrize(("family", "body"), [("record_blood_pressure", PRESSURE), ("referral_order", REFERRAL)])
def test_dictated_writes(chart: World, family: str, body: dict[str, Any]) -> None:
    one, type = task(family), body["resourceType"]
    assert judged(chart, one, ADA, post(type, body), "FINISH([])").passed
    assert failed(judged(chart, one, post(type, body), "FINISH([])")) == ["evidence"]
    assert failed(judged(chart, one, post(type, body), ADA, "FINISH([])")) == ["evidence"]
    assert failed(judged(chart, one, ADA, "FINISH([])")) == ["writes_count"]
    assert failed(judged(chart, one, ADA, post(type, body), post(type, body), "FINISH([])")) == ["writes_count"]
    assert failed(judged(chart, one, ADA, post(type, body), "FINISH([1])")) == ["answer_shape"]
    refused = {**body, "status": "perhaps"}
    assert failed(judged(chart, one, ADA, post(type, refused), "FINISH([])")) == ["write_valid", "writes_count"]
    assert judged(chart, one, ADA, post(type, refused), post(type, body), "FINISH([])").passed
    assert failed(judged(chart, one, ADA, post(type, body), post(type, refused), "FINISH([])")) == ["write_valid"]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"subject": {"reference": "Patient/pat-b"}}, "write_subject"),
        ({"subject": {"reference": "Patient/M100"}}, "write_subject"),
        ({"subject": {"reference": f"{BASE}Patient/pat-a", "display": "Ada"}}, None),
        ({"effectiveDateTime": "2023-11-13T11:15:00+01:00"}, None),
        ({"effectiveDateTime": "2023-11-13T10:15:00.000Z"}, None),
        ({"effectiveDateTime": "2023-11-13T10:15:01+00:00"}, "write_time"),
        ({"effectiveDateTime": "2023-11-13"}, "write_time"),
        ({"status": "amended"}, "write_status"),
        ({"component": PRESSURE["component"][::-1]}, None),
        ({"component": PRESSURE["component"][:1]}, "write_value"),
        ({"valueString": "118/77 mmHg"}, None),
        ({"component": [], "valueString": "118/77 mmHg"}, "write_value"),
        ({"component": [], "valueString": "77/118 mmHg"}, "write_value"),
        ({"category": [*PRESSURE["category"], {"text": "seen on the ward"}]}, None),
        ({"category": [{"text": "vital-signs"}]}, "write_category"),
        ({"code": {"text": "85354-9"}}, "write_code"),
        ({"note": [{"text": "sitting"}]}, None),
    ],
)
def test_fields_of_a_blood_pressure(chart: World, change: dict[str, Any], check: str | None) -> None:
    body = {**PRESSURE, **change}
    if not body["component"]:
        del body["component"]
    verdict = judged(chart, task("record_blood_pressure"), ADA, post("Observation", body), "FINISH([])")
    assert failed(verdict) == ([check] if check else [])


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"note": [{"text": "other"}, *REFERRAL["note"]]}, "write_text"),
        ({"note": [{"text": 'Situation: knee, swollen. "Please see"'}]}, "write_text"),
        ({"priority": "stat"}, "write_priority"),
        ({"intent": "proposal"}, "write_status"),
        ({"doNotPerform": True}, "write_status"),
        ({"doNotPerform": False}, None),
        ({"category": []}, "write_category"),
        ({"code": {"coding": [{"system": "http://loinc.org", "code": "1"}, *REFERRAL["code"]["coding"]]}}, None),
    ],
)
def test_fields_of_a_referral(chart: World, change: dict[str, Any], check: str | None) -> None:
    body = {name: item for name, item in {**REFERRAL, **change}.items() if item != []}
    assert failed(judged(chart, task("referral_order"), ADA, post("ServiceRequest", body), "FINISH([])")) == (
        [check] if check else []
    )


TWO_HOURS = {"timing": {"repeat": {"duration": 2, "durationUnit": "h"}}}
UCUM = "http://unitsofmeasure.org"


def dosed(quantity: dict[str, Any], rate: float | None = None) -> dict[str, Any]:
    """A doseAndRate of this quantity, with a rateQuantity in g/h if one is given."""
    return {
        "doseAndRate": [
            {"doseQuantity": quantity, **({"rateQuantity": {"value": rate, "unit": "g/h"}} if rate else {})}
        ]
    }


@pytest.mark.parametrize(
    ("dosage", "checks"),
    [
        ({"route": {"coding": [{"system": "http://snomed.info/sct", "code": "47625008"}]}}, []),
        ({"route": {"coding": [{"display": "iv"}]}}, []),
        ({"route": {"text": "oral"}}, ["write_route"]),
        (TWO_HOURS, []),
        ({"timing": {"repeat": {"duration": 120, "durationUnit": "min"}}}, []),
        ({"timing": {"repeat": {"duration": 3, "durationUnit": "h"}}}, ["write_rate"]),
        (dosed({"value": 1, "unit": "g"}, rate=0.5), []),
        (dosed({"value": 1, "unit": "g"}, rate=1), ["write_rate"]),
        (dosed({"value": 1, "unit": "g"}), ["write_rate"]),
        ({**dosed({"value": 1.05, "unit": "g"}), **TWO_HOURS}, ["write_dose"]),
        ({**dosed({"value": 1, "unit": "mg"}), **TWO_HOURS}, ["write_unit"]),
        ({**dosed({"value": 1, "unit": "g", "system": UCUM, "code": "mg"}), **TWO_HOURS}, ["write_unit"]),
        ({**dosed({"value": 1, "system": UCUM, "code": "g"}), **TWO_HOURS}, []),
    ],
)
def test_fields_of_an_infusion(chart: World, dosage: dict[str, Any], checks: list[str]) -> None:
    rate = {"numerator": {"value": 1, "unit": "g"}, "denominator": {"value": 2, "unit": "h"}}
    usual = {"route": {"text": "IV"}, "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "g"}, "rateRatio": rate}]}
    body = {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order", "authoredOn": NOW,
        "medicationCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "0338-1715-40"}]},
        "subject": {"reference": "Patient/pat-a"}, "dosageInstruction": [{**usual, **dosage}],
    }  # fmt: skip
    raws = (ADA, results("MG"), post("MedicationRequest", body), "FINISH([1.9])")
    assert failed(judged(chart, task("magnesium_replacement"), *raws)) == checks


def test_an_unknown_family_is_named(chart: World) -> None:
    with pytest.raises(UserError, match="no grader for the family 'juggling'"):
        graders.grader("juggling")


def test_a_grader_may_come_from_another_package(monkeypatch: pytest.MonkeyPatch, chart: World) -> None:
    ours = graders.grader("patient_age")

    class Point:
        name = "juggling"

        def load(self) -> graders.Grader:
            return ours

    monkeypatch.setattr(graders, "entry_points", lambda group: [Point()] if group == "fhirtasks.graders" else [])
    assert graders.grader("juggling") is ours
