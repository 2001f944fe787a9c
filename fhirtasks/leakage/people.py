"""A person is a birth date, in any common form, and a name: whole or with initials, in either order."""

from __future__ import annotations

import re
from calendar import month_abbr, month_name
from datetime import date
from typing import Final

from fhirtasks.leakage.folding import name_words, squeeze
from fhirtasks.leakage.policy import Policy
from fhirtasks.leakage.probes import Found, Probe
from fhirtasks.leakage.row import Row
from fhirtasks.population.taskfile import Person

NEAR_INITIALS: Final = 12
"""Words from the birth date within which two initials count as the name."""

_SOFT: Final = 0
_PARTED: Final = 1
_SUFFIXES: Final = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
_MONTHS: Final = {number: sorted({month_abbr[number].lower(), month_name[number].lower()}) for number in range(1, 13)}
_MONTHS[9] = [*_MONTHS[9], "sept"]
_LEET: Final = (
    bytes.maketrans(b"01345789@$!|+", b"oleastbgasilt"),
    bytes.maketrans(b"01345789@$!|+", b"oieastbgasilt"),
)


def person(item: str, who: Person, policy: Policy) -> Probe | None:
    """The probe for a person; None where the name is a single word, which many people have."""
    name = [word.encode() for word in name_words(who.name)]
    full = [word for word in name if len(word) > 1]
    if len(full) < 2:
        return None
    given, family = full[0], full[-1]
    gap = policy.whole("person", "gap")
    forms = date_forms(who.birth_date)

    def look(row: Row, start: int, end: int, form: int) -> Found | None:
        if not _is_date(row, start, end, forms[form][1], forms[form][2]):
            return None
        near = _name(row, given, family, gap, start)
        if near is None:
            return None
        first, last = near
        return Found("person", first, last, f"{who.name}, {who.birth_date.isoformat()}")

    probe = Probe(f"{who.name}, {who.birth_date.isoformat()} ({item})", look)
    for number, (needle, _, _) in enumerate(forms):
        probe.needles.setdefault(needle, number)
    return probe


def date_forms(day: date) -> list[tuple[bytes, tuple[int, ...], int]]:
    """(squeezed text, lengths of its parts, whether they must be parted) of a date as people write it.

    Digits of a fixed width may stand together (19321229); a day or month of one digit, and a year of two, must be
    parted from the rest.
    """
    year, month, number = f"{day.year:04d}", day.month, day.day
    forms: dict[str, tuple[tuple[int, ...], int]] = {}

    def add(written: tuple[str, ...], parted: int) -> None:
        forms.setdefault("".join(written), (tuple(map(len, written)), parted))

    for m, d in ((f"{month:02d}", f"{number:02d}"), (str(month), str(number)), (f"{month:02d}", str(number)),
                 (str(month), f"{number:02d}")):  # fmt: skip
        parted = _SOFT if len(m) + len(d) == 4 else _PARTED
        for written in ((year, m, d), (m, d, year), (d, m, year)):
            add(written, parted)
        for written in ((m, d, year[2:]), (d, m, year[2:]), (year[2:], m, d)):
            add(written, _PARTED)
    suffix = _SUFFIXES.get(number, "th")
    for name in _MONTHS[month]:
        for d in {str(number), f"{number:02d}", f"{number}{suffix}", f"{number}th"}:
            for y in (year, year[2:]):
                for order in ((d, name, y), (name, d, y), (d, "of", name, y), (y, name, d)):
                    add(order, _SOFT if len(y) == 4 else _PARTED)
    return [(needle.encode(), *rest) for needle, rest in forms.items()]


def _is_date(row: Row, start: int, end: int, lengths: tuple[int, ...], parted: int) -> bool:
    if row.before(start)[-1:].isdigit() or row.after(end)[:1].isdigit():
        return False
    gaps = row.gaps(start, end)
    if any(len(gap) > 4 for gap in gaps):
        return False
    if all(gaps):
        return True
    seams = []
    place = 0
    for length in lengths[:-1]:
        place += length
        seams.append(place - 1)
    inner = [gap for number, gap in enumerate(gaps) if gap and number not in seams]
    if any(gap.strip(b" \t\n") for gap in inner) or len(inner) > 1:
        return False
    at_seams = [gaps[seam] for seam in seams]
    return all(at_seams) if parted else (all(at_seams) or not any(at_seams) or lengths[-1] > 1)


def _name(row: Row, given: bytes, family: bytes, gap: int, born: int) -> tuple[int, int] | None:
    """Where the name stands, anywhere in the row: whole, in one word, with an initial, or in leetspeak."""
    hay = row.squeezed
    if family in hay or given in hay:
        where = row.where
        firsts, lasts = where.get(given, []), where.get(family, [])
        near = _beside(firsts, lasts, gap + 1)
        if near is None:
            near = _beside(where.get(given[:1], []), lasts, 2) or _beside(firsts, where.get(family[:1], []), 2)
        if near is not None:
            first, last = min(near), max(near)
            return row.offsets[first], row.offsets[last] + len(row.words[last])
    for whole in (given + family, family + given):
        place = hay.find(whole)
        if place >= 0:
            return place, place + len(whole)
    for glued in (given[:1] + family, family + given[:1]):
        for match in re.finditer(re.escape(glued), hay):
            if row.ends(match.start(), match.end()):
                return match.span()
    initials = _beside(row.where.get(given[:1], []), row.where.get(family[:1], []), 1)
    if initials is not None and abs(row.offsets[initials[0]] - born) <= NEAR_INITIALS * 6:
        return row.offsets[min(initials)], row.offsets[max(initials)] + 1
    return _in_leet(row, given, family)


def _beside(ones: list[int], others: list[int], gap: int) -> tuple[int, int] | None:
    """The first two numbers, one of each ascending list, at most ``gap`` apart and not the same."""
    left = 0
    for one in ones:
        while left < len(others) and others[left] < one - gap:
            left += 1
        for other in others[left : left + 2 * gap + 2]:
            if abs(other - one) > gap:
                break
            if other != one:
                return one, other
    return None


def _in_leet(row: Row, given: bytes, family: bytes) -> tuple[int, int] | None:
    for view in row.views:
        for table in _LEET:
            text = squeeze(view.ascii.lower().translate(table))
            if given + family in text or family + given in text:
                start = row.start_of(view)
                return start, start + len(view.squeezed)
    return None
