"""Texts, tuples and resources: found whole or in part, and not where only the template is the same."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.leakage.ngrams import common_phrases, gram_length, own_phrases
from fhirtasks.leakage.policy import Policy

NOTE = (
    "A 61-year-old shepherd came in after two weeks of drenching night sweats and a swollen left knee. He had helped with "
    "lambing in March and drinks unpasteurised milk. Temperature was 38.9 C; the spleen could be felt two fingers below the "
    "ribs. Blood cultures grew slow Gram-negative coccobacilli on day six, and he was sent home on doxycycline with rifampicin."
)
QUESTION = "Which vaccine did the ferryman's youngest daughter refuse?"


def held(*items: HeldOut) -> Matcher:
    return Matcher(Holdouts.of(items))


def kinds(matcher: Matcher, *texts: str) -> set[str]:
    return {match.matcher for match in matcher.find(texts)}


@pytest.fixture(scope="module")
def notes() -> Matcher:
    return held(HeldOut("n", "1", texts=(NOTE,)), HeldOut("n", "2", texts=(QUESTION,)))


def test_a_text_is_exact_or_normalised(notes: Matcher) -> None:
    assert kinds(notes, f"Read this: {NOTE} Then answer.") >= {"exact"}
    assert kinds(notes, NOTE.replace(" ", "  \n")) >= {"exact"}
    assert kinds(notes, NOTE.upper()) >= {"normalised"}
    assert kinds(notes, "".join(NOTE.split())) >= {"normalised"}
    assert kinds(notes, json.dumps({"a": json.dumps({"b": QUESTION})})) == {"exact"}
    (match,) = notes.find(["x", f"so: {QUESTION} ok"])
    assert (match.text, f"so: {QUESTION} ok"[match.start : match.end]) == (1, QUESTION.rstrip("?"))


def test_a_part_or_a_light_paraphrase_is_found(notes: Matcher) -> None:
    words = NOTE.split()
    assert "ngram" in kinds(notes, " ".join(words[: len(words) * 3 // 5]))
    assert "ngram" in kinds(notes, f"unrelated {' '.join(words[:30])} something else {' '.join(words[30:])}")
    rng = random.Random(4)
    for _ in range(20):
        changed = [word if rng.random() > 0.06 else "other" for word in words]
        assert kinds(notes, " ".join(changed)) & {"ngram", "near_duplicate"}
    assert "near_duplicate" in kinds(notes, " ".join(word for n, word in enumerate(words) if n % 20))


def test_a_part_too_small_or_another_text_is_not(notes: Matcher) -> None:
    assert kinds(notes, " ".join(NOTE.split()[:14])) == set()
    assert kinds(notes, "Which vaccine did the patient refuse?") == set()
    shuffled = NOTE.split()
    random.Random(1).shuffle(shuffled)
    assert kinds(notes, " ".join(shuffled)) == set()


def test_a_template_of_several_held_out_texts_tells_nothing() -> None:
    template = "Compare the creatinine of patient {} with the value before the last admission and say whether it rose by a third."
    matcher = held(
        *(
            HeldOut("t", str(n), texts=(template.format(f"K{n}77{n}1234"),), identifiers=(f"K{n}77{n}1234",))
            for n in range(1, 6)
        )
    )
    assert kinds(matcher, template.format("K17711234")) == {"identifier", "exact"}
    for n in range(500):
        assert kinds(matcher, template.format(f"K{n:04d}999")) == set()


def test_a_template_is_told_by_the_texts_alone() -> None:
    template = (
        "Compare the creatinine of bed {} with the value before the last admission and say whether it rose by half."
    )
    matcher = held(*(HeldOut("t", str(n), texts=(template.format(f"eleven-{n}"),)) for n in range(1, 6)))
    assert kinds(matcher, template.format("eleven-3")) == {"exact"}
    for n in range(20, 200):
        assert kinds(matcher, template.format(f"twenty-{n}")) == set()
    assert kinds(held(HeldOut("t", "1", texts=(template.format("eleven-1"),))), template.format("twenty-20")) != set()


def test_one_question_that_names_its_patient_is_a_template_too() -> None:
    text = "Did patient K1771234 ever receive the second dose of the shingles vaccine in our clinic?"
    matcher = held(HeldOut("t", "1", texts=(text,), identifiers=("K1771234",)))
    assert kinds(matcher, text.replace("K1771234", "K1771235")) == set()
    assert kinds(matcher, text) == {"identifier", "exact"}


def test_what_the_searched_data_repeats_is_a_template() -> None:
    text = "Summarise the discharge letter in three sentences for a reader without medical training and list open questions."
    holdouts = Holdouts.of([HeldOut("t", "1", texts=(text + " Mention the eel farm.",))])
    near = text + " Mention the diet."
    assert Matcher(holdouts).find(near) != []
    rows = [[f"row {n}: {text} Mention the {n}."] for n in range(20)]
    templates = common_phrases(rows, [text])
    assert templates and Matcher(holdouts, templates=templates).find(near) == []
    assert common_phrases(rows[:3], [text]) == frozenset()
    assert common_phrases([rows[0]] * 20, [text]) == frozenset()


def test_our_own_wordings_are_templates() -> None:
    assert len(own_phrases()) > 2_000
    assert b"born on" not in own_phrases() and any(b"registry" in phrase for phrase in own_phrases())


def test_runs_grow_with_the_text() -> None:
    lengths = [gram_length(words) for words in range(1, 400)]
    assert lengths == sorted(lengths) and set(lengths) == {3, 4, 6}


CASE = HeldOut(
    "m", "1", parameters=("age: 62 years", "creatinine: 1.37 mg/dL", "weight: 85.5 kg", "sex: Male"), answer="71.39"
)


def other_cases() -> list[HeldOut]:
    return [
        HeldOut(
            "m",
            str(n),
            parameters=(f"age: {20 + n} years", f"creatinine: {n / 10}1 mg/dL", "sex: Male"),
            answer=f"{n}.5",
        )
        for n in range(2, 40)
    ]


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["A man, sex male, age 62 years, weighs 85.5 kg; creatinine: 1.37 mg/dL.", "FINISH([71.39])"], True),
        (["SEX: MALE; WEIGHT: 85.50 KG; AGE: 62 YEARS; CREATININE: 1.37 MG/DL", "71.390"], True),
        (['{"slots":{"a":"62","b":"1.37","c":"85.5 kg","d":"male"},"gold":"[71.39]"}'], True),
        (['{"slots":{"a":"62","b":"1.37","c":"85.5 kg","d":"male"},"gold":"[71.4]"}'], False),
        (['{"slots":{"a":"63","b":"1.37","c":"85.5 kg","d":"male"},"gold":"[71.39]"}'], False),
        (["age 62 years, creatinine 1.37 mg/dL, weight 85.5 kg, male", "71.4"], False),
        (["age 62 years, creatinine 1.37 mg/dL, weight 85.6 kg, male", "71.39"], False),
        (["creatinine: 1.37 mg/dL. " + "word " * 200 + "age 62, weight 85.5, male", "71.39"], False),
    ],
)
def test_a_case_is_its_values_and_its_answer(texts: list[str], found: bool) -> None:
    matcher = held(CASE, *other_cases())
    assert (kinds(matcher, "noise 4.5", *texts) == {"parameters"}) is found


def test_parameters_can_be_given_apart() -> None:
    matcher = held(CASE)
    assert matcher.find(["x"], parameters=["62", "1.37", "85.5", "male", "71.39"])[0].matcher == "parameters"
    assert matcher.find(["x"], parameters=["62", "1.37", "85.5", "male"]) == []


def test_what_all_cases_share_makes_no_tuple() -> None:
    shared = [
        HeldOut("m", str(n), parameters=("MG", "24", "2023-11-13T10:15:00+00:00"), answer=str(n % 3)) for n in range(30)
    ]
    assert (
        held(*shared).find(
            ['{"slots":{"code":"MG","window_hours":"24"},"now":"2023-11-13T10:15:00+00:00","gold":"[2]"}']
        )
        == []
    )


LAB: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "obs-1234567",
    "meta": {"lastUpdated": "2023-01-01T00:00:00Z"},
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3", "display": "Potassium"}]},
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2023-11-09T07:42:00+00:00",
    "valueQuantity": {"value": 3.10, "unit": "mmol/L"},
}
CONDITION: dict[str, Any] = {
    "resourceType": "Condition",
    "id": "cond-998877",
    "code": {"text": "Hypertension"},
    "subject": {"reference": "Patient/p1"},
}


@pytest.fixture(scope="module")
def charts() -> Matcher:
    return held(HeldOut("c", "1", resources=(json.dumps(LAB), json.dumps(CONDITION))))


def bundle(*resources: dict[str, Any]) -> str:
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": resource} for resource in resources]})


@pytest.mark.parametrize(
    "resource",
    [
        LAB,
        dict(reversed(LAB.items())),
        LAB | {"id": "new", "subject": {"reference": "Patient/other"}, "meta": {}},
        LAB | {"effectiveDateTime": "2023-11-09T07:42:00Z", "valueQuantity": {"unit": "mmol/L", "value": 3.1}},
        LAB | {"code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}},
        CONDITION,
    ],
)
def test_a_held_out_resource_is_found_in_charts_and_replies(charts: Matcher, resource: dict[str, Any]) -> None:
    noise = LAB | {"effectiveDateTime": "2021-01-01T01:01:00Z"}
    for text in (
        json.dumps(resource), json.dumps(resource, indent=2), f"Here is the response:\n{bundle(noise, resource)}. Go on.",
        json.dumps({"content": bundle(noise, resource)}), json.dumps({"a": json.dumps(json.dumps(resource))}),
    ):  # fmt: skip
        (match,) = charts.find(["x", text])
        assert (match.matcher, match.text) == ("chart", 1)
        assert 0 <= match.start < match.end <= len(text)


@pytest.mark.parametrize(
    "resource",
    [
        LAB | {"valueQuantity": {"value": 3.2, "unit": "mmol/L"}},
        LAB | {"effectiveDateTime": "2023-11-09T07:43:00+00:00"},
        LAB | {"code": {"coding": [{"system": "http://loinc.org", "code": "2951-2"}]}},
        CONDITION | {"id": "another-1"},
    ],
)
def test_another_resource_is_not(charts: Matcher, resource: dict[str, Any]) -> None:
    assert charts.find([json.dumps(resource), bundle(resource)]) == []


def test_broken_json_is_searched_in_the_end(charts: Matcher) -> None:
    assert kinds(charts, "{" * 50 + json.dumps(LAB) + "}{") == {"chart"}
    assert charts.find("{" * 200_000 + '"2023-11-09T07:42"') == []


def test_the_policy_sets_what_a_resource_must_tell() -> None:
    assert Policy.default().whole("chart", "values") == 4
