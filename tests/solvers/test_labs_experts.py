"""The labs experts, end to end: every branch in both modes, played, replayed and judged by the graders."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import graders
from fhirtasks.episodes.types import Episode, Get, Post
from fhirtasks.fhir.jsontext import dumps, loads, minify
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.population.populate import generate
from fhirtasks.tasks.labs import FAMILIES
from fhirtasks.tasks.play import play, replay_task
from fhirtasks.tasks.types import Family, Task
from solvers.labs import SOLVERS

MODES = ("clinical", "compat")
DRAWS = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    rows = []
    for text in generate(30, 11):
        body = json.loads(text)
        subject = body.get("subject", body.get("patient", {})).get("reference", "")
        patient = body["id"] if body["resourceType"] == "Patient" else subject.rpartition("/")[2] or None
        rows.append((body["resourceType"], body["id"], patient, minify(text)))
    path = tmp_path_factory.mktemp("experts") / "world.duckdb"
    write_world_from_charts(rows, "train", path)
    return World.open(path)


def tasks(family: Family, branch: str, mode: Any, world: World, count: int) -> list[Task]:
    """Tasks as the build makes them."""
    found = []
    for number in range(count):
        rng = random.Random(f"experts/{family.name}/{branch}/{mode}/{number}")
        draft = next(filter(None, (family.sample(world, rng, branch, mode) for _ in range(DRAWS))))
        found.append(
            Task(
                id=f"{rng.getrandbits(96):024x}", family=family.name, version=family.version, domain=family.domain,
                kind=family.kind, mode=mode, protocol="text", branch=branch, split="train", now=draft.now,
                instruction=draft.instruction, context=draft.context, slots=draft.slots, params=draft.params,
                gold=draft.gold, patients=draft.patients, scenario=draft.scenario, difficulty=draft.difficulty, seed="0",
            )
        )  # fmt: skip
    return found


def gets(episode: Episode) -> list[str]:
    return [turn.action.url for turn in episode.turns if isinstance(turn.action, Get)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_experts_pass_in_every_branch(family: Family, mode: str, world: World) -> None:
    for branch in family.branches:
        drawn = tasks(family, branch.name, mode, world, 2)
        truths = graders.truths(drawn, world)
        for task in drawn:
            episode = play(task, world, SOLVERS[family.name])
            verdict = graders.grade(task, episode, world, truths.get(task.id))
            assert verdict.passed, [check for check in verdict.checks if not check.passed]
            assert episode.result == dumps(task.gold["answer"])
            assert replay_task(task, world, episode.raws).messages == episode.messages
            posts = [turn.action for turn in episode.turns if isinstance(turn.action, Post)]
            assert [post.body["resourceType"] for post in posts] == [order["type"] for order in task.gold["orders"]]
            assert len(episode.turns) <= (8 if mode == "compat" else 20)


def test_nothing_hidden_reaches_an_action(world: World) -> None:
    """Patient ids in actions come from the prompt or from what was shown before."""
    for family in FAMILIES:
        for task in tasks(family, family.branches[0].name, "clinical", world, 2):
            episode = play(task, world, SOLVERS[family.name])
            known = episode.messages[0].content
            for turn in episode.turns:
                assert (task.patients[0] in turn.raw) <= (task.patients[0] in known)
                known += turn.observation.text if turn.observation else ""


def test_gold_and_params_change_nothing(world: World) -> None:
    family = next(one for one in FAMILIES if one.name == "potassium_replacement")
    task = tasks(family, "well_below", "clinical", world, 1)[0]
    public = task.public()
    assert not hasattr(public, "gold")
    assert not hasattr(public, "params")


def test_further_pages_are_read(world: World) -> None:
    family = next(one for one in FAMILIES if one.name == "mean_lab_in_window")
    for mode in MODES:
        task = tasks(family, "many_pages", mode, world, 1)[0]
        episode = play(task, world, SOLVERS[family.name])
        assert sum("_getpages" in url or "/Observation?" in url for url in gets(episode)) >= 2


def test_a_tie_is_read_to_its_end_across_pages() -> None:
    """Twenty-five results at one time, the highest on the second page."""
    first = {"entry": [_entry(value) for value in range(20)], "link": [{"relation": "next", "url": "http://x/next"}]}
    second = {"entry": [_entry(value) for value in range(20, 25)], "link": []}
    from fhirtasks.episodes.types import Observation, PublicTask

    slots = {"mrn": "p", "code": "K", "tie": "highest", "unit": "mmol/L", "analyte": "potassium"}
    task = PublicTask("t", "latest_lab", "text", "compat", "2020-01-02T00:00:00+00:00", "", "", slots, "http://x/")
    steps = SOLVERS["latest_lab"](task)
    next(steps)
    for number, page in enumerate((first, second)):
        body = dumps({"resourceType": "Bundle", **page})
        try:
            action = steps.send(Observation(body, 200, body))
            assert (number, action) == (0, Get("http://x/next"))
        except StopIteration as stop:
            assert (number, stop.value) == (1, [24])


def _entry(value: int) -> dict[str, Any]:
    return {
        "resource": {
            "resourceType": "Observation",
            "effectiveDateTime": "2020-01-01T00:00:00+00:00",
            "valueQuantity": {"value": value},
        }
    }


def test_values_keep_their_digits(world: World) -> None:
    family = next(one for one in FAMILIES if one.name == "latest_lab")
    for task in tasks(family, "present", "clinical", world, 12):
        episode = play(task, world, SOLVERS[family.name])
        assert episode.result is not None
        shown = episode.messages[-2].content
        assert f'"value":{loads(episode.result)[0]}' in shown


def test_modules_import_no_more_than_they_may() -> None:
    text = (Path(__file__).parents[2] / "solvers" / "labs.py").read_text(encoding="utf-8")
    roots = {line.split()[1].rpartition(".")[0] for line in text.splitlines() if line.startswith("from fhirtasks")}
    assert roots <= {"fhirtasks.episodes", "fhirtasks.fhir"}


@pytest.mark.parametrize(
    ("time", "written"),
    [
        ({"effectiveInstant": "2024-03-05T10:00:00.250Z"}, "2024-03-05T10:00:00.250Z"),
        ({"effectiveDateTime": "2024-03-05T10:00:60Z"}, "2024-03-05T10:00:60Z"),
    ],
)
def test_times_that_a_chart_may_write_otherwise(tmp_path: Path, time: dict[str, str], written: str) -> None:
    """The newest is an instant, or of a leap second; behind it come a date, a period, and a result without any time."""
    coded = {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}
    common = {"resourceType": "Observation", "status": "final", "code": coded, "subject": {"reference": "Patient/p"}}
    bodies: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": "p", "identifier": [{"value": "M1"}], "birthDate": "1970-01-01"},
        {**common, "id": "a", **time, "valueQuantity": {"value": 7, "unit": "%"}},
        {**common, "id": "b", "effectiveDateTime": "2024-03-04", "valueQuantity": {"value": 6, "unit": "%"}},
        {**common, "id": "c", "effectivePeriod": {"start": "2024-01-01", "end": "2024-01-02"}, "valueString": "?"},
        {**common, "id": "d", "valueQuantity": {"value": 5, "unit": "%"}},
    ]
    write_world_from_charts(
        [(one["resourceType"], one["id"], "p", dumps(one)) for one in bodies], "train", tmp_path / "w"
    )
    slots = {
        "mrn": "M1", "code": "4548-4", "tie": "highest", "stale_before": "2024-03-05T10:00:00.250Z",
        "when_absent": "order nothing", "order_system": "http://loinc.org", "order_code": "4548-4",
    }  # fmt: skip
    task = Task(
        id="t", family="a1c_reorder", version="1", domain="labs", kind="conditional", mode="clinical", protocol="text",
        branch="fresh", split="train", now="2024-03-06T00:00:00Z", instruction="", context="", slots=slots, params={},
        gold=None, patients=("p",), scenario=Scenario(), difficulty={}, seed="0",
    )  # fmt: skip
    world = World.open(tmp_path / "w")
    episode = play(task, world, SOLVERS["a1c_reorder"])
    assert episode.result == dumps([7, written])
    assert graders.grade(task, episode, world).passed
