"""What a clinical verdict is measured against: the answer, the writes, and the worlds in which the answer would differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fhirtasks.fhir.jsontext import Json
from graders.answers import ListOf


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
    """A world in which the answer would differ: ``add`` (raw JSON texts) and ``hide`` (``Type/id``) come on top of the scenario.

    ``says`` ends the sentence "the episode would look the same if …"; ``type`` is the resource type that differs.
    """

    says: str
    type: str
    add: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """``problem`` is why the task has no truth (its patient is missing or ambiguous), else empty.

    ``shapes`` are the forms that an answer may have, right or wrong; ``shown`` are raw texts of resources that the answer
    rests on; ``probes`` gives the counterfactual worlds, made only when they are needed.
    """

    problem: str = ""
    answer: ListOf = ListOf(())
    shapes: tuple[ListOf, ...] = ()
    orders: tuple[Order, ...] = ()
    shown: tuple[str, ...] = ()
    probes: Callable[[tuple[str, ...]], Iterator[Probe]] | None = field(default=None, compare=False)
    """Takes the texts that the episode was shown, so that worlds which they plainly rule out are left out."""
