"""A release as TRL's spec object: one world, tools that return data, rewards that only right episodes earn."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

import solvers
from fhirtasks.environments.played import ENDED, ENVIRONMENTS
from fhirtasks.environments.reward import FhirReward, raws_of
from fhirtasks.environments.spec import FhirSpec
from fhirtasks.episodes.environment import run_solver
from fhirtasks.episodes.tools import wire
from fhirtasks.episodes.types import Episode, Solver
from fhirtasks.errors import UserError
from fhirtasks.tasks.floors import FLOORS, floor
from fhirtasks.tasks.types import TOOLS, Task
from tests.small_releases import FAMILIES, release

PROTOCOLS = sorted(FAMILIES)


def played(spec: FhirSpec, task: Task, solver: Solver) -> Episode:
    environment = spec.source.open(task.id)
    return run_solver(solver, environment.task, environment)


def rewarded(spec: FhirSpec, tasks: Sequence[Task], episodes: Sequence[Episode], **more: Any) -> list[float]:
    """Asks the reward as TRL does."""
    (reward,) = spec.reward_funcs
    completions = [wire(episode.messages[1:]) for episode in episodes]
    return reward(prompts=[], completions=completions, completion_ids=[], task_id=[task.id for task in tasks], **more)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_dataset_holds_every_task_and_the_prompt_of_its_episode(protocol: str) -> None:
    spec = FhirSpec(release(protocol))
    assert spec.protocol == protocol and set(spec.train_dataset["family"]) == set(FAMILIES[protocol])
    for row in spec.train_dataset:
        environment = spec.source.open(row["task_id"])
        (message,) = row["prompt"]
        assert (message["role"], message["content"]) == ("user", environment.prompt)
        assert environment.messages[0].content == environment.prompt
    assert (spec.environment_factory is None) == (protocol == "text") == (spec.rollout_func is not None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_experts_earn_everything_and_floors_nothing(protocol: str) -> None:
    spec = FhirSpec(release(protocol))
    logged: dict[str, list[float]] = {}
    experts = [played(spec, task, solvers.solver(task.family)) for task in spec.tasks]
    rewards = rewarded(
        spec, spec.tasks, experts, log_metric=lambda name, value: logged.setdefault(name, []).append(value)
    )
    assert rewards == [1.0] * len(spec.tasks)
    assert logged["components/outcome"] == [1.0] and logged["components/grounded"] == [1.0]
    # What the prompt of a blood pressure dictates can be written without reading: clinical mode does not show the patient's id.
    for name in FLOORS:
        solver = floor(name, spec.tasks)
        found = rewarded(spec, spec.tasks, [played(spec, task, solver) for task in spec.tasks])
        assert sum(found) / len(found) < 0.3, name


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_world_serves_every_episode_of_a_process(protocol: str) -> None:
    first, second = FhirSpec(release(protocol)), FhirSpec(release(protocol), families=FAMILIES[protocol][:1])
    assert first.source is second.source
    worlds = {id(first.source.open(task.id).service.world) for task in first.tasks for _ in range(40)}
    assert len(worlds) == 1


def test_weights_choose_what_counts() -> None:
    spec = FhirSpec(release("tools"), weights={"outcome": 1.0, "finished": 1.0})
    nothing = [played(spec, task, floor("do-nothing", spec.tasks)) for task in spec.tasks]
    found = rewarded(spec, spec.tasks, nothing)
    assert found == [0.5] * len(found)
    with pytest.raises(UserError, match="no reward component 'kindness'"):
        FhirSpec(release("tools"), weights={"kindness": 1.0})
    with pytest.raises(UserError, match="weights above 0"):
        FhirSpec(release("tools"), weights={"outcome": 0.0})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"families": ["patient_age"]}, "no tasks of the family 'patient_age'"),
        ({"protocol": "code"}, "no tasks of the family|no tasks of this split in the protocol code"),
        ({"split": "dreamt"}, "no tasks in the split 'dreamt'"),
        ({"revision": "v1.0.0"}, "has no revisions"),
    ],
)
def test_what_is_not_there_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        FhirSpec(release("tools"), **options)


def test_a_folder_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="There is no release folder"):
        FhirSpec("./nowhere")


@pytest.mark.parametrize("protocol", ["code", "tools"])
def test_environments_show_the_tools_of_the_protocol_and_no_more(protocol: Any) -> None:
    spec = FhirSpec(release(protocol))
    assert spec.environment_factory is not None
    environment = pickle.loads(pickle.dumps(spec.environment_factory))()
    named = [schema["function"]["name"] for schema in TOOLS[protocol]]
    public = [name for name in dir(environment) if not name.startswith("_") and callable(getattr(environment, name))]
    assert sorted({*named, "reset"}) == sorted(public)
    assert named == sorted(named), "TRL lists methods by name: the schemas stand in that order"


def test_a_tool_answers_what_the_episode_would_be_shown() -> None:
    spec = FhirSpec(release("tools"))
    assert spec.environment_factory is not None
    environment: Any = spec.environment_factory()
    for task in spec.tasks:
        environment.reset(**next(row for row in spec.train_dataset if row["task_id"] == task.id))
        episode = played(spec, task, solvers.solver(task.family))
        calls = [call for message in episode.messages for call in message.tool_calls]
        shown = [message.content for message in episode.messages if message.role == "tool"]
        said = [getattr(environment, call.name)(**call.arguments) for call in calls]
        assert said == [*shown, ENDED]
        assert environment.fhir_search(resource_type="Patient", query="") == ENDED, "the episode is over"


def test_a_wrong_call_is_answered_as_data() -> None:
    spec = FhirSpec(release("tools"))
    environment: Any = ENVIRONMENTS["tools"](spec.folder, "train")
    environment.reset(task_id=spec.tasks[0].id)
    for said, arguments in (
        ("lacks query", {"resource_type": "Patient"}),
        ("no parameter wish", {"resource_type": "Patient", "query": "", "wish": "1"}),
        ("name of a FHIR resource type", {"resource_type": 7, "query": ""}),
    ):
        assert said in json.loads(environment.fhir_search(**arguments))["error"]
    assert json.loads(environment.fhir_read(resource_type="Patient", id="nobody"))["status"] == 404
    assert "total" in json.loads(environment.fhir_search(resource_type="Patient", query="_count=1")), "it goes on"


def test_what_one_rollout_writes_no_other_sees() -> None:
    spec = FhirSpec(release("tools"), families=["record_blood_pressure"])
    task = spec.tasks[0]
    patient = task.patients[0]
    body = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "noted"},
        "subject": {"reference": f"Patient/{patient}"},
    }
    one, other = (ENVIRONMENTS["tools"](spec.folder, "train") for _ in range(2))
    for environment in (one, other):
        environment.reset(task_id=task.id)

    def total(environment: Any) -> int:
        shown = environment.fhir_search(resource_type="Observation", query=f"patient={patient}&_count=1")
        return int(json.loads(shown)["total"])

    before = total(one)
    writer: Any = one
    assert json.loads(writer.fhir_create(resource=json.dumps(body)))["status"] == 201
    assert (total(one), total(other)) == (before + 1, before)
    one.reset(task_id=task.id)
    assert total(one) == before, "reset rebuilds the state"


def test_messages_that_cannot_be_read_earn_nothing_and_break_nothing() -> None:
    spec = FhirSpec(release("tools"))
    call = {"type": "function", "function": {"name": "finish", "arguments": {"answer": [math.nan]}}}
    broken = [
        [{"role": "assistant", "content": ""}],
        [{"role": "assistant", "content": "\ud83d", "tool_calls": [call]}],
        [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": 3}}]}],
        [],
    ]
    assert all(isinstance(raw, str) for one in broken for raw in raws_of(one, "tools"))
    ids = [spec.tasks[0].id] * len(broken)
    assert FhirReward(spec.folder, "train")(completions=broken, task_id=ids) == [0.0] * len(broken)


@pytest.mark.train
@pytest.mark.parametrize("protocol", ["code", "tools"])
def test_transformers_makes_the_schemas_of_the_rows_from_the_methods(protocol: Any) -> None:
    utils = pytest.importorskip("transformers.utils", reason="needs the train extra")
    spec = FhirSpec(release(protocol))
    environment = ENVIRONMENTS[protocol](spec.folder, "train")
    offered = TOOLS[protocol]
    made = [utils.get_json_schema(getattr(environment, schema["function"]["name"])) for schema in offered]
    assert json.dumps(made) == json.dumps(list(offered)), "the order of keys counts too: templates print them"
