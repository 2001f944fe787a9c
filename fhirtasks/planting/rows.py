"""Puts leaks, and what only looks like one, into copies of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

Row: TypeAlias = Sequence[tuple[str, str]]
"""A row's texts with their places: ``messages[2].content``, ``raw`` …"""

_MESSAGE: Final = re.compile(r"([A-Za-z_]\w*)\[(\d+)\]")
_MOST: Final = 10
_SPACE: Final = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Planted:
    """A row's texts with something put in; ``at`` are the texts that hold it, ``position`` is what the first is called."""

    texts: tuple[str, ...]
    at: tuple[int, ...]
    position: str


def position(place: str) -> str:
    """The name of a place in tables: ``message 3`` counts from 1 within its column, others are the column's or file's name."""
    match = _MESSAGE.match(place)
    if match is None:
        return re.split(r"[.\[]", place, maxsplit=1)[0] or place
    number = int(match[2]) + 1
    return f"{match[1]}, message {number}" if number <= _MOST else f"{match[1]}, message {_MOST + 1} and later"


def positions(rows: Sequence[Row]) -> list[tuple[str, list[tuple[int, int]]]]:
    """Every position that occurs in the rows, with the (row, text) where it does."""
    found: dict[str, list[tuple[int, int]]] = {}
    for number, row in enumerate(rows):
        for index, (place, _) in enumerate(row):
            found.setdefault(position(place), []).append((number, index))
    return sorted(found.items())


def plant(row: Row, index: int, pieces: Sequence[str], rng: Random) -> Planted:
    """The row with one piece put into text ``index`` at a space, or at either end; two go where it and the next text meet."""
    texts = [text for _, text in row]
    if len(pieces) == 1:
        text = texts[index]
        at = _gap(text, rng)
        texts[index] = f"{text[:at]} {pieces[0]} {text[at:]}".strip()
        return Planted(tuple(texts), (index,), position(row[index][0]))
    if len(texts) == 1:
        texts.append("")
    first = min(index, len(texts) - 2)
    texts[first] = f"{texts[first]} {pieces[0]}".strip()
    texts[first + 1] = f"{pieces[1]} {texts[first + 1]}".strip()
    return Planted(tuple(texts), (first, first + 1), position(row[first][0]))


def _gap(text: str, rng: Random) -> int:
    """A place where words are apart: the beginning, the end, or a space."""
    choice = rng.random()
    if choice < 0.2 or not text:
        return 0
    if choice < 0.4:
        return len(text)
    match = _SPACE.search(text, rng.randrange(len(text)))
    return match.start() if match else len(text)
