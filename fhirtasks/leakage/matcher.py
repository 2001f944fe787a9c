"""Finds held-out patients and instructions in a text, whatever the text is: prose, JSON, JSON inside JSON, a URL.

A text is split into its set of words once, and the set is probed for the rarest word of each held-out item; only a text
with such a word is looked at more closely. So the cost is that of splitting, however many items are held out.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeAlias
from urllib.parse import unquote

from fhirtasks.leakage.folding import WORD, fold, name_words, words
from fhirtasks.leakage.holdouts import Holdouts, squeezed
from fhirtasks.population.taskfile import MONTHS, Person

Kind: TypeAlias = Literal["identifier", "person", "instruction"]
NAME_GAP = 8
"""How many words may stand between a first and a family name: as many as JSON puts between them."""

_TABLE = bytes(
    byte if byte >= 0x80 or chr(byte).isdigit() or chr(byte).islower() else byte + 32 if chr(byte).isupper() else 0x20
    for byte in range(256)
)
_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|[nrtbf])")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class Match:
    """A held-out item in a text, and where: [start, end) in the text as given; the first place of each item only."""

    kind: Kind
    item: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Item:
    kind: Kind
    item: str
    needs: frozenset[str]
    """Words that must all be in the text."""
    find: Callable[[_Words], tuple[int, int] | None] = field(compare=False)


class Matcher:
    """Finds what is held out. Build once, use for many texts."""

    def __init__(self, holdouts: Holdouts) -> None:
        items = [_identifier(text, words(text) or [fold(text)]) for text in holdouts.identifiers]
        items += [_identifier(text, [squeezed(text)]) for text in holdouts.identifiers if len(words(text)) > 1]
        items += [_person(person) for person in holdouts.people if len(name_words(person.name)) >= 2]
        frequency = Counter(word for text in holdouts.instructions for word in set(text.split()))
        items += [_instruction(text, frequency) for text in holdouts.instructions]
        self._by_word: dict[str, list[_Item]] = {}
        for item in items:
            anchor = min(item.needs, key=lambda word: (frequency[word], -len(word), word))
            self._by_word.setdefault(anchor, []).append(item)
        self._anchors = frozenset(self._by_word)

    def find(self, text: str) -> list[Match]:
        """Every held-out item that the text shows, by kind, then as held out.

        An identifier counts as a word of its own anywhere; a person if the text has the name (either order, other words
        between) and the birth date in a common form; an instruction if all of it stands in the text, case, accents,
        white space, punctuation and quotes ignored.
        """
        if not self._anchors:
            return []
        present = _present(text)
        anchors = present & self._anchors
        if not anchors:
            return []
        likely = [item for word in anchors for item in self._by_word[word] if item.needs <= present]
        if not likely:
            return []
        found: dict[tuple[Kind, str], Match] = {}
        for view in _views(text):
            for item in likely:
                span = item.find(view) if (item.kind, item.item) not in found else None
                if span is not None:
                    found[item.kind, item.item] = Match(item.kind, item.item, *view.original(*span))
        return sorted(found.values(), key=lambda match: (match.kind, match.item))


class _Words:
    """A text's folded words with their places; ``breaks`` maps places of a decoded text to the original."""

    def __init__(self, text: str, breaks: list[tuple[int, int]]) -> None:
        places = [(match.start(), match.end()) for match in WORD.finditer(text)]
        self.words = [fold(text[start:end]) for start, end in places]
        self.places = places
        self.at: dict[str, list[int]] = {}
        for index, word in enumerate(self.words):
            self.at.setdefault(word, []).append(index)
        self._breaks, self._length = breaks, len(text)
        self._joined: tuple[str, list[int]] | None = None

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where words ``first`` to ``last`` (inclusive) stand."""
        return self.places[first][0], self.places[last][1]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """A span of this view as a span of the text as given."""
        return self._back(start), self._back(end)

    def joined(self) -> tuple[str, list[int]]:
        """All words without anything between, and where each begins in that."""
        if self._joined is None:
            begins, total = [], 0
            for word in self.words:
                begins.append(total)
                total += len(word)
            self._joined = "".join(self.words), begins
        return self._joined

    def _back(self, place: int) -> int:
        if not self._breaks:
            return place
        decoded, original = self._breaks[bisect_right(self._breaks, (place, 1 << 60)) - 1]
        return original + place - decoded


def _present(text: str) -> set[str]:
    """The set of a text's folded words, those of its unescaped and its percent-decoded reading included."""
    if "\\" in text:
        text = _ESCAPE.sub(_unescape, text)
    found = _split(text)
    if "%" in text:
        decoded = unquote(text)
        if decoded != text:
            found |= _split(decoded)
    return found


def _split(text: str) -> set[str]:
    parts = set(text.encode("utf-8", "surrogatepass").translate(_TABLE).split())
    if text.isascii():
        return {part.decode("ascii") for part in parts}
    found = set()
    for part in parts:
        if part.isascii():
            found.add(part.decode("ascii"))
        else:
            found.update(words(part.decode("utf-8", "replace")))
    return found


def _views(text: str) -> list[_Words]:
    plain, breaks = _decode(text, _ESCAPE, _unescape)
    views = [_Words(plain, breaks)]
    if _PERCENT.search(text):
        decoded, inner = _decode(plain, _PERCENT, lambda match: unquote(match.group(), errors="replace"))
        outer = views[0]
        views.append(_Words(decoded, [(place, outer.original(before, before)[0]) for place, before in inner]))
    return views


def _decode(
    text: str, pattern: re.Pattern[str], decode: Callable[[re.Match[str]], str]
) -> tuple[str, list[tuple[int, int]]]:
    """The text with each match replaced, and (place there, place here) after each."""
    pieces: list[str] = []
    breaks = [(0, 0)]
    length = last = 0
    for match in pattern.finditer(text):
        new = decode(match)
        pieces += [text[last : match.start()], new]
        length += match.start() - last + len(new)
        last = match.end()
        breaks.append((length, last))
    if not pieces:
        return text, []
    return "".join([*pieces, text[last:]]), breaks


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else " "


def _identifier(text: str, parts: list[str]) -> _Item:
    def find(view: _Words) -> tuple[int, int] | None:
        for index in view.at.get(parts[0], ()):
            if view.words[index : index + len(parts)] == parts:
                return view.span(index, index + len(parts) - 1)
        return None

    return _Item("identifier", text, frozenset(parts), find)


def _person(person: Person) -> _Item:
    name = [word for word in name_words(person.name) if len(word) > 1] or list(name_words(person.name))
    first, family = name[0], name[-1]

    def find(view: _Words) -> tuple[int, int] | None:
        firsts = view.at.get(first, [])
        if not _has_date(view, person.birth_date):
            return None
        for index in view.at.get(family, ()):
            near = bisect_right(firsts, index - NAME_GAP - 2)
            for other in firsts[near : near + 2 * NAME_GAP + 3]:
                if 0 < abs(other - index) <= NAME_GAP + 1:
                    return view.span(min(index, other), max(index, other))
        return None

    return _Item("person", f"{person.name}, {person.birth_date.isoformat()}", frozenset((first, family)), find)


def _has_date(view: _Words, day: date) -> bool:
    """True for 1932-12-29, 19321229, 12/29/1932, 29.12.1932, 29 Dec 1932, December 29th, 1932 and the like."""
    if f"{day:%Y%m%d}" in view.at:
        return True
    for index in view.at.get(f"{day.year:04d}", ()):
        around = [_number(word) for word in view.words[max(0, index - 3) : index + 3]]
        here = min(index, 3)
        before, after = around[:here], around[here + 1 :]
        if after[:2] == [day.month, day.day]:
            return True
        if sorted(before[-2:]) == sorted([day.month, day.day]) or before[-3:] == [day.day, -1, day.month]:
            return True
    return False


def _number(word: str) -> int:
    """A day or month as written (``09``, ``9th``, ``29T00``, ``dec``) as its number; -1 for "of", -2 for others."""
    if word == "of":
        return -1
    match = re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th|t\d*z?)?", word)
    return int(match[1]) if match else MONTHS.get(word, -2)


def _instruction(text: str, frequency: Counter[str]) -> _Item:
    """``text`` is in normal form. ``needs`` leaves out words that an apostrophe may join to the next or the last."""
    joined = text.replace(" ", "")
    parts = text.split()
    beside = zip(parts, ["  ", *parts], [*parts[1:], "  "], strict=False)
    inner = [word for word, before, after in beside if len(word) > 3 and len(before) > 1 and len(after) > 1]
    needs = sorted(set(inner or parts), key=lambda word: (frequency[word], -len(word), word))[:3]

    def find(view: _Words) -> tuple[int, int] | None:
        whole, begins = view.joined()
        place = whole.find(joined)
        while place >= 0:
            first = bisect_right(begins, place) - 1
            last = bisect_right(begins, place + len(joined) - 1) - 1
            ends = begins[last + 1] if last + 1 < len(begins) else len(whole)
            if begins[first] == place and ends == place + len(joined):
                return view.span(first, last)
            place = whole.find(joined, place + 1)
        return None

    return _Item("instruction", text, frozenset(needs), find)
