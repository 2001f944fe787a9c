"""What mutants and alternatives are made from: a correct episode, taken apart and put together again as raw texts.

Damages are written once, in the words of the ``text`` protocol; :func:`said_in` puts them into the task's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import quote

from fhirtasks.episodes import tools
from fhirtasks.episodes.text import parse, render
from fhirtasks.episodes.types import Episode, Finish, Get, Invalid, Post, ToolCall, Turn
from fhirtasks.fhir.dates import instant
from fhirtasks.fhir.jsontext import Json
from fhirtasks.graph.world import World
from fhirtasks.service.service import BASE
from fhirtasks.tasks.types import Task
from graders import Truth, identities, truths
from graders.damage_code import Solved
from graders.results import FOREVER, Case, Result, select

LABS = (
    *("latest_lab", "latest_lab_in_window", "mean_lab_in_window"),
    *("magnesium_replacement", "potassium_replacement", "a1c_reorder"),
)
"""Families that rest on results."""

Raws = tuple[str, ...]


@dataclass(frozen=True)
class Played:
    """A correct episode of a task on its world, with what damages need to know about its patient's chart.

    ``charts`` holds what is known of patients' results already (see :func:`together`), ``truth`` the truth, if it is known.
    """

    task: Task
    episode: Episode
    world: World
    charts: Mapping[str, list[Result]] = field(default_factory=dict)
    truth: Truth | None = None

    @cached_property
    def solved(self) -> Solved:
        """The episode as damages to the ``code`` protocol take it."""
        truth = truths([self.task], self.world)[self.task.id] if self.truth is None else self.truth
        return Solved(self.task, self.episode, self.world, truth)

    @property
    def clinical(self) -> bool:
        return self.task.mode == "clinical"

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """The episode's turns, their raw texts in the words of the ``text`` protocol."""
        if self.task.protocol == "text":
            return self.episode.turns
        return tuple(
            replace(turn, raw=render(turn.action), follows=False)
            for turn in self.episode.turns
            if isinstance(turn.action, Get | Post | Finish)
        )

    @cached_property
    def raws(self) -> Raws:
        return tuple(turn.raw for turn in self.turns)

    @cached_property
    def gets(self) -> Raws:
        return tuple(turn.raw for turn in self.turns if isinstance(turn.action, Get))

    @cached_property
    def posts(self) -> tuple[Post, ...]:
        return tuple(turn.action for turn in self.turns if isinstance(turn.action, Post))

    @property
    def post_raws(self) -> Raws:
        return tuple(turn.raw for turn in self.turns if isinstance(turn.action, Post))

    @property
    def answer(self) -> list[Json]:
        """What FINISH held; [] if that was no list."""
        last = self.turns[-1].action
        return list(last.answer) if isinstance(last, Finish) and isinstance(last.answer, list) else []

    @cached_property
    def patient(self) -> identities.Person | None:
        """The task's patient; None where there is none, or no such one."""
        if self.clinical:
            fits = identities.named(self.task, self.world)
            return fits[0] if len(fits) == 1 else None
        return identities.people(self.world).by_id.get(self.task.params["patient"])

    @property
    def patient_id(self) -> str:
        return self.patient.id if self.patient is not None else self.task.params.get("patient", "")

    @cached_property
    def other(self) -> identities.Person | None:
        """Another patient of the world who is visible now and has an identifier."""
        now = instant(self.task.now)
        people = identities.people(self.world).by_id
        ids = sorted(people)
        start = ids.index(self.patient_id) + 1 if self.patient_id in people else 0
        for id in ids[start:] + ids[:start]:
            one = people[id]
            seen = one.available is None or one.available <= now
            if id != self.patient_id and seen and one.identifiers and f"Patient/{id}" not in self.task.scenario.hide:
                return one
        return None

    @property
    def code(self) -> str:
        return self.task.slots["code"]

    def results(self, patient: str, low: int = -FOREVER) -> list[Result]:
        """A patient's results of the task's code up to ``now`` (from ``low`` on), in id order."""
        if patient in self.charts:
            found = self.charts[patient]
        else:
            found = select([self.case("", patient)], self.world)[""].counted
        return [one for one in found if one.time is not None and one.time >= low]

    def case(self, key: str, patient: str) -> Case:
        """What :meth:`results` asks for."""
        now = instant(self.task.now)
        return Case(key, patient, self.code, now, self.task.scenario, high=now, newest=False)

    # -- put together again

    def finish(self, answer: Json) -> Raws:
        """The episode with another answer."""
        return (*self.raws[:-1], render(Finish(answer)))

    def ending(self, raw: str) -> Raws:
        return (*self.raws[:-1], raw)

    def reading(self, reads: Sequence[str]) -> Raws:
        """The episode with other reads before the first write."""
        return (*reads, *self.post_raws, self.raws[-1])

    def before_finish(self, *raws: str) -> Raws:
        return (*self.raws[:-1], *raws, self.raws[-1])

    def posting(self, change: Callable[[Post], Post | str | None]) -> Raws | None:
        """The episode with the first POST changed for which ``change`` gives another one; None if there is none."""
        changed = False
        raws = []
        for turn in self.turns:
            raw = turn.raw
            if isinstance(turn.action, Post) and not changed:
                new = change(turn.action)
                if new is not None:
                    raw, changed = new if isinstance(new, str) else render(new), True
            raws.append(raw)
        return tuple(raws) if changed else None

    def results_url(self, *parameters: str, patient: str | None = None, code: str | None = None) -> str:
        """GET of a results search, with these further parameters."""
        query = "&".join((f"patient={patient or self.patient_id}", f"code={code or self.code}", *parameters))
        return f"GET {BASE}Observation?{query}"


def together(rows: Sequence[tuple[Task, Episode]], world: World) -> list[Played]:
    """These episodes, ready to be damaged: the results of their patients, and of the others, are found by one query."""
    played = [Played(task, episode, world) for task, episode in rows]
    labs = [(n, one) for n, one in enumerate(played) if one.task.family in LABS]
    patients = [(n, one, {one.patient_id, one.other.id if one.other else ""} - {""}) for n, one in labs]
    cases = {(n, patient): one.case(f"{n} {patient}", patient) for n, one, both in patients for patient in both}
    found = select(list(cases.values()), world)
    for n, one, both in patients:
        played[n] = replace(one, charts={patient: found[cases[n, patient].key].counted for patient in both})
    return played


def date_parameter(prefix: str, time: str) -> str:
    """``date=ge2020-…`` with the time percent-encoded."""
    return f"date={prefix}{quote(time, safe='')}"


def said_in(task: Task, raws: Raws) -> Raws:
    """Raw texts of the ``text`` protocol as messages of the task's own. What is no action there is none here either."""
    return raws if task.protocol == "text" else tuple(_called(raw) for raw in raws)


def _called(raw: str) -> str:
    action = parse(raw, "clinical")
    if not isinstance(action, Invalid):
        return tools.render(action, BASE)
    if action.ends:
        return tools.raw_message(raw, ())
    return tools.raw_message("", [ToolCall("fhir_create", {"resource": raw.partition("\n")[2]})])
