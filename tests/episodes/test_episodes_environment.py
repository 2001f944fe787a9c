"""The episode: round limits, feedback sentences, what is sent and what never is, replay."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import pytest

from fhirtasks.episodes.environment import Environment, replay, run_solver
from fhirtasks.episodes.types import Finish, Get, Observation, Post, PublicTask
from fhirtasks.fhir.jsontext import Json

BASE = "http://localhost:8080/fhir/"
HINT = ". Please call FINISH if you have got answers for all the questions and finished all the requested tasks"
ACCEPTED = "POST request accepted and executed successfully" + HINT


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Written(NamedTuple):
    url: str
    reference: str
    body: str


class FakeService:
    """Answers reads with what was asked and takes any write whose body is an object; ``bad`` in a URL is a 400."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str | None]] = []
        self.writes: list[Written] = []

    def request(self, method: str, url: str, body: str | None = None) -> Reply:
        self.requests.append((method, url, body))
        for status, word in ((400, "bad"), (500, "broken")):
            if word in url:
                return Reply(status, {}, '{"resourceType":"OperationOutcome"}')
        if method == "GET":
            return Reply(200, {}, f'{{"asked":"{url}"}}')
        assert body is not None
        if not body.startswith("{"):
            return Reply(400, {}, '{"resourceType":"OperationOutcome"}')
        reference = f"Observation/w{len(self.writes) + 1}"
        self.writes.append(Written(url, reference, body))
        return Reply(201, {"Location": f"{BASE}{reference}/_history/1"}, body)


def task(mode: str) -> PublicTask:
    return PublicTask("t1", "latest_lab", "text", mode, "now", "Q", "C", {}, BASE)  # type: ignore[arg-type]


def opened(mode: str) -> tuple[Environment, FakeService]:
    service = FakeService()
    return Environment(task(mode), service), service  # type: ignore[arg-type]


def text(environment: Environment, raw: str) -> str:
    observation = environment.step(raw)
    assert observation is not None
    assert observation.body in observation.text
    return observation.text


def test_compat_get_appends_the_format_and_shows_the_body_as_text() -> None:
    environment, service = opened("compat")
    url = f"{BASE}Observation?code=K"
    body = f'{{"asked":"{url}&_format=json"}}'
    assert text(environment, f"GET {url}") == f"Here is the response from the GET request:\n{body}{HINT}"
    assert service.requests == [("GET", f"{url}&_format=json", None)]


def test_compat_read_by_id_becomes_another_url() -> None:
    environment, service = opened("compat")
    environment.step(f"GET {BASE}Patient/S123")
    assert service.requests[0][1] == f"{BASE}Patient/S123&_format=json"


def test_compat_extra_lines_become_part_of_the_url() -> None:
    environment, service = opened("compat")
    environment.step(f"GET {BASE}Patient?a=b\nthen I answer")
    assert service.requests[0][1] == f"{BASE}Patient?a=b%0Athen%20I%20answer&_format=json"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Patient?name=Peter Stafford", "Patient?name=Peter%20Stafford"),
        ("Observation?date=ge2023-11-12T10:15:00+00:00", "Observation?date=ge2023-11-12T10:15:00+00:00"),
        ("Observation?code=http://loinc.org|2823-3", "Observation?code=http://loinc.org%7C2823-3"),
        ("Observation?code=%7C2823-3", "Observation?code=%7C2823-3"),
        ("Patient?name=Zoë", "Patient?name=Zo%C3%AB"),
        ("Patient?_format=json", "Patient?_format=json"),
    ],
)
def test_compat_urls_are_quoted_as_the_harness_http_client_does(written: str, sent: str) -> None:
    environment, service = opened("compat")
    environment.step(f"GET {BASE}{written}")
    assert service.requests[0][1] == f"{BASE}{sent}&_format=json"


def test_a_fragment_is_not_sent() -> None:
    environment, service = opened("compat")
    environment.step(f"GET {BASE}Patient?a=b#c")
    assert service.requests[0][1] == f"{BASE}Patient?a=b"


def test_the_loopback_address_is_the_same_server() -> None:
    environment, service = opened("compat")
    environment.step("GET http://127.0.0.1:8080/fhir/Patient?a=b")
    assert service.requests[0][1] == f"{BASE}Patient?a=b&_format=json"


def test_compat_failure_has_two_spaces_and_no_hint() -> None:
    environment, _ = opened("compat")
    expected = f"Error in sending the GET request: 400 Client Error:  for url: {BASE}bad?a=b&_format=json"
    assert text(environment, f"GET {BASE}bad?a=b") == expected
    assert "500 Server Error:  for url: " in text(environment, f"GET {BASE}broken?a=b")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("Patient?a=b", "Invalid URL 'Patient?a=b&_format=json': No scheme supplied. "
                        "Perhaps you meant https://Patient?a=b&_format=json?"),
        ("", "Invalid URL '&_format=json': No scheme supplied. Perhaps you meant https://&_format=json?"),
        ("ftp://localhost/x", "No connection adapters were found for 'ftp://localhost/x&_format=json'"),
        ("http://example.org/a?b=c", "HTTPConnectionPool(host='example.org', port=80): Max retries exceeded with url: "
                                     "/a?b=c&_format=json"),
        ("https://localhost:8080/fhir/Patient?a=b", "HTTPSConnectionPool(host='localhost', port=8080): Max retries "
                                                    "exceeded with url: /fhir/Patient?a=b&_format=json"),
        ("http://localhost:9/fhir/Patient", "HTTPConnectionPool(host='localhost', port=9): Max retries exceeded with "
                                            "url: /fhir/Patient&_format=json"),
        ("http://localhost:x/fhir", "Failed to parse: http://localhost:x/fhir&_format=json"),
        ("http://localhost:8080@evil.org/fhir/Patient", "HTTPConnectionPool(host='evil.org', port=80): Max retries "
                                                        "exceeded with url: /fhir/Patient&_format=json"),
    ],
)  # fmt: skip
def test_nothing_is_sent_anywhere_else(url: str, error: str) -> None:
    environment, service = opened("compat")
    assert text(environment, f"GET {url}") == f"Error in sending the GET request: {error}"
    assert service.requests == []


def test_the_next_link_without_a_trailing_slash_is_ours() -> None:
    environment, service = opened("compat")
    environment.step("GET http://localhost:8080/fhir?_getpages=x")
    assert service.requests == [("GET", "http://localhost:8080/fhir?_getpages=x&_format=json", None)]


@pytest.mark.parametrize("raw", [f'POST {BASE}Observation\n{{"a":1}}', "POST nowhere\n[1]", 'POST\n"x"'])
def test_compat_post_is_said_to_be_executed_and_is_not(raw: str) -> None:
    environment, service = opened("compat")
    assert text(environment, raw) == ACCEPTED
    assert service.requests == [] and environment.episode().writes == ()


@pytest.mark.parametrize("mode", ["compat", "clinical"])
def test_a_post_without_json_is_answered_and_the_episode_goes_on(mode: str) -> None:
    environment, service = opened(mode)
    assert text(environment, f"POST {BASE}Observation\nnot json") == "Invalid POST request"
    assert service.requests == [] and not environment.done


def test_clinical_post_is_executed_and_its_answer_begins_with_the_benchmarks_sentence() -> None:
    environment, service = opened("clinical")
    shown = text(environment, f'POST {BASE}Observation\n{{"v": 1.10}}')
    assert shown == f"{ACCEPTED}\nStatus 201, Location: {BASE}Observation/w1/_history/1"
    assert service.requests == [("POST", f"{BASE}Observation", '{"v":1.10}')]
    (write,) = environment.episode().writes
    assert (write.url, write.reference, write.body) == (f"{BASE}Observation", "Observation/w1", '{"v":1.10}')


def test_clinical_refusals_show_the_outcome() -> None:
    environment, _ = opened("clinical")
    outcome = '\n{"resourceType":"OperationOutcome"}'
    post = f"Error in sending the POST request: 400 Client Error:  for url: {BASE}Observation{outcome}"
    assert text(environment, f"POST {BASE}Observation\n[1]") == post
    get = f"Error in sending the GET request: 400 Client Error:  for url: {BASE}bad{outcome}"
    assert text(environment, f"GET {BASE}bad") == get
    assert text(environment, "POST http://example.org/Observation\n{}").startswith(
        "Error in sending the POST request: HTTP"
    )
    assert environment.episode().writes == ()


def test_half_an_emoji_harms_nothing() -> None:
    environment, service = opened("clinical")
    assert text(environment, f'POST {BASE}Observation\n{{"a":"\\ud83d"}}') == "Invalid POST request"
    environment.step(f"GET {BASE}Patient?name=\ud83d")
    assert service.requests == [("GET", f"{BASE}Patient?name=?", None)]
    environment.step('FINISH(["\\ud83d"])')
    assert environment.episode().status == "completed"


def test_clinical_reads_by_id() -> None:
    environment, service = opened("clinical")
    environment.step(f"GET {BASE}Patient/p1")
    assert service.requests == [("GET", f"{BASE}Patient/p1", None)]


@pytest.mark.parametrize(("mode", "rounds"), [("compat", 8), ("clinical", 20)])
def test_the_round_limit_counts_every_message(mode: str, rounds: int) -> None:
    environment, service = opened(mode)
    for _ in range(rounds - 1):
        assert environment.step(f"GET {BASE}Patient?a=b") is not None
    assert environment.step(f"GET {BASE}Patient?a=b") is None
    episode = environment.episode()
    assert (episode.status, episode.result) == ("task limit reached", None)
    # The harness carries out and answers the last round before it stops.
    assert len(service.requests) == rounds and episode.messages[-1].role == "user"
    with pytest.raises(RuntimeError):
        environment.step("FINISH([])")


@pytest.mark.parametrize(("mode", "rounds"), [("compat", 8), ("clinical", 20)])
def test_finish_in_the_last_round_completes(mode: str, rounds: int) -> None:
    environment, _ = opened(mode)
    for _ in range(rounds - 1):
        environment.step(f"GET {BASE}Patient?a=b")
    assert environment.step("FINISH([1])") is None
    assert (environment.episode().status, environment.episode().result) == ("completed", "[1]")


@pytest.mark.parametrize("mode", ["compat", "clinical"])
def test_an_invalid_action_ends_the_episode(mode: str) -> None:
    environment, service = opened(mode)
    assert environment.step("Let me think.") is None
    episode = environment.episode()
    assert (episode.status, episode.result, service.requests) == ("agent invalid action", None, [])


def test_raw_text_is_kept() -> None:
    environment, _ = opened("compat")
    raw = f"  ```\nGET {BASE}Patient?a=b\n```  "
    environment.step(raw)
    environment.step("FINISH([1]")
    episode = environment.episode()
    assert [message.role for message in episode.messages] == ["user", "assistant", "user", "assistant"]
    assert episode.messages[1].content == raw and episode.raws == (raw, "FINISH([1]")
    assert episode.result == "[1" and episode.turns[-1].observation is None


def expert(task: PublicTask) -> Generator[Get | Post, Observation, list[Json]]:
    seen = yield Get(f"{task.base}Patient?name=Ann")
    assert seen.status == 200
    made = yield Post(f"{task.base}Observation", {"resourceType": "Observation"})
    return [made.status]


def endless(task: PublicTask) -> Generator[Get | Post, Observation, list[Json]]:
    while True:
        yield Get(f"{task.base}Patient?name=Ann")


def test_a_solver_plays_through_raw_text_and_replays_to_the_same_episode() -> None:
    environment, _ = opened("clinical")
    episode = run_solver(expert, task("clinical"), environment)
    assert episode.status == "completed" and episode.result == "[201]"
    assert isinstance(episode.turns[-1].action, Finish)
    again, _ = opened("clinical")
    assert replay(again, episode.raws) == episode


def test_a_solver_that_never_ends_meets_the_limit() -> None:
    environment, _ = opened("compat")
    episode = run_solver(endless, task("compat"), environment)
    assert episode.status == "task limit reached" and len(episode.turns) == 8


def test_replay_ignores_what_comes_after_the_end() -> None:
    environment, service = opened("clinical")
    episode = replay(environment, ["FINISH([1])", f"GET {BASE}Patient?a=b"])
    assert len(episode.turns) == 1 and service.requests == []


def test_a_replay_that_stops_early_is_not_completed() -> None:
    environment, _ = opened("clinical")
    assert replay(environment, [f"GET {BASE}Patient?a=b"]).status == "task limit reached"
