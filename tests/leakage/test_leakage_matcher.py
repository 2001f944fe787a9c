"""The text filter finds every planted leak in every form, and none in the same templates about other patients."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pytest

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.leakage.holdouts import Holdouts, read_holdouts
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.population.populate import generate
from fhirtasks.population.taskfile import Person

BENCHMARK = Path(__file__).parents[2].parent / "shared" / "data" / "medagentbench" / "test_data_v2.json"

PEOPLE = (
    ("Zoë", "Müller-Ñandú", date(1932, 12, 9)),
    ("Ana", "de la Cruz", date(1950, 2, 3)),
    ("Lee", "O'Neil", date(1988, 7, 4)),
)
TEMPLATE = "Who's the holder of record {mrn}?  Tell me the patient's \"age\"\nin whole years, please."
MRNS = ("Q7654321", "Q0000017", "8c5dc5fe-7f5c-4d2f-9d23-1c3b5d3d7a10", "B-77 120")


def held_out() -> Holdouts:
    named = [
        HeldOut("people.json", str(n), people=(Person(f"{given} {family}", born),))
        for n, (given, family, born) in enumerate(PEOPLE)
    ]
    asked = [
        HeldOut("tasks.json", str(n), texts=(TEMPLATE.format(mrn=mrn),), identifiers=(mrn,))
        for n, mrn in enumerate(MRNS)
    ]
    return Holdouts.of([*named, *asked])


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(held_out())


def noise(words: int = 400) -> str:
    rng = random.Random(5)
    return " ".join(
        rng.choice(("bundle", "entry", "Q7654322", "1932", "12", "Müller", "Zoe", "value", "4.10"))
        for _ in range(words)
    )


def identifier_forms(mrn: str) -> list[str]:
    body = json.dumps({"subject": {"reference": f"Patient/{mrn}"}, "note": f"x\n{mrn}\ty"})
    return [
        f"the record {mrn}.",
        mrn.lower(),
        mrn.upper(),
        f"GET https://fhir.example.org/Observation?patient={quote(mrn)}&code=K",
        f"GET https://fhir.example.org/Patient?identifier={quote('https://h.example.org/mrn|' + mrn, safe='')}",
        body,
        json.dumps(body),
        json.dumps(json.dumps([body])),
        f"file_{mrn}.json",
        "".join(f"\\u{ord(c):04x}" if c.isdigit() else c for c in mrn),
    ]


@pytest.mark.parametrize("mrn", MRNS)
def test_every_form_of_an_identifier_is_found(matcher: Matcher, mrn: str) -> None:
    for form in identifier_forms(mrn):
        text = f"{noise()} {form} {noise()}"
        found = matcher.find([text])
        assert ("identifier", mrn) in {(match.matcher, match.evidence) for match in found}, form


def test_an_identifier_is_found_only_as_a_word_of_its_own(matcher: Matcher) -> None:
    for text in (
        "Q76543210",
        "xQ7654321",
        "Q765432",
        "7654321",
        "8c5dc5fe-7f5c-4d2f-9d23-1c3b5d3d7a11",
        "B 77",
        "77 120",
    ):
        assert matcher.find(f"a {text} b") == [], text


def person_forms(given: str, family: str, born: date) -> list[str]:
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[born.month - 1]
    dates = (
        born.isoformat(), f"{born:%Y%m%d}", f"{born:%m/%d/%Y}", f"{born.month}/{born.day}/{born.year}",
        f"{born:%d.%m.%Y}", f"{born.day} {month} {born.year}", f"{month} {born.day}, {born.year}",
        f"{born.day}th of {month} {born.year}", f"{born.isoformat()}T00:00:00Z",
    )  # fmt: skip
    plain = f"{given} {family}".translate(str.maketrans("ëüÑúñ", "euNun"))
    resource = {"resourceType": "Patient", "name": [{"use": "official", "family": family, "given": [given, "M."]}]}
    names = (
        f"{given} {family}", f"{family}, {given}", f"{given} M. {family}", f"{given} Marie {family}".upper(), plain,
        json.dumps(resource), json.dumps(resource, ensure_ascii=False), json.dumps(resource, indent=2),
        json.dumps(json.dumps(resource)), f"/Patient?family={quote(family)}&given={quote(given)}",
        quote(f"{given} {family}"),
    )  # fmt: skip
    return [f"{name} and then {noise(30)} born {day}" for name in names for day in dates]


@pytest.mark.parametrize("who", PEOPLE)
def test_a_name_with_its_birth_date_is_found_in_every_form(matcher: Matcher, who: tuple[str, str, date]) -> None:
    given, family, born = who
    item = f"{given} {family}, {born.isoformat()}"
    for form in person_forms(given, family, born):
        assert [match.evidence for match in matcher.find(form)] == [item], form


def test_a_name_or_a_birth_date_alone_is_no_leak(matcher: Matcher) -> None:
    for given, family, born in PEOPLE:
        near = born.replace(day=born.day + 1)
        assert matcher.find(f"{given} {family}, born {near.isoformat()}") == []
        assert matcher.find(f"{given} {family}, room {born.day}, floor {born.month}, {born.year + 1}") == []
        assert matcher.find(f"somebody born {born.isoformat()}") == []
        assert matcher.find(f"{given} Quill {'word ' * 20} Xavier {family} born {born.isoformat()}") == []


def test_an_instruction_is_found_whatever_its_case_spaces_and_quotes(matcher: Matcher) -> None:
    text = TEMPLATE.format(mrn=MRNS[0])
    forms = (
        text, text.upper(), " ".join(text.split()), text.replace("'", "’").replace('"', "“"),
        json.dumps({"content": text}), json.dumps(json.dumps(text)), text.replace("'", ""), text.replace(" ", "  \n"),
        f"Context:\nQuestion: {text} end",
    )  # fmt: skip
    for form in forms:
        assert {"exact", "normalised"} & {match.matcher for match in matcher.find(form)}, form


def test_the_same_template_about_another_patient_is_no_leak(matcher: Matcher) -> None:
    for number in range(1000, 1400):
        assert matcher.find(TEMPLATE.format(mrn=f"Q{number:07d}")) == []


def test_the_span_is_where_it_stands(matcher: Matcher) -> None:
    text = 'é {"a":"x\\n\\u0041 https%3A%2F%2Fh%7CQ7654321 y"}'
    (match,) = matcher.find(text)
    assert text[match.start : match.end] == "Q7654321"
    (match,) = matcher.find("see Lee\\u0020O\\u2019Neil, 4 Jul 1988.")
    assert "see Lee\\u0020O\\u2019Neil, 4 Jul 1988."[match.start : match.end] == "Lee\\u0020O\\u2019Neil"


def test_lone_surrogates_and_an_empty_text_are_searched(matcher: Matcher) -> None:
    assert matcher.find("") == []
    assert [match.evidence for match in matcher.find("\\ud83d \ud83d Q7654321 %ff%")] == ["Q7654321"]


def test_nothing_held_out_finds_nothing() -> None:
    assert Matcher(Holdouts()).find("anything Q7654321") == []


@pytest.mark.shared
def test_recall_and_false_alarms_on_the_public_benchmark() -> None:
    if not BENCHMARK.exists():
        pytest.skip("the public task file is not beside the checkout")
    holdouts = read_holdouts([BENCHMARK])
    assert (len(holdouts.identifiers), len(holdouts.people), holdouts.counts["texts"]) == (98, 30, 300)
    matcher = Matcher(holdouts)
    rows = json.loads(BENCHMARK.read_text())
    lines = list(generate(12, 3))
    rng = random.Random(1)
    for row in rows:  # every row's instruction planted in a chart is found, and so is its patient
        chart = "".join(rng.sample(lines, 20))
        kinds = {match.matcher for match in matcher.find(json.dumps({"chart": chart, "content": row["instruction"]}))}
        assert {"exact", "normalised"} & kinds
        assert "identifier" in kinds or "person" in kinds
        other = row["instruction"]
        for mrn in holdouts.identifiers:
            other = other.replace(mrn, "A1234567")
        for person in holdouts.people:
            other = other.replace(person.name, "Mirabel Sundqvist")
        assert matcher.find(chart + other) == []
    assert [line for line in lines if matcher.find(line)] == []
