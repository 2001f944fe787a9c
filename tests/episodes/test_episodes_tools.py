"""The ``tools`` protocol: calls in every shape a library gives, replies that name the remedy, several calls in a message."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_episodes_environment import BASE, FakeService

from fhirtasks.episodes import tools
from fhirtasks.episodes.environment import Environment, replay, run_solver
from fhirtasks.episodes.types import Finish, Get, Invalid, Post, PublicTask, ToolCall
from fhirtasks.fhir.jsontext import Json, dumps

TASK = PublicTask("t1", "latest_lab", "tools", "clinical", "now", "Q", "C", {}, BASE, tools.SCHEMAS)


def opened() -> tuple[Environment, FakeService]:
    service = FakeService()
    return Environment(TASK, service), service  # type: ignore[arg-type]


def call(name: str, **arguments: Json) -> str:
    return tools.raw_message("", [ToolCall(name, arguments)])


def test_every_tool_has_a_schema_with_all_that_it_takes() -> None:
    for schema in tools.SCHEMAS:
        about = schema["function"]
        assert schema["type"] == "function"
        assert list(about["parameters"]["properties"]) == about["parameters"]["required"]
        assert all(one["type"] == "string" and one["description"] for one in about["parameters"]["properties"].values())
    assert json.loads(tools.schemas_json()) == list(tools.SCHEMAS)


def test_an_episode_in_calls() -> None:
    environment, service = opened()
    assert "fhir_search" in environment.prompt
    assert "GET " not in environment.prompt
    seen = environment.step(call("fhir_search", resource_type="Observation", query="patient=1&code=K"))
    assert seen is not None
    assert json.loads(seen.text) == {"asked": f"{BASE}Observation?patient=1&code=K"}
    environment.step(call("fhir_read", resource_type="Patient", id="a-1"))
    made = environment.step(call("fhir_create", resource='{"resourceType":"Observation","value":1.10}'))
    assert made is not None
    assert json.loads(made.text) == {"status": 201, "location": f"{BASE}Observation/w1/_history/1"}
    assert service.writes[0].body == '{"resourceType":"Observation","value":1.10}'
    assert environment.step(call("finish", answer="[4.20]")) is None
    episode = environment.episode()
    assert (episode.status, episode.result) == ("completed", "[4.20]")
    assert [message.role for message in episode.messages] == ["user", *("assistant", "tool") * 3, "assistant"]
    assert [message.name for message in episode.messages if message.role == "tool"] == [
        "fhir_search", "fhir_read", "fhir_create",
    ]  # fmt: skip
    again, _ = opened()
    assert replay(again, episode.raws) == episode


@pytest.mark.parametrize(
    "raw, words",
    [
        (call("fhir_delete", id="1"), "there is no tool 'fhir_delete'; call one of fhir_create"),
        (call("fhir_read", resource_type="Patient"), "lacks id"),
        (call("fhir_search", resource_type="Patient", query="", page="2"), "has no parameter page"),
        (call("fhir_search", resource_type="http://elsewhere/x", query=""), "the name of a FHIR resource type"),
        (call("fhir_search", resource_type="../metadata", query=""), "the name of a FHIR resource type"),
        (call("fhir_read", resource_type="Patient", id="1?x=y"), "as a search shows it"),
        (call("fhir_read", resource_type="Patient", id=7), "as a search shows it"),
        (call("fhir_create", resource="{'resourceType': 'Observation'}"), "not JSON text"),
        (call("fhir_create", resource="[]"), "a resourceType"),
        (call("finish", answer="4.2"), "a JSON list"),
        (call("finish", answer="[4.2"), "not JSON text"),
        ('{"tool_calls":[{"name":"finish","arguments":"[1"}]}', "no JSON object"),
        ('{"tool_calls":[{"name":"finish","arguments":null}]}', "no JSON object"),
    ],
)
def test_a_wrong_call_is_answered_and_the_episode_goes_on(raw: str, words: str) -> None:
    environment, service = opened()
    seen = environment.step(raw)
    assert seen is not None
    assert words in json.loads(seen.text)["error"]
    assert not service.writes
    assert environment.step(call("finish", answer="[]")) is None
    assert environment.episode().status == "completed"


@pytest.mark.parametrize("raw", ["The answer is 4.2.", tools.raw_message("Done.", []), "[]", '{"tool_calls":[7]}', ""])
def test_a_message_without_a_call_ends_the_episode(raw: str) -> None:
    environment, _ = opened()
    assert environment.step(raw) is None
    episode = environment.episode()
    assert episode.status == "agent invalid action"
    assert isinstance(episode.turns[-1].action, Invalid)


def test_refusals_carry_status_and_outcome() -> None:
    environment, _ = opened()
    seen = environment.step(call("fhir_search", resource_type="Observation", query="bad=1"))
    assert seen is not None
    assert json.loads(seen.text) == {"status": 400, "outcome": {"resourceType": "OperationOutcome"}}


def test_several_calls_in_one_message_are_several_turns_and_one_raw_text() -> None:
    environment, service = opened()
    calls = [ToolCall("fhir_read", {"resource_type": "Patient", "id": str(n)}) for n in range(3)]
    environment.step(tools.raw_message("Looking.", calls))
    environment.step(call("finish", answer="[]"))
    episode = environment.episode()
    assert [turn.follows for turn in episode.turns] == [False, True, True, False]
    assert len(episode.raws) == 2
    assert len(service.requests) == 3
    again, _ = opened()
    assert replay(again, episode.raws) == episode


def test_rounds_count_messages_not_calls() -> None:
    environment, _ = opened()
    read = ToolCall("fhir_read", {"resource_type": "Patient", "id": "1"})
    for _ in range(19):
        assert environment.step(tools.raw_message("", [read, read])) is not None
    assert environment.step(tools.raw_message("", [read])) is None
    assert environment.episode().status == "task limit reached"


def test_calls_as_templates_and_endpoints_write_them() -> None:
    arguments = {"resource_type": "Patient", "id": "1"}
    native = dumps({"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "fhir_read", "arguments": arguments}}]})  # fmt: skip
    wire = dumps({"tool_calls": [{"function": {"name": "fhir_read", "arguments": dumps(arguments)}}]})
    ours = call("fhir_read", **arguments)
    assert tools.read_message(native) == tools.read_message(wire) == tools.read_message(ours)


def test_an_object_where_json_text_is_due_is_understood() -> None:
    body: dict[str, Json] = {"resourceType": "Observation", "value": Decimal("1.10")}
    assert tools.parse(ToolCall("fhir_create", {"resource": body}), BASE) == Post(f"{BASE}Observation", body)
    assert tools.parse(ToolCall("finish", {"answer": [1]}), BASE) == Finish([1])


def test_an_expert_speaks_it_without_knowing() -> None:
    def solve(task: PublicTask):  # type: ignore[no-untyped-def]
        seen = yield Get(f"{task.base}Observation?patient=1&_offset=20")
        yield Get(f"{task.base}Patient/1")
        yield Post(f"{task.base}Observation", {"resourceType": "Observation"})
        return [seen.status]

    environment, service = opened()
    episode = run_solver(solve, TASK, environment)
    assert [request[1] for request in service.requests] == [
        f"{BASE}Observation?patient=1&_offset=20", f"{BASE}Patient/1", f"{BASE}Observation",
    ]  # fmt: skip
    assert episode.result == "[200]"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(-1000, 1000, allow_nan=False, places=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4), st.lists(values, max_size=4))
def test_what_is_rendered_is_parsed_back(body: dict[str, Json], answer: list[Json]) -> None:
    for action in (Post(f"{BASE}Observation", {**body, "resourceType": "Observation"}), Finish(answer)):
        _, calls = tools.read_message(tools.render(action, BASE))
        assert tools.parse(calls[0], BASE) == action


@given(st.text())
def test_no_text_breaks_it(raw: str) -> None:
    environment, _ = opened()
    environment.step(raw)
    assert environment.done
    environment, _ = opened()
    assert environment.step(tools.raw_message(raw, [ToolCall(raw, raw)])) is not None
