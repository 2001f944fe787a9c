"""The domain of referrals: ``referral_order`` asks for one ServiceRequest to a specialty, with a dictated note."""

from __future__ import annotations

import json
import random
from functools import cache
from importlib.resources import files
from typing import Any

from fhirtasks.episodes.types import Mode
from fhirtasks.graph.world import World
from fhirtasks.tasks.patients_named import NEAR_IDENTITY, missing, subject
from fhirtasks.tasks.referrals_wordings import REFERRAL
from fhirtasks.tasks.types import Branch, Draft, Family
from fhirtasks.tasks.wording import fill

SNOMED = "http://snomed.info/sct"

PRIORITIES = ("routine", "urgent", "stat")
"""The values of FHIR R4 request-priority that referrals here use (``asap`` means much the same as ``urgent``)."""

SPECIAL = "special_characters"
"""The branch whose note has quotes, umlauts, braces, back-slashes, or words that look like a command."""


def sample(world: World, rng: random.Random, branch: str, mode: Mode) -> Draft | None:
    """One referral: specialty, priority and note at random (no branch goes by priority: the word would tell it)."""
    wording = rng.choice(REFERRAL)
    person = subject(world, rng, branch, mode, by_the_name=wording.by_name)
    if person is None:
        return None
    age = int(person.now.text[:4]) - int(person.row.birthdate[:4])
    specialty = rng.choice(
        [
            one
            for one in _data()["specialties"]
            if one.get("gender") in (None, person.row.gender) and age > one.get("from_age", 0)
        ]
    )
    slots = person.who.slots | {
        "specialty": specialty["name"],
        "order_system": SNOMED,
        "order_code": specialty["code"],
        "text": _note(specialty, rng, special=branch == SPECIAL),
        "priority": rng.choice(PRIORITIES),
    }
    instruction, context = wording.texts(mode, slots | {"who": person.who.phrase, "now": person.now.text})
    params = {}
    if mode == "compat":
        params = person.params(world, rng) | {
            name: slots[name] for name in ("order_system", "order_code", "text", "priority")
        }
    return Draft(
        now=person.now.text,
        instruction=instruction,
        context=context,
        slots=slots,
        gold={"ServiceRequest": {"subject": f"Patient/{person.row.id}", "code": specialty["code"]}},
        patients=(person.row.id,),
        params=params,
        scenario=person.scenario,
        wording=wording.instruction,
    )


def _note(specialty: dict[str, Any], rng: random.Random, *, special: bool) -> str:
    details = {
        "side": rng.choice(("left", "right")),
        "weeks": str(rng.randint(2, 14)),
        "days": str(rng.randint(2, 9)),
    }
    situation, background, assessment, recommendation = (
        fill(part, details) for part in rng.choice(specialty["findings"])
    )
    note = fill(
        rng.choice(_data()["frames"]),
        {
            "situation": situation,
            "background": background,
            "assessment": assessment,
            "recommendation": recommendation,
        },
    )
    return note + rng.choice(_data()["special"]) if special else note


@cache
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(files(__package__).joinpath("referrals.json").read_text("utf-8"))
    return loaded


FAMILIES = (
    Family(
        name="referral_order",
        version="1",
        domain="referrals",
        kind="action",
        branches=(Branch("plain", 3), Branch(SPECIAL), Branch(NEAR_IDENTITY)),
        sample=sample,
        missing=missing,
        wordings=tuple(wording.instruction for wording in REFERRAL),
        description="Order one referral with a given code, priority and verbatim note for the right patient.",
    ),
)
