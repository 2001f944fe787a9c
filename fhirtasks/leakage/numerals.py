"""Numbers in English words, as digits: one by one, in pairs as years are read, with hundreds, and as ordinals.

``six, five-three`` -> ``6-5-3``, ``sixty-five thirty-four`` -> ``65 34``, ``nineteen thirty-two`` -> ``19 32``,
``the twenty-ninth`` -> ``the 29``, ``double five`` -> ``55``.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Final

_UNITS: Final = {
    "zero": 0, "oh": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
}  # fmt: skip
_FIRST: Final = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
}  # fmt: skip
_TEENS: Final = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENTHS: Final = {f"{name}th": number for name, number in _TEENS.items()} | {
    "twelfth": 12, "twentieth": 20, "thirtieth": 30,
}  # fmt: skip
_TENS: Final = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_TIMES: Final = {"double": 2, "triple": 3}
_POWERS: Final = {"hundred": 100, "thousand": 1000}
_WORDS: Final = sorted(
    (*_UNITS, *_FIRST, *_TEENS, *_TENTHS, *_TENS, *_TIMES, *_POWERS), key=lambda word: (-len(word), word)
)
_WORD: Final = re.compile("|".join(_WORDS), re.IGNORECASE)
_ONE: Final = rf"(?:{'|'.join(_WORDS)})(?![a-wyz])"
NUMBERS: Final = re.compile(rf"{_ONE}(?:[\W_]{{1,6}}(?:and[\s_]+)?{_ONE})*", re.IGNORECASE)
"""Number words that follow each other."""

NEEDLES: Final = tuple(
    "".join(words).encode()
    for words in (
        *product(_UNITS, repeat=3), *product(_TENS, (*_UNITS, *_FIRST)), *product(_TEENS, (*_TENS, *_UNITS)),
        *product(_TENS, _TENS), *product(_TIMES, _UNITS),
    )
)  # fmt: skip
"""Number words with nothing between, such as call for a text's numbers to be read."""


def digits(match: re.Match[str]) -> str:
    """What :data:`NUMBERS` matched, in digits; what stands between two numbers stays, if it is one character."""
    run = match.group()
    words = list(_WORD.finditer(run))
    names = [word.group().lower() for word in words]
    written: list[str] = []
    place = last = 0
    while place < len(words):
        begin = words[place].start()
        number, place = _read(names, place)
        between = run[last:begin]
        written += [between if len(between) < 2 else "-", number] if last else [number]
        last = words[place - 1].end()
    return "".join(written)


def _read(words: list[str], place: int) -> tuple[str, int]:
    """The number that begins at a word, and the place after it."""
    word = words[place]
    following = words[place + 1] if place + 1 < len(words) else ""
    if word in _TIMES and following in _UNITS:
        return str(_UNITS[following]) * _TIMES[word], place + 2
    value, place = _small(words, place)
    if value is None:
        return word, place
    for power in ("hundred", "thousand"):
        if value and words[place : place + 1] == [power]:
            rest, after = _small(words, place + 1)
            return str(value * _POWERS[power] + (rest or 0)), place + 1 if rest is None else after
    return str(value), place


def _small(words: list[str], place: int) -> tuple[int | None, int]:
    """A number below a hundred, and the place after it; None and the next place for another word."""
    word = words[place] if place < len(words) else ""
    following = words[place + 1] if place + 1 < len(words) else ""
    if word in _TENS:
        unit = _UNITS.get(following) or _FIRST.get(following)
        return (_TENS[word] + unit, place + 2) if unit else (_TENS[word], place + 1)
    for table in (_UNITS, _FIRST, _TEENS, _TENTHS):
        if word in table:
            return table[word], place + 1
    return None, place + 1
