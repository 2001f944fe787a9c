"""Whom an order or an entry is for: a living adult, in some tasks beside somebody who is easily mistaken for it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from fhirtasks.episodes.types import Mode
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks import patients_twins as twins
from fhirtasks.tasks import timeline
from fhirtasks.tasks.identity import Identity, PatientRow, by_name, describe, identifier, index
from fhirtasks.tasks.timeline import Moment

NEAR_IDENTITY = "near_identity"
"""The branch in which another visible patient has the same name, or the same birth date.

Half of the clinical wordings name the patient by just that, in this branch as in the others.
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """The patient, how the prompt names it, when, and what the scenario changes."""

    row: PatientRow
    who: Identity
    now: Moment
    scenario: Scenario

    def params(self, world: World, rng: random.Random) -> dict[str, str]:
        """compat's constants that every family has."""
        number = identifier(world, self.row, rng, id_allowed=True) or ""
        return {"patient": self.row.id, "mrn": number, "now": self.now.text, "base": BASE}


def missing(world: World) -> str | None:
    """What a world lacks for entries about patients."""
    return None if twins.adults(world) else "a living adult Patient with a name and a full birthDate"


def subject(world: World, rng: random.Random, branch: str, mode: Mode, *, by_the_name: bool) -> Subject | None:
    """Draws the patient of a task; None if this draw cannot be named uniquely or is not visible then.

    ``by_the_name``: in clinical mode by name and birth date, even if there is a record number.
    """
    adults = twins.adults(world)
    scenario = Scenario()
    if branch == NEAR_IDENTITY:
        same_name = rng.random() < 0.7
        row, native = twins.pick(rng, _natives(world, same_name=same_name), adults)
        now = timeline.draw(world, row.id, rng, _of_age(row))
        if now is None:
            return None
        if native:
            known = index(world)
            others = known.of_name(row.name) if same_name else known.by_birthdate[row.birthdate]
            if not any(other.id != row.id and other.visible(now.instant) for other in others):
                return None
        else:
            twin = (twins.namesake if same_name else twins.birthday_twin)(world, row, rng, now.instant)
            if twin is None:
                return None
            scenario = twin
    else:
        row = rng.choice(adults)
        now = timeline.draw(world, row.id, rng, _of_age(row))
    if now is None or not row.visible(now.instant):
        return None
    if by_the_name and mode == "clinical":
        who = by_name(world, row)
    else:
        who = describe(world, row.id, rng, mode, now.instant)
    return None if who is None else Subject(row, who, now, scenario)


def _natives(world: World, *, same_name: bool) -> tuple[PatientRow, ...]:
    key = (__name__, "natives", same_name)
    if key not in world.memo:
        sharing = twins.same_name if same_name else twins.same_birthdate
        world.memo[key] = sharing(world, twins.adults(world))
    rows: tuple[PatientRow, ...] = world.memo[key]
    return rows


def _of_age(row: PatientRow) -> int:
    return twins.adulthood(row) + twins.ONE_DAY
