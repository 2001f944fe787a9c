"""What the four families propose, computed again from raw JSON by plain loops."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.fhir.jsontext import dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks import patients_lookup, registry
from fhirtasks.tasks.patients_age import completed_years
from fhirtasks.tasks.referrals import PRIORITIES, SPECIAL
from fhirtasks.tasks.types import Draft
from fhirtasks.tasks.vitals import BANDS

NAMES = ("patient_age", "patient_lookup", "record_blood_pressure", "referral_order")
MODES: tuple[Any, ...] = ("clinical", "compat")


def branches(name: str) -> list[str]:
    return [branch.name for branch in registry.family(name).branches]


def samples(world: World, name: str, branch: str, mode: Any, rows: int = 25) -> Iterator[Draft]:
    draw = random.Random(f"{name} {branch} {mode}")
    made = 0
    for _ in range(rows * 20):
        draft = registry.family(name).sample(world, draw, branch, mode)
        if draft is not None:
            made += 1
            yield draft
        if made == rows:
            return
    raise AssertionError(f"{name} {branch} {mode}: {made} of {rows}")


def shown(world: World, draft: Draft) -> dict[str, dict[str, Any]]:
    """Every Patient body that can be seen at the draft's now, scenario and all."""
    now = datetime.fromisoformat(draft.now).timestamp() * 1_000_000
    rows = world.db.execute("select id, raw, available from resource where type = 'Patient'").fetchall()
    seen = {row[0]: json.loads(row[1]) for row in rows if row[2] is None or row[2] <= now}
    for raw in draft.scenario.add:
        body = json.loads(raw)
        assert body["resourceType"] == "Patient"
        seen[body["id"]] = body
    assert not draft.scenario.hide
    return seen


def full_names(body: dict[str, Any]) -> list[str]:
    return [
        " ".join([*name.get("given", []), *([name["family"]] if "family" in name else [])]) for name in body["name"]
    ]


def fitting(world: World, draft: Draft) -> list[dict[str, Any]]:
    """The visible patients whom the slots name."""
    slots = draft.slots
    found = []
    for body in shown(world, draft).values():
        numbers = [one["value"] for one in body.get("identifier", [])]
        if "mrn" in slots and slots["mrn"] not in numbers:
            continue
        if "name" in slots and (slots["name"] not in full_names(body) or body["birthDate"] != slots["birthdate"]):
            continue
        found.append(body)
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("branch", branches("patient_lookup"))
def test_lookup(world: World, branch: str, mode: Any) -> None:
    for draft in samples(world, "patient_lookup", branch, mode):
        found = fitting(world, draft)
        others = [body for body in shown(world, draft).values() if body not in found]
        slots = draft.slots
        if branch in ("found", "same_name", "same_birth_date"):
            (body,) = found
            values = [
                one["value"]
                for one in body["identifier"]
                if slots["identifier"] in [coding["code"] for coding in one.get("type", {}).get("coding", [])]
            ]
            assert draft.gold == values
            assert values != [body["id"]]
            assert draft.patients == (body["id"],)
        else:
            assert found == []
            assert draft.gold == ["Patient not found"]
            assert draft.scenario.native
        same_name = [body for body in others if slots["name"] in full_names(body)]
        same_date = [body for body in others if body["birthDate"] == slots["birthdate"]]
        if branch == "same_name":
            assert same_name
        if branch == "same_birth_date":
            assert same_date
        if branch == "not_found":
            assert not same_name
            assert draft.patients == ()
        if branch == "near_birth_date":
            assert same_name
            assert draft.patients[0] in [body["id"] for body in same_name]
        if branch == "near_name":
            assert draft.patients[0] in [body["id"] for body in same_date]
            assert not same_name or draft.patients[0] not in [body["id"] for body in same_name]
        date.fromisoformat(slots["birthdate"])
        if mode == "compat":
            assert draft.params["sol"] == dumps(draft.gold)
            assert draft.params["patient"] == (found[0]["id"] if found else "")
            assert bool(draft.params["mrn"]) == bool(found)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("branch", branches("patient_age"))
def test_age(world: World, branch: str, mode: Any) -> None:
    for draft in samples(world, "patient_age", branch, mode):
        (body,) = fitting(world, draft)
        assert draft.patients == (body["id"],)
        assert "deceasedDateTime" not in body
        born, today = date.fromisoformat(body["birthDate"]), date.fromisoformat(draft.now[:10])
        years = 0
        while (born.year + years + 1, born.month, born.day) <= (today.year, today.month, today.day):
            years += 1
        assert draft.gold == [years]
        next_birthday = (today - born.replace(year=today.year)).days if (born.month, born.day) != (2, 29) else None
        match branch:
            case "birthday":
                assert next_birthday == 0
            case "day_before_birthday":
                assert next_birthday in (-1, 364, 365)
            case "day_after_birthday":
                assert next_birthday in (1, -364, -365)
            case "leap_day_birth":
                assert body["birthDate"].endswith("-02-29")
                assert draft.scenario.native or loads(draft.scenario.add[0])["birthDate"] == body["birthDate"]
                assert draft.now[5:10] != "02-28" or today.year % 4 == 0
            case "leap_now":
                assert draft.now[5:10] == "02-29"
            case "under_one":
                assert years == 0
                assert draft.now[:10] > body["birthDate"]
            case _:
                assert years >= 1
        if mode == "compat":
            assert draft.params == {
                "patient": body["id"], "mrn": draft.slots["mrn"], "now": draft.now, "base": BASE
            }  # fmt: skip


def test_local_dates_decide_ages(world: World) -> None:
    """Some samples fall on another day in UTC: there the local date and the UTC date give different ages."""
    apart = 0
    for draft in samples(world, "patient_age", "birthday", "clinical", 200):
        local = datetime.fromisoformat(draft.now)
        apart += local.date() != local.astimezone(UTC).date()
    assert apart >= 5


@pytest.mark.parametrize(
    ("born", "today", "years"),
    [
        ("2000-02-29", "2001-02-28", 0),
        ("2000-02-29", "2001-03-01", 1),
        ("2000-02-29", "2004-02-29", 4),
        ("2000-02-29", "2004-02-28", 3),
        ("1960-05-05", "1960-05-05", 0),
        ("2083-04-10", "2136-04-09", 52),
    ],
)
def test_completed_years(born: str, today: str, years: int) -> None:
    assert completed_years(date.fromisoformat(born), date.fromisoformat(today)) == years


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("branch", branches("record_blood_pressure"))
def test_blood_pressure(world: World, branch: str, mode: Any) -> None:
    for draft in samples(world, "record_blood_pressure", branch, mode):
        slots = draft.slots
        systolic, diastolic = int(slots["systolic"]), int(slots["diastolic"])
        assert slots["value"] == f"{systolic}/{diastolic} mmHg"
        assert systolic - diastolic >= 10
        for low, high in [BANDS[branch]] if branch in BANDS else []:
            assert low[0] <= systolic <= low[1]
            assert high[0] <= diastolic <= high[1]
        check_subject(world, draft, mode, branch)
        if mode == "compat":
            assert draft.params["value"] == slots["value"]
            assert draft.params["code"] == slots["code"]
        else:
            assert (slots["code_system"], slots["code"]) == ("http://loinc.org", "85354-9")


def test_bands_follow_the_guideline() -> None:
    """Table 6 of the 2017 guideline, written down a second time."""

    def stage(systolic: int, diastolic: int) -> str:
        if systolic > 180 or diastolic > 120:
            return "crisis"
        if systolic >= 140 or diastolic >= 90:
            return "stage_2"
        if systolic >= 130 or diastolic >= 80:
            return "stage_1"
        if systolic >= 120:
            return "elevated"
        return "low" if systolic < 90 and diastolic < 60 else "normal"

    for name, (systolic, diastolic) in BANDS.items():
        for upper in systolic:
            for lower in diastolic:
                assert stage(upper, lower) == name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("branch", branches("referral_order"))
def test_referral(world: World, branch: str, mode: Any) -> None:
    marks = set()
    for draft in samples(world, "referral_order", branch, mode, 40):
        slots = draft.slots
        assert slots["priority"] in PRIORITIES
        assert "{" not in slots["text"] or branch == SPECIAL
        assert "```" not in slots["text"]
        marks |= set(slots["text"])
        check_subject(world, draft, mode, branch)
        if mode == "compat":
            names = ("order_system", "order_code", "text", "priority")
            assert {name: draft.params[name] for name in names} == {name: slots[name] for name in names}
    assert branch != SPECIAL or {'"', "\\", "ü", "{"} <= marks


def check_subject(world: World, draft: Draft, mode: Any, branch: str) -> None:
    (patient,) = draft.patients
    seen = shown(world, draft)
    body = seen[patient]
    assert "deceasedDateTime" not in body
    born, today = date.fromisoformat(body["birthDate"]), date.fromisoformat(draft.now[:10])
    assert completed_years(born, today) >= 18
    if mode == "compat":
        assert draft.slots["mrn"] == draft.params["patient"] == patient
        assert draft.params["mrn"] in [one["value"] for one in body["identifier"]]
    else:
        assert fitting(world, draft) == [body]
    if branch == "near_identity":
        alike = [
            other
            for other in seen.values()
            if other is not body
            and (other["birthDate"] == body["birthDate"] or set(full_names(other)) & set(full_names(body)))
        ]
        assert alike


def test_scenarios_change_nothing_but_what_they_must(world: World) -> None:
    """A twin by scenario is a patient of the world with its own id, identifiers, order of keys and number texts."""
    changed = set()
    for name, branch in (
        ("patient_lookup", "same_name"),
        ("patient_lookup", "same_birth_date"),
        ("patient_age", "leap_day_birth"),
        ("referral_order", "near_identity"),
    ):
        for draft in samples(world, name, branch, "clinical", 60):
            for raw in draft.scenario.add:
                body = loads(raw)
                native = loads(world.raw("Patient", body["id"]) or "")
                assert list(body) == list(native)
                changed |= {(branch, key) for key in body if body[key] != native[key]}
    assert changed == {
        ("same_name", "name"),
        ("same_birth_date", "birthDate"),
        ("leap_day_birth", "birthDate"),
        ("near_identity", "name"),
        ("near_identity", "birthDate"),
    }


def test_native_cases_come_first(world: World) -> None:
    made = list(samples(world, "patient_lookup", "same_name", "clinical", 60))
    assert sum(draft.scenario.native for draft in made) > 30


@pytest.mark.parametrize("name", NAMES)
def test_the_same_in_another_process(world: World, name: str) -> None:
    code = f"""
import random
from pathlib import Path
from fhirtasks.graph.world import World
from fhirtasks.tasks import registry
world = World.open(Path({str(world.path)!r}), threads=1)
family = registry.family({name!r})
for branch in family.branches:
    for mode in family.modes:
        print(repr(family.sample(world, random.Random(8), branch.name, mode)))
"""
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "4242"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    family = registry.family(name)
    here = [
        repr(family.sample(world, random.Random(8), branch.name, mode))
        for branch in family.branches
        for mode in family.modes
    ]
    assert other.stdout.splitlines() == here


def test_what_a_world_lacks_is_named(make_world: Any) -> None:
    nobody = make_world([])
    for name in NAMES:
        assert registry.family(name).missing(nobody) is not None
    partial = {"resourceType": "Patient", "id": "p", "name": [{"family": "Nu"}], "birthDate": "1980"}
    world = make_world([partial])
    assert registry.family("patient_age").missing(world) == "a living Patient with a name and a full birthDate"
    world = make_world([partial | {"birthDate": "1980-02-03"}])
    assert registry.family("patient_age").missing(world) is None
    assert registry.family("patient_lookup").missing(world) == "a Patient.identifier with a type or a system"


def test_the_identifier_asked_for(make_world: Any) -> None:
    """Record numbers first; not the resource id if the records have anything else; no secret number if they do."""

    def person(number: int, *identifiers: dict[str, Any]) -> dict[str, Any]:
        return {
            "resourceType": "Patient", "id": f"id{number}", "name": [{"family": f"F{number}"}],
            "birthDate": "1980-02-03", "identifier": list(identifiers),
        }  # fmt: skip

    def typed(code: str, value: str) -> dict[str, Any]:
        return {"type": {"coding": [{"code": code}]}, "value": value}

    plain = {"system": "http://a.example/ids", "value": "77"}
    cases = [
        ([person(1, plain, typed("MR", "M1"))], "MR", "MR"),
        ([person(1, plain, typed("MR", "id1"))], "http://a.example/ids", "MR"),
        ([person(1, typed("SS", "9"), typed("DL", "D1"), typed("MR", "id1"))], "DL", "MR"),
        ([person(1, typed("MR", "id1"))], "MR", "MR"),
        ([person(1, typed("SS", "9"))], "SS", "SS"),
        ([person(1, plain)], "http://a.example/ids", "http://a.example/ids"),
    ]
    for resources, clinical, compat in cases:
        world = make_world(resources)
        for mode, kind in (("clinical", clinical), ("compat", compat)):
            found = patients_lookup.asked(world, mode)  # type: ignore[arg-type]
            assert found is not None
            assert found.kind == kind
            assert kind in found.phrase
            draft = registry.family("patient_lookup").sample(world, random.Random(1), "found", mode)  # type: ignore[arg-type]
            assert draft is not None
            assert draft.slots["identifier"] == kind
