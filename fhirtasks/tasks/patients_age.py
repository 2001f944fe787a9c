"""``patient_age``: completed years at ``now``, counted on the calendar day that ``now``'s own offset gives."""

from __future__ import annotations

import random
from calendar import isleap
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from fhirtasks.episodes.types import Mode
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks import patients_twins as twins
from fhirtasks.tasks import timeline
from fhirtasks.tasks.identity import Identity, PatientRow, by_name, by_number, identifier
from fhirtasks.tasks.patients_wordings import AGE
from fhirtasks.tasks.types import Branch, Draft, Family

ONE_DAY = timedelta(days=1)


def completed_years(born: date, today: date) -> int:
    """Years lived; the birthday itself counts. Born on 29 February: in common years from 1 March on."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def missing(world: World) -> str | None:
    """What a world lacks for this family."""
    return None if twins.living(world) else "a living Patient with a name and a full birthDate"


def sample(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """A living patient with a full birth date, and a ``now`` that makes the branch."""
    wording = rng.choice(AGE)
    scenario = Scenario()
    living = twins.living(world)
    if branch == "leap_day_birth":
        row, _ = twins.pick(rng, _leap_born(world), living)
        if not row.birthdate.endswith("-02-29"):
            leap_day = _leap_day_near(row.birthdate)
            scenario = twins.reborn(world, row, leap_day)
            row = replace(row, birthdate=leap_day)
    else:
        row = rng.choice(living)
        if row.birthdate.endswith("-02-29"):
            return None
    born = date.fromisoformat(row.birthdate)
    today = _day(born, branch, rng, _years(world, row))
    if today is None or today < born:
        return None
    offset = rng.choice(timeline.moments(world, row.id)).offset
    clock = time(rng.randrange(24), rng.randrange(60), rng.choice((0, rng.randrange(60))))
    now = timeline.at(datetime.combine(today, clock), offset)
    who = _who(world, row, rng, mode)
    if who is None or not row.visible(now.instant):
        return None
    instruction, context = wording.texts(mode, who.slots | {"who": who.phrase, "now": now.text})
    params = {}
    if mode == "compat":
        params = {"patient": row.id, "mrn": who.slots["mrn"], "now": now.text, "base": BASE}
    return Draft(
        now=now.text,
        instruction=instruction,
        context=context,
        slots=who.slots,
        gold=[completed_years(born, today)],
        patients=(row.id,),
        params=params,
        scenario=scenario,
        wording=wording.instruction,
    )


def _who(world: World, row: PatientRow, rng: random.Random, mode: Mode) -> Identity | None:
    # The public grader finds the patient by identifier here, so the number must be one, be it the id or not.
    number = identifier(world, row, rng, id_allowed=mode == "compat")
    if number:
        return by_number(number)
    return None if mode == "compat" else by_name(world, row)


def _years(world: World, row: PatientRow) -> list[int]:
    born = int(row.birthdate[:4])
    known: dict[str, set[int]] = world.memo.setdefault(("fhirtasks.tasks.patients_age", "years"), {})
    years = known.get(row.id)
    if years is None:
        years = known[row.id] = {moment.local.year for moment in timeline.moments(world, row.id)}
    return sorted(year for year in years if year > born) or [born + 1, born + 18, born + 40]


def _day(born: date, branch: str, rng: random.Random, years: list[int]) -> date | None:
    year = rng.choice(years)
    match branch:
        case "birthday":
            return born.replace(year=year)
        case "day_before_birthday":
            return born.replace(year=year) - ONE_DAY
        case "day_after_birthday":
            return born.replace(year=year) + ONE_DAY
        case "under_one":
            return born + timedelta(days=rng.choice((rng.randrange(1, 364), rng.randrange(1, 364), 364)))
        case "leap_day_birth":
            # 28 February of a common year is left out: jurisdictions disagree on whether it is the birthday.
            if isleap(year):
                return date(year, *rng.choice(((2, 28), (2, 29), (3, 1))))
            return date(year, *rng.choice(((2, 27), (3, 1))))
        case "leap_now":
            leap = [one for one in range(year - 3, year + 5) if isleap(one) and one > born.year]
            return date(rng.choice(leap), 2, 29) if leap else None
    day = date(year, 1, 1) + timedelta(days=rng.randrange(365))
    near = abs((day - born.replace(year=year)).days) <= 1 or (day.month, day.day) == (2, 29)
    return None if near or completed_years(born, day) < 1 else day


def _leap_born(world: World) -> tuple[PatientRow, ...]:
    key = (__name__, "leap born")
    if key not in world.memo:
        world.memo[key] = tuple(row for row in twins.living(world) if row.birthdate.endswith("-02-29"))
    rows: tuple[PatientRow, ...] = world.memo[key]
    return rows


def _leap_day_near(birthdate: str) -> str:
    year = int(birthdate[:4])
    near = min((one for one in range(year - 8, year + 9) if isleap(one)), key=lambda one: (abs(one - year), one))
    return f"{near:04}-02-29"


FAMILY = Family(
    name="patient_age",
    version="1",
    domain="patients",
    kind="query",
    branches=(
        Branch("plain", 2),
        Branch("birthday"),
        Branch("day_before_birthday"),
        Branch("day_after_birthday"),
        Branch("leap_day_birth"),
        Branch("leap_now"),
        Branch("under_one"),
    ),
    sample=sample,
    missing=missing,
    wordings=tuple(wording.instruction for wording in AGE),
    description="A patient's age in completed years at now.",
)
