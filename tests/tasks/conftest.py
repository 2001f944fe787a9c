"""A small hand-made world, and shared helpers for the tests of tasks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.graph.world import World, write_world_from_charts

GIVEN = ("Rosa", "Jürgen", "Mary Ann", "Aylin", "Nils", "Inés", "Olu", "Chen", "Pia", "Tom")
FAMILY = ("Meier", "O'Hara", "de la Cruz", "Åström", "Yıldız", "Smith", "Okafor", "Wu")


def patient(number: int, name: dict[str, Any], birthdate: str, **more: Any) -> dict[str, Any]:
    """A Patient with a record number that is not its id, an insurer's number and a social security number."""
    return {
        "resourceType": "Patient",
        "id": f"0a{number:06d}-7c1e-4f2a-9b1d-0123456789ab",
        "identifier": [
            {"type": {"coding": [{"code": "MR"}]}, "system": "http://ward.example/mrn", "value": f"K{310000 + number}"},
            {"system": "http://insurer.example", "value": f"Q{number:05d}"},
            {"type": {"coding": [{"code": "SS"}]}, "system": "http://hl7.org/fhir/sid/us-ssn", "value": f"9-{number}"},
        ],
        "name": [{"use": "official", **name}],
        "gender": ("female", "male")[number % 2],
        "birthDate": birthdate,
    } | more


def observation(number: int, subject: str, time: str, value: str, code: str = "2823-3") -> dict[str, Any]:
    """A final lab Observation."""
    return {
        "resourceType": "Observation",
        "id": f"obs-{number}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{subject}"},
        "effectiveDateTime": time,
        "issued": time,
        "valueQuantity": {"value": float(value), "unit": "mmol/L"},
    }


def people() -> list[dict[str, Any]]:
    """Fifty patients: a name twice, a birth date twice, a leap-day birth, a year only, a death, an accent apart."""
    draw = random.Random(5)
    found = [
        patient(
            number,
            {"given": [draw.choice(GIVEN)], "family": draw.choice(FAMILY)},
            f"{draw.randrange(1936, 2004)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}",
        )
        for number in range(40)
    ]
    found += [
        patient(40, {"given": ["Greta", "Maria"], "family": "Zweig"}, "1971-03-09"),
        patient(41, {"given": ["Greta", "Maria"], "family": "Zweig"}, "1971-03-19"),
        patient(42, {"given": ["Lea"], "family": "Funke"}, "1988-12-01"),
        patient(43, {"given": ["Ole"], "family": "Brandt"}, "1988-12-01"),
        patient(44, {"given": ["Vera"], "family": "Sprung"}, "1964-02-29"),
        patient(45, {"given": ["Ana"], "family": "Vaga"}, "1955"),
        patient(46, {"given": ["Max"], "family": "Lost"}, "1940-05-05", deceasedDateTime="2019-01-01T10:00:00+01:00"),
        patient(47, {"given": ["Hernán"], "family": "Heredia"}, "1990-09-09"),
        patient(48, {"given": ["Hernan"], "family": "Heredia"}, "1990-09-09"),
        patient(49, {"text": "Cher"}, "1946-05-20"),
    ]
    return found


def records() -> list[dict[str, Any]]:
    """The people and five results of each, some years apart, in two offsets."""
    draw = random.Random(6)
    found: list[dict[str, Any]] = people()
    for row in list(found):
        for _ in range(5):
            day = f"{draw.randrange(2005, 2020)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"
            time = f"{day}T{draw.randrange(24):02}:{draw.randrange(60):02}:00{draw.choice(('+01:00', '+02:00'))}"
            found.append(observation(len(found), row["id"], time, f"{draw.randrange(30, 60) / 10}"))
    return found


def write(resources: list[dict[str, Any]], out: Path) -> World:
    """A world of these resources (patients by their own id, others by their subject)."""
    rows = []
    for body in resources:
        owner = body["id"] if body["resourceType"] == "Patient" else body.get("subject", {}).get("reference", "")[8:]
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        rows.append((body["resourceType"], body["id"], owner or None, raw))
    write_world_from_charts(rows, "train", out)
    return World.open(out, threads=1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The hand-made world."""
    opened = write(records(), tmp_path_factory.mktemp("world") / "train.duckdb")
    yield opened
    opened.close()


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[[list[dict[str, Any]]], World]:
    """Makes a world of given resources."""
    made: list[World] = []

    def make(resources: list[dict[str, Any]]) -> World:
        made.append(write(resources, tmp_path / f"{len(made)}.duckdb"))
        return made[-1]

    return make
