"""What a scenario adds to a world, with the columns that the graders' SQL looks at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from fhirtasks.fhir.dates import parse_range
from fhirtasks.fhir.jsontext import Json, loads
from fhirtasks.graph.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Added:
    """A resource that a scenario adds. The fields are as the world's columns of the same names."""

    type: str
    id: str
    patient: str | None
    codes: tuple[str, ...]
    status: str | None
    date_lo: int | None
    effective: str | None
    value: str | None
    raw: str
    body: Json


@lru_cache(maxsize=1_024)
def read(raw: str) -> Added:
    """An added resource, parsed once."""
    body = loads(raw)
    subject = body.get("subject") or body.get("patient") or {}
    # A transaction's urn:uuid names the resource by its id, as the service reads it.
    kind, _, id = str(subject.get("reference", "")).replace("urn:uuid:", "Patient/").rpartition("/")
    time = body.get("effectiveDateTime") or body.get("effectiveInstant")
    span = parse_range(time) if isinstance(time, str) else None
    code = body.get("code") if isinstance(body.get("code"), dict) else {}
    quantity = body.get("valueQuantity") or {}
    return Added(
        type=body["resourceType"],
        id=body["id"],
        patient=body["id"] if body["resourceType"] == "Patient" else id if kind.endswith("Patient") else None,
        codes=tuple(f"{c.get('system', '')}|{c['code']}" for c in code.get("coding", ()) if "code" in c),
        status=body.get("status") if isinstance(body.get("status"), str) else None,
        date_lo=span[0] if span else None,
        effective=time,
        value=str(quantity["value"]) if "value" in quantity else None,
        raw=raw,
        body=body,
    )


def added(scenario: Scenario, type: str) -> list[Added]:
    """What the scenario adds of one type; of two with one id the later."""
    found = {one.id: one for raw in scenario.add if (one := read(raw)).type == type}
    return list(found.values())


def gone(scenario: Scenario, type: str) -> set[str]:
    """Ids of one type that the task does not see as the world has them: hidden, or replaced by what is added."""
    hidden = {id for kind, _, id in (ref.partition("/") for ref in scenario.hide) if kind == type}
    return hidden | {one.id for one in added(scenario, type)}


def merged(scenario: Scenario, add: Iterable[str], hide: Iterable[str]) -> Scenario:
    """The scenario with more on top of it: what is newly hidden or added takes the place of what it had added."""
    more, without = tuple(add), tuple(hide)
    if not scenario.add:
        return Scenario(add=more, hide=(*scenario.hide, *without))
    refs = {*without, *(f"{one.type}/{one.id}" for one in map(read, more))}
    kept = tuple(raw for raw in scenario.add if f"{(one := read(raw)).type}/{one.id}" not in refs)
    return Scenario(add=kept + more, hide=(*scenario.hide, *without))
