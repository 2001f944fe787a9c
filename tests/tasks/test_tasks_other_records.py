"""Records that look unlike ours: ids in sequence, one family name for everybody. Every branch is found in them all the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from test_tasks_end_to_end import as_task

import solvers
from fhirtasks.graph.world import World
from fhirtasks.tasks import registry
from fhirtasks.tasks.identity import index
from fhirtasks.tasks.play import play
from graders import grade
from tests.tasks.conftest import observation, patient

MakeWorld = Callable[[list[dict[str, Any]]], World]
GIVEN = ("Ann", "Bo", "Cy", "Di", "Ed", "Flo", "Gus", "Hal")


def people() -> list[dict[str, Any]]:
    return [
        patient(number, {"given": [given], "family": "Anonymous"}, f"19{40 + number}-05-06")
        for number, given in enumerate(GIVEN)
    ]


def test_somebody_unknown_is_found_to_ask_for(make_world: MakeWorld) -> None:
    """No given name and family name of theirs make the name of nobody."""
    world = make_world(people())
    family = registry.family("patient_lookup")
    drafts = [family.sample(world, random.Random(number), "not_found", "clinical") for number in range(20)]
    made = [draft for draft in drafts if draft is not None]
    assert len(made) >= 15
    assert not any(index(world).of_name(draft.slots["name"]) for draft in made)


@pytest.mark.parametrize("mode", ["clinical", "compat"])
@pytest.mark.parametrize("name", ["latest_lab", "latest_lab_in_window", "potassium_replacement"])
def test_the_newest_comes_on_a_later_page_where_ids_are_in_sequence(
    make_world: MakeWorld, name: str, mode: Any
) -> None:
    """Ten results a patient, obs-0001 and so on: made-up ids of that shape come behind all of them."""
    records = people()
    for row in list(records):
        for day in range(10):
            number = len(records)
            records.append(observation(number, row["id"], f"2023-03-{day + 1:02}T08:30:00+01:00", f"3.{day}"))
            records[-1]["id"] = f"obs-{number:04}"
    world, family = make_world(records), registry.family(name)
    drafts = [family.sample(world, random.Random(number), "many_pages", mode) for number in range(8)]
    assert sum(draft is not None for draft in drafts) >= 6
    for number, draft in enumerate(drafts):
        if draft is not None:
            one = as_task(family, draft, "many_pages", mode, number)
            assert grade(one, play(one, world, solvers.solver(name)), world).passed


@pytest.mark.parametrize("branch", ["tie", "future"])
def test_another_value_is_made_where_all_results_have_one(make_world: MakeWorld, branch: str) -> None:
    records = people()
    records += [
        observation(number, row["id"], f"2023-03-{number + 1:02}T08:30:00+01:00", "4.0")
        for number, row in enumerate(records)
    ]
    world, family = make_world(records), registry.family("latest_lab")
    drafts = [family.sample(world, random.Random(number), branch, "clinical") for number in range(20)]
    made = [as_task(family, draft, branch, "clinical", n) for n, draft in enumerate(drafts) if draft is not None]
    assert len(made) >= 5
    assert all(grade(one, play(one, world, solvers.solver("latest_lab")), world).passed for one in made)
