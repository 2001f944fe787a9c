"""What is looked for: needles in a row's squeezed text, and the closer look that decides what a needle means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from fhirtasks.leakage.row import Row

MATCHERS: Final = (
    "identifier", "person", "phone", "address", "parameters", "chart", "exact", "normalised", "ngram", "near_duplicate",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a closer look found: by which matcher, where (offsets in the row's squeezed text), and why it counts."""

    matcher: str
    start: int
    end: int
    evidence: str


Look: TypeAlias = "Callable[[Row, int, int, int], Found | None]"
"""(row, start, end, note) of a needle's hit -> what it is, or None; ``note`` is the needle's own number."""


@dataclass(slots=True)
class Probe:
    """One held-out thing: how it is called in reports, its needles with a number each, and the closer look."""

    item: str
    look: Look
    needles: dict[bytes, int] = field(default_factory=dict)


def label(source: str, id_: str, what: str = "") -> str:
    """How a held-out item is called: its file, its id in it, and what of it."""
    return f"{source} {id_}" + (f": {what}" if what else "")


def labels(items: Iterable[tuple[str, str]]) -> str:
    """One or several (source, id) as one label."""
    found = sorted(set(items))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return label(*found[0]) + more
