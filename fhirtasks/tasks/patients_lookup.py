"""``patient_lookup``: which identifier does the person of this name and birth date have?"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from fhirtasks.episodes.types import Mode
from fhirtasks.fhir.jsontext import Json, dumps
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks import patients_twins as twins
from fhirtasks.tasks import timeline
from fhirtasks.tasks.identity import PatientIdentifier, PatientRow, identifier, index
from fhirtasks.tasks.patients_wordings import LOOKUP
from fhirtasks.tasks.types import Branch, Draft, Family

NOT_FOUND = "Patient not found"

TYPE_NAMES = {
    "MR": "medical record number",
    "PI": "internal patient number",
    "PT": "external patient number",
    "AN": "account number",
    "MC": "Medicare number",
    "MA": "Medicaid number",
    "NH": "national health number",
    "DL": "driver's licence number",
    "PPN": "passport number",
}
"""What people call the identifier types of HL7 v2 table 0203."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The kind of identifier that a world's prompts ask for: a type's code, or a system."""

    kind: str
    phrase: str
    id_allowed: bool
    """Whether it may be the resource id."""

    def of(self, row: PatientRow) -> str | None:
        """The one identifier of this kind that the patient has."""
        found = {one.value for one in row.identifiers if self.kind in _kinds(one)}
        value = found.pop() if len(found) == 1 else None
        return value if self.id_allowed or value != row.id else None


def asked(world: World, mode: Mode) -> Asked | None:
    """Record numbers if there are any, else the commonest kind; in clinical mode one that is not just the resource id.

    A social security number is asked for only where the records have nothing else.
    """
    key = (__name__, "asked", mode)
    if key not in world.memo:
        uses: Counter[tuple[bool, bool, bool, str]] = Counter()
        for row in twins.subjects(world):
            for one in row.identifiers:
                is_id = mode == "clinical" and one.value == row.id
                secret = "SS" in one.types or "ssn" in one.system
                for kind in _kinds(one):
                    uses[is_id or secret, one.private, kind != "MR", kind] += 1
        # Among equals the commonest kind, a type's code before a system.
        ranked = sorted(uses, key=lambda entry: (entry[:3], -uses[entry], _is_system(entry[3]), entry[3]))
        if not ranked:
            world.memo[key] = None
        else:
            kind = ranked[0][3]
            name = f"identifier from the system {kind}"
            if not _is_system(kind):
                name = f"{TYPE_NAMES.get(kind, 'identifier')} (identifier type {kind})"
            world.memo[key] = Asked(kind, name, id_allowed=mode == "compat" or ranked[0][0])
    known: Asked | None = world.memo[key]
    return known


def missing(world: World) -> str | None:
    """What a world lacks for this family."""
    if not twins.subjects(world):
        return "a Patient with a name and a full birthDate"
    if not _holders(world, "clinical"):
        return "a Patient.identifier with a type or a system"
    return None


def sample(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """One lookup: the name and the birth date that the prompt shows fit exactly one visible patient, or nobody."""
    holders = _holders(world, mode)
    kind = asked(world, mode)
    if kind is None or not holders:
        return None
    wording = rng.choice(LOOKUP)
    scenario = Scenario()
    if branch in ("same_name", "same_birth_date"):
        row, native = twins.pick(rng, _natives(world, branch, mode), holders)
        now = timeline.draw(world, row.id, rng)
        if now is None:
            return None
        if not native:
            made = (twins.namesake if branch == "same_name" else twins.birthday_twin)(world, row, rng, now.instant)
            if made is None:
                return None
            scenario = made
        elif not _twin_visible(world, row, branch, now.instant):
            return None
        name, birthdate, answer = row.name, row.birthdate, kind.of(row)
    elif branch == "found":
        row = rng.choice(holders)
        now = timeline.draw(world, row.id, rng)
        name, birthdate, answer = row.name, row.birthdate, kind.of(row)
    else:
        row = rng.choice(twins.subjects(world))
        now = timeline.draw(world, row.id, rng)
        name, birthdate, answer = row.name, row.birthdate, NOT_FOUND
        if branch == "not_found":
            unknown = twins.unknown_name(world, rng)
            if unknown is None:
                return None
            name, birthdate = unknown, twins.near_date(birthdate, rng)
        elif branch == "near_birth_date":
            birthdate = twins.near_date(birthdate, rng)
        else:
            name = twins.near_name(world, row, rng)
    fitting = [one.id for one in index(world).named(name, birthdate)]
    if now is None or answer is None or fitting != ([] if answer == NOT_FOUND else [row.id]):
        return None
    if not row.visible(now.instant):
        return None
    found = answer != NOT_FOUND
    slots = {"name": name, "birthdate": birthdate, "identifier": kind.kind}
    instruction, context = wording.texts(mode, slots | {"asked": kind.phrase, "now": now.text})
    gold: Json = [answer]
    params = {}
    if mode == "compat":
        number = (identifier(world, row, rng, id_allowed=True) or "") if found else ""
        params = {
            "patient": row.id if found else "",
            "mrn": number,
            "now": now.text,
            "base": BASE,
            "sol": dumps(gold),
        }
    return Draft(
        now=now.text,
        instruction=instruction,
        context=context,
        slots=slots,
        gold=gold,
        patients=() if branch == "not_found" else (row.id,),
        params=params,
        scenario=scenario,
        wording=wording.instruction,
    )


def _holders(world: World, mode: Mode) -> tuple[PatientRow, ...]:
    key = (__name__, "holders", mode)
    if key not in world.memo:
        kind = asked(world, mode)
        world.memo[key] = tuple(row for row in twins.subjects(world) if kind is not None and kind.of(row))
    rows: tuple[PatientRow, ...] = world.memo[key]
    return rows


def _natives(world: World, branch: str, mode: Mode) -> tuple[PatientRow, ...]:
    key = (__name__, branch, mode)
    if key not in world.memo:
        sharing = twins.same_name if branch == "same_name" else twins.same_birthdate
        world.memo[key] = sharing(world, _holders(world, mode))
    rows: tuple[PatientRow, ...] = world.memo[key]
    return rows


def _twin_visible(world: World, row: PatientRow, branch: str, now: int) -> bool:
    known = index(world)
    others = known.of_name(row.name) if branch == "same_name" else known.by_birthdate[row.birthdate]
    return any(other.id != row.id and other.visible(now) for other in others)


def _kinds(one: PatientIdentifier) -> tuple[str, ...]:
    return (*one.types, *([one.system] if one.system else []))


def _is_system(kind: str) -> bool:
    return "/" in kind or ":" in kind


FAMILY = Family(
    name="patient_lookup",
    version="1",
    domain="patients",
    kind="query",
    branches=(
        Branch("found", 2),
        Branch("same_name"),
        Branch("same_birth_date"),
        Branch("not_found"),
        Branch("near_birth_date"),
        Branch("near_name"),
    ),
    sample=sample,
    missing=missing,
    wordings=tuple(wording.instruction for wording in LOOKUP),
    description="Report a patient's record number by exact name and birth date, or that nobody fits.",
)
