"""Bodies for counterfactual worlds: results and patients as the world's own look, placed where they would change an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from fhirtasks.fhir.dates import render
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Task
from graders import overlay
from graders.results import tokens
from graders.truth import Probe, Read

FIRST_ID, LAST_ID = "-", "z" * 64
"""Ids before and after every other in the server's default order (FHIR ids are letters, digits, ``-`` and ``.``)."""

_ID, _PATIENT, _TIME = "\ue000", "\ue001", "\ue002"


@dataclass(frozen=True, slots=True)
class Template:
    """A result of the world with holes for id, patient and time; its value is one that no result has."""

    text: str

    def result(self, id: str, patient: str, time: int) -> str:
        """The raw text of a result at ``time`` (µs)."""
        return (
            self.text.replace(_ID, id)
            .replace(_PATIENT, patient)
            .replace(_TIME, render(time, "1970-01-01T00:00:00+00:00"))
        )


def templates(task: Task, world: World, code: str) -> tuple[Template, ...]:
    """One template for each coding that results with this bare code have, in the world or in the task's scenario."""
    key = ("graders.probes", code)
    found: tuple[Template, ...] | None = world.memo.get(key)
    if found is None:
        found = world.memo[key] = tuple(_of_world(token, world) for token in tokens(world).get(code, ()))
    if found:
        return found
    own = [
        one.body
        for one in overlay.added(task.scenario, "Observation")
        if any(c.rpartition("|")[2] == code for c in one.codes)
    ]
    return (
        _holed(
            own[0] if own else {"resourceType": "Observation", "status": "final", "code": {"coding": [{"code": code}]}}
        ),
    )


def _of_world(token: str, world: World) -> Template:
    """After the token's first result that is final, timed to the second and a number; after any where there is none."""
    row = world.db.execute(
        """SELECT raw FROM resource WHERE type = 'Observation' AND list_contains(codes, ?)
        ORDER BY value IS NULL, status != 'final', id LIMIT 1""",
        [token],
    ).fetchone()
    assert row is not None, "the token is the world's own"
    return _holed(loads(row[0]))


def _holed(body: Json) -> Template:
    kept = {
        name: item
        for name, item in body.items()
        if not name.startswith(("value", "effective")) and name != "dataAbsentReason"
    }
    quantity = {name: item for name, item in body.get("valueQuantity", {}).items() if name != "comparator"}
    kept |= {
        "id": _ID,
        "subject": {"reference": f"Patient/{_PATIENT}"},
        "effectiveDateTime": _TIME,
        "valueQuantity": {**quantity, "value": Decimal("987654.321")},
    }
    return Template(dumps(kept))


def other_patient(id: str, body: str, read: Read) -> Iterator[Probe]:
    """The world where whom the slots name has another id. Who was shown the patient's record can tell.

    The other id stands at the same place of every order, so that no list tells that leaves the patient out.
    """
    if not read.shows(body):
        says = f"the slots named another patient than Patient/{id}"
        yield Probe(says, "Patient", (renamed(body, id, other_id(id)),), (f"Patient/{id}",))


def other_id(id: str) -> str:
    """The id of the other patient."""
    return f"{id[:62]}-x"


def revalued(raw: str) -> str:
    """The same result with its value 1 higher."""
    body = loads(raw)
    quantity = body["valueQuantity"]
    return dumps({**body, "valueQuantity": {**quantity, "value": quantity["value"] + 1}})


def renamed(raw: str, id: str, other: str) -> str:
    """The same resource under another id."""
    text = raw.replace(f'"id":"{id}"', f'"id":"{other}"', 1)
    if text != raw and loads(text)["id"] == other:
        return text
    return dumps({**loads(raw), "id": other})


def text(time: int) -> str:
    """A time in µs as a report shows it."""
    return render(time, "1970-01-01T00:00:00Z")
