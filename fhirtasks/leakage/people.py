"""A person is a birth date, in any common form, and a name: whole or with initials, in either order."""

from __future__ import annotations

import re
import unicodedata
from calendar import month_abbr, month_name
from datetime import date
from itertools import pairwise
from typing import Final

from fhirtasks.leakage.folding import name_words, squeeze, squeezed
from fhirtasks.leakage.policy import Policy
from fhirtasks.leakage.probes import Found, Probe
from fhirtasks.leakage.row import Row
from fhirtasks.population.taskfile import Person

NEAR_INITIALS: Final = 12
"""Words from the birth date within which two initials count as the name."""
NEAR_LEET: Final = 1_000
"""Characters from the birth date within which a name in leetspeak is looked for."""
LETTERS: Final = 14
"""Characters of a word, JSON's marks included, by which a window of words is measured."""
SHORTEST: Final = 6
"""Digits of a date by which it is looked for; a shorter one (7/4/88) is looked for beside the name."""
NEAR_NAME: Final = 60
"""Characters from the whole name within which such a date must stand."""
NAME: Final = -1
"""The number of the needles that are names."""

_WORD: Final = re.compile(rb"[a-z0-9]+")
_SHORT_DATE: Final = re.compile(rb"(?<![\d.])(\d{1,2})[-/. ](\d{1,2})[-/. ](\d\d)(?!\d)")
_SUFFIXES: Final = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
_MONTHS: Final = {number: sorted({month_abbr[number].lower(), month_name[number].lower()}) for number in range(1, 13)}
_MONTHS[9] = [*_MONTHS[9], "sept"]
_TWO_LETTERS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_CLOCK: Final = re.compile(rb"(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?(?!\d)")
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
    names = [(given, family) for given in _spellings(who.name, full[0]) for family in _spellings(who.name, full[-1])]
    gap = policy.whole("person", "gap")
    forms = date_forms(who.birth_date)

    def look(row: Row, start: int, end: int, form: int) -> Found | None:
        if form == NAME:
            near = (start, end) if _short_date(row, start, end, who.birth_date) and row.ends(start, end) else None
        elif _is_date(row, start, end, forms[form][1], forms[form][2]):
            near = next((near for name in names if (near := _name(row, *name, gap, start)) is not None), None)
        else:
            near = None
        return None if near is None else Found("person", *near, f"{who.name}, {who.birth_date.isoformat()}")

    probe = Probe(
        f"{who.name}, {who.birth_date.isoformat()} ({item})",
        look,
        {whole: NAME for given, family in names for whole in (given + family, family + given)},
    )
    for number, (needle, _, _) in enumerate(forms):
        if len(needle) >= SHORTEST:
            probe.needles.setdefault(needle, number)
    return probe


def _spellings(name: str, word: bytes) -> list[bytes]:
    """A word of a name, and how else it is written where an umlaut is one letter or two (``Müller``, ``Mueller``)."""
    found = [word]
    for part in re.split(r"\W+", unicodedata.normalize("NFC", name.lower())):
        if squeezed(part).encode() == word:
            found.append(squeezed(part.translate(_TWO_LETTERS)).encode())
    found += [word.replace(two, two[:1]) for two in (b"ae", b"oe", b"ue") if len(word) > 4]
    return list(dict.fromkeys(found))


def date_forms(day: date) -> list[tuple[bytes, tuple[int, ...], bool]]:
    """(squeezed text, lengths of its parts, whether they must be parted) of a date as people write it.

    Digits of a fixed width may stand together (19321229); a day or month of one digit, and a year of two, must be
    parted from the rest.
    """
    year, month, number = f"{day.year:04d}", day.month, day.day
    forms: dict[str, tuple[tuple[int, ...], bool]] = {}

    def add(written: tuple[str, ...], parted: bool) -> None:
        forms.setdefault("".join(written), (tuple(map(len, written)), parted))

    for m, d in ((f"{month:02d}", f"{number:02d}"), (str(month), str(number)), (f"{month:02d}", str(number)),
                 (str(month), f"{number:02d}")):  # fmt: skip
        parted = len(m) + len(d) < 4
        for written in ((year, m, d), (m, d, year), (d, m, year), *([(year, d, m)] if number > 12 else [])):
            add(written, parted)
        for written in ((m, d, year[2:]), (d, m, year[2:]), (year[2:], m, d)):
            add(written, True)
    suffix = _SUFFIXES.get(number, "th")
    for name in _MONTHS[month]:
        for d in {str(number), f"{number:02d}", f"{number}{suffix}", f"{number}th"}:
            for y in (year, year[2:]):
                for order in ((d, name, y), (name, d, y), (d, "of", name, y), (d, "dayof", name, y), (y, name, d)):
                    add(order, len(y) < 4)
    return [(needle.encode(), *rest) for needle, rest in forms.items()]


def _is_date(row: Row, start: int, end: int, lengths: tuple[int, ...], parted: bool) -> bool:
    near = row.near(start, end)
    if near is not None:
        before, here, after = near
        if before.isdigit() or (after.isdigit() and not (len(here) == 8 and _CLOCK.match(row.after(end)))):
            return False
        if len(here) == end - start:
            return not parted
        if len(here) > 5 * (end - start):
            return False
    elif row.before(start)[-1:].isdigit() or row.after(end)[:1].isdigit():
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


def _short_date(row: Row, start: int, end: int, day: date) -> bool:
    """Whether the birth date stands near in figures, with two of the year and no zeros."""
    for one, other, year in _SHORT_DATE.findall(row.around(start, end, NEAR_NAME)):
        if int(year) == day.year % 100 and sorted((int(one), int(other))) == sorted((day.month, day.day)):
            return True
    return False


def _name(row: Row, given: bytes, family: bytes, gap: int, born: int) -> tuple[int, int] | None:
    """Where the name stands: whole or with an initial anywhere in the row, as initials or in leetspeak near the date."""
    key = (given, family)
    if key not in row.names:
        row.names[key] = _anywhere(row, given, family, gap)
    return row.names[key] or _initials(row, given, family, born) or _in_leet(row, given, family, born)


def _anywhere(row: Row, given: bytes, family: bytes, gap: int) -> tuple[int, int] | None:
    hay = row.squeezed
    for word, other in ((family, given), (given, family)):
        if word in hay:
            found = _beside(row, word, other, gap)
            if found is not None:
                return found
    for whole in (given + family, family + given):
        place = hay.find(whole)
        if place >= 0:
            return place, place + len(whole)
    for glued in (given[:1] + family, family + given[:1]):
        place = hay.find(glued)
        while place >= 0:
            if row.ends(place, place + len(glued)):
                return place, place + len(glued)
            place = hay.find(glued, place + 1)
    return None


def _beside(row: Row, word: bytes, other: bytes, gap: int) -> tuple[int, int] | None:
    """Where ``word`` stands, as a word, at most ``gap`` words from ``other``, or two from its initial."""
    pattern = re.compile(rb"(?<![a-z0-9])" + re.escape(word) + rb"(?![a-z0-9])")
    for view in row.views:
        text = view.lower
        for match in pattern.finditer(text):
            start = max(0, match.start() - gap * LETTERS)
            before = list(_WORD.finditer(text, start, match.start()))[::-1]
            after = list(_WORD.finditer(text, match.end(), match.end() + gap * LETTERS))
            for words in (before, after):
                for number, near in enumerate(words[: gap + 1]):
                    if near.group() == other or (number < 2 and near.group() == other[:1]):
                        first, last = min(near.start(), match.start()), max(near.end(), match.end())
                        return row.offset(view, first), row.offset(view, last - 1) + 1
    return None


def _initials(row: Row, given: bytes, family: bytes, born: int) -> tuple[int, int] | None:
    """Two initials beside each other, near the birth date."""
    words = _WORD.findall(row.around(born, born + 1, NEAR_INITIALS * LETTERS // 2))
    for pair in pairwise(words):
        if pair in ((given[:1], family[:1]), (family[:1], given[:1])):
            return born, born + 1
    return None


def _in_leet(row: Row, given: bytes, family: bytes, born: int) -> tuple[int, int] | None:
    text = row.around(born, born + 1, NEAR_LEET)
    for table in _LEET:
        read = squeeze(text.translate(table))
        if given + family in read or family + given in read:
            return born, born + 1
    return None
