"""Words as leaks are looked for: no case, no accents, no look-alikes, no punctuation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fhirtasks.leakage.lookalikes import plain

_ALNUM: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LOWER: Final = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in range(256))
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _ALNUM)
_APART: Final = bytes(_LOWER[byte] if byte in _ALNUM else 32 for byte in range(256))


def squeeze(ascii_text: bytes) -> bytes:
    """The letters and digits of an ASCII text, lower case, with nothing between (``S-653 4835`` -> ``s6534835``)."""
    return ascii_text.translate(_LOWER, _OTHERS)


def parts(ascii_text: bytes) -> list[bytes]:
    """The words of an ASCII text, lower case, in order; joined they are :func:`squeeze`."""
    return ascii_text.translate(_APART).split()


def squeezed(text: str) -> str:
    """:func:`squeeze` of any text."""
    return squeeze(plain(text)).decode()


def fold(text: str) -> str:
    """Lower case without accents and look-alikes (``Müller-Ñandú`` -> ``muller-nandu``, ``Groß`` -> ``gross``)."""
    return plain(text).decode().lower()


def words(text: str) -> list[str]:
    """The folded words of a text, in order."""
    return [word.decode() for word in parts(plain(text))]


def normalised(text: str) -> str:
    """A text with case, accents, white space, punctuation and quotes ignored: its folded words, one space between."""
    return b" ".join(parts(plain(text))).decode()


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
    whole = list(name)
    return [word for word in whole if len(word) > 1], [word for word in whole if len(word) == 1]


def _ends(one: list[str], other: list[str]) -> bool:
    return {one[0], one[-1]} <= set(other) or {other[0], other[-1]} <= set(one)


def _abbreviated(short: tuple[list[str], list[str]], full: tuple[list[str], list[str]]) -> bool:
    if len(short[0]) != 1 or not short[1] or short[0][0] not in full[0]:
        return False
    rest = {word[0] for word in full[0] if word != short[0][0]} | set(full[1])
    return set(short[1][:1]) <= rest
