"""Worlds for the tests of the labs families, and the naive reading of a chart that drafts are compared with."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from fhirtasks.fhir.jsontext import dumps, loads, minify
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.population.populate import generate
from fhirtasks.tasks.types import Draft, Family, Task

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
MIMIC = SHARED / "mimic-iv-demo-fhir"
SYNTHEA = SHARED / "synthea-bundles"
DRAWS = 60

Row = tuple[str, str, str | None, str]


def patient_of(body: dict[str, Any]) -> str | None:
    """The id of the compartment's patient, by what the body says itself."""
    if body["resourceType"] == "Patient":
        return str(body["id"])
    for key in ("subject", "patient", "beneficiary"):
        reference = body.get(key, {}).get("reference") if isinstance(body.get(key), dict) else None
        if reference:
            return str(reference).replace("urn:uuid:", "/").rpartition("/")[2]
    return None


def population(folder: Path, patients: int = 40, seed: int = 7) -> World:
    """A world of embedded patients."""
    rows = [(body["resourceType"], body["id"], patient_of(body), minify(text)) for text, body in
            ((text, json.loads(text)) for text in generate(patients, seed))]  # fmt: skip
    return _world(rows, folder / "population.duckdb")


def mimic(folder: Path) -> World:
    """Patients, encounters and laboratory results of the MIMIC-IV demo."""
    rows: list[Row] = []
    for name in ("MimicPatient", "MimicEncounter", "MimicObservationLabevents"):
        with gzip.open(MIMIC / f"{name}.ndjson.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                body = json.loads(line)
                rows.append((body["resourceType"], body["id"], patient_of(body), minify(line)))
    return _world(rows, folder / "mimic.duckdb")


def synthea(folder: Path) -> World:
    """Patients, encounters and observations of the Synthea bundles."""
    rows: dict[tuple[str, str], Row] = {}
    for path in sorted(SYNTHEA.glob("*.json")):
        for entry in loads(path.read_text(encoding="utf-8"))["entry"]:
            body = entry["resource"]
            if body["resourceType"] in ("Patient", "Encounter", "Observation"):
                rows[body["resourceType"], body["id"]] = (
                    body["resourceType"],
                    body["id"],
                    patient_of(body),
                    dumps(body),
                )
    return _world(list(rows.values()), folder / "synthea.duckdb")


def _world(rows: list[Row], path: Path) -> World:
    if not path.exists():
        write_world_from_charts(rows, "train", path)
    return World.open(path)


def drafts(
    family: Family, world: World, branch: str, mode: Any, count: int, *, seed: str = ""
) -> Iterator[Draft | None]:
    """``count`` draws as the build makes them: asked again until a case is found."""
    for number in range(count):
        rng = random.Random(f"{seed}/{family.name}/{branch}/{mode}/{number}")
        yield next(filter(None, (family.sample(world, rng, branch, mode) for _ in range(DRAWS))), None)


def task(family: Family, draft: Draft, branch: str, mode: Any, number: int) -> Task:
    """The draft as the build would make a task of it."""
    return Task(
        id=f"{random.Random(f'{family.name}{branch}{mode}{number}').getrandbits(96):024x}",
        family=family.name, version=family.version, domain=family.domain, kind=family.kind, mode=mode, protocol="text",
        branch=branch, split="train", now=draft.now, instruction=draft.instruction, context=draft.context,
        slots=draft.slots, params=draft.params, gold=draft.gold, patients=draft.patients, scenario=draft.scenario,
        difficulty=draft.difficulty, seed="0",
    )  # fmt: skip


def served(world: World, draft: Draft) -> list[dict[str, Any]]:
    """Every result of the draft's code that its patient's chart shows at ``now``, in the server's order."""
    now = datetime.fromisoformat(draft.now)
    rows = world.db.execute(
        "select raw from resource where type = 'Observation' and patient = ?", [draft.patients[0]]
    ).fetchall()
    found = {body["id"]: body for (raw,) in rows if _known(body := loads(raw)) <= now}
    found |= {body["id"]: body for body in map(loads, draft.scenario.add)}
    for reference in draft.scenario.hide:
        found.pop(reference.removeprefix("Observation/"), None)
    code = draft.slots["code"]
    return [
        body for _, body in sorted(found.items()) if code in [coding.get("code") for coding in body["code"]["coding"]]
    ]


def _known(body: dict[str, Any]) -> datetime:
    times = [body[key] for key in ("effectiveDateTime", "issued") if key in body]
    return max(datetime.fromisoformat(time) for time in times)


def time(body: dict[str, Any]) -> datetime:
    """When the result was taken."""
    return datetime.fromisoformat(body["effectiveDateTime"])


def counted(world: World, draft: Draft, mode: str) -> list[dict[str, Any]]:
    """The results that the question is about."""
    now = datetime.fromisoformat(draft.now)
    found = served(world, draft)
    if "window_hours" in draft.slots:
        found = [body for body in found if time(body) >= now - timedelta(hours=int(draft.slots["window_hours"]))]
    return [body for body in found if mode == "compat" or time(body) <= now]


def latest(found: list[dict[str, Any]], tie: str) -> dict[str, Any] | None:
    """The newest; among equal times the first as listed, or by value."""
    if not found:
        return None
    newest = [body for body in found if time(body) == max(map(time, found))]
    if tie == "first":
        return newest[0]
    values = sorted(newest, key=lambda body: Decimal(body["valueQuantity"]["value"]))
    return values[-1 if tie == "highest" else 0]
