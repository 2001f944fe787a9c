"""How prompts name patients: by an identifier, or by full name and birth date; always so that exactly one is meant."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import orjson

from fhirtasks.episodes.types import Mode
from fhirtasks.graph.world import World

PRIVATE_TYPES = frozenset({"SS", "SB", "DL", "PPN", "NI", "NNUSA", "TAX", "CZ", "PRC"})
"""Identifier types (HL7 v2 table 0203) that no ward names a patient by: social security, licence, passport …"""

PRIVATE_SYSTEMS = ("us-ssn", "2.16.840.1.113883.4.1", "2.16.840.1.113883.4.3.", "passport")
"""Parts of identifier systems that mean the same: SSN (its URL and OID), state driver's licences, passports."""


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """One ``Patient.identifier``; ``types`` are the codes of its type, ``system`` may be empty."""

    value: str
    system: str
    types: tuple[str, ...]

    @property
    def private(self) -> bool:
        return bool(PRIVATE_TYPES.intersection(self.types)) or any(part in self.system for part in PRIVATE_SYSTEMS)


@dataclass(frozen=True, slots=True)
class PatientRow:
    """What tasks need to know of a Patient. ``name`` is `given family` of the official name, ``names`` are all names.

    ``available`` is in µs since the epoch, None for always; ``deceased`` says whether the body tells of a death.
    """

    id: str
    available: int | None
    birthdate: str
    gender: str
    name: str
    names: tuple[str, ...]
    given: str
    family: str
    identifiers: tuple[PatientIdentifier, ...]
    deceased: bool

    def visible(self, now_us: int) -> bool:
        """Whether the Patient is seen at this instant."""
        return self.available is None or self.available <= now_us


@dataclass(frozen=True, slots=True)
class Identity:
    """How a prompt names a patient: the slots, and the words that carry them (a noun phrase without commas)."""

    slots: dict[str, str]
    phrase: str


class PatientIndex:
    """The world's patients by id, name, birth date and identifier value."""

    def __init__(self, rows: tuple[PatientRow, ...]) -> None:
        self.rows = rows
        self.by_id = {row.id: row for row in rows}
        self.by_name: defaultdict[str, list[PatientRow]] = defaultdict(list)
        self.by_birthdate: defaultdict[str, list[PatientRow]] = defaultdict(list)
        self.identifier_uses: Counter[str] = Counter()
        self.identifying: dict[tuple[str, bool], list[str]] = {}
        """What :func:`identifier` chooses from, by patient id and ``id_allowed``: filled in as it is asked for."""
        for row in rows:
            self.by_birthdate[row.birthdate].append(row)
            for name in sorted({fold(name) for name in row.names}):
                self.by_name[name].append(row)
            for value in sorted({fold(one.value) for one in row.identifiers} | {fold(row.id)}):
                self.identifier_uses[value] += 1

    def of_name(self, name: str) -> list[PatientRow]:
        """Patients of this name, case and accents aside."""
        return self.by_name.get(fold(name), [])

    def named(self, name: str, birthdate: str) -> list[PatientRow]:
        """Patients of this name whose birth date is, or may be (where only a year or month is known), this one."""
        return [
            row
            for row in self.of_name(name)
            if birthdate.startswith(row.birthdate) or row.birthdate.startswith(birthdate)
        ]


def fold(text: str) -> str:
    """The text as searches compare it: case, accents and white space do not count."""
    if text.isascii():
        return " ".join(text.lower().split())
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return " ".join(plain.casefold().split())


def index(world: World) -> PatientIndex:
    """The patients of a world, read once."""
    key = (__name__, "index")
    if key not in world.memo:
        found = world.db.execute(
            "select id, available, raw from resource where type = 'Patient' order by id"
        ).fetchall()
        world.memo[key] = PatientIndex(tuple(_row(one, available, orjson.loads(raw)) for one, available, raw in found))
    known: PatientIndex = world.memo[key]
    return known


def patient_rows(world: World) -> tuple[PatientRow, ...]:
    """Every Patient of the world, by id."""
    return index(world).rows


def describe(world: World, patient: str, rng: random.Random, mode: Mode, now_us: int) -> Identity | None:
    """How a prompt names the patient with this id; None if it is not visible at ``now_us`` or cannot be named uniquely.

    ``clinical``: by an identifier that is not the id, else by name and birth date. ``compat``: by the id, which is what
    the public benchmark calls the MRN. A social security, licence or passport number is never shown.
    """
    row = index(world).by_id.get(patient)
    if row is None or not row.visible(now_us):
        return None
    if mode == "compat":
        return by_number(row.id)
    value = identifier(world, row, rng)
    return by_number(value) if value else by_name(world, row)


def by_number(value: str) -> Identity:
    """Named by a record number."""
    return Identity({"mrn": value}, f"the patient with MRN {value}")


def by_name(world: World, row: PatientRow) -> Identity | None:
    """Named by full name and birth date; None if the date is partial or another patient of the world fits too."""
    others = [one for one in index(world).named(row.name, row.birthdate) if one.id != row.id]
    if len(row.birthdate) != 10 or not row.name or others:
        return None
    return Identity({"name": row.name, "birthdate": row.birthdate}, f"{row.name} (born {row.birthdate})")


def identifier(world: World, row: PatientRow, rng: random.Random, *, id_allowed: bool = False) -> str | None:
    """An identifier value that a bare token search finds this patient by and nobody else; a record number if any.

    The resource id itself counts only if ``id_allowed``. None if there is no such value.
    """
    known = index(world).identifying
    values = known.get((row.id, id_allowed))
    if values is None:
        values = known[row.id, id_allowed] = _identifying(world, row, id_allowed)
    return rng.choice(values) if values else None


def _identifying(world: World, row: PatientRow, id_allowed: bool) -> list[str]:
    uses = index(world).identifier_uses
    usable = [
        one
        for one in row.identifiers
        if not one.private
        and uses[fold(one.value)] == 1
        and not set(one.value) & set("|,$\\")
        and not any(character.isspace() for character in one.value)
        and (id_allowed or not _tells(one.value, row.id))
    ]
    records = [one for one in usable if "MR" in one.types]
    return sorted({one.value for one in records or usable})


def _tells(value: str, patient: str) -> bool:
    # A long id inside an identifier (urn:uuid:<id>) gives it away just as well.
    return fold(value) == fold(patient) or (len(patient) >= 8 and fold(patient) in fold(value))


def official_name(names: list[dict[str, Any]]) -> dict[str, Any]:
    """The HumanName that people would go by: the official one, else the usual one, else the first current one."""
    return min(names, key=lambda name: _USES.get(name.get("use", ""), 1))


def _row(patient: str, available: int | None, body: dict[str, Any]) -> PatientRow:
    names = body.get("name") or [{}]
    official = official_name(names)
    return PatientRow(
        id=patient,
        available=available,
        birthdate=body.get("birthDate", ""),
        gender=body.get("gender", ""),
        name=_full(official),
        names=tuple(text for text in map(_text, names) if text),
        given=(official.get("given") or [""])[0],
        family=official.get("family", ""),
        identifiers=tuple(_identifier(one) for one in body.get("identifier", []) if one.get("value")),
        deceased=any(body.get(key) for key in ("deceasedBoolean", "deceasedDateTime")),
    )


_USES = {"official": 0, "usual": 1, "nickname": 3, "anonymous": 3, "maiden": 3, "old": 4, "temp": 4}


def _full(name: dict[str, Any]) -> str:
    # Only a name that reads the same however its parts are joined can be shown and compared exactly.
    parts = [*(name.get("given") or []), *([name["family"]] if name.get("family") else [])]
    text = " ".join(parts)
    return text if text == " ".join(text.split()) else ""


def _text(name: dict[str, Any]) -> str:
    return _full(name) or " ".join([*(name.get("given") or []), name.get("family") or name.get("text") or ""])


def _identifier(one: dict[str, Any]) -> PatientIdentifier:
    codings = (one.get("type") or {}).get("coding") or []
    return PatientIdentifier(
        str(one["value"]), one.get("system", ""), tuple(coding["code"] for coding in codings if coding.get("code"))
    )
