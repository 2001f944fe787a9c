"""Texts: whole, or as the runs of words that only they have.

A run of words that several held-out texts share, that our families' wordings have, or that the searched data repeats, is
a template and tells nothing. So rows of the same template about another patient share no telling run with a held-out
text, and a held-out text that is all template is not looked for. How long the runs are depends on the text's length:
three words in a question, six in a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import log2
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

import orjson

import fhirtasks.tasks
from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.leakage.folding import parts
from fhirtasks.leakage.lookalikes import plain
from fhirtasks.leakage.policy import Policy
from fhirtasks.leakage.probes import Found, Probe, label
from fhirtasks.leakage.row import Row, grams_of

UNIT: Final = 3
"""Words of the runs by which templates are told."""
ANCHORS: Final = 16
"""Telling runs by which a text is looked for; one of them calls for a closer look."""
_NEEDLE: Final = 28
"""Letters of a needle at most: longer ones tell no more and only cost memory."""


@dataclass(frozen=True, slots=True)
class Text:
    """A held-out text as words, and which of its three-word runs are template.

    ``named`` is a short text that names its patient: with another patient it is another question, so only all of it counts.
    """

    item: str
    raw: str
    words: tuple[bytes, ...]
    shared: tuple[bool, ...]
    named: bool

    def telling(self, length: int) -> list[int]:
        """Where the runs of ``length`` words begin that are not template throughout."""
        inner = max(1, length - UNIT + 1)
        last = max(1, len(self.words) - length + 1)
        return [start for start in range(last) if not all(self.shared[start : start + inner])]


def texts_of(items: Iterable[HeldOut], templates: frozenset[bytes], policy: Policy) -> list[Text]:
    """The held-out texts, each once, with what is template among all of them.

    In a short text that names its patient, only the runs with a word of that name or identifier are worth looking for:
    the rest can be asked about anybody.
    """
    first: dict[tuple[bytes, ...], tuple[HeldOut, str]] = {}
    for item in items:
        for raw in item.texts:
            found = tuple(parts(plain(raw)))
            if found:
                first.setdefault(found, (item, raw))
    count: Counter[bytes] = Counter()
    for found in first:
        count.update(set(_units(found)))
    limit, long = policy.whole("ngram", "shared"), policy.whole("ngram", "words")
    shared = {gram for gram, number in count.items() if number >= limit} | (templates & count.keys())
    texts = []
    for found, (item, raw) in first.items():
        template = [gram in shared for gram in _units(found)]
        names = _names(item).intersection(found) if len(found) < long else None
        if names:
            told = [not names.isdisjoint(found[start : start + UNIT]) for start in range(len(template))]
            template = [not named for named in told]
        texts.append(Text(label(item.source, item.id), raw, found, tuple(template), bool(names)))
    return texts


def text_probe(text: Text, rarity: dict[bytes, float], policy: Policy) -> Probe | None:
    """The probe for a text: exact, in normal form, or as a share of its telling runs; None for a template."""
    length = gram_length(len(text.words))
    starts = text.telling(length)
    if not starts:
        return None
    whole = b"".join(text.words)
    offsets = [0]
    for word in text.words:
        offsets.append(offsets[-1] + len(word))
    weights: dict[bytes, float] = {}
    for start in starts:
        gram = text.words[start : start + length]
        weights[b" ".join(gram)] = sum(rarity.get(word, 1.0) for word in gram)
    total = sum(weights.values())
    least = min(policy.whole("ngram", "grams"), len(weights))
    share = policy.at("ngram", "containment")
    plain_text = " ".join(text.raw.split())
    enough = {name: len(text.words) >= policy.whole(name, "words") for name in ("exact", "normalised")}

    def look(row: Row, start: int, end: int, note: int) -> Found | None:
        begin = start - note
        stop = begin + len(whole)
        if begin >= 0 and row.squeezed[begin:stop] == whole and row.ends(begin, stop):
            number, first, last = row.span(begin, stop)
            name = "exact" if " ".join(row.texts[number][first:last].split()) in plain_text else "normalised"
            if name == "exact" and len(row.texts[number][first:last]) < len(plain_text) // 2:
                name = "normalised"
            if enough[name]:
                return Found(name, begin, stop, _short(text.raw))
        if text.named or len(text.words) < length or len(weights) < least:
            return None
        there = row.grams(length) & weights.keys()
        weight = sum(weights[gram] for gram in there)
        if len(there) < least or weight < share * total:
            return None
        return Found("ngram", start, end, f"{len(there)} of {len(weights)} telling runs of {length} words")

    probe = Probe(text.item, look)
    step = max(1, len(starts) // ANCHORS)
    chosen = {*starts[::step], starts[-1]}
    for start in sorted(chosen):
        at = offsets[start]
        needle = whole[at : max(offsets[min(start + length, len(text.words))], min(at + 10, len(whole)))][:_NEEDLE]
        if len(needle) >= 6:
            probe.needles.setdefault(needle, at)
    return probe if probe.needles else None


def gram_length(words: int) -> int:
    """Words per run for a text of so many: runs of thirteen find no short question, and fewer edits than runs of three."""
    return 3 if words < 48 else 4 if words < 120 else 6


def rarity_of(texts: Sequence[Text]) -> dict[bytes, float]:
    """Bits that a word tells: log2 of (texts / texts that have it), at least a tenth."""
    count: Counter[bytes] = Counter()
    for text in texts:
        count.update(set(text.words))
    return {word: max(0.1, log2((len(texts) + 1) / number)) for word, number in count.items()}


def common_phrases(rows: Iterable[Sequence[str]], texts: Iterable[str], least: int = 5) -> frozenset[bytes]:
    """The phrases of ``texts`` that ``least`` or more of these rows have: templates of the data that is searched.

    ``rows`` is a sample, each row with all its texts; rows that repeat another's first text count once.
    """
    wanted = {gram for text in texts for gram in _units(tuple(parts(plain(text))))}
    count: Counter[bytes] = Counter()
    seen: set[bytes] = set()
    for row in rows:
        key = b"|".join(plain(text[:200]) for text in row[:2])
        if key not in seen:
            seen.add(key)
            count.update({gram for text in row for gram in _units(parts(plain(text)))} & wanted)
    return frozenset(gram for gram, number in count.items() if number >= least)


@cache
def own_phrases() -> frozenset[bytes]:
    """The phrases of all our families' wordings, their places left out."""
    found: set[bytes] = set()
    for text in _wordings():
        for piece in _pieces(text):
            found.update(_units(parts(plain(piece))))
    return frozenset(found)


def _names(item: HeldOut) -> set[bytes]:
    """Words that name an item's patient."""
    named = [*item.identifiers, *(person.name for person in item.people)]
    return {word for text in named for word in parts(plain(text)) if len(word) > 1}


def _wordings() -> Iterable[str]:
    folder = Path(fhirtasks.tasks.__path__[0])
    for module in iter_modules([str(folder)]):
        if module.name.endswith("wordings"):
            loaded = import_module(f"fhirtasks.tasks.{module.name}")
            for name, value in vars(loaded).items():
                if not name.startswith("__"):
                    yield from _strings(value)
    for path in sorted(folder.glob("*wordings*.json")):
        yield from _strings(orjson.loads(path.read_bytes()))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _strings(item)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for name in value.__dataclass_fields__:
            yield from _strings(getattr(value, name))


def _pieces(template: str) -> list[str]:
    """A template between its places."""
    pieces, rest = [], template
    while True:
        before, brace, after = rest.partition("{")
        pieces.append(before)
        if not brace:
            return pieces
        rest = after.partition("}")[2]


def _units(found: Sequence[bytes]) -> list[bytes]:
    return grams_of(found, UNIT) if len(found) >= UNIT else [b" ".join(found)]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else f"{flat[:77]}…"
