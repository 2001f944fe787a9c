"""What happens in an episode, as plain values: actions, observations, writes, the whole run.

The environment dispatches what it parsed from the raw text, so an expert's episode and a model's take one path.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from fhirtasks.fhir.jsontext import Json

Protocol: TypeAlias = Literal["text", "tools", "code"]
"""``text``: one action per message as plain text. ``tools``: the same as native tool calls. ``code``: CodeAct."""
PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)
Mode: TypeAlias = Literal["clinical", "compat"]
"""``clinical``: valid R4, executed writes, meaning. ``compat``: the public benchmark's rules to the letter."""


def is_search(url: str) -> bool:
    """Whether the URL is that of a search by POST (https://hl7.org/fhir/R4/http.html#search)."""
    return url.partition("?")[0].rstrip("/").endswith("/_search")


@dataclass(frozen=True, slots=True)
class Get:
    """Read: ``url`` is absolute, percent-encoded."""

    url: str


@dataclass(frozen=True, slots=True)
class Post:
    """Create: ``body`` is a JSON value (numbers int or Decimal), sent to ``url``. At ``Type/_search`` it is a search."""

    url: str
    body: Json

    @property
    def searches(self) -> bool:
        """Whether it asks for something and creates nothing."""
        return is_search(self.url)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the ``code`` protocol's tools but the last one."""

    name: str
    arguments: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Finish:
    """End with an answer: a JSON list; in the ``code`` protocol an object of type, value, unit and evidence."""

    answer: Json


@dataclass(frozen=True, slots=True)
class Invalid:
    """Text that is no action of the protocol; ``reason`` is one clause for a report.

    ``ends`` is False for what is answered and lets the episode go on: a POST whose body is not JSON, a wrong tool call.
    """

    reason: str
    ends: bool = True
    creates: bool = False
    """Whether something was to be created by it."""


ServerAction: TypeAlias = Get | Post | Finish | Invalid
"""What the ``text`` and ``tools`` protocols can say."""
Action: TypeAlias = ServerAction | Call
Answer: TypeAlias = list[Json] | dict[str, Json]


@dataclass(frozen=True, slots=True)
class Observation:
    """What the agent is shown after an action. ``body`` is the server's part of ``text`` (a substring of it)."""

    text: str
    status: int
    body: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A native tool call. ``arguments`` is a JSON object; another value is what a model sent instead."""

    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation. Only an assistant's has ``tool_calls``, only a tool's reply the tool's ``name``."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """A POST that took effect. ``reference`` is ``Type/id`` as created; ``body`` is the posted JSON text."""

    url: str
    reference: str
    body: str


EpisodeStatus: TypeAlias = Literal["completed", "agent invalid action", "task limit reached"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One action: the raw assistant message that asked for it, what was parsed, what came back (None after the last).

    A message with several tool calls is several turns; ``follows`` is True for all but its first.
    """

    raw: str
    action: Action
    observation: Observation | None
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished run. ``messages`` is the whole conversation, prompt first, assistant text raw.

    ``result`` is the text inside ``FINISH(...)`` as the dialect cuts it (of ``finish``: the answer as JSON text), None unless
    the status is ``completed``.
    """

    task_id: str
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]
    status: EpisodeStatus
    result: str | None
    writes: tuple[Write, ...] = field(default=())

    @property
    def raws(self) -> tuple[str, ...]:
        """The raw assistant texts, in order: all that a replay needs."""
        return tuple(turn.raw for turn in self.turns if not turn.follows)


@dataclass(frozen=True, slots=True)
class PublicTask:
    """All that a solver or a policy is told. ``slots`` holds only values that the prompt shows, as they stand there."""

    id: str
    family: str
    protocol: Protocol
    mode: Mode
    now: str
    instruction: str
    context: str
    slots: dict[str, str]
    base: str
    """The service's base URL with its trailing slash, as the prompt shows it."""
    tools: tuple[Json, ...] = ()


Solver: TypeAlias = Callable[[PublicTask], Generator[Any, Observation, Answer]]
"""Yields actions (Get and Post; in ``code`` Call), is sent observations, returns the answer, which ends the episode."""
