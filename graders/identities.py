"""Which patients a task's slots name: one table of all Patients per world, read by one query, and the scenario on top."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fhirtasks.fhir.dates import instant
from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Task
from graders import overlay


@dataclass(frozen=True, slots=True)
class Person:
    """What a task can name a patient by. ``identifiers`` are (value, labels), a label being a type code or the system."""

    id: str
    birthdate: str | None
    names: tuple[str, ...]
    families: tuple[str, ...]
    identifiers: tuple[tuple[str, tuple[str, ...]], ...]
    raw: str = ""
    available: int | None = None

    def identifier(self, label: str) -> str | None:
        """The value of the first identifier that carries the label."""
        return next((value for value, labels in self.identifiers if label in labels), None)


class People:
    """Every Patient of a world, by identifier value, by name with birth date, and by family name or birth date alone."""

    def __init__(self, persons: Iterable[Person]) -> None:
        self.by_id: dict[str, Person] = {}
        self.by_identifier: defaultdict[str, list[Person]] = defaultdict(list)
        self.by_name: defaultdict[tuple[str, str], list[Person]] = defaultdict(list)
        self.alike: defaultdict[str, list[Person]] = defaultdict(list)
        for person in persons:
            self.by_id[person.id] = person
            for value in {value for value, _ in person.identifiers}:
                self.by_identifier[value].append(person)
            for name in person.names:
                self.by_name[name, person.birthdate or ""].append(person)
            for key in {*person.families, person.birthdate or ""}:
                self.alike[key].append(person)


def people(world: World) -> People:
    """The world's patients, in id order; made on the first call."""
    key = ("graders.identities",)
    found = world.memo.get(key)
    if found is None:
        available = "available" if world.has_available else "NULL"
        rows = world.db.execute(f"SELECT raw, {available} FROM resource WHERE type = 'Patient' ORDER BY id").fetchall()
        found = world.memo[key] = People(person(orjson.loads(raw), raw, time) for raw, time in rows)
    assert isinstance(found, People)
    return found


def person(body: dict[str, Any], raw: str, available: int | None = None) -> Person:
    """A Patient resource as something to be named."""
    names, families, identifiers = [], [], []
    for name in body.get("name", ()):
        names.append(written(name))
        families += [name["family"]] if "family" in name else []
    for one in body.get("identifier", ()):
        labels = [coding["code"] for coding in one.get("type", {}).get("coding", ()) if "code" in coding]
        if "value" in one:
            identifiers.append((one["value"], (*labels, *([one["system"]] if "system" in one else []))))
    return Person(
        body["id"],
        body.get("birthDate"),
        tuple(dict.fromkeys(names)),
        tuple(families),
        tuple(identifiers),
        raw,
        available,
    )


def written(name: dict[str, Any]) -> str:
    """A HumanName as prompts write it: its given names and its family name, with blanks between."""
    parts = [*name.get("given", ()), *([name["family"]] if "family" in name else [])]
    return " ".join(part for part in parts if isinstance(part, str))


def named(task: Task, world: World) -> list[Person]:
    """Every patient that the task's slots fit and that is visible at its ``now``."""
    everyone, now = people(world), instant(task.now)
    gone = overlay.gone(task.scenario, "Patient") if not task.scenario.native else set()
    slots = task.slots
    if "mrn" in slots:
        native = everyone.by_identifier.get(slots["mrn"], [])
    else:
        native = everyone.by_name.get((slots["name"], slots["birthdate"]), [])
    found = [one for one in native if one.id not in gone and (one.available is None or one.available <= now)]
    if not task.scenario.native:
        found += [one for one in map(_person_of, overlay.added(task.scenario, "Patient")) if _fits(one, slots)]
    return sorted((one for one in found if _fits(one, slots)), key=lambda one: one.id)


def bodies(tasks: Sequence[Task], persons: dict[str, list[Person]]) -> dict[str, str]:
    """The raw body of each task's patient, by task id, where its slots name exactly one."""
    return {task.id: persons[task.id][0].raw for task in tasks if len(persons[task.id]) == 1}


def _person_of(one: overlay.Added) -> Person:
    return person(one.body, one.raw)


def _fits(one: Person, slots: dict[str, str]) -> bool:
    by_number = "mrn" not in slots or any(value == slots["mrn"] for value, _ in one.identifiers)
    by_name = "name" not in slots or slots["name"] in one.names
    return by_number and by_name and ("birthdate" not in slots or one.birthdate == slots["birthdate"])
