"""Question families as families of tasks: drawn from a world's pool, worded, with what the prompt must say."""

from __future__ import annotations

import json
import random
from functools import partial

from fhirtasks.episodes.code import permitted
from fhirtasks.episodes.types import Mode
from fhirtasks.fhir.jsontext import Json, loads
from fhirtasks.graph.views import ELEMENTS, views
from fhirtasks.graph.world import World
from fhirtasks.tasks.questions.pool import pool
from fhirtasks.tasks.questions.types import Asked, Question, Truth
from fhirtasks.tasks.types import Branch, Draft, Family
from fhirtasks.tasks.wording import fill

FEWEST = 8
"""Questions that a world must offer for a branch: a family with fewer is not supported there. A question is put in a few dozen
ways at most, so that fewer would not fill a branch with different episodes."""
FEWEST_HELD_OUT = 2
"""The same for validation and test, which have a tenth of the rows."""

_OPENINGS = (
    "The patient's FHIR id is {patient}. The present time is {now}.",
    "Patient: {patient} (FHIR id). It is now {now}.",
    "You are asked about Patient/{patient}; take {now} as the present time.",
    "Record of patient {patient}, looked at on {now}.",
)

_COHORT_OPENINGS = (
    "These patients are in scope (FHIR ids): {patients}. The present time is {now}.",
    "Patients: {patients} (FHIR ids). It is now {now}.",
    "You are asked about a cohort; take {now} as the present time. Its patients have the FHIR ids {patients}.",
    "Records of the patients {patients}, looked at on {now}.",
)
_COHORT_NOTE = "coverage and fetch take several of these ids at once, joined with commas."


def family(question: Question) -> Family:
    """The family of tasks that asks this question."""
    return Family(
        name=question.name, version=question.version, domain="questions", kind="query",
        branches=tuple(Branch(name) for name in question.branches),
        sample=partial(_sample, question), missing=partial(_missing, question), modes=("clinical",), protocols=("code",),
        description=f"{question.code} ({question.category}): {question.wordings[0]}", wordings=question.wordings,
    )  # fmt: skip


def gold(question: Question, truth: Truth) -> dict[str, Json]:
    """The answer as ``submit_answer`` takes it."""
    value: Json = truth.reason if truth.value is None else loads(truth.value)
    kind = "none" if truth.value is None else question.answer
    return {"type": kind, "value": value, "unit": truth.unit, "evidence": list(truth.evidence)}


def _sample(question: Question, world: World, random: random.Random, branch: str, mode: Mode) -> Draft | None:
    wording, opening = random.choice(question.wordings), random.choice(range(len(_OPENINGS)))
    rows = pool(question, world).get(branch)
    if not rows:
        return None
    asked, truth = random.choice(rows)
    return drafted(question, asked, truth, wording, opening)


def drafted(question: Question, asked: Asked, truth: Truth, wording: str, opening: int) -> Draft:
    """The question put as a task: in this one of its wordings, with the opening of this number (0 to 3)."""
    slots = {"patient": asked.patient, **asked.slots}
    told = f"{_COHORT_OPENINGS[opening]} {_COHORT_NOTE}" if "patients" in slots else _OPENINGS[opening]
    context = fill(f"{told} {question.answer_note}", {**slots, "now": asked.now})
    return Draft(
        now=asked.now, instruction=fill(wording, slots), context=context, slots=slots, gold=gold(question, truth),
        patients=asked.owners or permitted(slots),
        difficulty={"hops": len(question.hops), "types": len(set(question.hops)), "evidence": len(truth.evidence)},
        wording=wording,
    )  # fmt: skip


def _missing(question: Question, world: World) -> str | None:
    db = views(world)
    for table in question.tables:
        if not db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchall():
            return f"no {ELEMENTS[table]} in these records"
    found = pool(question, world)
    fewest = FEWEST_HELD_OUT if world.split in ("validation", "test") else FEWEST
    for branch in question.branches:
        cases = len(found.get(branch, ()))
        if cases < fewest:
            number = f"only {cases} cases" if cases > 1 else "only 1 case" if cases else "no case"
            needed = f"; the question needs {question.needs}" if question.needs else ""
            return f"{number} of {json.dumps(branch)} in these records{needed}"
    return None
