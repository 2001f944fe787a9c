"""Everything in a release that is written for people: card, report, traces, Croissant. All follow from manifest and rows.

A build writes what :func:`documents` gives, ``verify`` compares it. So that what a build has in hand and what a manifest
file says come out alike, both are put into one order first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from fhirtasks.release.card import NAME as CARD
from fhirtasks.release.card import card
from fhirtasks.release.croissant import NAME as CROISSANT
from fhirtasks.release.croissant import croissant
from fhirtasks.release.features import SPLITS
from fhirtasks.release.figures import Figure
from fhirtasks.release.report import NAME as REPORT
from fhirtasks.release.report import report
from fhirtasks.release.sample import sample
from fhirtasks.release.traces import traces

EPISODES: Final = 96
"""How many episodes are shown."""
EPISODES_TEXT: Final = 1_000_000
"""How many characters their messages have, all together: a megabyte or so at any size of release."""
PAIRS: Final = 64
PAIRS_TEXT: Final = 700_000
"""Likewise for rejected episodes, which only the report shows."""
LONGEST: Final = 40_000
"""Characters of the longest episode that is shown."""


def documents(folder: Path, manifest: dict[str, Any], drawn: Sequence[Figure]) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every document of the release whose shards are in ``folder``; ``drawn`` are its figures.

    :class:`DamagedShard` where a shard is damaged.
    """
    stated = in_order(manifest)
    splits = list(stated["splits"])
    rows = sample(folder, "sft", splits, by=("branch", "origin"), limit=EPISODES, budget=EPISODES_TEXT, longest=LONGEST)
    pairs = sample(folder, "preference", splits, by=("mutant",), limit=PAIRS, budget=PAIRS_TEXT, longest=LONGEST)
    yield from traces(rows)
    yield REPORT, report(stated, rows, pairs, drawn).encode()
    yield CROISSANT, croissant(stated)
    yield CARD, card(stated, rows).encode()


def in_order(manifest: dict[str, Any]) -> dict[str, Any]:
    """The same manifest, its names sorted, its splits as they follow one another."""
    ordered: dict[str, Any] = _sorted(manifest)
    names = sorted(ordered["splits"], key=lambda name: (SPLITS.index(name) if name in SPLITS else len(SPLITS), name))
    return ordered | {"splits": {name: ordered["splits"][name] for name in names}}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
