"""Wordings: whole prompts with ``{slot}`` places, filled by a task, compared with their places masked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhirtasks.episodes.types import Mode

_PLACE = re.compile(r"\{([a-z_]+)\}")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to put a family's task: the question, and per mode the context that states what it needs.

    A place is ``{name}``; other braces (JSON shapes) stay as they are. Draw one with ``rng.choice``, before and without
    regard to anything else, so that no wording tells a branch.
    """

    instruction: str
    clinical: str
    compat: str
    by_name: bool = False
    """Whether it names the patient by name and birth date even where there is a record number (clinical mode)."""

    def texts(self, mode: Mode, values: Mapping[str, str]) -> tuple[str, str]:
        """Instruction and context with their places filled."""
        return fill(self.instruction, values), fill(self.compat if mode == "compat" else self.clinical, values)


def reserved(wordings: Sequence[str]) -> frozenset[str]:
    """The wordings that only the test split asks in, where it has its own: a quarter, one at least, chosen by their hash."""
    ordered = sorted(wordings, key=lambda one: hashlib.sha256(one.encode()).digest())
    return frozenset(ordered[: max(1, len(ordered) // 4)])


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its places filled; a value may hold braces of its own. KeyError names a missing value."""
    return _PLACE.sub(lambda place: values[place[1]], template)


def word_overlap(first: str, second: str) -> float:
    """Jaccard index of two templates' word sets (case-folded, places masked): 0 nothing shared, 1 the same words."""
    one, other = _words(first), _words(second)
    return len(one & other) / len(one | other) if one | other else 1.0


def mask(text: str, values: Mapping[str, str]) -> str:
    """A filled text with every value put back to its place, longest values first; never inside a longer word."""
    for name, value in sorted(values.items(), key=lambda item: (-len(item[1]), item[0])):
        if value:
            start = r"(?<!\w)" if _WORD.match(value[0]) else ""
            end = r"(?!\w)" if _WORD.match(value[-1]) else ""
            text = re.sub(start + re.escape(value) + end, "{" + name + "}", text)
    return text


def _words(template: str) -> set[str]:
    return set(_WORD.findall(_PLACE.sub(" ", template).casefold()))
