"""What other models do that is right, and what looks right and is not: searches by POST, chained searches, recovered
errors, orders in other shapes, doses that come again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from graders_doubles import BASE, NOW, get, post, task
from test_graders_attacks import MEDICATION, dosed, given
from test_graders_clinical import ADA, REFERRAL, adding, failed, judged, results

from fhirtasks.fhir.jsontext import dumps
from fhirtasks.graph.world import World


def search(query: str, body: str = "{}") -> str:
    return f"POST {BASE}{query}\n{body}"


@pytest.mark.parametrize(
    ("reads", "enough"),
    [
        (
            (search("Patient/_search?identifier=M100"), search("Observation/_search?patient=pat-a&code=K&_count=50")),
            True,
        ),
        ((ADA, search("Observation/_search?patient=pat-a&code=K&_count=24")), False),
        ((search("Patient/_search?identifier=M100"),), False),
        # A form, as FHIR has it, is no JSON; the answer says so, and nothing was to be created.
        ((search("Patient/_search", "identifier=M100"), ADA, results("K", "&_count=50")), True),
        ((search("Patient/_search?colour=red"), ADA, results("K", "&_count=50")), True),
        # JSON is no form either: it is refused, and not answered with everybody.
        ((search("Patient/_search", '{"identifier": "M100"}'), results("K", "&_count=50")), False),
    ],
)
def test_a_search_by_post_reads_and_writes_nothing(chart: World, reads: tuple[str, ...], enough: bool) -> None:
    verdict = judged(chart, task("latest_lab"), *reads, "FINISH([3.1])")
    assert failed(verdict) == ([] if enough else ["evidence"])


@pytest.mark.parametrize(
    ("reads", "enough"),
    [
        ((get("Observation?patient.identifier=M400&code=K"),), True),
        ((get("Observation?subject:Patient.identifier=M400&code=K&_summary=count"),), True),
        # Whose record that is was read nowhere.
        ((get("Observation?patient=pat-d&code=K"),), False),
        ((get("Observation?patient=pat-d&code=K"), get("Observation?patient.identifier=M500&code=K")), False),
    ],
)
def test_an_absence_shown_by_a_chained_search(chart: World, reads: tuple[str, ...], enough: bool) -> None:
    verdict = judged(chart, task("latest_lab", mrn="M400"), *reads, "FINISH([-1])")
    assert failed(verdict) == ([] if enough else ["evidence"])


def test_an_order_for_whom_a_chained_search_did_not_show_is_a_guess(chart: World) -> None:
    one = task("a1c_reorder", mrn="M400")
    order = {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "authoredOn": NOW,
        "subject": {"reference": "Patient/pat-d"}, "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
    }  # fmt: skip
    read = get("Observation?patient.identifier=M400&code=A1C")
    assert failed(judged(chart, one, read, post("ServiceRequest", order), "FINISH([-1])")) == ["evidence"]
    found = get("Patient?identifier=M400")
    assert judged(chart, one, found, read, post("ServiceRequest", order), "FINISH([-1])").passed
    # Refused at one form of the URL, accepted at another: the same order.
    wrong = post("ServiceRequest", {**order, "status": "perhaps"})
    for url in ("ServiceRequest/", "ServiceRequest?_format=json"):
        assert judged(chart, one, found, read, wrong, post(url, order), "FINISH([-1])").passed


def test_a_given_name_with_a_blank(chart: World) -> None:
    """Who searches the names as the record divides them would have found a namesake."""
    body = {
        "resourceType": "Patient", "id": "pat-f", "birthDate": "1951-05-05",
        "identifier": [{"type": {"coding": [{"code": "MR"}]}, "value": "M600"}],
        "name": [{"given": ["Mary Ann"], "family": "Van Dyke"}],
    }  # fmt: skip
    one = task("patient_lookup", name="Mary Ann Van Dyke", birthdate="1951-05-05", scenario=adding(dumps(body)))
    read = get("Patient?given=Mary%20Ann&family=Van%20Dyke&birthdate=1951-05-05")
    assert judged(chart, one, read, 'FINISH(["M600"])').passed
    assert failed(judged(chart, one, get("Patient/pat-f"), 'FINISH(["M600"])')) == ["evidence"]


def contained(**changes: Any) -> Callable[[Any], object]:
    def change(body: Any) -> None:
        inside = {"resourceType": "Medication", "id": "m", "code": body.pop("medicationCodeableConcept")} | changes
        body.update(contained=[inside], medicationReference={"reference": "#m"})

    return change


SCHEDULE = {"system": "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation", "code": "BID"}


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (contained(), None),
        (contained(code={"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "40032-917-01"}]}), "write_code"),
        (dosed(timing={"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}), "write_dose"),
        (dosed(timing={"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "count": 1}}), None),
        (dosed(timing={"repeat": {"period": 8, "periodUnit": "h"}}), "write_dose"),
        (
            dosed(timing={"repeat": {
                "boundsDuration": {"value": 2, "unit": "h"}, "frequency": 1, "period": 2, "periodUnit": "h"}}),
            None,
        ),
        (
            dosed(timing={"repeat": {
                "boundsDuration": {"value": 2, "unit": "d"}, "frequency": 1, "period": 2, "periodUnit": "h"}}),
            "write_dose",
        ),
        (dosed(timing={"repeat": {"dayOfWeek": ["mon"]}}), "write_dose"),
        (dosed(timing={"repeat": {"timeOfDay": ["08:00:00", "20:00:00"]}}), "write_dose"),
        (dosed(timing={"event": [NOW]}), None),
        (dosed(timing={"event": [NOW, "2023-11-14T10:15:00+00:00"]}), "write_dose"),
        (dosed(timing={"code": {"coding": [SCHEDULE]}}), "write_dose"),
        (given("doseQuantity", system="http://unitsofmeasure.org", code="g"), None),
        (given("doseQuantity", system="http://example.org/units", code="g"), "write_unit"),
        (lambda body: body.update(dispenseRequest={"numberOfRepeatsAllowed": 0}), None),
        (lambda body: body.update(dispenseRequest={"numberOfRepeatsAllowed": 2}), "write_dose"),
    ],
)  # fmt: skip
def test_an_order_in_another_shape(chart: World, change: Callable[[Any], object], check: str | None) -> None:
    body = copy.deepcopy(MEDICATION)
    change(body)
    verdict = judged(
        chart, task("magnesium_replacement"), ADA, results("MG"), post("MedicationRequest", body), "FINISH([1.9])"
    )
    assert failed(verdict) == ([check] if check else [])


@pytest.mark.parametrize(
    ("more", "checks"),
    [
        ({"occurrenceTiming": {"repeat": {"boundsPeriod": {"start": NOW}}}}, []),
        ({"occurrenceTiming": {"event": [NOW]}, "quantityQuantity": {"value": 1}}, []),
        ({"occurrenceTiming": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "wk"}}}, ["write_time"]),
        ({"quantityQuantity": {"value": 3}}, ["write_time"]),
    ],
)
def test_one_referral_is_not_several(chart: World, more: dict[str, Any], checks: list[str]) -> None:
    order = post("ServiceRequest", {**REFERRAL, **more})
    assert failed(judged(chart, task("referral_order"), ADA, order, "FINISH([])")) == checks
