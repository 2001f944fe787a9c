"""What a clinical verdict is measured against: the answer, the writes, and the worlds in which the answer would differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fhirtasks.fhir.jsontext import Json
from graders.answers import ListOf

_ID = re.compile(r'"id":"([^"]*)"')
_NEXT = re.compile(r'"relation":"next","url":"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Rule:
    """One named check of a created resource. ``holds`` never raises on JSON that is valid R4."""

    check: str
    wants: str
    holds: Callable[[Json], bool]


@dataclass(frozen=True, slots=True)
class Order:
    """A resource that must have been created: its type and what must be true of it."""

    type: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """A world in which the answer would differ: ``add`` (raw JSON texts) and ``hide`` (``Type/id``) come on top of
    the scenario.

    ``says`` ends the sentence "the episode would look the same if …"; ``type`` is the resource type that differs.
    """

    says: str
    type: str
    add: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()


class Read:
    """What an episode asked for and was shown: ``urls`` of its GETs and the ``texts`` that came back."""

    def __init__(self, urls: Sequence[str], texts: Sequence[str]) -> None:
        self.urls = urls
        self.texts = texts

    def shows(self, part: str) -> bool:
        """Whether one of the texts contains ``part``."""
        return any(part in text for text in self.texts)

    @cached_property
    def ids(self) -> set[str]:
        """Every ``id`` in the texts."""
        return {id for text in self.texts for id in _ID.findall(text)}

    def searches(self, type: str) -> int:
        """How many searches of the type were made, later pages of one search apart."""
        return len({url for url in self.urls if f"/{type}?" in url and "_offset=" not in url})

    @property
    def incomplete(self) -> bool:
        """Whether something matched that was not shown: a next page was not asked for, or matches were only counted."""
        pages = {match for text in self.texts for match in _NEXT.findall(text)}
        return not pages <= set(self.urls) or any("_summary=" in url or "_count=0" in url for url in self.urls)


EMPTY = ListOf(())


@dataclass(frozen=True, slots=True)
class Truth:
    """``problem`` is why the task has no truth (its patient is missing or ambiguous), else empty.

    ``shapes`` are the forms that an answer may have, right or wrong. ``probes`` makes the counterfactual
    worlds; it takes what the episode read, so that worlds which this plainly rules out are left out.
    """

    problem: str = ""
    answer: ListOf = EMPTY
    shapes: tuple[ListOf, ...] = ()
    orders: tuple[Order, ...] = ()
    probes: Callable[[Read], Iterator[Probe]] = field(default=lambda read: iter(()), compare=False)
