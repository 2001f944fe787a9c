"""Experts play what the four families propose, through the real environment; real graders judge from raw text."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import solvers
from fhirtasks.fhir.jsontext import loads
from fhirtasks.graph.world import World
from fhirtasks.tasks import registry
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.seeds import rng, task_id, task_seed
from fhirtasks.tasks.types import Draft, Task
from graders import grade

NAMES = ("patient_age", "patient_lookup", "record_blood_pressure", "referral_order")
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def tasks(world: World, name: str, mode: Any, per_branch: int) -> Iterator[Task]:
    family = registry.family(name)
    for branch in family.branches:
        made = 0
        for index in range(per_branch * 20):
            draft = family.sample(world, rng(f"{name} {branch.name} {mode} {index}"), branch.name, mode)
            if draft is not None:
                made += 1
                yield as_task(family, draft, branch.name, mode, index)
            if made == per_branch:
                break
        assert made == per_branch, (name, branch.name, mode, made)


def as_task(family: Any, draft: Draft, branch: str, mode: Any, index: int) -> Task:
    key = (f"test {mode} {branch}", family.name, family.version, "train", index, 1)
    return Task(
        id=task_id(*key), family=family.name, version=family.version, domain=family.domain, kind=family.kind,
        mode=mode, protocol="text", branch=branch, split="train", now=draft.now, instruction=draft.instruction,
        context=draft.context, slots=draft.slots, params=draft.params, gold=draft.gold, patients=draft.patients,
        scenario=draft.scenario, difficulty=draft.difficulty, seed=task_seed(*key),
    )  # fmt: skip


def check(world: World, name: str, per_branch: int) -> None:
    for mode in registry.family(name).modes:
        for task in tasks(world, name, mode, per_branch):
            episode = play(task, world, solvers.solver(name))
            verdict = grade(task, episode, world)
            failed = [one for one in verdict.checks if not one.passed]
            assert verdict.passed, (task.branch, mode, failed, task.slots, episode.raws)
            assert replay_task(task, world, episode.raws) == episode
            if task.kind == "query":
                assert loads(episode.result or "") == task.gold
            elif mode == "clinical":
                (write,) = episode.writes
                assert loads(write.body)["subject"]["reference"] == f"Patient/{task.patients[0]}"


@pytest.mark.parametrize("name", NAMES)
def test_the_expert_succeeds(world: World, name: str) -> None:
    check(world, name, 12)


def gz(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def bundles(folder: Path) -> list[dict[str, Any]]:
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json"))[:12]:
        for entry in json.loads(path.read_text("utf-8"))["entry"]:
            body = entry["resource"]
            if body["resourceType"] in ("Patient", "Encounter"):
                kept.setdefault((body["resourceType"], body["id"]), body)
    return list(kept.values())


SOURCES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "mimic-iv-demo-fhir": lambda: [
        *gz(SHARED / "mimic-iv-demo-fhir" / "MimicPatient.ndjson.gz"),
        *gz(SHARED / "mimic-iv-demo-fhir" / "MimicObservationVitalSignsED.ndjson.gz"),
    ],
    "synthea-ndjson": lambda: [
        *gz(SHARED / "synthea-ndjson" / "Patient.ndjson.gz"),
        *gz(SHARED / "synthea-ndjson" / "Encounter.ndjson.gz"),
    ],
    "synthea-bundles": lambda: bundles(SHARED / "synthea-bundles"),
}


@pytest.mark.shared
@pytest.mark.parametrize("source", sorted(SOURCES))
def test_the_expert_succeeds_on_real_records(make_world: Any, source: str) -> None:
    if not (SHARED / source).is_dir():
        pytest.skip(f"the public records are not beside the checkout ({source})")
    resources = SOURCES[source]()
    for body in resources:
        if "subject" in body:
            reference = body["subject"]["reference"].replace("urn:uuid:", "Patient/")
            body["subject"]["reference"] = reference
    world = make_world(resources)
    for name in NAMES:
        assert registry.family(name).missing(world) is None
        check(world, name, 3)


@pytest.mark.shared
def test_how_real_patients_are_named(make_world: Any) -> None:
    """MIMIC by its only number, Synthea 2021 (whose record number is the id) by name and birth date."""
    if not SHARED.is_dir():
        pytest.skip("the public records are not beside the checkout")
    mimic = make_world(gz(SHARED / "mimic-iv-demo-fhir" / "MimicPatient.ndjson.gz"))
    synthea = make_world(gz(SHARED / "synthea-ndjson" / "Patient.ndjson.gz"))
    for task in tasks(mimic, "patient_age", "clinical", 3):
        assert set(task.slots) == {"mrn"}
    for task in tasks(synthea, "patient_age", "clinical", 3):
        assert set(task.slots) == {"name", "birthdate"}
    for task in tasks(mimic, "patient_lookup", "clinical", 3):
        assert task.slots["identifier"] == "http://mimic.mit.edu/fhir/mimic/identifier/patient"
    for task in tasks(synthea, "patient_lookup", "clinical", 3):
        assert task.slots["identifier"] == "DL"


def test_names_that_hold_the_separators_of_searches(make_world: Any) -> None:
    def person(number: int, given: str, family: str) -> dict[str, Any]:
        return {
            "resourceType": "Patient", "id": f"id-{number}", "name": [{"given": [given], "family": family}],
            "birthDate": f"198{number}-02-03", "identifier": [{"system": "urn:n", "value": f"N{number}"}],
        }  # fmt: skip

    world = make_world(
        [person(1, "A,B", "O|Neil $5"), person(2, "Back\\slash", 'Q"uote'), person(3, "Ünal & Co", "+1%")]
    )
    for name in NAMES:
        check(world, name, 4)
