"""People who are easily mistaken for each other: names and dates that almost agree, natively or by a scenario."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from datetime import date, datetime, timedelta

from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.charts import Charts
from fhirtasks.tasks import timeline
from fhirtasks.tasks.identity import PatientRow, fold, index, official_name

ONE_DAY = 86_400_000_000
"""In µs."""

NEIGHBOURS = 12
"""A twin by scenario is one of so many patients nearest in age, so that its own chart still fits its birth date."""


def subjects(world: World) -> tuple[PatientRow, ...]:
    """The world's own patients who can be named by a full name and a full birth date, by id."""
    key = (__name__, "subjects")
    if key not in world.memo:
        own = set(world.patients)
        world.memo[key] = tuple(
            row for row in index(world).rows if row.id in own and row.name and len(row.birthdate) == 10
        )
    rows: tuple[PatientRow, ...] = world.memo[key]
    return rows


def living(world: World) -> tuple[PatientRow, ...]:
    """Those of whom no death is on record."""
    key = (__name__, "living")
    if key not in world.memo:
        world.memo[key] = tuple(row for row in subjects(world) if not row.deceased)
    rows: tuple[PatientRow, ...] = world.memo[key]
    return rows


def adulthood(row: PatientRow) -> int:
    """The start of the 18th birthday, UTC, in µs since the epoch (29 February: of 1 March)."""
    year, month, day = (int(part) for part in row.birthdate.split("-"))
    if (month, day) == (2, 29):
        month, day = 3, 1
    return timeline.at(datetime(year + 18, month, day), "Z").instant  # noqa: DTZ001


def adults(world: World) -> tuple[PatientRow, ...]:
    """The living of whom something is recorded after they came of age, and a day more for any offset."""
    key = (__name__, "adults")
    if key not in world.memo:
        world.memo[key] = tuple(
            row for row in living(world) if timeline.moments(world, row.id)[-1].instant > adulthood(row) + ONE_DAY
        )
    rows: tuple[PatientRow, ...] = world.memo[key]
    return rows


def same_name(world: World, among: tuple[PatientRow, ...]) -> tuple[PatientRow, ...]:
    """Those of ``among`` who share their name with a subject of another birth date."""
    return _sharing(world, among, lambda row: fold(row.name), lambda row: row.birthdate)


def same_birthdate(world: World, among: tuple[PatientRow, ...]) -> tuple[PatientRow, ...]:
    """Those of ``among`` who share their birth date with a subject of another name."""
    return _sharing(world, among, lambda row: row.birthdate, lambda row: fold(row.name))


def pick(rng: random.Random, native: tuple[PatientRow, ...], others: tuple[PatientRow, ...]) -> tuple[PatientRow, bool]:
    """One of the native cases, if there are any and as a rule; else one of the others. True for a native case."""
    # A single native pair would fill every row of its branch: the fewer there are, the more scenarios join them.
    if native and (not others or rng.random() < len(native) / (len(native) + 2)):
        return rng.choice(native), True
    return rng.choice(others), False


def namesake(world: World, row: PatientRow, rng: random.Random, now: int) -> Scenario | None:
    """Another patient, visible at ``now``, gets the row's name and keeps its own birth date; None without any."""
    donor = _donor(world, row, rng, now, lambda one: one.birthdate != row.birthdate)
    if donor is None:
        return None
    body = loads(_raw(world, donor.id))
    # Only what makes the name: a prefix, a use, a maiden name stay the donor's.
    theirs, ours = official_name(body["name"]), official_name(loads(_raw(world, row.id))["name"])
    for key in ("given", "family"):
        if key in ours:
            theirs[key] = ours[key]
        else:
            theirs.pop(key, None)
    if "text" in theirs:
        theirs["text"] = theirs["text"].replace(donor.name, row.name) if donor.name in theirs["text"] else row.name
    _narrate(body, donor.given, row.given)
    _narrate(body, donor.family, row.family)
    return Scenario(add=(dumps(body),))


def birthday_twin(world: World, row: PatientRow, rng: random.Random, now: int) -> Scenario | None:
    """Another patient, visible at ``now``, gets the row's birth date and keeps its own name; None without any."""
    donor = _donor(world, row, rng, now, lambda one: fold(one.name) != fold(row.name))
    return None if donor is None else reborn(world, donor, row.birthdate)


def reborn(world: World, row: PatientRow, birthdate: str) -> Scenario:
    """The patient gets another birth date."""
    # The resource keeps its id, identifiers, metadata and place: a Bundle with it looks as it always did.
    body = loads(_raw(world, row.id))
    body["birthDate"] = birthdate
    _narrate(body, row.birthdate, birthdate)
    return Scenario(add=(dumps(body),))


def near_date(birthdate: str, rng: random.Random) -> str:
    """A date that a typist could have meant: some days or a year off, digits transposed, day and month swapped."""
    born = date.fromisoformat(birthdate)
    year, month, day = birthdate.split("-")
    candidates = [(born + timedelta(days=days)).isoformat() for days in (-3, -2, -1, 1, 2, 3)]
    for text in (
        f"{year}-{month}-{day[::-1]}",
        f"{year}-{day}-{month}",
        f"{year[:2]}{year[3]}{year[2]}-{month}-{day}",
        f"{born.year - 1}-{month}-{day}",
        f"{born.year + 1}-{month}-{day}",
    ):
        if text != birthdate and _is_date(text):
            candidates.append(text)
    return rng.choice(candidates)


def near_name(world: World, row: PatientRow, rng: random.Random) -> str:
    """The row's name with one sign off (changed, dropped, doubled or transposed), or with another's given name."""
    other = rng.choice(subjects(world)).given
    if row.given and other and fold(other) != fold(row.given) and rng.random() < 0.3:
        return " ".join(row.name.replace(row.given, other, 1).split())
    digits = [place for place, sign in enumerate(row.name) if sign.isdigit()]
    letters = [place for place, sign in enumerate(row.name) if sign.isascii() and sign.isalpha() and place]
    # In names such as Patient_10007795 only the digits tell people apart.
    place = rng.choice(digits if len(digits) >= 4 else letters or digits or [len(row.name) - 1])
    before, sign, after = row.name[:place], row.name[place], row.name[place + 1 :]
    alphabet = string.digits if sign.isdigit() else string.ascii_lowercase
    changed = rng.choice([other for other in alphabet if other != sign.lower()])
    edits = [before + (changed.upper() if sign.isupper() else changed) + after]
    if not sign.isdigit():
        edits += [before + after, before + sign + sign.lower() + after]
    if after[:1].isalnum() and after[0].lower() != sign.lower():
        edits.append(before + after[0] + sign + after[1:])
    return rng.choice(edits)


def unknown_name(world: World, rng: random.Random) -> str | None:
    """A name in the style of the world's own that nobody there has; None if none was found."""
    rows = subjects(world)
    known = index(world).by_name
    for attempt in range(20):
        one, other = rng.choice(rows), rng.choice(rows)
        # Where all have one family name, or one given name, no two of them make a third name.
        if one.given and other.family and attempt < 15:
            name = f"{one.given} {other.family}"
        elif sum(sign.isdigit() for sign in one.name) >= 4:
            name = "".join(rng.choice(string.digits) if sign.isdigit() else sign for sign in one.name)
        else:
            name = near_name(world, one, rng)
        if fold(name) not in known:
            return name
    return None


def _sharing(
    world: World,
    among: tuple[PatientRow, ...],
    shared: Callable[[PatientRow], str],
    distinct: Callable[[PatientRow], str],
) -> tuple[PatientRow, ...]:
    groups: dict[str, set[str]] = {}
    for row in subjects(world):
        groups.setdefault(shared(row), set()).add(distinct(row))
    return tuple(row for row in among if len(groups[shared(row)]) > 1)


def _donor(
    world: World, row: PatientRow, rng: random.Random, now: int, fits: Callable[[PatientRow], bool]
) -> PatientRow | None:
    key = (__name__, "by birth")
    if key not in world.memo:
        ordered = tuple(sorted(subjects(world), key=lambda one: (one.birthdate, one.id)))
        world.memo[key] = (ordered, {one.id: place for place, one in enumerate(ordered)})
    ordered, places = world.memo[key]
    place = places[row.id]
    around = ordered[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]
    fitting = [one for one in around if one.id != row.id and one.visible(now) and fits(one)]
    alike = [one for one in fitting if one.gender == row.gender]
    return rng.choice(alike or fitting) if fitting else None


def _narrate(body: dict[str, Json], old: str, new: str) -> None:
    if old and new and old in body.get("text", {}).get("div", ""):
        body["text"]["div"] = body["text"]["div"].replace(old, new)


def _raw(world: World, patient: str) -> str:
    key = (__name__, "raws")
    if key not in world.memo:
        world.memo[key] = {record.id: record.raw for record in Charts.of(world).people().records}
    raw: str = world.memo[key][patient]
    return raw


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
