"""What mutants and alternatives of the ``code`` protocol are made from: a correct episode, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fhirtasks.episodes.tools import raw_message
from fhirtasks.episodes.types import Call, Episode, Finish, ToolCall, Turn
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import replay_task
from fhirtasks.tasks.questions import BY_NAME
from fhirtasks.tasks.questions.types import Question, Truth
from fhirtasks.tasks.types import Task
from graders import process, typed

Raws = tuple[str, ...]
Change = Callable[[Call], Call | None]


@dataclass(frozen=True)
class Solved:
    """A correct episode of a question on its world, with the truth about it."""

    task: Task
    episode: Episode
    world: World
    truth: Truth

    @property
    def raws(self) -> Raws:
        return self.episode.raws

    @property
    def question(self) -> Question:
        return BY_NAME[self.task.family]

    @cached_property
    def answer(self) -> dict[str, Any]:
        """What was submitted: type, value, unit, evidence."""
        last = self.episode.turns[-1].action
        assert isinstance(last, Finish) and isinstance(last.answer, dict)
        return dict(last.answer)

    @property
    def kind(self) -> str:
        return str(self.answer["type"])

    @property
    def value(self) -> Any:
        return self.answer["value"]

    @property
    def absent(self) -> bool:
        """Whether the answer is that there is nothing: it rests on no resource."""
        return not self.truth.evidence

    @cached_property
    def steps(self) -> list[process.Step]:
        return process.log(self.episode)

    @cached_property
    def read(self) -> process.Read:
        return process.read(self.task, self.steps)

    @cached_property
    def calls(self) -> tuple[Turn, ...]:
        """The turns that call a tool, but for the answer."""
        return tuple(turn for turn in self.episode.turns if isinstance(turn.action, Call))

    @property
    def patient(self) -> str:
        return self.task.slots["patient"]

    @cached_property
    def other(self) -> str | None:
        """Another patient of the world, whom the question does not name."""
        meant = " ".join(self.task.slots.values())
        return next((one for one in self.world.patients if one not in meant), None)

    def unshown(self, steps: Sequence[process.Step]) -> bool:
        """Whether these calls alone would not show that there is nothing, where that is the answer."""
        return self.absent and bool(process.absence(self.task, self.question.hops, steps, self.truth.reason))

    # -- put together again

    def submit(self, **changes: Json) -> Raws:
        """The episode with another answer."""
        return (*self.raws[:-1], submission({**self.answer, **changes}))

    def ending(self, raw: str) -> Raws:
        return (*self.raws[:-1], raw)

    def only(self, calls: Sequence[Turn]) -> Raws:
        """The episode with these calls alone, one to a message, and its answer."""
        return (*(call(turn.action) for turn in calls if isinstance(turn.action, Call)), submission(self.answer))

    def calling(self, change: Change) -> Raws:
        """The episode with each call changed, or left out where there is None."""
        made = [change(turn.action) for turn in self.calls if isinstance(turn.action, Call)]
        return (*(call(one) for one in made if one is not None), submission(self.answer))

    def before_answer(self, *raws: str) -> Raws:
        return (*self.raws[:-1], *raws, self.raws[-1])

    def computed_with(self, slots: Mapping[str, str]) -> Raws | None:
        """The episode with its code asking for other slots, and the answer that it then prints; None if it prints none, one of
        another type, or the right one."""

        def other(one: Call) -> Call:
            if one.name != "execute_python":
                return one
            code = str(one.arguments["code"])
            for name, value in slots.items():
                code = code.replace(f"{dumps(name)}:{dumps(self.task.slots[name])}", f"{dumps(name)}:{dumps(value)}")
            return Call(one.name, {"code": code})

        raws = self.calling(other)
        if raws == self.calling(lambda one: one):
            return None
        steps = process.log(replay_task(self.task, self.world, raws[:-1]))
        printed = [str((step.told or {}).get("output", "")) for step in steps if step.name == "execute_python"]
        lines = [line for line in (printed or [""])[-1].splitlines() if line.startswith("ANSWER ")]
        found = loads(lines[-1].removeprefix("ANSWER ")) if lines else None
        truth = self.truth
        wanted = truth.reason if truth.value is None else loads(truth.value)
        if not isinstance(found, dict):
            return None
        same = typed.compare("none" if truth.value is None else self.question.answer, wanted, truth.unit, found)
        return (*raws[:-1], submission(found)) if same.value else None


def call(one: Call) -> str:
    """The raw message of a call."""
    return raw_message("", [ToolCall(one.name, one.arguments)])


def submission(answer: Mapping[str, Json]) -> str:
    """The raw message of an answer."""
    return raw_message("", [ToolCall("submit_answer", {**answer, "value": dumps(answer["value"])})])
