"""The judge of every question family: the answer by SQL, what was read, and how the agent went about it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from fhirtasks.episodes.code import permitted
from fhirtasks.episodes.faults import faulty_turns
from fhirtasks.episodes.types import Episode, Finish, Invalid
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import open_environment
from fhirtasks.tasks.questions import BY_NAME
from fhirtasks.tasks.questions.truth import truths as find
from fhirtasks.tasks.questions.types import Asked, Truth
from fhirtasks.tasks.types import Check, Task, Verdict
from fhirtasks.tasks.wording import fill
from graders import Grader, process
from graders.typed import compare

_REFERENCE = re.compile(r"^[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}$")


def truths(tasks: Sequence[Task], world: World) -> dict[str, Truth | None]:
    """The truth of every task, one statement per family; None for one that has none."""
    groups: dict[str, list[Asked]] = defaultdict(list)
    for task in tasks:
        patient = task.slots.get("patient", "")
        slots = {name: value for name, value in task.slots.items() if name != "patient"}
        groups[task.family].append(Asked(task.id, patient, task.now, slots))
    found: dict[str, Truth | None] = dict.fromkeys([task.id for task in tasks])
    for family, asked in groups.items():
        found |= find(BY_NAME[family], asked, world)
    return found


def grade(task: Task, episode: Episode, world: World, truth: Truth | None) -> Verdict:
    """The verdict; score is the answer's partial credit.

    Evidence is looked at only where the answer is right, and whether it was typed only where all else is; the measures are
    there in every case.
    """
    done = episode.status == "completed"
    checks = [Check("completed", done, "" if done else f"the episode ended: {episode.status}")]
    wrong = [turn.action.reason for turn in episode.turns if isinstance(turn.action, Invalid) and turn.action.ends]
    checks.append(Check("protocol", not wrong, wrong[0] if wrong else ""))
    last = episode.turns[-1].action if episode.turns else None
    given = last.answer if isinstance(last, Finish) else None
    if truth is None:
        return Verdict.of([*checks, Check("answer", False, "the task has no truth")])
    question = BY_NAME[task.family]
    kind = "none" if truth.value is None else question.answer
    same = compare(kind, truth.reason if truth.value is None else loads(truth.value), truth.unit, given)
    steps = process.log(episode)
    read = process.read(task, steps)
    cited = _citations(task, given, world)
    checks.append(Check("answer_shape", not same.shape, same.shape))
    if not same.shape:
        checks.append(Check("answer", not same.value, same.value))
    if same.right and isinstance(given, dict):
        hops = [fill(hop, task.slots) for hop in question.hops]
        checks.append(_evidence(task, truth, hops, read, steps))
        checks.append(_cited(task, cited, truth, read, world))
    checks += [process.scope(task, episode, steps, world), process.references(episode, steps), process.ran(steps)]
    if isinstance(given, dict) and all(check.passed for check in checks):
        checks.append(process.literal(task, episode, steps, given))
    passed = all(check.passed for check in checks)
    return Verdict(
        passed, 1.0 if passed else min(same.score, 0.99), tuple(checks), _measures(truth, cited, read, episode)
    )


def _evidence(
    task: Task,
    truth: Truth,
    hops: Sequence[str],
    read: process.Read,
    steps: Sequence[process.Step],
) -> Check:
    """Whether what the answer rests on was fetched; for an absence, whether the episode has shown that there is nothing; and
    whether the types were looked at of which it rests on nothing."""
    missing = [ref for ref in truth.evidence if not process.has(read, ref)]
    if missing:
        return Check("evidence", False, f"{missing[0]} was never fetched ({len(missing)} in all)")
    why = "" if truth.evidence else process.absence(task, hops, steps, truth.reason)
    told = [step for step in steps if step.name != "execute_python"]
    if why and truth.lacks and not process.overlooked(task, truth.lacks, told):
        why = ""  # summaries alone tell that there is nothing at the last hop
    if not why:
        held = {ref.partition("/")[0] for ref in truth.evidence}
        why = process.overlooked(task, [kind for kind in truth.lacks if kind not in held], steps)
    return Check("evidence", not why, why)


def _cited(task: Task, given: Sequence[str], truth: Truth, read: process.Read, world: World) -> Check:
    """Whether what is cited is there and was read, and is what the answer rests on; more may be cited."""
    strange = [ref for ref in given if not _REFERENCE.fullmatch(ref) or not process.has(read, ref)]
    if strange:
        return Check("cited", False, f"{dumps(strange[0])} was cited and never fetched")
    if truth.evidence and not set(given) & set(truth.evidence):
        return Check("cited", False, f"nothing that the answer rests on is cited, such as {truth.evidence[0]}")
    service = open_environment(task, world, template="").service
    for ref in sorted(set(given) - set(truth.evidence)):
        record = service.resolve(ref)
        if record is None or record.patient not in (None, *permitted(task.slots)):
            return Check("cited", False, f"{dumps(ref)} was cited and is not in the record")
    return Check("cited", True)


def _citations(task: Task, given: Json, world: World) -> list[str]:
    """What an answer cites, as Type/id also where it is an absolute URL or a URN. An id alone stays as it is: it names no type."""
    found = process.refs(given.get("evidence")) if isinstance(given, dict) else []
    if all(map(_REFERENCE.fullmatch, found)):
        return found
    service = open_environment(task, world, template="").service
    records = [None if _REFERENCE.fullmatch(ref) else service.resolve(ref) for ref in found]
    return [ref if record is None else f"{record.type}/{record.id}" for ref, record in zip(found, records, strict=True)]


def _measures(
    truth: Truth, given: Sequence[str], read: process.Read, episode: Episode
) -> tuple[tuple[str, float], ...]:
    """Which share of the evidence was fetched, which share of what is cited is evidence, how many messages were faulty."""
    found: list[tuple[str, float]] = []
    if truth.evidence:
        fetched = sum(process.has(read, ref) for ref in truth.evidence)
        found.append(("evidence_recall", round(fetched / len(truth.evidence), 4)))
        cited = set(given)
        precision = len(cited & set(truth.evidence)) / len(cited) if cited else 0.0
        found.append(("evidence_precision", round(precision, 4)))
    faults = len(faulty_turns(episode.messages))
    return (*found, *([("faulty_turns", float(faults))] if faults else []))


_GRADER = Grader(truths, grade)
GRADERS = dict.fromkeys(BY_NAME, _GRADER)
