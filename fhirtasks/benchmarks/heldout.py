"""One held-out item, as every reader of a public file gives it: what must not be found in training data."""

from __future__ import annotations

from dataclasses import dataclass

from fhirtasks.population.taskfile import Person


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A row of a benchmark, all its members as written there.

    ``source`` is the file's name or the Hub id, ``id`` the row's id in it. ``texts`` are instruction, question, note or
    topic; ``parameters`` is what makes the case (codes, values, dates …) and ``answer`` its gold answer; ``resources``
    are FHIR JSON texts.
    """

    source: str
    id: str
    texts: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    people: tuple[Person, ...] = ()
    phones: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    answer: str | None = None
    resources: tuple[str, ...] = ()
