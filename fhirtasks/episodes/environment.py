"""One task being played: a prompt, one action per message, what comes back, and the record of it all.

The same path serves an expert, a model and a replay: :meth:`Environment.step` dispatches what it parsed from raw text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from fhirtasks.episodes import text, tools
from fhirtasks.episodes.text import WIRE, prompt, result_of
from fhirtasks.episodes.types import (
    Action,
    Episode,
    EpisodeStatus,
    Finish,
    Get,
    Invalid,
    Message,
    Mode,
    Observation,
    Post,
    PublicTask,
    Solver,
    Turn,
    Write,
)
from fhirtasks.fhir.jsontext import dumps

if TYPE_CHECKING:
    from fhirtasks.episodes.code import CodeEnvironment
    from fhirtasks.service.bundle import Response
    from fhirtasks.service.service import Service


ROUNDS: Final[dict[Mode, int]] = {"compat": WIRE["rounds"]["compat"], "clinical": WIRE["rounds"]["clinical"]}
"""Assistant messages that an episode may have; the last action counts as one."""

_URL_SAFE = "!#$%&'()*+,/:;=?@~"
_NEEDS_NO_QUOTE = re.compile(rf"[A-Za-z0-9_.\-{re.escape(_URL_SAFE)}]*", re.ASCII)
_BEFORE, _AFTER = WIRE["get_ok"].split("{body}")
_LOOPBACK = re.compile(r"^(https?://)127\.0\.0\.1(?=[:/?]|$)", re.IGNORECASE)


class Environment:
    """One episode over one service. ``prompt`` opens it; :meth:`step` takes each raw assistant text."""

    def __init__(
        self, task: PublicTask, service: Service, *, template: str | None = None, functions: str | None = None
    ) -> None:
        self.task = task
        self.service = service
        self.prompt = prompt(task, template=template, functions=functions)
        self.done = False
        self._messages = [Message("user", self.prompt)]
        self._turns: list[Turn] = []
        self._status: EpisodeStatus = "task limit reached"
        self._result: str | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, prompt first, assistant text raw."""
        return tuple(self._messages)

    def render(self, action: Get | Post | Finish) -> str:
        """The raw assistant message that asks for this action in the task's protocol."""
        if self.task.protocol == "tools":
            return tools.render(action, self.task.base)
        return text.render(action)

    def step(self, raw: str) -> Observation | None:
        """Carries out one assistant message; None once the episode is over (then :meth:`episode` has the record).

        The action of the last round is carried out and answered before the limit ends the episode, as in the benchmark.
        """
        if self.done:
            raise RuntimeError("the episode is over; open a new environment for another one")
        if self.task.protocol == "tools":
            return self._step_tools(raw)
        action = text.parse(raw, self.task.mode)
        self._messages.append(Message("assistant", raw))
        if isinstance(action, Finish) or (isinstance(action, Invalid) and action.ends):
            self._turns.append(Turn(raw, action, None))
            self._finish(action, raw)
            return None
        observation = self.dispatch(action)
        self._turns.append(Turn(raw, action, observation))
        self._messages.append(Message("user", observation.text))
        if len(self._turns) >= ROUNDS[self.task.mode]:
            self.done = True
            return None
        return observation

    def _step_tools(self, raw: str) -> Observation | None:
        """One message of the ``tools`` protocol: all its calls in their order, each answered by a message of its own."""
        message = tools.assistant_message(raw)
        self._messages.append(message)
        if not message.tool_calls:
            self._turns.append(Turn(raw, Invalid("the message has no tool call"), None))
            self.done, self._status = True, "agent invalid action"
            return None
        observation = None
        for place, call in enumerate(message.tool_calls):
            action = tools.parse(call, self.task.base)
            if isinstance(action, Finish):
                self._turns.append(Turn(raw, action, None, follows=place > 0))
                self.done, self._status, self._result = True, "completed", dumps(action.answer)
                return None
            observation = self.dispatch(action)
            self._turns.append(Turn(raw, action, observation, follows=place > 0))
            self._messages.append(Message("tool", observation.text, name=call.name))
        if sum(not turn.follows for turn in self._turns) >= ROUNDS[self.task.mode]:
            self.done = True
            return None
        return observation

    def episode(self) -> Episode:
        """The record. An episode that was left before its end has the status ``task limit reached``."""
        writes = tuple(Write(write.url, write.reference, write.body) for write in self.service.writes)
        return Episode(self.task.id, self.messages, tuple(self._turns), self._status, self._result, writes)

    def _finish(self, action: Action, raw: str) -> None:
        self.done = True
        if isinstance(action, Finish):
            self._status, self._result = "completed", result_of(raw, self.task.mode)
        else:
            self._status = "agent invalid action"

    def dispatch(self, action: Action) -> Observation:
        """What an action is answered, outside of the record: a write takes effect, a round is not counted."""
        if isinstance(action, Get):
            return self._get(action.url)
        if isinstance(action, Post):
            # The benchmark's harness sends nothing: whatever is JSON is said to have been executed.
            return Observation(WIRE["post_ok"], 200) if self.task.mode == "compat" else self._post(action)
        if isinstance(action, Invalid) and self.task.protocol == "tools":
            return tools.error(action.reason)
        return Observation(WIRE["post_invalid"], 400)

    def _get(self, url: str) -> Observation:
        if self.task.protocol == "tools":
            response = self.service.request("GET", _quoted(url))
            return self._told(response)
        if self.task.mode == "compat":
            url += WIRE["format_suffix"]
        error = self._unreachable(url)
        if error is not None:
            return Observation(WIRE["get_failed"].format(error=error), 0)
        sent = _quoted(url)
        response = self.service.request("GET", self._address(sent))
        if response.status < 400:
            return _shown(response)
        return self._refusal("get_failed", sent, response)

    def _post(self, action: Post) -> Observation:
        error = self._unreachable(action.url)
        if error is not None:
            return Observation(WIRE["post_failed"].format(error=error), 0)
        try:
            body = dumps(action.body)
            body.encode()
        except UnicodeEncodeError:  # half an emoji, escaped
            return Observation(WIRE["post_invalid"], 400)
        sent = _quoted(action.url)
        response = self.service.request("POST", self._address(sent), body)
        if self.task.protocol == "tools":
            return self._told(response)
        if response.status >= 400:
            return self._refusal("post_failed", sent, response)
        if response.status != 201:  # a search by POST
            return _shown(response)
        headers = {name.lower(): value for name, value in response.headers.items()}
        location = headers.get("location", "")
        return Observation(
            f"{WIRE['post_ok']}\nStatus {response.status}, Location: {location}", response.status, location
        )

    def _told(self, response: Response) -> Observation:
        """The reply of a tool: the server's body, or where something was created its status and location."""
        if response.status == 201:
            headers = {name.lower(): value for name, value in response.headers.items()}
            location = headers.get("location", "")
            return Observation(dumps({"status": response.status, "location": location}), response.status, location)
        if response.status < 400:
            return Observation(response.body, response.status, response.body)
        said = f'{{"status":{response.status},"outcome":{response.body or "null"}}}'
        return Observation(said, response.status, response.body)

    def _refusal(self, sentence: str, url: str, response: Response) -> Observation:
        """An error in the words of Python's requests (HAPI sends no reason: two spaces); our dialect adds the body."""
        side = "Client" if response.status < 500 else "Server"
        said: str = WIRE[sentence].format(error=f"{response.status} {side} Error:  for url: {url}")
        if self.task.mode == "compat":
            return Observation(said, response.status)
        return Observation(f"{said}\n{response.body}", response.status, response.body)

    def _unreachable(self, url: str) -> str | None:
        """Why nothing can be asked at this URL, in the words of Python's requests; None if it is our server's.

        Nothing is ever sent to another host: an episode sees its world and nothing else.
        """
        if url.startswith(self.task.base):
            return None
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return f"Failed to parse: {url}"
        if not parts.scheme or "://" not in url:
            return f"Invalid URL {url!r}: No scheme supplied. Perhaps you meant https://{url}?"
        if parts.scheme not in ("http", "https"):
            return f"No connection adapters were found for {url!r}"
        if not parts.hostname:
            return f"Invalid URL {url!r}: No host supplied"
        base = urlsplit(self.task.base)
        if urlsplit(self._address(url)).netloc.lower() == base.netloc.lower() and parts.scheme == base.scheme:
            return None
        kind = "HTTPSConnectionPool" if parts.scheme == "https" else "HTTPConnectionPool"
        path = url.split("://", 1)[1].partition("/")[2]
        number = port or (443 if parts.scheme == "https" else 80)
        return f"{kind}(host='{parts.hostname}', port={number}): Max retries exceeded with url: /{path}"

    def _address(self, url: str) -> str:
        """The URL as it is asked: without a fragment, and with 127.0.0.1 being the same server as localhost."""
        url = url.partition("#")[0]
        if url.startswith(self.task.base) or urlsplit(self.task.base).hostname != "localhost":
            return url
        return _LOOPBACK.sub(r"\1localhost", url)


def _shown(response: Response) -> Observation:
    """What a request that was answered shows."""
    return Observation(f"{_BEFORE}{response.body}{_AFTER}", response.status, response.body)


def _quoted(url: str) -> str:
    """The URL as Python's requests sends it; most need no change."""
    return url if _NEEDS_NO_QUOTE.fullmatch(url) else quote(url, safe=_URL_SAFE, errors="replace")


def run_solver(solver: Solver, task: PublicTask, environment: Environment | CodeEnvironment) -> Episode:
    """Plays an expert: every action goes out as raw text and comes back as the observation of that text."""
    steps = solver(task)
    try:
        action = next(steps)
        while True:
            observation = environment.step(environment.render(action))
            if observation is None:
                steps.close()
                return environment.episode()
            action = steps.send(observation)
    except StopIteration as stop:
        environment.step(environment.render(Finish(stop.value)))
    return environment.episode()


def replay(environment: Environment | CodeEnvironment, raws: Iterable[str]) -> Episode:
    """Plays recorded raw texts; those after the end of the episode are left out: it would never have met them."""
    for raw in raws:
        if environment.done:
            break
        environment.step(raw)
    return environment.episode()
