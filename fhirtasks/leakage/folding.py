"""Words as the leak filter compares them: no case, no accents, no punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

WORD = re.compile(r"(?:[^\W_][\u0300-\u036f]*)+")
"""A run of letters and digits, combining accents included."""

_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})


def fold(text: str) -> str:
    """Lower case without accents (``Müller-Ñandú`` -> ``muller-nandu``, ``Groß`` -> ``gross``)."""
    if text.isascii():
        return text.lower()
    return _fold(text)


def words(text: str) -> list[str]:
    """The folded words of a text, in order."""
    return [fold(word) for word in WORD.findall(text)]


def normalised(text: str) -> str:
    """A text with case, accents, white space, punctuation and quotes ignored: its folded words, one space between."""
    return " ".join(words(text))


def name_words(name: str) -> tuple[str, ...]:
    """A name's folded words with the family name last (``Stafford, Peter J.`` -> ``peter``, ``j``, ``stafford``)."""
    family, comma, given = name.partition(",")
    return tuple(words(f"{given} {family}" if comma and given.strip() else name))


def same_name(one: Iterable[str], other: Iterable[str]) -> bool:
    """True if two names, as folded words, can be one person's: order, initials and left-out middle names ignored.

    A name whose given names are initials only is the same as one whose given names begin with them.
    """
    first, second = _split(one), _split(other)
    full, other_full = set(first[0]), set(second[0])
    if len(full & other_full) >= 2 and (full <= other_full or other_full <= full or _ends(first[0], second[0])):
        return True
    return _abbreviated(first, second) or _abbreviated(second, first)


def _split(name: Iterable[str]) -> tuple[list[str], list[str]]:
    parts = list(name)
    return [word for word in parts if len(word) > 1], [word for word in parts if len(word) == 1]


def _ends(one: list[str], other: list[str]) -> bool:
    return {one[0], one[-1]} <= set(other) or {other[0], other[-1]} <= set(one)


def _abbreviated(short: tuple[list[str], list[str]], full: tuple[list[str], list[str]]) -> bool:
    if len(short[0]) != 1 or not short[1] or short[0][0] not in full[0]:
        return False
    rest = {word[0] for word in full[0] if word != short[0][0]} | set(full[1])
    return set(short[1][:1]) <= rest


@lru_cache(maxsize=65536)
def _fold(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return plain.translate(_LETTERS)
