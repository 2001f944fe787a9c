"""Charts for the patients that a task file mentions, so that an evaluation can be tried without the benchmark's server.

They have the shapes of that server (MedAgentBench, Jiang et al., NEJM AI 2025): the record number is the id and the
identifier's value, labs carry the local names K, MG, GLU and A1C under the LOINC system, times are UTC. Values are made
up, so that the cases of every family occur among the patients; nothing of the benchmark's own charts is in them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from fhirtasks.errors import UserError
from fhirtasks.population.identities import Identity, identity, seeded
from fhirtasks.population.resources import HL7, ICD10, concept, line
from fhirtasks.population.taskfile import Person, Row, identifiers, people, read_rows, times

DEFAULT_NOW = datetime(2024, 1, 15, 9, 0, tzinfo=UTC)
"""The time of the charts when no task states one."""
DAY, YEAR = timedelta(days=1), timedelta(days=365)
UNITS = {"K": "mmol/L", "MG": "mg/dL", "GLU": "mg/dL", "A1C": "%"}
MAGNESIUM = (None, "outside", "2.1", "1.7", "1.2", "0.8", "1.9", "at 24 h", "2.4", "1.5", "1.0")
"""The cases of magnesium, dealt out in turn: absent, older than a day, exactly a day old, each tier and boundary."""
POTASSIUM = ("4.1", "3.1", "3.5", None, "4.6", "2.8", "3.4", "5.0")
A1C = ("fresh", None, "stale", "exactly a year", "fresh", None, "stale")
GLUCOSE = (4, 26, 1, 0, 8, 3)
"""Results in the last day."""


def charts_for(path: Path, seed: int) -> Iterator[str]:
    """JSON lines of the charts of everyone the task file mentions. UserError if it mentions no record number."""
    rows = read_rows(path)
    records = identifiers(rows)
    if not records:
        raise UserError(f"{path} mentions no patient: neither 'eval_MRN' nor the instructions hold a record number.")
    named, missing = _named(rows), _named_without_record(rows)
    now = _now(rows)
    unnamed = [record for record in records if record not in named]
    missing = [who for who in missing if who.name not in {person.name for person in named.values()}]
    for record, person in zip(unnamed, missing, strict=False):  # near misses of the people whom nobody is
        named[record] = Person(person.name, person.birth_date - timedelta(days=3))
    for index, record in enumerate(records):
        yield from _chart(record, named.get(record), index, seed, now.get(record) or now.get("") or DEFAULT_NOW)


def _named(rows: list[Row]) -> dict[str, Person]:
    """Record -> person, from rows whose answer or eval_MRN is the record and whose text names exactly one person."""
    found: dict[str, Person] = {}
    for row in rows:
        who = people(row)
        records = [row.record] if row.record else identifiers([replace(row, instruction="-")])
        if who and len(records) == 1 and len({person.name for person in who}) == 1:
            found.setdefault(str(records[0]), who[0])
    return found


def _named_without_record(rows: list[Row]) -> list[Person]:
    return sorted({person for row in rows if not identifiers([row]) for person in people(row)})


def _now(rows: list[Row]) -> dict[str, datetime]:
    """Record -> the first time that one of its tasks states; "" -> the first that any states."""
    found: dict[str, datetime] = {}
    for row in rows:
        for text in times(row)[:1]:
            try:
                when = datetime.fromisoformat(text.replace("Z", "+00:00"))
            except ValueError:
                continue
            when = when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
            for record in ("", *identifiers([row])):
                found.setdefault(record, when)
    return found


def _numbers(index: int, rng: random.Random) -> Iterator[str]:
    """Ids as that server gives them: digits, unique over the charts, in no order of time."""
    numbers = [str(100_000 + 1_000 * index + number) for number in range(1_000)]
    rng.shuffle(numbers)
    return iter(numbers)


def _chart(record: str, person: Person | None, index: int, seed: int, now: datetime) -> Iterator[str]:
    rng = random.Random(seeded(seed, "dry run", record))
    numbers = _numbers(index, rng)
    who = _who(person, seeded(seed, "dry run", record))
    mr = {"coding": [{"system": HL7 + "v2-0203", "code": "MR", "display": "Medical Record Number"}]}
    patient: dict[str, Any] = {
        "resourceType": "Patient",
        "id": record,
        "identifier": [{"use": "usual", "type": mr, "value": record}],
        "name": [{"use": "official", "family": who.family, "given": list(who.given)}],
        "telecom": [{"system": "phone", "value": who.phone, "use": "home"}],
        "gender": who.gender,
        "birthDate": who.birth_date.isoformat(),
        "address": [{"line": [who.street], "city": who.city, "state": who.state, "postalCode": who.postcode}],
    }
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,64}", record):
        patient["id"] = re.sub(r"[^A-Za-z0-9.-]", "-", record)[:64]
    yield line(patient)
    subject = {
        "reference": f"Patient/{patient['id']}",
        "identifier": {"system": HL7 + "v2-0203", "value": record},
    }
    for result in _results(rng, index, now):
        issued = result[2] + timedelta(minutes=rng.randint(20, 90))
        yield _lab(next(numbers), subject, result, min(issued, now))
    for number in range(rng.randint(2, 6)):
        taken = (now - timedelta(hours=9 * number + rng.randint(1, 8))).replace(second=0)
        yield _pressure(next(numbers), subject, f"{rng.randint(102, 158)}/{rng.randint(58, 94)} mmHg", taken)
    yield line(
        {
            "resourceType": "Condition",
            "id": next(numbers),
            "clinicalStatus": {"coding": [{"system": HL7 + "condition-clinical", "code": "active"}]},
            "category": [{"coding": [{"system": HL7 + "condition-category", "code": "problem-list-item"}]}],
            "code": concept(
                ICD10, *rng.choice((("I10", "Essential (primary) hypertension"), ("E78.5", "Hyperlipidemia")))
            ),
            "subject": subject,
            "onsetDateTime": (now - timedelta(days=rng.randint(200, 1500))).date().isoformat(),
        }
    )


def _results(rng: random.Random, index: int, now: datetime) -> list[tuple[str, str, datetime]]:
    """(code, value, taken): each family's case by the patient's index, older results as distractors."""
    rows: list[tuple[str, str, datetime]] = []

    def ago(span: timedelta) -> datetime:
        return now - span

    def earlier(code: str, range_: tuple[float, float], decimals: int, count: int, newest: timedelta) -> None:
        for _ in range(count):
            span = newest + timedelta(minutes=rng.randint(600, 400_000))
            rows.append((code, f"{rng.uniform(*range_):.{decimals}f}", ago(span)))

    magnesium = MAGNESIUM[index % len(MAGNESIUM)]
    if magnesium is not None:
        recent = {"outside": DAY + timedelta(minutes=rng.randint(1, 900)), "at 24 h": DAY}.get(magnesium)
        value = magnesium if recent is None else f"{rng.uniform(1.3, 2.2):.1f}"
        span = recent or timedelta(minutes=rng.randint(30, 1300))
        rows.append(("MG", value, ago(span)))
        earlier("MG", (1.4, 2.4), 1, rng.randint(2, 6), max(span, DAY))
    potassium = POTASSIUM[(index // 2) % len(POTASSIUM)]
    if potassium is not None:
        span = timedelta(minutes=rng.randint(40, 6000))
        rows.append(("K", potassium, ago(span)))
        earlier("K", (3.2, 5.1), 1, rng.choice((4, 9, 30)), span)
    a1c = A1C[(index // 3) % len(A1C)]
    if a1c is not None:
        days = {"fresh": rng.randint(20, 340), "stale": rng.randint(380, 900)}.get(a1c)
        span = _one_year(now) if days is None else timedelta(days=days, minutes=rng.randint(0, 900))
        rows.append(("A1C", f"{rng.uniform(5.2, 10.4):.1f}", ago(span)))
        earlier("A1C", (5.4, 10.0), 1, rng.randint(0, 3), span)
    count = GLUCOSE[(index // 5) % len(GLUCOSE)]
    for number in range(count):
        span = timedelta(minutes=15 + round(1400 * (number + rng.random()) / (count + 1)))
        rows.append(("GLU", f"{rng.randint(72, 318)}", ago(span)))
    earlier("GLU", (70, 290), 0, rng.choice((3, 12, 28)), DAY)
    return [(code, value, taken.replace(second=0, microsecond=0)) for code, value, taken in rows]


def _one_year(now: datetime) -> timedelta:
    day = now.day if (now.month, now.day) != (2, 29) else 28
    return now - now.replace(year=now.year - 1, day=day)


def _who(person: Person | None, seed: int) -> Identity:
    """Made-up demographics, with the name and birth date that the file states where it does."""
    who = identity(seed, 0)
    if person is None:
        return replace(who, given=who.given[:1])
    if "," in person.name:
        family, given = (part.strip() for part in person.name.split(",", 1))
    else:
        words = person.name.split()
        cut = next((n for n, word in enumerate(words[1:], 1) if word.islower()), len(words) - 1)
        given, family = " ".join(words[:cut]), " ".join(words[cut:])
    gender = "female" if given.split()[0] in _women() else "male"
    return replace(who, given=(given,), family=family, gender=gender, birth_date=person.birth_date)


@lru_cache(maxsize=1)
def _women() -> frozenset[str]:
    from faker.providers.person.en_US import Provider

    return frozenset(Provider.first_names_female)


def _lab(identifier: str, subject: dict[str, Any], result: tuple[str, str, datetime], issued: datetime) -> str:
    code, value, taken = result
    unit = UNITS[code]
    return line(
        {
            "resourceType": "Observation",
            "id": identifier,
            "status": "final",
            "category": [{"coding": [{"system": HL7 + "observation-category", "code": "laboratory"}]}],
            "code": concept("http://loinc.org", code, code),
            "subject": subject,
            "effectiveDateTime": taken.isoformat(),
            "issued": issued.isoformat(),
            "valueQuantity": {
                "value": orjson.Fragment(value),
                "unit": unit,
                "system": "http://unitsofmeasure.org",
                "code": unit,
            },
        }
    )


def _pressure(identifier: str, subject: dict[str, Any], value: str, taken: datetime) -> str:
    return line(
        {
            "resourceType": "Observation",
            "id": identifier,
            "status": "final",
            "category": [{"coding": [{"system": HL7 + "observation-category", "code": "vital-signs"}]}],
            "code": {"text": "BP"},
            "subject": subject,
            "effectiveDateTime": taken.isoformat(),
            "valueString": value,
        }
    )
