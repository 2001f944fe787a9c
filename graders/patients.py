"""The truth of the patient families: identifiers by name and birth date, and ages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import partial

from fhirtasks.fhir.dates import instant
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Task
from graders import identities, judge, overlay, probes
from graders.answers import Count, ListOf, Nothing, Number, Text
from graders.truth import Probe, Read, Truth

NOT_FOUND = "Patient not found"
NUMBER = ListOf((Number(Decimal(0)),))


def lookup_truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """Clinical truths of ``patient_lookup``: the identifier that is asked for, of the one patient who fits."""
    persons = {task.id: identities.named(task, world) for task in tasks}
    bodies = identities.bodies(tasks, persons)
    truths = {}
    for task in tasks:
        fits = persons[task.id]
        if len(fits) > 1:
            truths[task.id] = Truth(problem=f"the slots name {len(fits)} patients")
            continue
        value = fits[0].identifier(task.slots["identifier"]) if fits else NOT_FOUND
        if value is None:
            truths[task.id] = Truth(problem=f"the patient has no identifier {task.slots['identifier']}")
            continue
        answer = ListOf((Text(value) if fits else Nothing("no such patient", NOT_FOUND),))
        body = bodies[task.id] if fits else None
        truths[task.id] = Truth(answer=answer, shapes=(answer,), probes=partial(_namesakes, task, world, body))
    return truths


def age_truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """Clinical truths of ``patient_age``: whole years on the local date of ``now``; a birthday counts on its day."""
    persons = {task.id: identities.named(task, world) for task in tasks}
    bodies = identities.bodies(tasks, persons)
    truths = {}
    for task in tasks:
        birthdate = persons[task.id][0].birthdate if task.id in bodies else None
        if birthdate is None or len(birthdate) != 10:
            truths[task.id] = Truth(problem=f"the slots name {len(persons[task.id])} patients, birth date {birthdate}")
            continue
        answer = ListOf((Count(age(birthdate, task.now)),))
        probes_of = partial(_other_birthdates, bodies[task.id], birthdate)
        truths[task.id] = Truth(answer=answer, shapes=(NUMBER,), probes=probes_of)
    return truths


def age(birthdate: str, now: str) -> int:
    """Whole years from a birth date to the date that ``now`` begins with."""
    born, today = date.fromisoformat(birthdate), date.fromisoformat(now[:10])
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


GRADERS = {"patient_lookup": judge.grader(lookup_truths), "patient_age": judge.grader(age_truths)}


def _other_birthdates(body: str, birthdate: str, read: Read) -> Iterator[Probe]:
    """Worlds where the slots name another patient, or the same one with another birth date."""
    if not read.shows(body):
        yield from probes.other_patient(loads(body)["id"], body, read)
        # Four years: the 29th of February stays a date.
        other = f"{int(birthdate[:4]) - 4:04}{birthdate[4:]}"
        yield Probe("the patient had been born four years earlier", "Patient", (_changed(body, birthDate=other),))


def _changed(body: str, **elements: object) -> str:
    return dumps({**loads(body), **elements})


def _namesakes(task: Task, world: World, body: str | None, read: Read) -> Iterator[Probe]:
    """Worlds with another identifier, or one more patient of that name and birth date: a new one, or one not shown."""
    slots = task.slots
    # The name as the record divides it, if there is one: a blank may stand inside a given name.
    own = [] if body is None else [one for one in loads(body)["name"] if identities.written(one) == slots["name"]]
    if body is not None and not read.shows(body):
        numbers = [{**one, "value": f"{one.get('value', '')}9"} for one in loads(body)["identifier"]]
        yield Probe("the patient had another identifier", "Patient", (_changed(body, identifier=numbers),))
    ids = (probes.FIRST_ID, probes.LAST_ID)
    for id in ids[:1] if read.searches("Patient") == 1 else ids:
        yield Probe("another patient had that name and birth date", "Patient", (_namesake(slots, id, own),))
    if not read.incomplete:
        return
    everyone = identities.people(world)
    # Those whom a search by less than name and birth date would find, and those whom a list of all would show.
    now, gone = instant(task.now), overlay.gone(task.scenario, "Patient")
    unseen = {
        id
        for id, one in everyone.by_id.items()
        if id not in gone and (one.available is None or one.available <= now) and not _fits(one, slots)
    }
    unseen = (unseen | {one.id for one in overlay.added(task.scenario, "Patient")}) - read.ids
    alike = {one.id for key in (slots["birthdate"], *_families(slots["name"])) for one in everyone.alike.get(key, ())}
    places = [
        id
        for ids in (sorted(unseen & alike), sorted(unseen))
        for id in (*ids[:1], *ids[len(ids) // 2 :][:1], *ids[-1:])
    ]
    for id in dict.fromkeys(places):
        says = f"Patient/{id}, never shown, had that name and birth date"
        yield Probe(says, "Patient", (_namesake(slots, id, own),))


def _fits(one: identities.Person, slots: dict[str, str]) -> bool:
    return slots["name"] in one.names and slots["birthdate"] == one.birthdate


def _namesake(slots: dict[str, str], id: str, own: list[Json]) -> str:
    """A patient of that name, however it falls into given names and family name, with every kind of identifier asked for."""
    parts = slots["name"].split(" ")
    names = [{"given": parts[:n], "family": " ".join(parts[n:])} for n in range(len(parts) - 1, 0, -1)]
    names += [{key: one[key] for key in ("given", "family") if key in one} for one in own]
    label = slots["identifier"]
    identifier = {"system": label, "type": {"coding": [{"code": label}]}, "value": "another"}
    body = {
        "resourceType": "Patient", "id": id, "identifier": [identifier],
        "name": names or [{"family": slots["name"]}], "birthDate": slots["birthdate"],
    }  # fmt: skip
    return dumps(body)


def _families(name: str) -> Iterator[str]:
    """What of a full name may be its family name."""
    parts = name.split(" ")
    for n in range(len(parts)):
        yield " ".join(parts[n:])
