"""One row's texts as they are searched: all views squeezed into one string, and from it back to the texts.

The texts follow each other without anything between, so what is split over two messages is whole here; further
views stand apart, each after a space.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Final

from fhirtasks.leakage.folding import parts
from fhirtasks.leakage.views import View, first_view, further_views

ROLES: Final = frozenset(("system", "user", "assistant", "tool", "human", "gpt", "function", "developer", ""))
"""Texts that only say who speaks: they part no messages."""


class Row:
    """The texts of one row, squeezed. Offsets are places in :attr:`squeezed`."""

    __slots__ = ("__dict__", "_starts", "squeezed", "texts", "views")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        first = [first_view(number, text) for number, text in enumerate(texts) if text not in ROLES]
        self.views = first[:]
        self._starts: list[int] = []
        self.squeezed = b""
        self._place(first, b"")
        more = further_views(first)
        if more:
            self.add(more)

    def add(self, views: Sequence[View]) -> int:
        """Adds further views; returns the offset where they begin."""
        begin = len(self.squeezed)
        self.views += views
        self._place(views, b" ")
        self.__dict__.clear()
        return begin

    def at(self, offset: int) -> tuple[View, int]:
        """The view that holds an offset, and the place in its ``ascii``."""
        number = bisect_right(self._starts, offset) - 1
        view = self.views[number]
        return view, view.kept[offset - self._starts[number]]

    def offset(self, view: View, place: int) -> int:
        """The offset of the character at a place in a view's ``ascii``."""
        return self._starts[self.views.index(view)] + bisect_left(view.kept, place)

    def near(self, start: int, end: int) -> tuple[bytes, bytes, bytes] | None:
        """The character before [start, end), what is written there, and the character after; None across two texts."""
        number = bisect_right(self._starts, start) - 1
        view, first = self.views[number], self._starts[number]
        if end - first > len(view.squeezed):
            return None
        here, there = view.kept[start - first], view.kept[end - 1 - first] + 1
        return view.ascii[max(0, here - 1) : here], view.ascii[here:there], view.ascii[there : there + 1]

    def before(self, offset: int) -> bytes:
        """The up to 16 characters before an offset's, in its own text; empty where it begins the text."""
        view, place = self.at(offset)
        return view.ascii[max(0, place - 16) : place]

    def after(self, end: int) -> bytes:
        """The up to 8 characters after the last one before the offset ``end``, in its own text."""
        view, place = self.at(end - 1)
        return view.ascii[place + 1 : place + 9]

    def gaps(self, start: int, end: int) -> list[bytes]:
        """What stands between each two of the characters [start, end); nothing where one text ends and the next begins."""
        places = [self.at(offset) for offset in range(start, end)]
        found = []
        for (view, place), (following, next_place) in pairwise(places):
            found.append(view.ascii[place + 1 : next_place] if view is following else b"")
        return found

    def around(self, start: int, end: int, width: int) -> bytes:
        """The ASCII text around [start, end), ``width`` characters on either side, within its texts, lower case."""
        first, place = self.at(start)
        last, other = self.at(end - 1)
        before = first.ascii[max(0, place - width) : place]
        here = first.ascii[place : other + 1] if first is last else first.ascii[place:] + b" " + last.ascii[: other + 1]
        return (before + here + last.ascii[other + 1 : other + 1 + width]).lower()

    def span(self, start: int, end: int) -> tuple[int, int, int]:
        """[start, end) as (text, start, end) in the texts as given; to the end of the first text if it goes on."""
        first, place = self.at(start)
        last, other = self.at(end - 1)
        if first.text == last.text and first is last:
            return first.text, *first.original(place, other + 1)
        return first.text, first.original(place, place + 1)[0], len(self.texts[first.text])

    @cached_property
    def words(self) -> list[bytes]:
        """All words in order; an empty one before each further view."""
        found: list[bytes] = []
        for view, start in zip(self.views, self._starts, strict=True):
            if start and self.squeezed[start - 1 : start] == b" ":
                found.append(b"")
            found += parts(view.ascii)
        return found

    @cached_property
    def names(self) -> dict[tuple[bytes, bytes], tuple[int, int] | None]:
        """Where names stand that were looked for."""
        return {}

    def grams(self, length: int) -> frozenset[bytes]:
        """All runs of ``length`` words."""
        grams = self._grams
        if length not in grams:
            grams[length] = frozenset(grams_of(self.words, length))
        return grams[length]

    def ends(self, start: int, end: int) -> bool:
        """Whether [start, end) begins and ends with whole words."""
        before, after = self.before(start)[-1:], self.after(end)[:1]
        return not before.isalnum() and not after.isalnum()

    @cached_property
    def _grams(self) -> dict[int, frozenset[bytes]]:
        return {}

    def _place(self, views: Sequence[View], before: bytes) -> None:
        pieces = []
        offset = len(self.squeezed)
        for view in views:
            offset += len(before)
            self._starts.append(offset)
            pieces += [before, view.squeezed]
            offset += len(view.squeezed)
        self.squeezed += b"".join(pieces)


def grams_of(words: Sequence[bytes], length: int) -> list[bytes]:
    """The runs of ``length`` words, joined by spaces."""
    return list(map(b" ".join, zip(*(words[shift:] for shift in range(length)), strict=False)))
