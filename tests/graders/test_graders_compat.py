"""The public grader's quirks, each with the verdict that the reference states. No server: the history is made by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from graders_doubles import BASE, LOINC, NOW, PARAMS, get, post, recorded, task

from fhirtasks.tasks.types import Verdict
from graders import compat

READ = get("Observation?patient=pat-a&code=MG&_count=5000")
DAY_AGO = "2023-11-12T10:15:00+00:00"
FAR = "2021-01-01T00:00:00+00:00"
SUBJECT = {"reference": "Patient/pat-a"}
R4_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"

PRESSURE: dict[str, Any] = {
    "resourceType": "Observation",
    "category": [{"coding": [
        {"system": "http://hl7.org/fhir/observation-category", "code": "vital-signs", "display": "Vital Signs"}]}],
    "code": {"text": "BP"}, "effectiveDateTime": NOW, "status": "final", "valueString": "118/77 mmHg", "subject": SUBJECT,
}  # fmt: skip
MAGNESIUM: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "medicationCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "0338-1715-40"}]},
    "authoredOn": NOW, "status": "active", "intent": "order", "subject": SUBJECT,
    "dosageInstruction": [{
        "route": "IV",
        "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "g"}, "rateQuantity": {"value": 1, "unit": "h"}}],
    }],
}  # fmt: skip
POTASSIUM: dict[str, Any] = {
    **MAGNESIUM,
    "medicationCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "40032-917-01"}]},
    "dosageInstruction": [{"route": "oral", "doseAndRate": [{"doseQuantity": {"value": 40, "unit": "mEq"}}]}],
}
REQUEST: dict[str, Any] = {
    "resourceType": "ServiceRequest", "authoredOn": NOW, "status": "active", "intent": "order", "priority": "stat",
    "subject": SUBJECT,
}  # fmt: skip
RECHECK = {
    **REQUEST,
    "code": {"coding": [{"system": LOINC, "code": "2823-3"}]},
    "occurrenceDateTime": "2023-11-14T08:00:00+00:00",
}
A1C = {**REQUEST, "code": {"coding": [{"system": LOINC, "code": "4548-4"}]}}
REFERRAL = {
    **REQUEST,
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "306181000000106"}]},
    "note": {"text": "Please read: " + PARAMS["referral_order"]["text"]},
}


def verdict(
    family: str, raws: list[str], *results: tuple[str, str], births: tuple[str, ...] = (), **params: str
) -> Verdict:
    """``results`` are (value, effectiveDateTime) in the order in which the server lists them."""
    one = task(family, "compat", **params)
    truth = compat.Truth(births, tuple((time, value) for value, time in results))
    return compat.grade(one, recorded(one, raws), truth)


def passes(family: str, raws: list[str], *results: tuple[str, str], **more: Any) -> bool:
    return verdict(family, raws, *results, **more).passed


# -- 2.1 windows, ties, equality


@pytest.mark.parametrize(
    ("results", "answer", "passed"),
    [
        ([("2.0", DAY_AGO)], "[2.0]", True),
        ([("2.0", DAY_AGO)], "[2]", True),
        ([("2.0", DAY_AGO)], "[2.00]", True),
        ([("2.0", DAY_AGO)], '["2.0"]', False),
        ([("2.0", DAY_AGO)], "[]", False),
        ([("2.0", DAY_AGO)], "[2.0, 1]", False),
        ([("2.0", DAY_AGO)], "2.0", False),
        ([("2.0", DAY_AGO)], "[[2.0]]", False),
        ([("1", DAY_AGO)], "[true]", True),
        ([("0", DAY_AGO)], "[false]", True),
        ([("0", DAY_AGO)], "[null]", False),
        ([("2.0", "2023-11-12T10:14:59+00:00")], "[-1]", True),
        ([("2.0", "2023-11-12T10:14:59+00:00")], "[2.0]", False),
        ([("2.0", "2023-11-12T05:15:00-05:00")], "[2.0]", True),
        ([("2.0", DAY_AGO), ("1.1", "2025-01-01T00:00:00+00:00")], "[1.1]", True),
        ([("2.0", DAY_AGO), ("1.1", DAY_AGO)], "[2.0]", True),
        ([("2.0", DAY_AGO), ("1.1", DAY_AGO)], "[1.1]", False),
        ([("2.0", "2023-11-13T10:00:00+00:00"), ("1.1", "2023-11-13T05:00:00-05:00")], "[2.0]", True),
        ([], "[-1]", True),
        ([], "[-1.0]", True),
        ([], "[]", False),
        ([], "[0]", False),
        ([], "[-1", False),
        ([], "", False),
        ([], "NaN", False),
    ],
)
def test_latest_in_window(results: list[tuple[str, str]], answer: str, passed: bool) -> None:
    assert passes("latest_lab_in_window", [READ, f"FINISH({answer})"], *results) is passed


def test_latest_ever_has_no_window_and_the_first_listed_wins_a_tie() -> None:
    results = [("90", FAR), ("95", DAY_AGO), ("99", DAY_AGO)]
    assert passes("latest_lab", [READ, "FINISH([95])"], *results)
    assert not passes("latest_lab", [READ, "FINISH([99])"], *results)
    assert passes("latest_lab", [READ, "FINISH([-1])"])


def test_the_grader_lists_only_its_first_page_of_5000() -> None:
    assert compat.LISTED == 5000


@pytest.mark.parametrize("missing", [("1.5", None), (None, DAY_AGO), (None, FAR)])
@pytest.mark.parametrize(
    "family", ["latest_lab_in_window", "latest_lab", "mean_lab_in_window", "magnesium_replacement", "a1c_reorder"]
)
def test_a_listed_result_without_time_or_number_makes_the_grader_raise(family: str, missing: Any) -> None:
    assert not passes(family, [READ, "FINISH([-1])"], missing)
    assert not passes(family, [READ, "FINISH([2.0])"], ("2.0", DAY_AGO), missing)


def test_times_with_and_without_offset_cannot_be_compared() -> None:
    assert not passes("latest_lab_in_window", [READ, "FINISH([2])"], ("2", "2023-11-13"))


@pytest.mark.parametrize(
    ("answer", "passed"),
    [("[101.67]", True), ("[101.7]", True), ("[101.6]", True), ("[101.5]", False), ("[101.8]", False), ("[102]", False),
     ('["101.7"]', False), ("[101.7, 1]", False), ("[]", False), ("[-1]", False), ("[null]", False), ('{"a":1}', False),
     ("101.7", False)],
)  # fmt: skip
def test_mean(answer: str, passed: bool) -> None:
    results = [("100", DAY_AGO), ("101", NOW), ("104", "2023-11-20T00:00:00+00:00"), ("900", FAR)]
    assert passes("mean_lab_in_window", [READ, f"FINISH({answer})"], *results) is passed


def test_mean_tolerance_is_strict_and_absence_has_it_too() -> None:
    assert passes("mean_lab_in_window", [READ, "FINISH([-1])"])
    assert passes("mean_lab_in_window", [READ, "FINISH([-1.05])"])
    assert not passes("mean_lab_in_window", [READ, "FINISH([-0.5])"])
    assert not passes("mean_lab_in_window", [READ, "FINISH([4.25])"], ("4", NOW), tolerance="0.25")
    assert passes("mean_lab_in_window", [READ, "FINISH([4.24])"], ("4", NOW), tolerance="0.25")


@pytest.mark.parametrize(
    ("born", "answer", "passed"),
    [("1960-11-13", "[63]", True), ("1960-11-14", "[62]", True), ("1960-11-14", "[63]", False), ("1960-11-13", "[63.0]", True),
     ("1960-11-13", '["63"]', False), ("2023-01-01", "[0]", True), ("2023-01-01", "[false]", True), ("1960", "[63]", False)],
)  # fmt: skip
def test_age(born: str, answer: str, passed: bool) -> None:
    assert passes("patient_age", [READ, f"FINISH({answer})"], births=(born, "1900-01-01")) is passed


def test_age_of_nobody_raises() -> None:
    assert not passes("patient_age", [READ, "FINISH([-1])"])


@pytest.mark.parametrize(
    ("sol", "answer", "passed"),
    [('["S6534835"]', '["S6534835"]', True), ('["S6534835"]', '"S6534835"', False), ('["S6534835"]', '["s6534835"]', False),
     ('["Patient not found"]', '["Patient not found"]', True), ('["Patient not found"]', '["patient not found"]', False),
     ('["Patient not found"]', "[]", False)],
)  # fmt: skip
def test_lookup(sol: str, answer: str, passed: bool) -> None:
    assert passes("patient_lookup", [READ, f"FINISH({answer})"], sol=sol) is passed


# -- 1.4 what the grader sees


READ_ONLY = [
    ("patient_lookup", '["S6534835"]', ()),
    ("patient_age", "[63]", ()),
    ("latest_lab_in_window", "[2.0]", (("2.0", NOW),)),
    ("mean_lab_in_window", "[2.0]", (("2.0", NOW),)),
    ("latest_lab", "[2.0]", (("2.0", NOW),)),
    ("magnesium_replacement", "[2.0]", (("2.0", NOW),)),
    ("potassium_replacement", "[4.0]", (("4.0", NOW),)),
    ("a1c_reorder", f'[6.1,"{NOW}"]', (("6.1", NOW),)),
]


@pytest.mark.parametrize(("family", "answer", "results"), READ_ONLY)
def test_the_word_post_anywhere_fails_where_nothing_may_be_created(family: str, answer: str, results: Any) -> None:
    births = ("1960-11-13",)
    finish = f"FINISH({answer})"
    assert passes(family, [READ, finish], *results, births=births)
    assert not passes(family, [READ, post("Observation", PRESSURE), finish], *results, births=births)
    assert not passes(family, [READ, "POST nonsense", finish], *results, births=births)
    assert not passes(family, [READ + "&note=POST", finish], *results, births=births)
    bad = verdict(family, [READ, post("Observation", PRESSURE), finish], *results, births=births)
    assert [check.name for check in bad.checks if not check.passed] == ["writes_count"]


def test_a_finish_that_says_post_fails_everywhere() -> None:
    order = post("Observation", PRESSURE)
    assert not passes("record_blood_pressure", [order, 'FINISH(["POST sent"])'])
    assert not passes("referral_order", [post("ServiceRequest", REFERRAL), "FINISH(POST)"])
    assert not passes("magnesium_replacement", [READ, 'FINISH(["POST"])'])
    assert not passes(
        "magnesium_replacement", [READ, post("MedicationRequest", MAGNESIUM), 'FINISH(["POST"])'], ("1.6", NOW)
    )


@pytest.mark.parametrize(
    ("raw", "passed"),
    [
        (post("Observation", PRESSURE), True),
        (f"POST {BASE}Observation\n{json.dumps(PRESSURE, indent=2)}", True),
        (post("Observation", PRESSURE) + " \n\n", True),
        (f"POST   {BASE}Observation  \n{json.dumps(PRESSURE)}", True),
        ("```\n" + post("Observation", PRESSURE) + "\n```", False),
        ("```tool_code\n" + post("Observation", PRESSURE) + "\n```", False),
        (f"POST {BASE}Observation\n```\n{json.dumps(PRESSURE)}\n```", False),
        ("\n" + post("Observation", PRESSURE), False),
        (" " + post("Observation", PRESSURE), False),
        (f"POST {BASE}Observation {json.dumps(PRESSURE)}", False),
        (f"POST {BASE}Observation\n{json.dumps(PRESSURE)}\nDone.", False),
        (f"POST {BASE}/Observation\n{json.dumps(PRESSURE)}", False),
        (f"POST {BASE}Observation/\n{json.dumps(PRESSURE)}", False),
        (f"POST {BASE}Observation?a=b\n{json.dumps(PRESSURE)}", False),
        (f"POST http://127.0.0.1:8080/fhir/Observation\n{json.dumps(PRESSURE)}", False),
        (f"POST {BASE}Observation\n[{json.dumps(PRESSURE)}]", False),
        (f"POST {BASE}Observation\n7", False),
    ],
)
def test_what_is_lost_or_kept_of_a_post(raw: str, passed: bool) -> None:
    assert passes("record_blood_pressure", [raw, "FINISH([])"]) is passed


def test_counts_of_posts() -> None:
    order = post("Observation", PRESSURE)
    assert not passes("record_blood_pressure", ["FINISH([])"])
    assert not passes("record_blood_pressure", [order, order, "FINISH([])"])
    assert passes("record_blood_pressure", [f"POST {BASE}Observation\n{{not json", order, "FINISH([])"])
    one = task("record_blood_pressure", "compat")
    assert not compat.grade(
        one, recorded(one, [order, "FINISH([])"], accepted="Invalid POST request"), compat.Truth()
    ).passed


def test_only_completed_episodes_are_graded() -> None:
    order = post("Observation", PRESSURE)
    assert not passes("record_blood_pressure", [order])
    assert not passes("record_blood_pressure", [order, "Done."])
    assert not passes("magnesium_replacement", ["I will FINISH([])"])


@pytest.mark.parametrize("answer", ["[]", "", "not json", "[1", "whatever"])
def test_dictated_writes_do_not_mind_the_answer(answer: str) -> None:
    assert passes("record_blood_pressure", [post("Observation", PRESSURE), f"FINISH({answer})"])
    assert passes("referral_order", [post("ServiceRequest", REFERRAL), f"FINISH({answer})"])


# -- 2.2 fields


def edited(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the element at ``a.0.b`` set, or dropped where the value is ``...``."""
    copied = copy.deepcopy(body)
    place: Any = copied
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copied


FIELDS: list[tuple[str, dict[str, Any], str, Any, str | None]] = [
    ("record_blood_pressure", PRESSURE, "resourceType", "Condition", "write_type"),
    ("record_blood_pressure", PRESSURE, "category.0.coding.0.system", R4_CATEGORY, "write_category"),
    ("record_blood_pressure", PRESSURE, "category.0.coding.0.display", ..., "write_category"),
    ("record_blood_pressure", PRESSURE, "category.0.text", "Vital Signs", None),
    ("record_blood_pressure", PRESSURE, "category", [PRESSURE["category"][0]] * 2, "write_category"),
    ("record_blood_pressure", PRESSURE, "code", {"text": "BP", "coding": []}, "write_code"),
    ("record_blood_pressure", PRESSURE, "effectiveDateTime", "2023-11-13T10:15:00Z", "write_time"),
    ("record_blood_pressure", PRESSURE, "status", "preliminary", "write_status"),
    ("record_blood_pressure", PRESSURE, "valueString", "118/77mmHg", "write_value"),
    ("record_blood_pressure", PRESSURE, "valueString", ..., "write_value"),
    ("record_blood_pressure", PRESSURE, "subject", {**SUBJECT, "display": "Ada"}, "write_subject"),
    ("record_blood_pressure", PRESSURE, "subject", {"reference": f"{BASE}Patient/pat-a"}, "write_subject"),
    ("record_blood_pressure", PRESSURE, "extra", {"ignored": True}, None),
    ("referral_order", REFERRAL, "note", [REFERRAL["note"]], "write_text"),
    ("referral_order", REFERRAL, "note.text", REFERRAL["note"]["text"].replace(",", ";"), "write_text"),
    ("referral_order", REFERRAL, "note.text", REFERRAL["note"]["text"] + " Thank you.", None),
    ("referral_order", REFERRAL, "priority", "routine", "write_priority"),
    ("referral_order", REFERRAL, "priority", ..., "write_priority"),
    ("referral_order", REFERRAL, "intent", "plan", "write_status"),
    ("referral_order", REFERRAL, "status", "draft", "write_status"),
    ("referral_order", REFERRAL, "authoredOn", "2023-11-13T10:15:00Z", "write_time"),
    ("referral_order", REFERRAL, "code.coding.0.system", "http://snomed.info/sct/", "write_code"),
    ("referral_order", REFERRAL, "code.coding", [{"code": "x"}, *REFERRAL["code"]["coding"]], "write_code"),
    ("referral_order", REFERRAL, "code.coding", [*REFERRAL["code"]["coding"], {"code": "x"}], None),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.route", {"text": "IV"}, "write_route"),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.route", "iv", "write_route"),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.doseAndRate.0.doseQuantity.value", 1.0, None),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.doseAndRate.0.doseQuantity.value", True, None),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.doseAndRate.0.doseQuantity.value", 2, "write_dose"),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.doseAndRate.0.doseQuantity.code", "g", "write_dose"),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.doseAndRate.0.doseQuantity.unit", "mg", "write_unit"),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.doseAndRate.0.doseQuantity.unit", ..., "write_unit"),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.doseAndRate.0.rateQuantity.value", 2, "write_rate"),
    ("magnesium_replacement", MAGNESIUM, "dosageInstruction.0.doseAndRate.0.rateQuantity", ..., "write_rate"),
    ("magnesium_replacement", MAGNESIUM, "authoredOn", "2023-11-13T10:15:00Z", None),
    ("magnesium_replacement", MAGNESIUM, "authoredOn", "2023-11-13T10:15", None),
    ("magnesium_replacement", MAGNESIUM, "authoredOn", "2023-11-13", "write_time"),
    ("a1c_reorder", A1C, "priority", "urgent", "write_priority"),
    ("a1c_reorder", A1C, "code.coding.0.code", "A1C", "write_code"),
    ("a1c_reorder", A1C, "occurrenceDateTime", NOW, None),
]  # fmt: skip


@pytest.mark.parametrize(("family", "body", "path", "value", "check"), FIELDS)
def test_each_field_has_its_check(family: str, body: dict[str, Any], path: str, value: Any, check: str | None) -> None:
    results = {"magnesium_replacement": [("1.6", NOW)]}.get(family, [])
    changed = edited(body, path, value)
    found = verdict(family, [post(body["resourceType"], changed), "FINISH([])"], *results)
    assert [one.name for one in found.checks if not one.passed] == ([check] if check else [])


# -- conditional rules


@pytest.mark.parametrize(
    ("value", "dose"),
    [
        ("0.99", 4),
        ("1", 2),
        ("1.0", 2),
        ("1.49", 2),
        ("1.5", 1),
        ("1.9", 1),
        ("1.91", None),
        ("1.95", None),
        ("2", None),
    ],
)
def test_magnesium_tiers(value: str, dose: int | None) -> None:
    for tried in (1, 2, 4):
        body = edited(MAGNESIUM, "dosageInstruction.0.doseAndRate.0", {
            "doseQuantity": {"value": tried, "unit": "g"}, "rateQuantity": {"value": tried, "unit": "h"}})  # fmt: skip
        order = post("MedicationRequest", body)
        assert passes("magnesium_replacement", [READ, order, f"FINISH([{value}])"], (value, NOW)) is (tried == dose)
    for answer in (f"[{value}]", "[]"):
        assert passes("magnesium_replacement", [READ, f"FINISH({answer})"], (value, NOW)) is (dose is None)


@pytest.mark.parametrize("answer", ["[]", "[-1]", "[4.2]", "", "no magnesium", '{"a":1}'])
def test_no_magnesium_takes_any_answer(answer: str) -> None:
    assert passes("magnesium_replacement", [f"FINISH({answer})"])
    assert passes("magnesium_replacement", [f"FINISH({answer})"], ("1.2", FAR))


@pytest.mark.parametrize("answer", ["[1.6]", "[]"])
def test_an_order_may_come_with_the_value_or_nothing(answer: str) -> None:
    order = post("MedicationRequest", MAGNESIUM)
    assert passes("magnesium_replacement", [READ, order, f"FINISH({answer})"], ("1.6", NOW))
    assert not passes("magnesium_replacement", [READ, order, "FINISH([1.6, 1])"], ("1.6", NOW))
    assert not passes("magnesium_replacement", [READ, order, "FINISH([-1])"], ("1.6", NOW))


@pytest.mark.parametrize(
    ("value", "dose", "passed"),
    [("3.1", 40, True), ("3.1", 40.1, False), ("3.1", 40.05, True), ("3.1", 39.95, True), ("3.1", 39.8, False),
     ("3.45", 5, True), ("3.45", 10, False), ("3.4", "10", False)],
)  # fmt: skip
def test_potassium_dose(value: str, dose: Any, passed: bool) -> None:
    order = edited(POTASSIUM, "dosageInstruction.0.doseAndRate.0.doseQuantity.value", dose)
    raws = [READ, post("MedicationRequest", order), post("ServiceRequest", RECHECK), f"FINISH([{value}])"]
    assert passes("potassium_replacement", raws, (value, FAR)) is passed


@pytest.mark.parametrize(
    ("path", "value", "passed"),
    [("route", " ORAL ", True), ("route", "PO", False), ("route", {"text": "oral"}, False),
     ("doseAndRate.0.doseQuantity.unit", "meq", False), ("doseAndRate.0.doseQuantity.code", "meq", True)],
)  # fmt: skip
def test_potassium_fields(path: str, value: Any, passed: bool) -> None:
    order = edited(POTASSIUM, f"dosageInstruction.0.{path}", value)
    raws = [READ, post("MedicationRequest", order), post("ServiceRequest", RECHECK), "FINISH([3.1])"]
    assert passes("potassium_replacement", raws, ("3.1", FAR)) is passed


def test_potassium_orders_and_their_order() -> None:
    first, second = post("MedicationRequest", POTASSIUM), post("ServiceRequest", RECHECK)
    low = ("3.1", FAR)
    assert passes("potassium_replacement", [READ, first, second, "FINISH([])"], low)
    swapped = verdict("potassium_replacement", [READ, second, first, "FINISH([])"], low)
    assert not swapped.passed and not next(one for one in swapped.checks if one.name == "write_order").passed
    assert not passes("potassium_replacement", [READ, first, "FINISH([])"], low)
    assert not passes("potassium_replacement", [READ, first, second, second, "FINISH([])"], low)
    later = post("ServiceRequest", {**RECHECK, "occurrenceDateTime": "2023-11-14T09:00:00+00:00"})
    assert not passes("potassium_replacement", [READ, first, later, "FINISH([])"], low)
    half_past = post("ServiceRequest", {**RECHECK, "occurrenceDateTime": "2023-11-14T08:30:00Z"})
    assert passes("potassium_replacement", [READ, first, half_past, "FINISH([])"], low)
    assert passes("potassium_replacement", [READ, "FINISH([3.5])"], ("3.5", FAR))
    assert passes("potassium_replacement", ["FINISH([-1])"])
    assert passes("potassium_replacement", ["FINISH([])"])
    assert not passes("potassium_replacement", [READ, 'FINISH([3.5, "no order"])'], ("3.5", FAR))


@pytest.mark.parametrize(
    ("results", "answer", "ordered", "passed"),
    [
        ([], "[-1]", True, True),
        ([], "[]", True, True),
        ([], "[-1]", False, False),
        ([], "[]", False, False),
        ([("6.5", "2022-11-13T10:15:00+00:00")], '[6.5,"2022-11-13T10:15:00+00:00"]', False, True),
        ([("6.5", "2022-11-13T10:15:00+00:00")], '[6.5,"2022-11-13T10:15:00+00:00"]', True, False),
        ([("6.5", "2022-11-13T10:14:59+00:00")], '[6.5,"2022-11-13T10:14:59+00:00"]', True, True),
        ([("6.5", "2022-11-13T10:14:59+00:00")], '[6.5,"2022-11-13T10:14:59+00:00"]', False, False),
        ([("6.5", "2022-11-13T10:14:59+00:00")], "[6.5]", True, False),
        ([("6.5", "2022-11-13T10:14:59+00:00")], '[6.5,"2022-11-13"]', True, False),
        ([("6.5", "2022-11-13T10:14:59+00:00")], '[6.5,"2022-11-13T10:14:59Z"]', True, False),
        ([("6.5", "2022-11-13T10:14:59+00:00")], "[]", True, True),
        ([("6.5", NOW), ("7", FAR)], "[]", False, True),
    ],
)
def test_a1c(results: list[tuple[str, str]], answer: str, ordered: bool, passed: bool) -> None:
    orders = [post("ServiceRequest", A1C)] if ordered else []
    assert passes("a1c_reorder", [READ, *orders, f"FINISH({answer})"], *results) is passed


# -- 2.3 policies that never look


POLICIES: dict[str, Callable[[str], list[str]]] = {
    "empty list": lambda family: ["FINISH([])"],
    "empty": lambda family: ["FINISH()"],
    "minus one": lambda family: ["FINISH([-1])"],
}
BRANCHES: list[tuple[str, list[tuple[str, str]], set[str]]] = [
    ("latest_lab_in_window", [("2", NOW)], set()),
    ("latest_lab_in_window", [], {"minus one"}),
    ("mean_lab_in_window", [("2", NOW)], set()),
    ("mean_lab_in_window", [], {"minus one"}),
    ("latest_lab", [("2", NOW)], set()),
    ("magnesium_replacement", [], {"empty list", "empty", "minus one"}),
    ("magnesium_replacement", [("2", NOW)], {"empty list"}),
    ("magnesium_replacement", [("1.8", NOW)], set()),
    ("potassium_replacement", [("4", NOW)], {"empty list"}),
    ("potassium_replacement", [("3.1", NOW)], set()),
    ("potassium_replacement", [], {"empty list", "minus one"}),
    ("a1c_reorder", [("6", NOW)], {"empty list"}),
    ("a1c_reorder", [("6", FAR)], set()),
    ("a1c_reorder", [], set()),
    ("record_blood_pressure", [], set()),
    ("referral_order", [], set()),
    ("patient_lookup", [], set()),
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("family", "results", "passed"), BRANCHES)
def test_degenerate_policies_score_as_the_reference_says(
    policy: str, family: str, results: Any, passed: set[str]
) -> None:
    assert passes(family, POLICIES[policy](family), *results) is (policy in passed)
