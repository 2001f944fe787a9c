"""Near-duplicates: passages that share most of a held-out text's telling shingles, found by MinHash.

A passage is a text, or a line of it, of about a held-out text's length; what MinHash proposes is settled by the exact
Jaccard index. Shingles that are template do not count on either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rensa import RMinHash, RMinHashLSH

from fhirtasks.leakage.folding import parts
from fhirtasks.leakage.lookalikes import plain
from fhirtasks.leakage.ngrams import UNIT, Text
from fhirtasks.leakage.policy import Policy
from fhirtasks.leakage.row import Row, grams_of

HASHES: Final = 128
BANDS: Final = 32
"""32 bands of 4: a pair with Jaccard index 0.6 becomes a candidate 99 times in 100, one with 0.2 five times."""
LETTERS: Final = 5
"""Letters per word that a passage is thought to have at most, when its length is compared."""
CACHE: Final = 1 << 15

_SEED: Final = 2029


class NearDuplicates:
    """The held-out texts that are long enough, by their telling shingles."""

    def __init__(self, texts: Sequence[Text], templates: frozenset[bytes], policy: Policy) -> None:
        self._least = policy.whole("near_duplicate", "shingles")
        self._jaccard = policy.at("near_duplicate", "jaccard")
        self._templates = templates | {
            gram for text in texts for gram, shared in zip(_shingles(text.words), text.shared, strict=False) if shared
        }
        self._items: list[tuple[Text, frozenset[bytes]]] = []
        for text in (text for text in texts if not text.named):
            for words in _passages_of(text):
                telling = frozenset(_shingles(words)) - self._templates
                if len(telling) >= self._least:
                    self._items.append((text, telling))
        self._index = RMinHashLSH(threshold=0.5, num_perm=HASHES, num_bands=BANDS)
        for number, (_, telling) in enumerate(self._items):
            self._index.insert(number, _sketch(telling))
        letters = [sum(map(len, telling)) / UNIT for _, telling in self._items]
        self._shortest = int(min(letters, default=0) * self._jaccard)
        self._longest = int(max(letters, default=0) / self._jaccard * 2)
        self._known: dict[str, tuple[int, str] | None] = {}

    def find(self, row: Row) -> Iterator[tuple[Text, int, int, int, str]]:
        """(held-out text, number of the row's text, start, end, evidence) of every passage that is a near-duplicate."""
        if not self._items:
            return
        for number, text in enumerate(row.texts):
            if len(text) < self._shortest or '"resourceType"' in text:
                continue
            for start, end in self._passages(text):
                passage = text[start:end]
                if passage not in self._known:
                    if len(self._known) >= CACHE:
                        self._known.clear()
                    self._known[passage] = self._closest(passage)
                found = self._known[passage]
                if found is not None:
                    yield self._items[found[0]][0], number, start, end, found[1]

    def _passages(self, text: str) -> Iterator[tuple[int, int]]:
        if len(text) <= self._longest:
            yield 0, len(text)
        place = 0
        for line in text.split("\n"):
            if self._shortest <= len(line) <= self._longest and len(line) < len(text):
                yield place, place + len(line)
            place += len(line) + 1

    def _closest(self, passage: str) -> tuple[int, str] | None:
        telling = frozenset(_shingles(parts(plain(passage)))) - self._templates
        if len(telling) < self._least:
            return None
        best: tuple[float, int] | None = None
        for number in self._index.query(_sketch(telling)):
            held = self._items[number][1]
            index = len(held & telling) / len(held | telling)
            if index >= self._jaccard and (best is None or index > best[0]):
                best = (index, number)
        return None if best is None else (best[1], f"Jaccard index {best[0]:.2f} of telling three-word shingles")


def _passages_of(text: Text) -> Iterator[tuple[bytes, ...]]:
    """A held-out text's words, and those of its paragraphs where it has several."""
    yield text.words
    paragraphs = [line for line in text.raw.split("\n") if line.strip()]
    if len(paragraphs) > 1:
        for line in paragraphs:
            yield tuple(parts(plain(line)))


def _shingles(words: Sequence[bytes]) -> list[bytes]:
    return grams_of(words, UNIT)


def _sketch(shingles: frozenset[bytes]) -> RMinHash:
    sketch = RMinHash(num_perm=HASHES, seed=_SEED)
    sketch.update(sorted(shingle.decode() for shingle in shingles))
    return sketch
