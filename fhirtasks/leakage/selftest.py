"""The audit measured on itself: leaks planted in copies of the audited rows, and what only looks like leaks.

What is planted comes from :mod:`fhirtasks.planting`, which knows nothing of the matchers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.leakage.matcher import Match
from fhirtasks.planting.leaks import Leak, leaks
from fhirtasks.planting.negatives import negatives
from fhirtasks.planting.rows import Planted, Row, plant, positions

EACH: Final = 6
"""Leaks planted per kind of fact and disguise."""
CLEAN: Final = 600
"""Clean texts planted."""
MOST_ALARMS: Final = 0.001
SHOWN: Final = 20


class Finder(Protocol):
    """What finds held-out items in the texts of a row."""

    def find(self, texts: Sequence[str]) -> list[Match]: ...


@dataclass(slots=True)
class Tally:
    """Leaks planted, and how many of them were found."""

    planted: int = 0
    found: int = 0

    @property
    def recall(self) -> float:
        """The share found; 1 where nothing was planted."""
        return self.found / self.planted if self.planted else 1.0

    def as_json(self) -> dict[str, Any]:
        """The counts and the share."""
        return {"planted": self.planted, "found": self.found, "recall": self.recall}


@dataclass(slots=True)
class SelfTest:
    """Recall by disguise, by kind of fact (``facts``) and by position; alarms on clean texts; examples of what went wrong.

    ``matchers`` counts which matchers found the planted leaks: several may find one.
    """

    rows: int
    total: Tally = field(default_factory=Tally)
    disguises: dict[str, Tally] = field(default_factory=dict)
    facts: dict[str, Tally] = field(default_factory=dict)
    positions: dict[str, Tally] = field(default_factory=dict)
    matchers: Counter[str] = field(default_factory=Counter)
    clean: int = 0
    alarms: int = 0
    missed: list[dict[str, Any]] = field(default_factory=list)
    alarmed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """True if every planted leak was found and hardly a clean text was taken for one."""
        return self.total.found == self.total.planted and self.alarms <= MOST_ALARMS * self.clean

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON."""

        def table(tallies: dict[str, Tally]) -> dict[str, Any]:
            return {name: tally.as_json() for name, tally in sorted(tallies.items())}

        return {
            "good": self.good,
            **self.total.as_json(),
            "disguises": table(self.disguises),
            "facts": table(self.facts),
            "positions": table(self.positions),
            "matchers": dict(sorted(self.matchers.items())),
            "clean": self.clean,
            "false_alarms": self.alarms,
            "false_alarm_rate": self.alarms / self.clean if self.clean else 0.0,
            "rows": self.rows,
            "missed": self.missed,
            "alarmed": self.alarmed,
        }


def measure(
    finder: Finder,
    items: Sequence[HeldOut],
    rows: Sequence[Row],
    *,
    each: int = EACH,
    clean: int = CLEAN,
    progress: Callable[[str], None] = lambda message: None,
) -> SelfTest:
    """Plants ``each`` leaks per kind of fact and disguise, and ``clean`` texts that are none, in copies of clean rows.

    All positions that the rows have take turns. The same rows and items give the same figures.
    """
    rng = Random(f"self-test {len(items)} {len(rows)}")
    test = SelfTest(rows=len(rows))
    spots = _spots(rows, rng)
    for number, leak in enumerate(leaks(items, each, rng)):
        row, index = next(spots)
        planted = plant(rows[row], index, leak.pieces, rng)
        matches = [match for match in finder.find(planted.texts) if match.decisive]
        _count(test, leak, planted, matches)
        if number % 500 == 499:
            progress(f"planted {test.total.planted:,} leaks, found {test.total.found:,}")
    for text in negatives(items, clean, rng):
        row, index = next(spots)
        planted = plant(rows[row], index, (text,), rng)
        alarms = [match for match in finder.find(planted.texts) if match.decisive]
        test.clean += 1
        test.alarms += bool(alarms)
        if alarms and len(test.alarmed) < SHOWN:
            test.alarmed.append({"matcher": alarms[0].matcher, "item": alarms[0].item, "text": text})
        if test.clean % 2_000 == 0:
            progress(f"planted {test.clean:,} clean texts, {test.alarms:,} false alarms")
    return test


def _spots(rows: Sequence[Row], rng: Random) -> Iterator[tuple[int, int]]:
    """(row, text) without end: each position in turn, any of the rows that have it."""
    places = positions(rows)
    while True:
        for _, spots in places:
            yield rng.choice(spots)


def _count(test: SelfTest, leak: Leak, planted: Planted, matches: list[Match]) -> None:
    found = bool(matches)  # the row was clean before, so whatever is found now was planted
    for tally in (
        test.total,
        test.disguises.setdefault(leak.disguise, Tally()),
        test.facts.setdefault(leak.what, Tally()),
        test.positions.setdefault(planted.position, Tally()),
    ):
        tally.planted += 1
        tally.found += found
    if found:
        test.matchers.update({match.matcher for match in matches})
    elif len(test.missed) < SHOWN:
        test.missed.append(
            {
                "fact": leak.what, "disguise": leak.disguise, "position": planted.position,
                "item": f"{leak.item.source}:{leak.item.id}", "text": " | ".join(leak.pieces)[:300],
            }
        )  # fmt: skip
