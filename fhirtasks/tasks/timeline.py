"""When a task happens: instants on a patient's own timeline, printed with the offset that its records use."""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from fhirtasks.graph.world import World

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
PER_PATIENT = 48
"""Moments kept per patient: enough for variety, little to hold for a large world."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant in µs since the epoch and the offset it is written with (``Z``, ``+00:00``, ``-05:00``)."""

    instant: int
    offset: str

    @property
    def text(self) -> str:
        """ISO 8601 with seconds and offset."""
        return self.local.isoformat()[:19] + self.offset

    @property
    def local(self) -> datetime:
        """The wall clock's reading, as the offset has it."""
        return EPOCH + timedelta(microseconds=self.instant, minutes=minutes(self.offset))

    def later(self, microseconds: int) -> Moment:
        """This much later, with the same offset."""
        return Moment(self.instant + microseconds, self.offset)


def minutes(offset: str) -> int:
    """What an offset adds to UTC, in minutes."""
    if offset == "Z":
        return 0
    hours, rest = offset[1:].split(":")
    return (-1 if offset[0] == "-" else 1) * (int(hours) * 60 + int(rest))


def at(local: datetime, offset: str) -> Moment:
    """The moment at which the wall clock (``local``, taken without its own zone) reads this."""
    wall = local.replace(tzinfo=EPOCH.tzinfo) - timedelta(minutes=minutes(offset))
    return Moment((wall - EPOCH) // timedelta(microseconds=1), offset)


def moments(world: World, patient: str) -> tuple[Moment, ...]:
    """Times at which something is recorded about the patient, in order, spread over its chart.

    For a patient without any, those of the whole world.
    """
    known = _moments(world)
    return known.get(patient) or known[""]


def draw(world: World, patient: str, rng: random.Random, since: int | None = None) -> Moment | None:
    """A ``now`` for a task about the patient: some minutes to three days after one of its records, to the minute.

    Only records from ``since`` (µs) on count; None if there are none.
    """
    known = moments(world, patient)
    if since is not None:
        known = known[bisect_left(known, since, key=lambda moment: moment.instant) :]
    if not known:
        return None
    moment = rng.choice(known)
    whole = moment.instant // 60_000_000 * 60_000_000
    return Moment(whole, moment.offset).later(rng.randrange(1, 72 * 60) * 60_000_000)


def _moments(world: World) -> dict[str, tuple[Moment, ...]]:
    key = (__name__, "moments")
    if key not in world.memo:
        rows = world.db.execute(_SQL, [PER_PATIENT]).fetchall()
        found: dict[str, list[Moment]] = {}
        for patient, instant, offset in rows:
            found.setdefault(patient, []).append(Moment(instant, offset))
        everyone = sorted(
            (moment for own in found.values() for moment in own), key=lambda one: (one.instant, one.offset)
        ) or [_ORIGIN]
        step = -(-len(everyone) // (PER_PATIENT * 4))
        world.memo[key] = {patient: tuple(own) for patient, own in found.items()} | {"": tuple(everyone[::step])}
    known: dict[str, tuple[Moment, ...]] = world.memo[key]
    return known


_ORIGIN = at(datetime(2024, 3, 4, 9, 30), "+00:00")  # noqa: DTZ001
"""For worlds in which nothing has a time."""

_SQL = """
with timed as (
    select patient, date_lo, regexp_extract(effective, '(Z|[+-][0-9]{2}:[0-9]{2})$', 1) as written
    from resource
    where patient is not null and date_lo is not null and length(effective) >= 19
), numbered as (
    select patient, date_lo, written, row_number() over (partition by patient order by date_lo, written) - 1 as place,
        count(*) over (partition by patient) as total
    from (select distinct patient, date_lo, written from timed where written <> '')
)
select patient, date_lo, written from numbered
where place % greatest(1, ceil(total / $1)::bigint) = 0
order by patient, date_lo, written
"""
