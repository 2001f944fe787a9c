"""Each disguise hides a text from a plain search, and leaves it to be read by who undoes it."""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from random import Random
from urllib.parse import unquote, unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirtasks.planting import disguises
from fhirtasks.planting.people import born, date_form, initials, name_order

LATIN = (
    st.text(alphabet="abcXYZ0123456789 -é", min_size=4, max_size=40).map(str.strip).filter(lambda text: len(text) > 3)
)
SEEDS = st.integers(0, 2**32)


def letters(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text).lower() if letter.isalnum())


def twins_undone(text: str) -> str:
    back = {twin: letter for letter, twin in disguises._TWINS.items()}
    return letters("".join(back.get(letter, letter) for letter in text))


def words_undone(text: str) -> str:
    for digit, word in enumerate(disguises._WORDS):
        text = text.replace(word, str(digit))
    return letters(text)


UNDONE: dict[str, Callable[[str], str]] = {
    "plain": letters,
    "case": letters,
    "white space": letters,
    "zero width": letters,
    "look-alikes": twins_undone,
    "combining forms": letters,
    "full width": letters,
    "punctuation": letters,
    "percent-encoding": lambda text: letters(unquote(text)),
    "HTML entities": lambda text: letters(html.unescape(text)),
    "hexadecimal": lambda text: letters(bytes.fromhex(text.removeprefix("0x")).decode()),
    "digits as words": words_undone,
}


@pytest.mark.parametrize("name", sorted(UNDONE))
@settings(deadline=None)
@given(text=LATIN, seed=SEEDS)
def test_what_is_disguised_can_be_read(name: str, text: str, seed: int) -> None:
    form = {**disguises.ANYWHERE, **disguises.OF_NUMBERS}[name]
    assert UNDONE[name](form(text, Random(seed))) == letters(text)


@settings(deadline=None)
@given(text=LATIN, seed=SEEDS)
def test_encodings_hold_the_text(text: str, seed: int) -> None:
    coded = disguises.base_64(text, Random(seed)).removeprefix("data:text/plain;base64,")
    coded = re.sub(r"\s", "", coded).replace("-", "+").replace("_", "/")
    assert text in base64.b64decode(coded + "=" * (-len(coded) % 4)).decode()
    assert text in unquote_plus(disguises.in_url(text, Random(seed)))
    escaped = disguises.json_escapes(text, Random(seed))
    assert (
        json.loads(json.loads(escaped)["note"])["text"] if escaped[0] == "{" else json.loads(f'"{escaped}"')
    ) == text


@pytest.mark.parametrize(
    "name",
    sorted(set(disguises.ANYWHERE) - {"plain", "in a URL", "JSON escapes"} | {"digits as words", "zero padding"}),
)
def test_a_plain_search_misses_a_disguised_record_number(name: str) -> None:
    form = {**disguises.ANYWHERE, **disguises.OF_NUMBERS, **disguises.OF_IDENTIFIERS}[name]
    forms = {form("Q7654321", Random(seed)) for seed in range(60)}
    assert sum("Q7654321" in text for text in forms) == 0 or name == "case", name
    assert len(forms) > 1 or name in ("full width", "hexadecimal", "percent-encoding"), "one variant only"


def test_zeros_and_prefixes_keep_the_number() -> None:
    for seed in range(50):
        assert re.fullmatch(r"Q0+7654321", disguises.zero_padded("Q7654321", Random(seed)))
        assert disguises.prefixed("Q7654321", Random(seed)).endswith("Q7654321")


def test_dates_and_names_come_in_many_forms() -> None:
    day = date(1932, 12, 9)
    dates = {date_form(day, Random(seed)) for seed in range(400)}
    assert len(dates) >= 16 and {"12/09/1932", "9 Dec 1932", "December 9, 1932", "19321209"} <= dates
    assert all("32" in text and "9" in text for text in dates)
    assert {"Moe, Ann", "Moe Ann", "MOE, Ann", "Ann Q. Moe"} == {name_order("Ann Moe", Random(n)) for n in range(60)}
    assert {"A. Moe", "Moe, A.", "A Moe"} == {initials("Ann Moe", Random(n)) for n in range(60)}
    assert "A. L. Moe" in {initials("Ann Lee Moe", Random(n)) for n in range(60)}
    assert all("Ann Moe" in born("Ann Moe", "1932-12-09", Random(n)) for n in range(20))
