"""A prompt names exactly one patient, never by the resource id, never by a secret number."""

from __future__ import annotations

import random
from typing import Any

from fhirtasks.graph.world import World
from fhirtasks.tasks.identity import by_name, describe, fold, identifier, index, patient_rows

NOW = 1_900_000_000_000_000


def plain(number: int, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": f"pat-{number:08d}",
        "name": [{"family": "Muster", "given": [f"P{number}"]}],
        "birthDate": "1980-01-01",
        "identifier": [{"value": f"N{number}"}],
    } | more


def test_named_by_the_record_number(world: World) -> None:
    for row in patient_rows(world):
        who = describe(world, row.id, random.Random(1), "clinical", NOW)
        assert who is not None
        assert who.slots == {"mrn": f"K{310000 + int(row.id[2:8])}"}
        assert who.slots["mrn"] in who.phrase
        assert row.id not in who.phrase
        compat = describe(world, row.id, random.Random(1), "compat", NOW)
        assert compat is not None
        assert compat.slots == {"mrn": row.id}


def test_hidden_and_unknown_patients_are_not_named(world: World) -> None:
    lost = next(row for row in patient_rows(world) if row.family == "Lost")
    assert lost.deceased
    assert lost.available is not None
    assert describe(world, lost.id, random.Random(1), "clinical", lost.available) is not None
    for mode in ("clinical", "compat"):
        assert describe(world, lost.id, random.Random(1), mode, lost.available - 1) is None
        assert describe(world, "nobody", random.Random(1), mode, NOW) is None


def test_numbers_that_say_too_much_or_fit_two_are_passed_over(make_world: Any) -> None:
    ssn = {"type": {"coding": [{"code": "SS"}]}, "value": "999-11-2222"}
    passport = {"system": "http://standardhealthrecord.org/fhir/StructureDefinition/passportNumber", "value": "X1"}
    world = make_world(
        [
            plain(1),
            plain(2, identifier=[ssn, passport, {"value": "pat-00000002"}]),
            plain(3, identifier=[{"value": "SHARED"}]),
            plain(4, identifier=[{"value": "shared"}, {"value": "urn:uuid:pat-00000004"}]),
            plain(5, identifier=[{"value": "pat-00000001"}]),
            plain(6, identifier=[{"value": "A|B"}, {"value": "A B"}]),
            plain(7, identifier=[{"type": {"coding": [{"code": "MR"}]}, "value": "M7"}, {"value": "A7"}]),
        ]
    )
    rows = {int(row.id[-1]): row for row in patient_rows(world)}
    got = {number: identifier(world, row, random.Random(3)) for number, row in rows.items()}
    assert got == {1: "N1", 2: None, 3: None, 4: None, 5: None, 6: None, 7: "M7"}
    assert identifier(world, rows[2], random.Random(3), id_allowed=True) == "pat-00000002"
    who = describe(world, rows[2].id, random.Random(3), "clinical", NOW)
    assert who is not None
    assert who.slots == {"name": "P2 Muster", "birthdate": "1980-01-01"}


def test_names_must_be_unique_whatever_accents_or_partial_dates(make_world: Any) -> None:
    def one(number: int, given: str, birthdate: str) -> dict[str, Any]:
        return plain(number, name=[{"family": "Heredia", "given": [given]}], birthDate=birthdate, identifier=[])

    world = make_world(
        [
            one(1, "Hernán", "1990-09-09"),
            one(2, "HERNAN", "1990-09-09"),
            one(3, "Lia", "1990-09-09"),
            one(4, "Lia", "1990-09"),
            one(5, "Uma", "1990-09-09"),
            one(6, "Uma", "1990-09-10"),
            plain(7, name=[{"use": "maiden", "family": "A"}, {"use": "official", "family": "B"}], identifier=[]),
            plain(8, name=[{"use": "official", "family": "A"}], identifier=[]),
            plain(9, name=[{"text": "Only Text"}], identifier=[]),
        ]
    )
    named = {row.id[-1] for row in patient_rows(world) if by_name(world, row)}
    assert named == {"5", "6", "7"}


def test_the_index_counts_what_a_naive_reading_counts(world: World) -> None:
    known = index(world)
    for row in known.rows:
        expected = [other for other in known.rows if fold(row.name) in {fold(name) for name in other.names}]
        assert known.of_name(row.name) == (expected if row.name else [])


def test_choosing_among_equals_is_a_matter_of_the_seed(make_world: Any) -> None:
    world = make_world([plain(1, identifier=[{"value": "A1"}, {"value": "B1"}])])
    (row,) = patient_rows(world)
    assert {identifier(world, row, random.Random(seed)) for seed in range(20)} == {"A1", "B1"}
    assert len({identifier(world, row, random.Random(9)) for _ in range(5)}) == 1
