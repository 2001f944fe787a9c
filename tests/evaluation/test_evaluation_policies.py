"""The floors see the prompt and the observations only; models are asked, retried and stripped of reasoning."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from evaluation_doubles import NOW, task

from fhirtasks.episodes.tools import SCHEMAS, assistant_message, wire
from fhirtasks.episodes.types import Get, Message, Observation, Post, PublicTask, Solver
from fhirtasks.errors import UserError
from fhirtasks.evaluation import models
from fhirtasks.evaluation.models import MAX_TOKENS, InfrastructureError, endpoint_policy, local_policy, without_thinking
from fhirtasks.tasks.floors import FLOORS, floor, frequent_answers
from fhirtasks.tasks.orders import orders

BASE = "http://localhost:8080/fhir/"


def public(family: str = "latest_lab", mode: str = "compat", **slots: str) -> PublicTask:
    return PublicTask("t", family, "text", mode, NOW, "Q", "C", slots, BASE)  # type: ignore[arg-type]


def played(
    solver: Solver, task: PublicTask, answer: Callable[[Get | Post], Observation]
) -> tuple[list[Get | Post], list[Any]]:
    actions: list[Get | Post] = []
    steps = solver(task)
    try:
        action = next(steps)
        while True:
            actions.append(action)
            action = steps.send(answer(action))
    except StopIteration as stop:
        return actions, stop.value


def nothing(action: Get | Post) -> Observation:
    return Observation("", 200, '{"resourceType":"Bundle","total":0}')


def test_do_nothing_answers_at_once() -> None:
    assert played(floor("do-nothing", []), public(mrn="S1"), nothing) == ([], [])


def test_constant_reads_once_and_says_minus_one() -> None:
    actions, answer = played(floor("constant", []), public(mrn="S 1"), nothing)
    assert actions == [Get(f"{BASE}Patient?identifier=S%201")] and answer == [-1]


def test_echo_answers_with_what_the_prompt_shows() -> None:
    assert played(floor("echo", []), public(mrn="S1", threshold="3.5"), nothing)[1] == [3.5]
    actions, answer = played(floor("echo", []), public(name="Ann Moe", birthdate="1950-02-03"), nothing)
    assert actions == [Get(f"{BASE}Patient?family=Moe&birthdate=1950-02-03")] and answer == ["1950-02-03"]


def test_call_everything_reads_orders_and_says_the_last_number_seen() -> None:
    slots = {"mrn": "S1", "code": "K", "order_code": "2823-3", "medication_code": "1-1", "step_dose": "10"}

    def server(action: Get | Post) -> Observation:
        if isinstance(action, Get) and "Patient?" in action.url:
            return Observation("", 200, '{"entry":[{"resource":{"id":"p9"}}]}')
        return Observation("", 200, '{"value" : 4.10, "x": {"value":3.90}}' if "Observation" in action.url else "{}")

    actions, answer = played(floor("call-everything", []), public("potassium_replacement", **slots), server)
    posts = [action for action in actions if isinstance(action, Post)]
    assert [post.url for post in posts] == [f"{BASE}MedicationRequest", f"{BASE}ServiceRequest"]
    assert all(post.body["subject"] == {"reference": "Patient/p9"} for post in posts)
    assert str(answer[0]) == "3.90" and len(actions) < 8


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize("body", ["", "not json", "[]", '{"entry":[]}', '{"entry":[{"resource":null}]}'])
def test_floors_survive_any_observation(name: str, body: str) -> None:
    slots = {"name": "Ann Moe", "birthdate": "1950-02-03", "code": "K"}
    played(floor(name, []), public("latest_lab", "clinical", **slots), lambda _: Observation("", 400, body))


def test_never_read_writes_what_is_dictated_and_reads_nothing() -> None:
    solver = floor("never-read", [])
    slots = {"mrn": "S1", "code": "BP", "value": "118/77 mmHg", "systolic": "118", "diastolic": "77"}
    actions, answer = played(solver, public("record_blood_pressure", **slots), nothing)
    (post,) = actions
    assert isinstance(post, Post) and post.url == f"{BASE}Observation" and answer == []
    assert post.body["valueString"] == "118/77 mmHg" and post.body["subject"] == {"reference": "Patient/S1"}


def test_never_read_gives_the_most_frequent_answer_of_the_family() -> None:
    tasks = [task(str(number), gold=gold) for number, gold in enumerate([[61], [60], [61], [60], [2]])]
    assert frequent_answers(tasks) == {"patient_age": [60]}
    solver = floor("never-read", tasks)
    assert played(solver, public("patient_age", mrn="S1"), nothing) == ([], [60])
    assert played(solver, public("latest_lab", mrn="S1"), nothing) == ([], [-1])
    assert played(solver, public("a1c_reorder", mrn="S1"), nothing) == ([], [])


def test_an_unknown_floor_is_refused() -> None:
    with pytest.raises(UserError, match="no policy 'best'"):
        floor("best", [])


def test_orders_are_shaped_for_the_mode() -> None:
    slots = {"order_system": "s", "order_code": "c", "text": "T", "priority": "urgent"}
    (compat,) = orders(public("referral_order", **slots), "p")
    (clinical,) = orders(public("referral_order", "clinical", **slots), "p")
    assert compat.body["note"] == {"text": "T"} and clinical.body["note"] == [{"text": "T"}]
    assert clinical.body["priority"] == "urgent" and clinical.body["authoredOn"] == NOW


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("GET x", "GET x"),
        ("<think>a\nb</think>\n\nGET x", "GET x"),
        ("thoughts</think>\nFINISH([])", "FINISH([])"),
        ("<think>a</think><think>b</think>POST x\n{}", "POST x\n{}"),
        ("<think>never closed", "<think>never closed"),
    ],
)
def test_reasoning_is_no_part_of_a_message(text: str, left: str) -> None:
    assert without_thinking(text) == left


class Endpoint(httpx.BaseTransport):
    """Replies in turn; records what was asked."""

    def __init__(self, *replies: httpx.Response | Exception) -> None:
        self.replies, self.requests = list(replies), list[httpx.Request]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def said(text: str | None) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def ask(endpoint: Endpoint) -> str:
    policy = endpoint_policy("http://model.test/v1/", "m", transport=endpoint)
    return policy(public(mrn="S1"), [Message("user", "P"), Message("assistant", "A"), Message("user", "O")])


def calling(name: str, arguments: str) -> str:
    """The raw message where an endpoint replies with this call, whose arguments are JSON text."""
    call = f'{{"id": "x", "type": "function", "function": {{"name": "{name}", "arguments": {arguments}}}}}'
    endpoint = Endpoint(httpx.Response(200, text=f'{{"choices": [{{"message": {{"tool_calls": [{call}]}}}}]}}'))
    task = replace(public(mode="clinical", mrn="S1"), protocol="tools", tools=SCHEMAS)
    return endpoint_policy("http://model.test/v1", "m", transport=endpoint)(task, [])


def test_an_endpoint_is_asked_as_openai_compatible_servers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    endpoint = Endpoint(said("<think>x</think>GET y"))
    assert ask(endpoint) == "GET y"
    (request,) = endpoint.requests
    assert str(request.url) == "http://model.test/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer k"
    sent = json.loads(request.content)
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("m", 0, MAX_TOKENS)
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "user"]


def test_an_endpoint_is_told_how_long_a_message_may_be() -> None:
    endpoint = Endpoint(said("GET y"))
    endpoint_policy("http://model.test/v1/", "m", max_tokens=160, transport=endpoint)(public(mrn="S1"), [])
    assert json.loads(endpoint.requests[0].content)["max_tokens"] == 160


def test_passing_trouble_is_tried_again() -> None:
    endpoint = Endpoint(httpx.ConnectError("down"), httpx.Response(503), said("GET y"))
    assert ask(endpoint) == "GET y"


@pytest.mark.parametrize(
    ("replies", "reason", "asked"),
    [
        ([httpx.Response(500, text="no")] * 3, "HTTP 500: no", 3),
        ([httpx.ConnectError("down")] * 3, "ConnectError: down", 3),
        ([httpx.Response(401, text="key")], "HTTP 401: key", 1),
        ([httpx.Response(200, text="<html>")] * 3, "no chat completion", 3),
        ([httpx.Response(200, json={"choices": []})] * 3, "no chat completion", 3),
        ([httpx.Response(200, text="[" * 200_000)] * 3, "no chat completion", 3),
        ([httpx.Response(204)] * 3, "no chat completion", 3),
        (
            [httpx.Response(307, headers={"location": "https://model.test/v2"})],
            "redirects to https://model.test/v2; give that",
            1,
        ),
        ([httpx.Response(400, text="bad temper\x1b[31m")], r"HTTP 400: bad temper \[31m", 1),
    ],
)
def test_lasting_trouble_is_the_infrastructures(replies: list[Any], reason: str, asked: int) -> None:
    endpoint = Endpoint(*replies)
    with pytest.raises(InfrastructureError, match=reason):
        ask(endpoint)
    assert len(endpoint.requests) == asked


@pytest.mark.parametrize("reply", [
    httpx.Response(200, text='{"choices": [{"message": {"content": "GET'), httpx.Response(200, json={"error": {"code": 503}}),
    httpx.RemoteProtocolError("cut off"),
])  # fmt: skip
def test_a_reply_that_was_cut_off_is_asked_for_again(reply: httpx.Response | Exception) -> None:
    assert ask(Endpoint(reply, said("GET y"))) == "GET y"


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("7", 7, 7), ("0.5", 1, 1), ("soon", 1, 1), ("-5", 1, 1), ("nan", 1, 1), ("1e9", 60, 60), ("date", 15, 20)],
)
def test_a_server_says_how_long_to_wait(
    monkeypatch: pytest.MonkeyPatch, header: str, least: float, most: float
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    told = formatdate(time.time() + 20, usegmt=True) if header == "date" else header
    assert ask(Endpoint(httpx.Response(429, headers={"retry-after": told}), said("GET y"))) == "GET y"
    assert len(waited) == 1 and least <= waited[0] <= most


def test_a_reply_whose_bytes_never_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from itertools.repeat(b" ")

    monkeypatch.setattr(models, "LONGEST_S", 0.05)
    with pytest.raises(InfrastructureError, match="ReadTimeout: the reply did not end within"):
        ask(Endpoint(*[httpx.Response(200, stream=Endless()) for _ in range(3)]))


FULL = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"


@pytest.mark.parametrize("body", [{"error": {"code": "context_length_exceeded", "message": FULL}}, {"message": FULL}])
def test_a_conversation_too_long_for_the_model_is_the_models_failure(body: Any) -> None:
    endpoint = Endpoint(*[httpx.Response(400, json=body) for _ in range(4)])
    raw = ask(endpoint)
    assert raw == "" and isinstance(raw, models.Cut)
    # Before it gives up it asks for a shorter reply, which the server may find room for.
    assert [json.loads(one.content)["max_tokens"] for one in endpoint.requests] == [2048, 1024, 512, 256]
    assert ask(Endpoint(httpx.Response(400, json=body), said("GET y"))) == "GET y"


def test_a_server_that_refuses_a_setting_is_asked_without_it() -> None:
    refusals = [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "Unsupported value: 'temperature' does not support 0 with this model.",
    ]
    endpoint = Endpoint(*[httpx.Response(400, text=text) for text in refusals], said("GET y"), said("GET z"))
    policy = endpoint_policy("http://model.test/v1/", "m", max_tokens=99, transport=endpoint)
    assert [policy(public(mrn="S1"), []) for _ in range(2)] == ["GET y", "GET z"]
    sent = [json.loads(one.content) for one in endpoint.requests]
    for one in sent[2:]:
        assert one["max_completion_tokens"] == 99 and not one.keys() & {"max_tokens", "temperature"}


def test_a_content_in_parts_is_its_texts() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"text": "FINISH([1])"}]},
        {"type": "text", "text": "GET "},
        {"text": "y"},
    ]
    assert ask(Endpoint(httpx.Response(200, json={"choices": [{"message": {"content": parts}}]}))) == "GET y"


@pytest.mark.parametrize(
    "arguments",
    [
        '{"resource_type": "Patient", "query": NaN}',
        '{"resource_type": "Patient", "query": "name=\\ud83d"}',
        '"{\\"resource_type\\": \\"Patient\\", \\"query\\": \\"name=\\\\ud83d\\"}"',
        "null", "7", '"{"', "[1e999999999]",
    ],
)  # fmt: skip
def test_whatever_arguments_a_call_has_the_conversation_can_be_written_and_go_on(arguments: str) -> None:
    raw = calling("fhir_search", arguments)
    json.dumps(wire([assistant_message(raw)]), ensure_ascii=False).encode()
    assert raw.encode()


def test_a_resource_given_as_an_object_keeps_its_digits() -> None:
    assert '"value":1.10' in calling("fhir_create", '{"resource": {"value": 1.10}}')


@pytest.mark.parametrize(("key", "sent"), [("k\n", "Bearer k"), (" k\r\n", "Bearer k"), ("", None)])
def test_a_key_is_sent_without_the_white_space_around_it(
    monkeypatch: pytest.MonkeyPatch, key: str, sent: str | None
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    endpoint = Endpoint(said("GET y"))
    ask(endpoint)
    assert endpoint.requests[0].headers.get("authorization") == sent


@pytest.mark.parametrize("key", ["k\u00e9y", "one\ntwo"])
def test_what_can_be_no_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY") as refused:
        ask(Endpoint())
    assert key not in str(refused.value)


def test_an_empty_reply_is_an_empty_message() -> None:
    assert ask(Endpoint(said(None))) == ""


def test_bad_model_options_are_refused() -> None:
    for endpoint, model, message in (
        ("model.test", "m", "--endpoint is"), ("http://[::1/v1", "m", "--endpoint is"), ("http://x/v1", None, "needs --model"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            endpoint_policy(endpoint, model)
    with pytest.raises(UserError, match=r"train extra|no model folder"):
        local_policy("./no-such-folder")
