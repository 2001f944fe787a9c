"""What a clinical verdict is measured against: the answer, the writes, and the worlds in which the answer would differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from fhirtasks.fhir.dates import SECOND, search_range
from fhirtasks.fhir.jsontext import Json
from fhirtasks.service.parse import split_pairs
from graders.answers import ListOf

_ID = re.compile(r'"id":"([^"]*)"')
_TOTAL = re.compile(r'"total":\s*([0-9]+)')
_MATCH = re.compile(r'"mode":\s*"match"')


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
        asked = {unquote(url) for url in self.urls}
        return len({url for url in asked if re.search(rf"/{type}(/_search)?\?", url) and "_offset=" not in url})

    @cached_property
    def incomplete(self) -> bool:
        """Whether a Bundle says that more matched than it shows: there are other pages, or matches were only counted."""
        totals = ((_TOTAL.search(text), len(_MATCH.findall(text))) for text in self.texts)
        return any(total is not None and int(total.group(1)) > shown for total, shown in totals)

    @cached_property
    def edges(self) -> list[int]:
        """The times (µs) just outside what the searches asked for by date: whatever they leave out begins or ends there."""
        times = []
        for url in self.urls:
            for name, value in split_pairs(url.partition("?")[2]):
                prefix, text = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
                span = search_range(text.replace(" ", "+")) if name == "date" else None
                if span is not None:
                    before, after = span[0] - SECOND, span[1]
                    times += {"ge": [before], "gt": [after - SECOND], "sa": [after - SECOND], "le": [after]}.get(
                        prefix, [before, span[0], after]
                    )
        return sorted(set(times))


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
