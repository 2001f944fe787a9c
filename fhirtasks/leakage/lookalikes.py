"""Text as plain ASCII, character by character: accents off, look-alikes as the letter they look like, the unseen gone.

Both what is held out and what is searched go through here, so what counts is that equal looks give equal text. A letter
that looks like none of ASCII's becomes ``u`` and its code in hex, so that names in any script stay words.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import bisect_right
from functools import cache, lru_cache
from typing import Final

_LOOKS: Final = {
    # Cyrillic
    "А": "a", "а": "a", "В": "b", "в": "b", "Ь": "b", "ь": "b", "С": "c", "с": "c", "ԁ": "d", "Е": "e", "е": "e",
    "Ё": "e", "ё": "e", "Є": "e", "є": "e", "Ғ": "f", "ғ": "f", "Ԍ": "g", "ԍ": "g", "Н": "h", "н": "h", "һ": "h",
    "Һ": "h", "І": "i", "і": "i", "Ї": "i", "ї": "i", "Ӏ": "l", "ӏ": "l", "Ј": "j", "ј": "j", "К": "k", "к": "k",
    "М": "m", "м": "m", "п": "n", "П": "n", "и": "n", "И": "n", "О": "o", "о": "o", "Р": "p", "р": "p", "ԛ": "q",
    "Ԛ": "q", "г": "r", "Г": "r", "Я": "r", "я": "r", "Ѕ": "s", "ѕ": "s", "Т": "t", "т": "t", "Ц": "u", "ц": "u",
    "ѵ": "v", "Ѵ": "v", "ԝ": "w", "Ԝ": "w", "ш": "w", "Ш": "w", "Х": "x", "х": "x", "У": "y", "у": "y", "Ү": "y",
    "ү": "y", "З": "3", "з": "3", "б": "6", "Б": "6", "Ч": "4", "ч": "4",
    # Greek
    "Α": "a", "α": "a", "Β": "b", "β": "b", "Ϲ": "c", "ϲ": "c", "δ": "d", "Ε": "e", "ε": "e", "ϵ": "e", "Ϝ": "f",
    "Η": "h", "η": "n", "Ι": "i", "ι": "i", "ϳ": "j", "Κ": "k", "κ": "k", "Μ": "m", "Ν": "n", "ν": "v", "Ο": "o",
    "ο": "o", "σ": "o", "Ρ": "p", "ρ": "p", "ϱ": "p", "Τ": "t", "τ": "t", "Υ": "y", "υ": "u", "Χ": "x", "χ": "x",
    "Ζ": "z", "ω": "w", "γ": "y", "θ": "0", "Θ": "0", "μ": "u", "ς": "c",
    # Armenian, Cherokee, Coptic, Lisu and single ones
    "ա": "w", "օ": "o", "Օ": "o", "ո": "n", "ս": "u", "Ս": "u", "հ": "h", "ց": "g", "զ": "q", "ք": "f", "ւ": "l",
    "Լ": "l", "յ": "j", "Ꭺ": "a", "Ᏼ": "b", "Ꮯ": "c", "Ꭰ": "d", "Ꭼ": "e", "Ꮐ": "g", "Ꮋ": "h", "Ꮖ": "i", "Ꭻ": "j",
    "Ꮶ": "k", "Ꮮ": "l", "Ꮇ": "m", "Ꮲ": "p", "Ꮢ": "r", "Ꮪ": "s", "Ꭲ": "t", "Ꮩ": "v", "Ꮃ": "w", "Ꮓ": "z",
    "ⲟ": "o", "Ⲟ": "o", "ⲣ": "p", "Ⲣ": "p", "ⲥ": "c", "Ⲥ": "c", "ꓐ": "b", "ꓚ": "c", "ꓓ": "d", "ꓰ": "e", "ꓝ": "f",
    "ꓖ": "g", "ꓧ": "h", "ꓲ": "i", "ꓙ": "j", "ꓗ": "k", "ꓡ": "l", "ꓟ": "m", "ꓠ": "n", "ꓳ": "o", "ꓑ": "p", "ꓣ": "r",
    "ꓢ": "s", "ꓔ": "t", "ꓴ": "u", "ꓦ": "v", "ꓪ": "w", "ꓫ": "x", "ꓬ": "y", "ꓜ": "z", "ǀ": "l", "ǃ": "i", "℮": "e",
    "ɑ": "a", "ɡ": "g", "ɩ": "i", "ʟ": "l", "ꞁ": "l", "ꜱ": "s", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d",
    "Ʒ": "3", "ʒ": "3", "Ȝ": "3", "ȝ": "3", "Ƽ": "5", "ƽ": "5", "Ƨ": "2", "ƨ": "2", "Ȣ": "8", "ȣ": "8", "٥": "5",
    "ı": "i", "ø": "o", "đ": "d", "ł": "l", "ꙅ": "s", "〇": "0", "Æ": "ae", "Œ": "oe", "Þ": "th", "Ð": "d",
}  # fmt: skip
_UNSEEN: Final = frozenset("\u115f\u1160\u3164\uffa0\u17b4\u17b5\u2800\u034f\u180e")
"""Characters that show nothing and are not marked as format characters."""
_NAMED: Final = re.compile(
    r"(?:REGIONAL INDICATOR SYMBOL|(?:NEGATIVE |CROSSING NEGATIVE )?(?:CIRCLED|SQUARED) LATIN CAPITAL|"
    r"(?:MODIFIER LETTER |SUBSCRIPT |COMBINING )?(?:LATIN )?(?:CAPITAL|SMALL|LETTER SMALL CAPITAL)) ?(?:LETTER )?"
    r"(?:SMALL CAPITAL |CAPITAL |SCRIPT |BLACKLETTER |OPEN |BARRED |DOTLESS |LONG )*([A-Z])(?: WITH .*)?"
)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_HANDLER: Final = "fhirtasks.lookalikes"


def plain(text: str) -> bytes:
    """The text in ASCII, case kept: ``Müller`` -> ``Muller``, ``Ѕ65\\u200b３`` -> ``s653``."""
    return text.encode("ascii", _HANDLER)


def plain_places(text: str) -> list[tuple[int, int, int]]:
    """(start in :func:`plain`'s text, length there, place in ``text``) of each character that is not ASCII."""
    places = []
    shift = 0
    for letter in _NOT_ASCII.finditer(text):
        length = len(_one(letter.group()))
        places.append((letter.start() + shift, length, letter.start()))
        shift += length - 1
    return places


def from_plain(places: list[tuple[int, int, int]], place: int) -> int:
    """A place in :func:`plain`'s text as a place in the text that it was made of, by its :func:`plain_places`."""
    at = bisect_right(places, (place, 1 << 60)) - 1
    if at < 0:
        return place
    here, length, there = places[at]
    return there if place < here + length else there + 1 + place - here - length


@cache
def _one(letter: str) -> str:
    """What one character becomes."""
    if letter < "\x80":
        return letter
    if letter in _LOOKS:
        return _LOOKS[letter]
    kind = unicodedata.category(letter)
    if kind in ("Cf", "Mn", "Me", "Cc") or letter in _UNSEEN:
        return ""
    if kind[0] == "Z":
        return " "
    digit = unicodedata.digit(letter, None)
    if digit is not None:
        return str(digit)
    parts = unicodedata.normalize("NFKD", letter)
    if parts != letter:
        return "".join(map(_one, parts))
    named = _NAMED.fullmatch(unicodedata.name(letter, ""))
    if named is not None:
        return named[1].lower()
    if kind[0] == "P" or kind in ("Sk", "Sm", "So", "Sc"):
        return "-"
    return f"u{ord(letter):04x}"


@lru_cache(maxsize=65536)
def _run(letters: str) -> str:
    return "".join(map(_one, letters))


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return (_run(letters) if len(letters) < 4 else "".join(map(_one, letters))), error.end


codecs.register_error(_HANDLER, _handle)
