"""The judge of every question family: the answer by SQL, what was read, and how the agent went about it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from fhirtasks.episodes.types import Call, Episode, Finish, Invalid
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.tasks.questions import BY_NAME
from fhirtasks.tasks.questions.truth import truths as find
from fhirtasks.tasks.questions.types import Asked, Truth
from fhirtasks.tasks.types import Check, Task, Verdict
from graders import Grader
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
    """The verdict. Evidence is looked at only where the answer is right; score is the answer's partial credit."""
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
    checks.append(Check("answer_shape", not same.shape, same.shape))
    if not same.shape:
        checks.append(Check("answer", not same.value, same.value))
    if same.right and isinstance(given, dict):
        read = _read(episode)
        checks.append(_evidence(truth, question.hops, read, episode))
        checks.append(_cited(given.get("evidence"), truth, read))
    verdict = Verdict.of(checks)
    return Verdict(verdict.passed, 1.0 if verdict.passed else min(same.score, 0.99), verdict.checks)


def _read(episode: Episode) -> dict[str, set[str] | None]:
    """What was fetched: by type, None for a whole type of the patient, else ids."""
    found: dict[str, set[str] | None] = {}
    for turn in episode.turns:
        if not isinstance(turn.action, Call) or turn.observation is None or turn.observation.status != 200:
            continue
        arguments = turn.action.arguments
        if turn.action.name == "fetch":
            found[str(arguments["resource_type"])] = None
        elif turn.action.name in ("fetch_references", "follow"):
            told = loads(turn.observation.body)
            if not isinstance(told, dict):
                continue
            if told["fetched"] > len(told["ids"]):  # too many to be named: the types count as read
                found |= dict.fromkeys(told["keys"])
            for ref in told["ids"]:
                kind, _, id_ = str(ref).partition("/")
                held = found.setdefault(kind, set())
                if held is not None:
                    held.add(id_)
    return found


def _has(read: dict[str, set[str] | None], ref: str) -> bool:
    kind, _, id_ = ref.partition("/")
    if kind not in read:
        return False
    ids = read[kind]
    return ids is None or id_ in ids


def _evidence(truth: Truth, hops: Sequence[str], read: dict[str, set[str] | None], episode: Episode) -> Check:
    """Whether what the answer rests on was fetched; for an absence, whether the types that could hold it were looked at."""
    missing = [ref for ref in truth.evidence if not _has(read, ref)]
    if missing:
        return Check("evidence", False, f"{missing[0]} was never fetched ({len(missing)} in all)")
    looked = any(isinstance(turn.action, Call) and turn.action.name == "coverage" for turn in episode.turns)
    if not truth.evidence and hops and not looked and hops[0] not in read:
        return Check("evidence", False, f"neither coverage nor {hops[0]} was looked at")
    return Check("evidence", True)


def _cited(cited: Json, truth: Truth, read: dict[str, set[str] | None]) -> Check:
    """Whether what is cited was read, and is what the answer rests on."""
    given = [str(one) for one in cited] if isinstance(cited, list) else []
    strange = [ref for ref in given if not _REFERENCE.fullmatch(ref) or not _has(read, ref)]
    if strange:
        return Check("cited", False, f"{dumps(strange[0])} was cited and never fetched")
    if truth.evidence and not set(given) & set(truth.evidence):
        return Check("cited", False, f"nothing that the answer rests on is cited, such as {truth.evidence[0]}")
    return Check("cited", True)


_GRADER = Grader(truths, grade)
GRADERS = dict.fromkeys(BY_NAME, _GRADER)
