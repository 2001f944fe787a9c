"""A case by its numbers: the parameters of a held-out item and its gold answer, all of them again in one row.

Read from the members of a task (slots, params, now, gold), or from running text where all values stand close together.
A tuple counts by what it tells: a value that one item alone has tells ten bits, one that all items have none, and a
short value no more than its letters can. So the codes, limits and times of a template are no leak, whoever is meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log2
from typing import Any, Final

import orjson

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.leakage.folding import parts, squeeze, squeezed
from fhirtasks.leakage.policy import Policy
from fhirtasks.leakage.probes import Found, Probe, label
from fhirtasks.leakage.row import Row

BITS: Final = 10.0
"""What a value of one item alone tells; an item among a thousand."""
BITS_PER_LETTER: Final = 3.0
NEEDLE: Final = 6
"""Letters and digits of a value by which a tuple can be looked for in running text."""
LETTERS: Final = 6
"""Characters of a word, about, by which a window of words is measured."""

_FIGURE: Final = re.compile(rb"\d+(?:\.\d+)?(?:/\d+(?:\.\d+)?)?")
_NUMBER: Final = re.compile(r"[<>=~ ]*([+-]?\d+(?:[.,]\d+)?(?:/\d+(?:\.\d+)?)?)(?=$|[^\d\w.:-]|\s)")


@dataclass(frozen=True, slots=True)
class Case:
    """A tuple that tells enough: the normal forms of its parameters and answer."""

    item: str
    values: frozenset[str]
    answer: str | None
    bits: float
    needles: frozenset[bytes]
    """Squeezed parameters, with their names and without, of which running text about the case has one."""


@lru_cache(maxsize=1 << 16)
def value(text: str) -> str:
    """A value's normal form: its name, unit, case and punctuation left out (``age: 45 years`` -> ``45``)."""
    stated = text.rpartition(": ")[2].strip().strip("[]\"'")
    number = _NUMBER.match(stated)
    if number is not None:
        digits = number[1].replace(",", ".").lstrip("+")
        return digits.rstrip("0").rstrip(".") if "." in digits and "/" not in digits else digits
    return squeezed(stated)


def cases_of(items: Sequence[HeldOut], policy: Policy) -> list[Case]:
    """The items' tuples that tell enough to be a leak by themselves."""
    tuples = [
        (item, frozenset(filter(None, map(value, item.parameters))), value(item.answer) if item.answer else None)
        for item in items
        if item.parameters
    ]
    count: Counter[str] = Counter()
    for _, values, answer in tuples:
        count.update(values | ({answer} if answer else set()))
    found = []
    for item, values, answer in tuples:
        bits = sum(_bits(one, count[one]) for one in values | ({answer} if answer else set()))
        if bits >= policy.at("parameters", "bits") and len(values) > 1:
            named = [(count[value(raw)], text) for raw in item.parameters for text in (raw, raw.rpartition(": ")[2])]
            long = [(number, squeezed(text).encode()[:32]) for number, text in named if len(squeezed(text)) >= NEEDLE]
            rarest = min((number for number, _ in long), default=0)
            needles = frozenset(needle for number, needle in long if number == rarest)
            found.append(Case(label(item.source, item.id), values, answer, bits, needles))
    return found


class Cases:
    """The tuples, by the parameter that the fewest of them have."""

    def __init__(self, cases: Sequence[Case]) -> None:
        count = Counter(one for case in cases for one in case.values)
        self._by_value: dict[str, list[Case]] = {}
        for case in cases:
            rarest = min(case.values, key=lambda one: (count[one], -len(one), one))
            self._by_value.setdefault(rarest, []).append(case)

    def among(self, values: frozenset[str]) -> Iterator[Case]:
        """The tuples whose parameters and answer are all among a row's values."""
        for one in values & self._by_value.keys():
            for case in self._by_value[one]:
                if case.values <= values and (case.answer is None or case.answer in values):
                    yield case

    def __bool__(self) -> bool:
        return bool(self._by_value)


def row_values(texts: Sequence[str], stated: Iterable[str] = ()) -> frozenset[str]:
    """The values that a row states as a task: those given, and those of each text that is a task as JSON."""
    found = set(map(value, stated))
    for text in texts:
        if text.startswith("{") and '"slots"' in text[:20_000]:
            try:
                task = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
            if isinstance(task, dict):
                for name in ("slots", "params", "gold", "now", "family"):
                    found.update(map(value, _scalars(task.get(name))))
    return frozenset(found - {""})


def case_probe(case: Case, policy: Policy) -> Probe:
    """The probe for a tuple in running text: all values within a window, the answer anywhere."""
    window = policy.whole("parameters", "window")
    values = [one for one in case.values if one]

    def look(row: Row, start: int, end: int, _: int) -> Found | None:
        near = row.around(start, end, window * LETTERS)
        there = {number.decode() for number in _FIGURE.findall(near)}
        there |= {number.rstrip("0").rstrip(".") for number in there if "." in number}
        there |= {word.decode() for word in parts(near)}
        whole = squeeze(near).decode()
        if not all(one in there or (len(one) > 4 and squeezed(one) in whole) for one in values):
            return None
        if case.answer is not None and not _states(row, case.answer):
            return None
        return Found("parameters", start, end, f"all of {', '.join(sorted(values))} and the answer")

    return Probe(case.item, look, dict.fromkeys(case.needles, 0))


def _states(row: Row, answer: str) -> bool:
    """Whether the answer stands anywhere in the row, as a number or word of its own."""
    pattern = re.compile(rb"(?<![\d.])" + re.escape(answer.encode()) + rb"0*(?![\d])")
    if any(character.isdigit() for character in answer) and "." in answer:
        return any(pattern.search(view.ascii) for view in row.views)
    return any(pattern.search(view.ascii.lower()) for view in row.views) or (
        len(answer) > 4 and answer.encode() in row.squeezed
    )


def _bits(one: str, count: int) -> float:
    return max(0.0, min(BITS - log2(count), BITS_PER_LETTER * len(one)))


def _scalars(item: Any) -> Iterator[str]:
    if isinstance(item, dict):
        for inner in item.values():
            yield from _scalars(inner)
    elif isinstance(item, list):
        for inner in item:
            yield from _scalars(inner)
    elif isinstance(item, str):
        if item[:1] in "[{" and item:
            try:
                yield from _scalars(orjson.loads(item))
                return
            except orjson.JSONDecodeError:
                pass
        yield item
    elif item is not None and not isinstance(item, bool):
        yield str(item)
