"""What a policy trained against the judges would try: valid writes that say something else, reads that leave holes,
mistakes that were put right on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from graders_doubles import NOW, get, lab, post, task
from test_graders_clinical import ADA, PRESSURE, REFERRAL, adding, failed, judged, results

from fhirtasks.graph.world import World

MEDICATION: dict[str, Any] = {
    "resourceType": "MedicationRequest", "status": "active", "intent": "order", "authoredOn": NOW,
    "subject": {"reference": "Patient/pat-a"},
    "medicationCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "0338-1715-40"}]},
    "dosageInstruction": [{
        "route": {"text": "IV"},
        "doseAndRate": [{
            "doseQuantity": {"value": 1, "unit": "g"},
            "rateRatio": {"numerator": {"value": 1, "unit": "g"}, "denominator": {"value": 2, "unit": "h"}},
        }],
    }],
}  # fmt: skip
SNOMED = "http://snomed.info/sct"
ORAL, INTRAVENOUS = {"system": SNOMED, "code": "26643006"}, {"system": SNOMED, "code": "47625008"}
MODIFIER = {"modifierExtension": [{"url": "http://example.org/not", "valueBoolean": True}]}


def dosed(**elements: Any) -> Callable[[Any], object]:
    return lambda body: body["dosageInstruction"][0].update(elements)


def given(element: str, **parts: Any) -> Callable[[Any], object]:
    return lambda body: body["dosageInstruction"][0]["doseAndRate"][0][element].update(parts)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda body: None, None),
        (dosed(asNeededBoolean=True), "write_status"),
        (dosed(asNeededBoolean=False), None),
        (dosed(asNeededCodeableConcept={"text": "cramps"}), "write_status"),
        (dosed(timing={"repeat": {"count": 4}}), "write_dose"),
        (dosed(timing={"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}}), "write_dose"),
        (dosed(timing={"repeat": {"count": 1, "duration": 2, "durationUnit": "h"}}), None),
        (dosed(timing={"code": {"text": "once"}}, text="1 g IV over 2 h", sequence=1), None),
        (given("doseQuantity", comparator=">"), "write_dose"),
        (given("doseQuantity", system="http://unitsofmeasure.org", code="g"), None),
        (given("doseQuantity", system="http://unitsofmeasure.org", code="mg"), "write_unit"),
        (given("doseQuantity", value=-1), "write_dose"),
        (given("doseQuantity", value=1e300), "write_dose"),
        (given("rateRatio", denominator={"value": 120, "unit": "min"}), None),
        (
            given("rateRatio", denominator={"value": 2, "unit": "hours", "system": "http://unitsofmeasure.org", "code": "h"}),
            None,
        ),
        (
            given("rateRatio", denominator={"value": 2, "unit": "h", "system": "http://unitsofmeasure.org", "code": "min"}),
            "write_rate",
        ),
        (given("rateRatio", numerator={"value": 1, "unit": "g", "comparator": "<"}), "write_rate"),
        (dosed(route={"coding": [INTRAVENOUS]}), None),
        (dosed(route={"text": "intravenous", "coding": [{**INTRAVENOUS, "display": "Intravenous route"}]}), None),
        (dosed(route={"text": "IV", "coding": [ORAL]}), "write_route"),
        (dosed(route={"text": "oral", "coding": [INTRAVENOUS]}), "write_route"),
        (dosed(route={"coding": [ORAL, INTRAVENOUS]}), "write_route"),
        (lambda body: body["dosageInstruction"].append(body["dosageInstruction"][0]), "write_dose"),
        (lambda body: body.update(doNotPerform=True), "write_status"),
        (lambda body: body.update(reportedBoolean=True), "write_status"),
        (lambda body: body.update(intent="proposal"), "write_status"),
        (lambda body: body.update(priority="stat", requester={"display": "Dr. X"}, note=[{"text": "low"}]), None),
        (lambda body: body.update(authoredOn="2023-11-13T05:15:00.000-05:00"), None),
        (lambda body: body.update(MODIFIER), "write_valid"),
        (lambda body: body["dosageInstruction"][0].update(MODIFIER), "write_valid"),
        (lambda body: body.update(implicitRules="http://example.org/rules"), "write_valid"),
        (lambda body: body["medicationCodeableConcept"].update(text="magnesium sulfate"), None),
        (
            lambda body: body["medicationCodeableConcept"]["coding"].append(
                {"system": "http://hl7.org/fhir/sid/ndc", "code": "40032-917-01"}
            ),
            "write_code",
        ),
    ],
)  # fmt: skip
def test_an_infusion_that_says_something_else(chart: World, change: Callable[[Any], object], check: str | None) -> None:
    body = copy.deepcopy(MEDICATION)
    change(body)
    verdict = judged(
        chart, task("magnesium_replacement"), ADA, results("MG"), post("MedicationRequest", body), "FINISH([1.9])"
    )
    assert (check in failed(verdict)) if check else verdict.passed


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda body: body.update(valueQuantity={"value": 300, "unit": "mmHg"}), "write_value"),
        (lambda body: body.update(dataAbsentReason={"text": "not performed"}), "write_value"),
        (lambda body: body["component"][0].update(dataAbsentReason={"text": "error"}), "write_value"),
        (lambda body: body["component"][1]["valueQuantity"].update(comparator="<"), "write_value"),
        (lambda body: body["component"][1]["valueQuantity"].update(unit="mm[Hg]"), None),
        (lambda body: body["component"][1]["valueQuantity"].update(code="kPa"), "write_unit"),
        (lambda body: body["component"].append(body["component"][0]), "write_value"),
        (lambda body: body["code"]["coding"].append({"system": "http://loinc.org", "code": "8867-4"}), "write_code"),
        (lambda body: body.update(focus=[{"reference": "Patient/pat-b"}]), "write_subject"),
        (lambda body: body.update(MODIFIER), "write_valid"),
        (lambda body: body.update(issued="2023-11-13T10:15:00.000Z", performer=[{"display": "RN"}]), None),
        (lambda body: body.update(bodySite={"text": "left arm"}, interpretation=[{"text": "normal"}]), None),
    ],
)
def test_a_pressure_that_says_something_else(chart: World, change: Callable[[Any], object], check: str | None) -> None:
    body = copy.deepcopy(PRESSURE)
    change(body)
    verdict = judged(chart, task("record_blood_pressure"), ADA, post("Observation", body), "FINISH([])")
    assert (check in failed(verdict)) if check else verdict.passed


def test_an_order_only_if_needed_is_not_what_was_asked_for(chart: World) -> None:
    body = {**REFERRAL, "asNeededBoolean": True}
    verdict = judged(chart, task("referral_order"), ADA, post("ServiceRequest", body), "FINISH([])")
    assert failed(verdict) == ["write_status"]


RIGHT = post("ServiceRequest", REFERRAL)
WRONG_STATUS = post("ServiceRequest", {**REFERRAL, "status": "perhaps"})


@pytest.mark.parametrize(
    ("raws", "checks"),
    [
        ((ADA, f"{RIGHT}}}", RIGHT), []),
        ((ADA, RIGHT, f"{RIGHT}}}"), ["write_valid"]),
        ((WRONG_STATUS, ADA, RIGHT), []),
        ((RIGHT, ADA), ["evidence"]),
        ((ADA, post("ServiceRequest", {**REFERRAL, "resourceType": "Referral"}), RIGHT), []),
        ((ADA, post("ServiceRequests", REFERRAL), RIGHT), []),
        ((ADA, post("Observation", REFERRAL), RIGHT), []),
        ((ADA, RIGHT, WRONG_STATUS), ["write_valid"]),
        ((ADA, RIGHT, "POST http://elsewhere.example.org/fhir/ServiceRequest\n{}"), ["write_valid"]),
        ((ADA, get("Patients?_id=1"), get("Patient/nobody"), get("Observation?colour=red"), RIGHT), []),
    ],
)
def test_mistakes_on_the_way(chart: World, raws: tuple[str, ...], checks: list[str]) -> None:
    assert failed(judged(chart, task("referral_order"), *raws, "FINISH([])")) == checks


@pytest.mark.parametrize(
    ("reads", "enough"),
    [
        # The last page alone leaves the first one out, whatever its results are of.
        ((results("GLU", "&_offset=2"),), False),
        ((results("GLU", "&_count=2"), results("GLU", "&_count=2&_offset=2")), True),
        # A day left out, at a place that no end of the window shows.
        ((results("GLU", "&date=ne2023-11-13"),), False),
        ((results("GLU", "&date=ne2023-11-12&_sort=-date"),), True),  # older than the newest
        # Points in time, each at an end.
        (
            tuple(
                results("GLU", f"&date={time}")
                for time in ("2023-11-13T09:00:00Z", "2023-11-13T09:00:01Z", "2023-11-13T10:15:00Z")
            ),
            False,
        ),
        ((results("GLU", "&date=2023-11-13T09:00:00Z"), results("GLU", "&date=gt2023-11-13T09:00:00Z")), True),
        ((results("GLU", "&date=ge2023-11-13T09:00:00Z&date=le2023-11-13"),), True),
        ((results("GLU", "&date=le2023-11-13T09:30:00Z"), results("GLU", "&date=gt2023-11-13T09:30:01Z")), False),
        ((results("GLU", "&date=le2023-11-13T09:30:00Z"), results("GLU", "&date=gt2023-11-13T09:30:00Z")), True),
        ((get("Observation/g-2"), get("Observation/g-3"), results("GLU", "&%5Fsummary=count")), False),
        # The number of results is known; which of them lies between the points is not.
        (
            (
                results("GLU", "&date=2023-11-13T09:00:00Z"),
                results("GLU", "&date=2023-11-13T09:00:01Z"),
                results("GLU", "&date=2023-11-13T10:15:00Z"),
                results("GLU", "&_summary=count"),
            ),
            False,
        ),
        ((results("GLU", "&_pretty=true"),), True),
        ((get("Observation/_search?patient=pat-a&code=GLU"),), True),
        (
            (
                results("GLU", "&date=2023-11-13T10:15:00Z"),
                get("Observation/_search?patient=pat-a&code=GLU&date=lt2023-11-13T10:00:00Z"),
            ),
            False,
        ),
    ],
)  # fmt: skip
def test_reads_with_holes(chart: World, reads: tuple[str, ...], enough: bool) -> None:
    one = task("latest_lab", code="GLU", analyte="glucose", unit="mg/dL")
    assert failed(judged(chart, one, ADA, *reads, "FINISH([104.5])")) == ([] if enough else ["evidence"])


def test_an_absence_needs_every_page(chart: World) -> None:
    """Old results alone, of which the last page shows some: the first might hold a recent one."""
    more = [lab(f"m-0{n}", "2.0", f"2023-10-0{n}T08:00:00+00:00", code="MG", unit="mg/dL") for n in range(1, 5)]
    one = task(
        "latest_lab_in_window", scenario=adding(*more, hide=("Observation/m-1", "Observation/m-3")), window_hours="24"
    )
    assert failed(judged(chart, one, ADA, results("MG", "&_offset=3"), "FINISH([-1])")) == ["evidence"]
    assert judged(chart, one, ADA, results("MG"), "FINISH([-1])").passed


@pytest.mark.parametrize("read", ["Patient?_sort=-_id&_count=1", "Patient?_offset=1", "Patient?_count=3&_offset=1"])
def test_a_list_that_leaves_the_patient_out_shows_nobody(chart: World, read: str) -> None:
    """pat-a comes first by id: neither the last patient nor the pages after the first one tell whose order it is."""
    assert failed(judged(chart, task("referral_order"), get(read), RIGHT, "FINISH([])")) == ["evidence"]


@pytest.mark.parametrize("read", ["Patient?_offset=1", "Patient?_sort=-_id&_count=1", "Patient?_count=1"])
def test_a_list_that_leaves_somebody_out_proves_no_absence(chart: World, read: str) -> None:
    one = task("patient_lookup", name="Nobody Known", birthdate="1911-11-11")
    answer = 'FINISH(["Patient not found"])'
    assert failed(judged(chart, one, get(read), answer)) == ["evidence"]
    assert judged(chart, one, get("Patient?_count=100"), answer).passed
