"""Task, Scenario, Family, Verdict: the plain types that generators, experts, graders and releases share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from fhirtasks.episodes import code, tools
from fhirtasks.episodes.types import Mode, Protocol, PublicTask
from fhirtasks.fhir.jsontext import Json
from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE

TOOLS: Final[dict[Protocol, tuple[dict[str, Json], ...]]] = {"text": (), "tools": tools.SCHEMAS, "code": code.SCHEMAS}
"""What each protocol offers: the schema objects that prompts, rows and servers show."""

Kind: TypeAlias = Literal["query", "action", "conditional"]


@dataclass(frozen=True, slots=True)
class Task:
    """One task, frozen and serialisable. ``gold`` is for readers of the release; graders never look at it.

    ``now`` is ISO 8601 with an offset. ``slots`` are strings that stand in the prompt as they are. ``params`` are the
    constants of compat's rules (the public grader's constants as task parameters), empty in clinical mode.
    """

    id: str
    family: str
    version: str
    domain: str
    kind: Kind
    mode: Mode
    protocol: Protocol
    branch: str
    split: str
    now: str
    instruction: str
    context: str
    slots: dict[str, str]
    params: dict[str, str]
    gold: Json
    patients: tuple[str, ...]
    scenario: Scenario
    difficulty: dict[str, Json]
    seed: str

    def public(self) -> PublicTask:
        """What a solver or a policy may know."""
        return PublicTask(
            id=self.id, family=self.family, protocol=self.protocol, mode=self.mode, now=self.now,
            instruction=self.instruction, context=self.context, slots=dict(self.slots), base=BASE,
            tools=TOOLS[self.protocol],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """A family's share of a task; the build adds id, split and seed."""

    now: str
    instruction: str
    context: str
    slots: dict[str, str]
    gold: Json
    patients: tuple[str, ...]
    params: dict[str, str] = field(default_factory=dict)
    scenario: Scenario = field(default_factory=Scenario)
    difficulty: dict[str, Json] = field(default_factory=dict)
    wording: str = ""
    """The instruction with its places open: one of the family's ``wordings``."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One case that a family must show. ``weight`` is its share of the family's rows."""

    name: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of task. ``sample`` draws one for a branch or returns None if this draw found no case (it is asked again).

    ``missing`` names the resource or code that a world lacks, or returns None where the family can be sampled. Compat's
    rules are those of the ``text`` protocol: another protocol has no compat tasks. ``wordings`` are the instructions that its
    drafts name as theirs: a family that states two or more can be asked in other words in the test split.
    """

    name: str
    version: str
    domain: str
    kind: Kind
    branches: tuple[Branch, ...]
    sample: Callable[[World, random.Random, str, Mode], Draft | None]
    missing: Callable[[World], str | None]
    modes: tuple[Mode, ...] = ("clinical", "compat")
    protocols: tuple[Protocol, ...] = ("text", "tools")
    description: str = ""
    wordings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a grader looked at. ``detail`` is empty if it passed, else one clause: expected and found."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``passed`` if every check passed; ``score`` is the share of checks that did.

    ``measures`` are numbers beside the checks, by name; nothing passes or fails by them.
    """

    passed: bool
    score: float
    checks: tuple[Check, ...]
    measures: tuple[tuple[str, float], ...] = ()

    @staticmethod
    def of(checks: list[Check]) -> Verdict:
        """The verdict that these checks add up to."""
        passed = sum(check.passed for check in checks)
        return Verdict(passed == len(checks), passed / len(checks) if checks else 0.0, tuple(checks))
