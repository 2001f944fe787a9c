"""The judge of FHIR-AgentBench's questions: its own rules decide, ours stand beside them as measures.

``passed`` is the benchmark's answer correctness. Measures: ``typed`` (1 if the answer is right by this library's rules as
far as a printed answer without type and unit lets one tell), ``recall``, and ``precision`` where it is defined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from fhirtasks.episodes.types import Episode, Finish
from fhirtasks.fhir.jsontext import Json, loads
from fhirtasks.graph.world import World
from fhirtasks.tasks.types import Check, Task, Verdict
from graders import Grader, agentbench, process
from graders.answers import number
from graders.typed import compare

_NUMBERS = ("integer", "number", "quantity", "duration")
_TEXTS = ("string", "code", "choice", "reference", "date", "datetime")


@dataclass(frozen=True, slots=True)
class Truth:
    """The answer as the benchmark prints it (an array), and the resources that bear it, as Type/id."""

    printed: str
    bearing: tuple[str, ...]


def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth]:
    """What the table says about each question; a question that no resource bears has no answer there."""
    return {task.id: _truth(task) for task in tasks}


def grade(task: Task, episode: Episode, world: World, truth: Truth) -> Verdict:
    """The verdict. A run that ended without an answer is wrong, as in the benchmark."""
    last = episode.turns[-1].action if episode.turns else None
    given = last.answer if isinstance(last, Finish) else None
    done = episode.status == "completed"
    checks = [Check("completed", done, "" if done else f"the episode ended: {episode.status}")]
    if done:
        wanted = truth.printed if truth.bearing else "no answer"
        right = agentbench.correct(wanted, given, time_of_day="time" in task.instruction.lower().split())
        checks.append(Check("answer", right, "" if right else f"expected {wanted[:80]}"))
    found = agentbench.retrieval(truth.bearing, fetched(task, episode, world))
    measures = [("typed", float(done and typed(truth.printed, given))), ("recall", found.recall)]
    if found.precision is not None:
        measures.append(("precision", round(found.precision, 4)))
    passed = all(check.passed for check in checks)
    return Verdict(passed, float(passed), tuple(checks), tuple(measures))


def fetched(task: Task, episode: Episode, world: World) -> set[str]:
    """Every resource that the episode fetched, as Type/id."""
    found: set[str] = set()
    for kind, ids in process.read(task, process.log(episode)).items():
        if ids is None:
            rows = world.db.execute(
                "SELECT id FROM resource WHERE type = ? AND list_contains(?, patient)", [kind, list(task.patients)]
            ).fetchall()
            ids = {row[0] for row in rows}
        found |= {f"{kind}/{one}" for one in ids}
    return found


def typed(printed: str, given: Json) -> bool:
    """Whether a typed answer is what the table prints: sign, decimals, every item and the time of day count.

    A printed 0 or 1 may be a number or a truth value, an empty array is none; units are not printed, and any is taken.
    """
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        return False
    kind, cells = str(given["type"]), printed_cells(printed)
    if not cells:
        return kind == "none"
    if kind in ("set", "list"):
        return compare(kind, cells, "", given).right
    if len(cells) > 1:
        return False
    wanted = number(cells[0])
    if wanted is None:
        return kind in _TEXTS and compare(kind, cells[0], "", given).right
    if kind == "boolean":
        return wanted in (Decimal(0), Decimal(1)) and bool(given.get("value") is bool(wanted))
    return kind in _NUMBERS and compare(kind, wanted, str(given.get("unit") or ""), given).right


def printed_cells(printed: str) -> list[Json]:
    """The values of a printed array: numbers as Decimal, texts; what is missing (``nan``, ``None``) left out."""
    found: list[Json] = []
    for quoted, double, bare in agentbench.CELL.findall(printed):
        if bare in ("nan", "None", "NaT", "<NA>"):
            continue
        digits = bare.removesuffix(".")
        is_number = bare and number(_parsed(digits)) is not None
        found.append(_parsed(digits) if is_number else quoted or double or bare)
    return found


def _parsed(digits: str) -> Json:
    try:
        value = loads(digits)
    except ValueError:
        return None
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _truth(task: Task) -> Truth:
    bearing = loads(task.params["ids"])
    return Truth(task.params["answer"], tuple(map(str, bearing)))


GRADERS = {"fhir_agentbench": Grader(truths, grade)}
