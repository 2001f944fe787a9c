"""Ways to write a text so that a plain search misses it while a person, or a model, still reads it.

They are written from the forms that texts take in the wild, and from nothing that a matcher does: this room imports
nothing from ``fhirtasks.leakage``, so that what the audit measures of itself is not what it was built on.
"""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus

Disguise: TypeAlias = Callable[[str, Random], str]
"""The text in another form; the generator chooses among the variants of the form."""

_ZERO_WIDTH: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_SPACES: Final = ("  ", "\n", "\t", "\u00a0", "\u2003", "\u2009", " \n ")
_MARKS: Final = (".", "-", "_", "/", "·", "|", ":", "–")
_TWINS: Final = {
    **dict(zip("aceiopsxyj", "асеіорѕхуј", strict=True)),  # Cyrillic
    **dict(zip("ABCEHIJKMOPSTXY", "АВСЕНІЈКМОРЅТХУ", strict=True)),  # Cyrillic
    **dict(zip("vuNZ", "νυΝΖ", strict=True)),  # Greek
}
_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def case(text: str, rng: Random) -> str:
    """All capitals, no capitals, or the two by turns."""
    mixed = "".join(letter.upper() if number % 2 else letter.lower() for number, letter in enumerate(text))
    return rng.choice((text.upper(), text.lower(), text.swapcase(), mixed))


def whitespace(text: str, rng: Random) -> str:
    """Other and more white space between words; a single word in groups, or with every letter apart."""
    if " " in text:
        return re.sub(r" ", lambda _: rng.choice(_SPACES), text)
    gap = rng.choice((" ", "\u00a0", "\u2009", "\n"))
    if rng.random() < 0.3:
        return gap.join(text)
    return _grouped(text, rng, gap)


def zero_width(text: str, rng: Random) -> str:
    """Characters without width after every third letter or so."""
    if len(text) < 2:
        return text
    sure = rng.randrange(len(text) - 1)
    hidden = (rng.choice(_ZERO_WIDTH) if n == sure or rng.random() < 0.35 else "" for n in range(len(text) - 1))
    return "".join(letter + mark for letter, mark in zip(text, [*hidden, ""], strict=True))


def look_alikes(text: str, rng: Random) -> str:
    """Letters from other alphabets that look the same, and mathematical digits."""
    if rng.random() < 0.3:
        return "".join(_mathematical(letter) for letter in text)
    return "".join(_TWINS.get(letter, _mathematical(letter) if letter.isdigit() else letter) for letter in text)


def combining(text: str, rng: Random) -> str:
    """Decomposed accents, and further marks over or under letters and digits."""
    marks = ("\u0301", "\u0308", "\u0332", "\u0336", "\u0323")
    return "".join(
        letter + (rng.choice(marks) if letter.isalnum() and rng.random() < 0.5 else "")
        for letter in unicodedata.normalize("NFD", text)
    )


def full_width(text: str, rng: Random) -> str:
    """The wide forms of East Asian typography."""
    wide = "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)
    return wide.replace(" ", "\u3000") if rng.random() < 0.5 else wide


def punctuation(text: str, rng: Random) -> str:
    """Marks for spaces, or within a single word; commas and quotes where there were none."""
    if " " not in text:
        return _grouped(text, rng, rng.choice(_MARKS))
    if rng.random() < 0.5:
        return text.replace(" ", rng.choice(("_", "-", " / ", ", ", " · ")))
    return " ".join(rng.choice(("{}", "{},", "“{}”", "({})", "*{}*")).format(word) for word in text.split(" "))


def in_url(text: str, rng: Random) -> str:
    """As a part of a path, or as the value of a parameter."""
    forms = (
        f"http://ehr.example/fhir/Patient/{quote(text, safe='')}",
        f"https://ehr.example/fhir/Patient?identifier={quote_plus(text)}&_count=1",
        f"/Patient?identifier=urn%3Aoid%3A1.2.36.146%7C{quote(text, safe='')}",
        f"https://ehr.example/search?q={quote_plus(text)}#top",
    )
    return rng.choice(forms)


def base_64(text: str, rng: Random) -> str:
    """Base64, of the text alone or with words around it, with or without padding, in lines if it is long."""
    whole = rng.choice(("{}", "{}", "see {} now", "id={}")).format(text).encode()
    coded = base64.b64encode(whole).decode()
    forms = [coded, base64.urlsafe_b64encode(whole).decode(), coded.rstrip("="), f"data:text/plain;base64,{coded}"]
    if len(coded) > 76:
        forms.append(base64.encodebytes(whole).decode().strip())
    return rng.choice(forms)


def percent_encoded(text: str, rng: Random) -> str:
    """Percent-encoding, of every character or of what URLs do not take."""
    if rng.random() < 0.6 or quote(text, safe="") == text:
        return "".join(f"%{byte:02X}" if rng.random() < 0.9 else f"%{byte:02x}" for byte in text.encode())
    return quote(text, safe="")


def hexadecimal(text: str, rng: Random) -> str:
    """The bytes in hexadecimal."""
    coded = text.encode().hex()
    return rng.choice((coded, coded.upper(), f"0x{coded}"))


def html_entities(text: str, rng: Random) -> str:
    """Character references, decimal or hexadecimal, for every character, or for what HTML asks for and some more."""
    if rng.random() < 0.6 or text.isalnum():
        form = rng.choice(("&#{};", "&#x{:x};", "&#x{:X};"))
        return "".join(form.format(ord(letter)) for letter in text)
    named = html.escape(text).replace("é", "&eacute;").replace("ü", "&uuml;").replace(" ", "&nbsp;")
    return re.sub(r"(?<![&#\w])\d", lambda match: f"&#{ord(match.group())};", named)


def json_escapes(text: str, rng: Random) -> str:
    """As a JSON string inside a JSON string, or with every character escaped."""
    if rng.random() < 0.6:
        return "".join(f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else letter for letter in text)
    return json.dumps({"note": json.dumps({"text": text, "lang": "é"})})


def digits_as_words(text: str, rng: Random) -> str:
    """Every digit as its English word; what stands between numbers stays."""
    between = rng.choice((" ", "-", ", "))
    spelled = re.sub(r"\d+", lambda run: between.join(_WORDS[int(digit)] for digit in run.group()), text)
    return re.sub(rf"(?<=[A-Za-z])(?=(?:{'|'.join(_WORDS)})\b)", " ", spelled) if " " not in text else spelled


def zero_padded(text: str, rng: Random) -> str:
    """More zeros before a number: after an identifier's letters."""
    return re.sub(r"\d+", lambda match: "0" * rng.randint(1, 4) + match.group(), text, count=1)


def prefixed(text: str, rng: Random) -> str:
    """What systems put before a record number."""
    form = rng.choice(("MRN{}", "MRN-{}", "PAT_{}", "urn:mrn:{}", "#{}", "pt:{}", "Patient/{}", "EHR.{}", "HOSP-A-{}"))
    return form.format(text)


PLAIN: Final = "plain"
ANYWHERE: Final[dict[str, Disguise]] = {
    PLAIN: lambda text, rng: text,
    "case": case,
    "white space": whitespace,
    "zero width": zero_width,
    "look-alikes": look_alikes,
    "combining forms": combining,
    "full width": full_width,
    "punctuation": punctuation,
    "in a URL": in_url,
    "base64": base_64,
    "percent-encoding": percent_encoded,
    "hexadecimal": hexadecimal,
    "HTML entities": html_entities,
    "JSON escapes": json_escapes,
}
"""Disguises that any text can wear."""
OF_NUMBERS: Final[dict[str, Disguise]] = {"digits as words": digits_as_words}
OF_IDENTIFIERS: Final[dict[str, Disguise]] = {"zero padding": zero_padded, "prefix": prefixed}


def _grouped(text: str, rng: Random, mark: str) -> str:
    """The text in its own groups if it has any (``999-12-3456``), else in two or three of two letters or more."""
    if re.search(r"\w-\w", text):
        return text.replace("-", mark)
    places = list(range(2, len(text) - 1))
    if not places:
        return text
    first = rng.choice(places)
    cuts = {first, rng.choice([place for place in places if abs(place - first) > 1] or [first])}
    for place in sorted(cuts if rng.random() < 0.6 else {first}, reverse=True):
        text = text[:place] + mark + text[place:]
    return text


def _mathematical(letter: str) -> str:
    """The bold letter or digit of the mathematical alphabets."""
    if "0" <= letter <= "9":
        return chr(0x1D7CE + ord(letter) - ord("0"))
    if "A" <= letter <= "Z":
        return chr(0x1D400 + ord(letter) - ord("A"))
    return chr(0x1D41A + ord(letter) - ord("a")) if "a" <= letter <= "z" else letter
