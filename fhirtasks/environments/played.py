"""Environments as TRL takes them: public methods are the tools of the protocol, made from its schemas.

    trainer = GRPOTrainer(…, environment_factory=functools.partial(FhirTools, folder, "train"))

``tools.json`` and ``code_tools.json`` are the one registry: each method's name, signature and docstring come from there, so that
``transformers.utils.get_json_schema`` gives back the very schema that SFT rows hold and servers offer. A method carries out its
call and answers with the text of the observation, errors too. It keeps no record: an episode is what its assistant messages
say, and is judged from them (:mod:`fhirtasks.environments.reward`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from fhirtasks.environments.source import source
from fhirtasks.episodes import code, tools
from fhirtasks.episodes.code import CodeEnvironment
from fhirtasks.episodes.environment import Environment
from fhirtasks.episodes.types import Finish, Protocol, ToolCall
from fhirtasks.fhir.jsontext import dumps

ENDED: Final = dumps({"status": "ended"})
"""The reply to the call that ends an episode, and to any call after it. Our trainer ends the rollout there instead."""


class _Played:
    """What both kinds of environment do. One instance plays one task after the other; ``reset`` rebuilds all its state."""

    protocol: ClassVar[Protocol]

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = split
        self._environment: Environment | CodeEnvironment | None = None
        self._done = False

    def reset(self, *, task_id: str, **row: object) -> None:
        """Opens the task of a dataset row. Its prompt stands in the row, so there is nothing to add to it."""
        self._environment = source(self._folder, self._split).open(task_id)
        self._done = False

    def _call(self, name: str, arguments: Any) -> str:
        """What a call is answered, whatever its name and arguments are."""
        assert self._environment is not None, "reset comes before the first call"
        if self._done:
            return ENDED
        call = ToolCall(str(tools.writable(name)), tools.writable(arguments))
        action = code.parse(call) if self.protocol == "code" else tools.parse(call, self._environment.task.base)
        if isinstance(action, Finish):
            self._done = True
            return ENDED
        return self._environment.dispatch(action).text

    def __getstate__(self) -> dict[str, Any]:
        """Where it plays, not what: a world is a connection, so an episode under way stays in its process."""
        return {"_folder": self._folder, "_split": self._split, "_environment": None, "_done": False}


class FhirTools(_Played):
    """The ``tools`` protocol: ``fhir_search``, ``fhir_read``, ``fhir_create``, ``finish``."""

    protocol = "tools"


class FhirCode(_Played):
    """The ``code`` protocol: ``coverage``, ``fetch``, ``fetch_references``, ``follow``, ``execute_python``, ``submit_answer``."""

    protocol = "code"


ENVIRONMENTS: Final[Mapping[Protocol, type[FhirTools] | type[FhirCode]]] = {"tools": FhirTools, "code": FhirCode}
"""Protocol -> its environment. ``text`` has no tools and is played by a rollout function."""


def _tool(schema: Mapping[str, Any]) -> Callable[..., str]:
    """The method that a tool's schema describes."""
    function = schema["function"]
    name, properties = function["name"], function["parameters"]["properties"]

    def method(self: _Played, **arguments: Any) -> str:
        return self._call(name, arguments)

    lines = [f"    {key}: {value['description']}" for key, value in properties.items()]
    method.__name__, method.__qualname__ = name, name
    method.__doc__ = "\n".join([function["description"], "", "Args:", *lines])
    hints = {key: _hint(value) for key, value in properties.items()}
    method.__annotations__ = hints
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(key, keyword, annotation=hint) for key, hint in hints.items()]
    receiver = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature([receiver, *parameters])  # type: ignore[attr-defined]
    return method


def _hint(schema: Mapping[str, Any]) -> Any:
    """The type hint from which transformers makes this schema."""
    if schema["type"] == "array":
        return list[str]
    return Literal[tuple(schema["enum"])] if "enum" in schema else str


for _kind, _schemas in ((FhirTools, tools.SCHEMAS), (FhirCode, code.SCHEMAS)):
    for _schema in _schemas:
        setattr(_kind, _schema["function"]["name"], _tool(_schema))
