"""The domain of vital signs: ``record_blood_pressure`` asks for one measured value to be written, correctly filed."""

from __future__ import annotations

import random

from fhirtasks.episodes.types import Mode
from fhirtasks.graph.world import World
from fhirtasks.tasks.patients_named import NEAR_IDENTITY, missing, subject
from fhirtasks.tasks.types import Branch, Draft, Family
from fhirtasks.tasks.vitals_wordings import BLOOD_PRESSURE

BANDS = {
    "low": ((74, 89), (42, 59)),
    "normal": ((96, 119), (60, 79)),
    "elevated": ((120, 129), (60, 79)),
    "stage_1": ((130, 139), (80, 89)),
    "stage_2": ((140, 180), (90, 118)),
    "crisis": ((181, 228), (121, 138)),
}
"""Systolic and diastolic pressure in mmHg, bounds inclusive.

Whelton PK et al., 2017 ACC/AHA/AAPA/ABC/ACPM/AGS/APhA/ASH/ASPC/NMA/PCNA Guideline for high blood pressure in adults,
Hypertension 2018;71:e13-e115: normal below 120 and below 80 (Table 6), elevated 120-129 and below 80, stage 1 130-139
or 80-89, stage 2 from 140 or from 90; crisis above 180 and/or above 120 (section 11.2). Low is below 90 over 60 (US
National Heart, Lung, and Blood Institute, Low Blood Pressure, 2022). The outer ends are ours: what a cuff shows.
"""

LOINC = "http://loinc.org"

PANELS = ("85354-9", "55284-4")
"""LOINC panels for a blood pressure: that of the FHIR R4 profile ``bp``, and an older one still found in records."""

SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"
"""LOINC codes of the panel's components (FHIR R4 profile ``bp``)."""

FLOWSHEETS = ("BP", "85354-9")
"""Flowsheet ids in compat prompts: the public benchmark's, and the LOINC code that its tool list allows instead."""


def sample(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """One reading within the branch's band (any band for ``near_identity``), taken at ``now``."""
    wording = rng.choice(BLOOD_PRESSURE)
    band = rng.choice(list(BANDS)) if branch == NEAR_IDENTITY else branch
    systolic, diastolic = (_reading(rng, *bounds) for bounds in BANDS[band])
    person = subject(world, rng, branch, mode, by_the_name=wording.by_name)
    if person is None:
        return None
    slots = person.who.slots | {
        "value": f"{systolic}/{diastolic} mmHg",
        "systolic": str(systolic),
        "diastolic": str(diastolic),
    }
    params = {}
    if mode == "compat":
        slots["code"] = rng.choice(FLOWSHEETS)
        params = person.params(world, rng) | {"code": slots["code"], "value": slots["value"]}
    else:
        slots |= {
            "code": _panel(world),
            "code_system": LOINC,
            "systolic_code": SYSTOLIC,
            "diastolic_code": DIASTOLIC,
        }
    instruction, context = wording.texts(mode, slots | {"who": person.who.phrase, "now": person.now.text})
    return Draft(
        now=person.now.text,
        instruction=instruction,
        context=context,
        slots=slots,
        gold={"Observation": {"subject": f"Patient/{person.row.id}", "systolic": systolic, "diastolic": diastolic}},
        patients=(person.row.id,),
        params=params,
        scenario=person.scenario,
        wording=wording.instruction,
    )


def _reading(rng: random.Random, lowest: int, highest: int) -> int:
    # Every fourth reading stands on a boundary of its band.
    return rng.choice((lowest, highest)) if rng.random() < 0.25 else rng.randint(lowest, highest)


def _panel(world: World) -> str:
    key = (__name__, "panel")
    if key not in world.memo:
        uses = dict(
            world.db.execute(
                "select code, count(*) from (select unnest(codes) as code from resource where type = 'Observation')"
                " where list_contains($1, code) group by code",
                [[f"{LOINC}|{panel}" for panel in PANELS]],
            ).fetchall()
        )
        # The panel that the records use most; the profile's own where they use neither.
        world.memo[key] = min(PANELS, key=lambda panel: (-uses.get(f"{LOINC}|{panel}", 0), PANELS.index(panel)))
    panel: str = world.memo[key]
    return panel


FAMILIES = (
    Family(
        name="record_blood_pressure",
        version="1",
        domain="vitals",
        kind="action",
        branches=(*(Branch(band) for band in BANDS), Branch(NEAR_IDENTITY)),
        sample=sample,
        missing=missing,
        wordings=tuple(wording.instruction for wording in BLOOD_PRESSURE),
        description="Write one blood pressure, as measured, to the right patient's record.",
    ),
)
