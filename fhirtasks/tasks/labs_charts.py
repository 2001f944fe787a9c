"""A world's lab results by code and patient, read once, and the timelines that ``now`` is chosen on."""

from __future__ import annotations

import random
import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import cache
from operator import le
from typing import Any, NamedTuple

from fhirtasks.graph.world import World
from fhirtasks.tasks import identity
from fhirtasks.tasks.analytes import BY_CODE, Analyte

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PLAIN_STATUS = frozenset({"final", "amended", "corrected"})
FOREVER = 1 << 62
DONORS = 4
_OFFSET = re.compile(r"([+-]\d\d:\d\d|Z)$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Result(NamedTuple):
    """One Observation of a code. Times in µs UTC; ``value`` is None where there is no number.

    ``plain``: final, a bare number in the code's usual unit, taken at an exact time.
    """

    time: int
    id: str
    end: int
    effective: str
    value: Decimal | None
    available: int
    plain: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """When things happened to a patient: sorted times with the UTC offsets they are written in."""

    times: tuple[int, ...]
    offsets: tuple[str, ...]
    start: int
    """From here on the Patient is visible and has records (µs)."""
    season: tuple[str | None, ...]
    """By week of the year, the offset that nearly all of the world's records have then (summer time), if one has."""

    @property
    def end(self) -> int:
        """Two days after the last record: later, nothing surrounds a task."""
        return self.times[-1] + 2 * DAY

    def offset(self, at: int) -> str:
        """The offset that a record of this time would be written in: as those near it, else as the season has it."""
        place = max(bisect_right(self.times, at) - 1, 0)
        if abs(at - self.times[place]) > 3 * DAY and (usual := self.season[_week(at)]) is not None:
            return usual
        return self.offsets[place]


@dataclass(frozen=True, slots=True)
class Group:
    """Results of one chart at one time. ``seen``: when all are visible; ``until``: when a later one becomes so."""

    chart: Chart
    first: int
    last: int
    time: int
    seen: int
    until: int
    single: Result | None = None
    """The one plain result of this time, None if there are several or it is not plain."""

    @property
    def results(self) -> tuple[Result, ...]:
        return self.chart.results[self.first : self.last + 1]


@dataclass(eq=False, slots=True)
class Chart:
    """One patient's results of one code, by time and id. ``groups`` are filled in when the chart is built."""

    patient: str
    timeline: Timeline
    results: tuple[Result, ...]
    groups: tuple[Group, ...] = ()
    known: tuple[int, ...] = ()
    """When each result becomes visible, if that is in their order; then what is seen is the first so many."""

    def __post_init__(self) -> None:
        known = tuple(result.available for result in self.results)
        self.known = known if all(map(le, known, known[1:])) else ()

    def seen(self, now: int) -> Sequence[Result]:
        """What is visible at ``now`` (µs)."""
        if self.known:
            return self.results[: bisect_right(self.known, now)]
        return [result for result in self.results if result.available <= now]


@dataclass(eq=False, slots=True)
class Lab:
    """One code in one world: its usual ``unit``, the texts that values have, and who has results.

    ``decimals``: digits after the point in most values; ``padded``: whole values show them too.
    """

    analyte: Analyte
    code: str
    unit: str
    decimals: int
    padded: bool
    charts: tuple[Chart, ...]
    texts: dict[Decimal, str]
    donors: dict[str, tuple[tuple[str, str], ...]]
    """By the text of a value, a few results (patient, id) that have it."""
    unclear: frozenset[str]
    """Patients with undated results of this code: never sampled."""
    groups: tuple[Group, ...] = ()

    @property
    def step(self) -> Decimal:
        """The difference between adjacent printed values; laboratories' usual one where the last bit is printed."""
        return self.analyte.step if self.decimals > 4 else Decimal(1).scaleb(-self.decimals)

    def text(self, value: Decimal) -> str:
        """The value as this world would print it: a text that occurs if there is one, else in the usual precision."""
        if value in self.texts:
            return self.texts[value]
        fixed = value.quantize(Decimal(1).scaleb(-self.decimals))
        if self.padded or self.decimals > 4:
            return str(fixed)
        text = str(fixed)
        return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Deck:
    """All that sampling needs of a world. ``pools`` caches which groups suit a branch, ``usable`` which labs."""

    labs: dict[str, Lab]
    timelines: dict[str, Timeline]
    pools: dict[tuple[object, ...], tuple[Group, ...]] = field(default_factory=dict)
    usable: dict[tuple[object, ...], list[Lab]] = field(default_factory=dict)

    def of(self, *keys: str) -> list[Lab]:
        """The labs of these analytes (none: of all) that enough patients have to sample from, by code."""
        found = [lab for code, lab in sorted(self.labs.items()) if not keys or lab.analyte.key in keys]
        most = max((len(lab.charts) for lab in found), default=0)
        return [lab for lab in found if len(lab.charts) * 10 >= most]


def deck(world: World) -> Deck:
    """The world's deck, built on first use."""
    key = (__name__, "deck")
    if key not in world.memo:
        timelines = _timelines(world)
        world.memo[key] = Deck(_labs(world, timelines), timelines)
    known: Deck = world.memo[key]
    return known


def instant(at: int, offset: str) -> str:
    """``YYYY-MM-DDThh:mm:ss±hh:mm`` for µs since the epoch, in this offset."""
    return local(at, offset).isoformat(timespec="seconds")


def local(at: int, offset: str) -> datetime:
    """The same instant as a datetime in this offset."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone(offset))


def micros(when: datetime) -> int:
    """µs since the epoch of an aware datetime."""
    return (when - _EPOCH) // timedelta(microseconds=1)


@cache
def zone(offset: str) -> timezone:
    """``+05:30`` or ``Z`` as a timezone."""
    if offset == "Z":
        return UTC
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6])))


def offset_of(text: str) -> str | None:
    """The UTC offset at the end of a dateTime (``Z`` becomes ``+00:00``), None if it has none."""
    match = _OFFSET.search(text) if "T" in text else None
    return None if match is None else match.group(1).replace("Z", "+00:00")


def _timelines(world: World) -> dict[str, Timeline]:
    rows = world.db.execute(
        "select patient, min(date_lo), arg_min(effective, (date_lo, effective)) from resource "
        "where type in ('Observation', 'Encounter', 'MedicationRequest', 'Procedure') and patient is not null "
        "and date_lo is not null and effective like '%T%' group by patient, date_lo // ? order by 1, 2",
        [HOUR],
    ).fetchall()
    events: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for patient, at, text in rows:
        if offset := offset_of(text):
            events[patient].append((at, offset))
    season = _season(events)
    mine = set(world.patients)
    found = {}
    for row in identity.patient_rows(world):
        # Nobody orders tests for the dead, and a Patient that tells of its death is hidden before it.
        if row.id in mine and not row.deceased and (known := events.get(row.id)):
            start = max(known[0][0], row.available or known[0][0])
            times, offsets = zip(*known, strict=True)
            found[row.id] = Timeline(times, offsets, start, season)
    return found


def _season(events: dict[str, list[tuple[int, str]]]) -> tuple[str | None, ...]:
    weeks: list[Counter[str]] = [Counter() for _ in range(53)]
    for known in events.values():
        for at, offset in known:
            weeks[_week(at)][offset] += 1
    usual = [week.most_common(1)[0] if week else ("", 0) for week in weeks]
    return tuple(
        offset if count * 10 >= week.total() * 9 and count else None
        for week, (offset, count) in zip(weeks, usual, strict=True)
    )


def _week(at: int) -> int:
    return (_EPOCH + timedelta(microseconds=at)).timetuple().tm_yday // 7


def _labs(world: World, timelines: dict[str, Timeline]) -> dict[str, Lab]:
    present = world.db.execute(
        "select distinct unnest(codes) as code from resource where type = 'Observation' order by code"
    ).fetchall()
    tokens = [token for (token,) in present if token.rpartition("|")[2] in BY_CODE]
    rows = world.db.execute(
        "select codes, patient, id, date_lo, date_hi, effective, value, unit, status, available, "
        "contains(raw, '\"comparator\"') from resource "
        "where type = 'Observation' and patient is not null and list_has_any(codes, ?) order by patient, date_lo, id",
        [tokens],
    ).fetchall()
    by_code: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for codes, *rest in rows:
        for code in sorted({token.rpartition("|")[2] for token in codes} & BY_CODE.keys()):
            by_code[code].append(tuple(rest))
    labs = {}
    for code, mine in sorted(by_code.items()):
        if (lab := _lab(code, mine, timelines)) is not None:
            labs[code] = lab
    return labs


def _lab(code: str, rows: list[tuple[Any, ...]], timelines: dict[str, Timeline]) -> Lab | None:
    units = Counter(str(row[6]) for row in rows if row[5] is not None and row[6])
    if not units:
        return None
    unit = max(sorted(units), key=lambda one: units[one])
    results: defaultdict[str, list[Result]] = defaultdict(list)
    undated: set[str] = set()
    texts: Counter[str] = Counter()
    donors: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for patient, identifier, low, high, effective, value, its_unit, status, available, compared in rows:
        if low is None or high is None or not effective:
            undated.add(str(patient))
            continue
        number = _number(value)
        plain = (
            number is not None and its_unit == unit and not compared and status in PLAIN_STATUS
            and high - low <= SECOND and offset_of(str(effective)) is not None
        )  # fmt: skip
        if plain:
            texts[str(value)] += 1
            if texts[str(value)] <= DONORS:
                donors[str(value)].append((str(patient), str(identifier)))
        results[str(patient)].append(
            Result(low, str(identifier), high, str(effective), number, low if available is None else available, plain)
        )
    charts = tuple(
        _chart(patient, timelines[patient], results[patient])
        for patient in sorted(results)
        if patient in timelines and patient not in undated
    )
    if not charts or not texts:
        return None
    decimals: Counter[int] = Counter()
    for text, count in texts.items():
        decimals[_places(text)] += count
    usual = _usual(decimals)
    whole = [text for text in texts if Decimal(text) == Decimal(text).to_integral_value()]
    lab = Lab(
        BY_CODE[code], code, unit, usual, any("." in text for text in whole), charts,
        {Decimal(text): text for text in sorted(texts)},
        {text: tuple(donors[text]) for text in sorted(donors)},
        frozenset(undated),
    )  # fmt: skip
    # In a fixed order of no meaning: who takes the first few takes them from all over the world.
    groups = [group for chart in charts for group in chart.groups]
    random.Random(lab.code).shuffle(groups)
    lab.groups = tuple(groups)
    return lab


def _number(text: object) -> Decimal | None:
    try:
        return None if text is None else Decimal(str(text))
    except InvalidOperation:
        return None


def _places(text: str) -> int:
    return max(0, -int(Decimal(text).as_tuple().exponent))


def _usual(decimals: Counter[int]) -> int:
    # Where trailing zeros are dropped, one in ten values is shorter than the precision: the largest common count is it.
    total = sum(decimals.values())
    return max(places for places, count in decimals.items() if count * 20 >= total)


def _chart(patient: str, timeline: Timeline, results: list[Result]) -> Chart:
    chart = Chart(patient, timeline, tuple(results))
    times = [result.time for result in results]
    groups: list[Group] = []
    until = FOREVER
    last = len(results) - 1
    while last >= 0:
        first = bisect_left(times, times[last])
        members = results[first : last + 1]
        seen = max(one.available for one in members)
        single = members[0] if first == last and members[0].plain else None
        groups.append(Group(chart, first, last, times[last], seen, until, single))
        until = min([until, *(one.available for one in members)])
        last = first - 1
    chart.groups = tuple(reversed(groups))
    return chart
