"""What experts share: URLs, exact numbers, further pages, and a patient who really is the one named."""

from __future__ import annotations

from collections.abc import Callable, Generator
from decimal import Decimal
from typing import Any

import pytest

from fhirtasks.episodes.types import Get, Mode, Observation, Post, PublicTask
from fhirtasks.fhir.jsontext import dumps
from solvers import finding, patients, referrals, vitals

BASE = "http://localhost:8080/fhir/"


def task(mode: Mode = "clinical", now: str = "2024-02-29T23:30:00-05:00", **slots: str) -> PublicTask:
    return PublicTask("t", "f", "text", mode, now, "", "", slots, BASE)


def person(number: int, name: str, birthdate: str) -> dict[str, Any]:
    given, family = name.split(" ", 1)
    return {
        "resourceType": "Patient", "id": f"p{number}", "name": [{"given": [given], "family": family}],
        "birthDate": birthdate, "identifier": [{"type": {"coding": [{"code": "MR"}]}, "value": f"M{number}"}],
    }  # fmt: skip


def page(*resources: dict[str, Any], after: str | None = None) -> Observation:
    """A searchset as a server without ``total`` prints it, with no ``entry`` where there is none."""
    body: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": [{"relation": "self", "url": "x"}]}
    if after:
        body["link"].append({"relation": "next", "url": after})
    if resources:
        body["entry"] = [{"resource": resource} for resource in resources]
    return Observation(f"Here: {dumps(body)}. Go on", 200, dumps(body))


def drive(
    steps: Generator[Any, Observation, Any], answer: Callable[[Get | Post], Observation]
) -> tuple[Any, list[Get | Post]]:
    """Runs an expert against a function; its answer and the actions it took."""
    taken = []
    try:
        action = next(steps)
        while True:
            taken.append(action)
            action = steps.send(answer(action))
    except StopIteration as stop:
        return stop.value, taken


def pages(*observations: Observation) -> Callable[[Get | Post], Observation]:
    left = list(observations)
    return lambda action: left.pop(0)


def test_urls_are_percent_encoded() -> None:
    params = {"patient": "a/b", "code": "http://loinc.org|1-8", "date": "ge2020-01-01T00:00:00+02:00", "_sort": "-date"}
    assert finding.search_url(task(), "Observation", params) == (
        f"{BASE}Observation?patient=a%2Fb&code=http%3A%2F%2Floinc.org%7C1-8"
        "&date=ge2020-01-01T00%3A00%3A00%2B02%3A00&_sort=-date"
    )
    assert finding.search_url(task(), "Patient", {"name:exact": "Ås & Öl"}).endswith(
        "?name:exact=%C3%85s%20%26%20%C3%96l"
    )


def test_separators_are_escaped() -> None:
    assert finding.literal("a,b|c$d\\e") == "a\\,b\\|c\\$d\\\\e"


def test_numbers_keep_their_digits() -> None:
    observation = Observation("", 200, '{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"X","v":1.10}}]}')
    (resource,) = finding.resources(finding.bundle(observation), "X")
    assert resource["v"] == Decimal("1.10")
    assert dumps(resource["v"]) == "1.10"


@pytest.mark.parametrize(
    ("status", "body"), [(400, "{}"), (0, ""), (200, '{"resourceType":"Patient"}'), (200, "[]"), (200, "no json")]
)
def test_what_is_no_bundle_is_refused(status: int, body: str) -> None:
    with pytest.raises(ValueError, match=r"server|Bundle|Expecting"):
        finding.bundle(Observation("", status, body))


def test_every_page_is_read_in_order() -> None:
    first, second, third = (person(number, "A B", "2000-01-01") for number in range(3))
    outcome = {"resourceType": "OperationOutcome"}
    found, taken = drive(
        finding.search(task(), "Patient", {"name": "A"}),
        pages(page(first, outcome, after=f"{BASE}?p=2"), page(after=f"{BASE}?p=3"), page(second, third)),
    )
    assert [one["id"] for one in found] == ["p0", "p1", "p2"]
    assert [action.url for action in taken] == [f"{BASE}Patient?name=A", f"{BASE}?p=2", f"{BASE}?p=3"]


def test_by_number_only_the_patient_who_has_it_counts() -> None:
    right, other = person(7, "A B", "2000-01-01"), person(8, "A B", "2000-01-01")
    assert drive(finding.find_patient(task(mrn="M7")), pages(page(other, right)))[0] == "p7"
    assert drive(finding.find_patient(task(mrn="M7")), pages(page(other)))[0] is None
    assert drive(finding.find_patient(task(mrn="M7")), pages(page()))[0] is None
    assert drive(finding.find_patient(task(mrn="M7")), pages(page(right, right | {"id": "again"})))[0] is None


def test_by_name_every_letter_and_the_whole_date_count() -> None:
    named = task(name="Mary Ann de la Cruz", birthdate="1970-02-03")
    parted = {"name": [{"given": ["Mary", "Ann"], "family": "de la Cruz"}]}
    right = person(1, "Mary Ann de la Cruz", "1970-02-03") | parted
    wrong = [
        person(2, "Mary Ann de la Cruz", "1970-02-04"),
        person(3, "Mary Anne de la Cruz", "1970-02-03"),
        person(4, "Mary de la Cruz", "1970-02-03"),
        person(5, "mary Ann de la Cruz", "1970-02-03"),
        {"resourceType": "Patient", "id": "p6", "birthDate": "1970-02-03"},
    ]
    found, taken = drive(
        finding.find_patient(named), pages(page(*wrong[:2], after=f"{BASE}?2"), page(*wrong[2:], right))
    )
    assert found == "p1"
    assert taken[0] == Get(f"{BASE}Patient?name=Mary&birthdate=1970-02-03")
    maiden = [{"use": "maiden", "given": ["X"], "family": "Y"}, *right["name"]]
    assert drive(finding.find_patient(named), pages(page(right | {"name": maiden})))[0] == "p1"
    assert drive(finding.find_patient(named), pages(page(*wrong)))[0] is None


def test_compat_takes_the_number_as_the_id() -> None:
    assert drive(finding.find_patient(task("compat", mrn="S1")), pages()) == ("S1", [])


def test_lookup_answers_the_identifier_asked_for() -> None:
    body = person(1, "A B", "2000-01-01")
    body["identifier"] = [{"system": "urn:x", "value": "17"}, *body["identifier"]]
    for kind, value in (("MR", "M1"), ("urn:x", "17")):
        asked = task(name="A B", birthdate="2000-01-01", identifier=kind)
        assert drive(patients.patient_lookup(asked), pages(page(body)))[0] == [value]
    assert drive(patients.patient_lookup(asked), pages(page()))[0] == ["Patient not found"]
    assert drive(patients.patient_lookup(asked), pages(page(body, body | {"id": "q"})))[0] == ["Patient not found"]


@pytest.mark.parametrize(
    ("born", "years"), [("1964-02-29", 60), ("1964-03-01", 59), ("2024-02-28", 0), ("2023-02-28", 1)]
)
def test_age_goes_by_the_local_day(born: str, years: int) -> None:
    body = person(1, "A B", born)
    assert drive(patients.patient_age(task(mrn="M1")), pages(page(body)))[0] == [years]


def test_one_write_as_dictated() -> None:
    slots = {"value": "118/77 mmHg", "systolic": "118", "diastolic": "77", "code": "85354-9", "mrn": "M1"}
    more = {"code_system": "http://loinc.org", "systolic_code": "8480-6", "diastolic_code": "8462-4"}
    found, taken = drive(
        vitals.record_blood_pressure(task(**slots, **more)),
        pages(page(person(1, "A B", "2000-01-01")), Observation("", 201)),
    )
    assert found == []
    (post,) = [action for action in taken if isinstance(action, Post)]
    assert post.url == f"{BASE}Observation"
    assert [part["valueQuantity"]["value"] for part in post.body["component"]] == [118, 77]
    assert post.body["subject"] == {"reference": "Patient/p1"}
    assert post.body["effectiveDateTime"] == "2024-02-29T23:30:00-05:00"
    found, taken = drive(vitals.record_blood_pressure(task("compat", **slots)), pages(Observation("", 200)))
    assert taken[0].body["valueString"] == "118/77 mmHg"
    assert taken[0].body["code"] == {"text": "85354-9"}


def test_nobody_found_means_no_write() -> None:
    order = {"order_system": "s", "order_code": "c", "text": 'a "b" \\ ü\n', "priority": "stat", "mrn": "M1"}
    assert drive(vitals.record_blood_pressure(task(mrn="M1")), pages(page()))[0] == []
    assert drive(referrals.referral_order(task(**order)), pages(page()))[0] == []
    _, taken = drive(
        referrals.referral_order(task(**order)), pages(page(person(1, "A B", "2000-01-01")), Observation("", 201))
    )
    assert taken[1].body["note"] == [{"text": order["text"]}]
    _, taken = drive(referrals.referral_order(task("compat", **order)), pages(Observation("", 200)))
    assert taken[0].body["note"] == {"text": order["text"]}
