"""How an agent went about a question, told by the log of its calls.

Pass or fail: whose record was asked for (``scope``), whether references had been seen (``references``), whether Python that
was used ever ran (``ran``), whether the answer was typed into code in place of being read (``literal``). What an agent need not
do is no check: to use Python at all, to look at coverage, to fetch no more than it needs, or in a certain order. That nothing
lies after ``now`` needs no check either: the service hides it.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from fhirtasks.episodes.code import named, permitted
from fhirtasks.episodes.types import Call, Episode
from fhirtasks.fhir.jsontext import Json, dumps, loads
from fhirtasks.graph.world import World
from fhirtasks.sandbox.embedded import run_once
from fhirtasks.tasks.types import Check, Task
from graders.answers import number

Read = dict[str, set[str] | None]
"""What was fetched: by type, None for a whole type of the patient, else ids."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LAST = re.compile(r"[^/:|]*$")


@dataclass(frozen=True, slots=True)
class Step:
    """One call of an episode, and what it was told: the reply as JSON (of an unknown patient, that there is none), None if the
    call was not carried out."""

    name: str
    arguments: Mapping[str, Json]
    text: str
    told: dict[str, Json] | None

    @property
    def failed(self) -> bool:
        """Whether Python raised an exception."""
        return self.told is None or "error" in self.told


def log(episode: Episode) -> list[Step]:
    """The calls of an episode, those that could not be read left out."""
    found = []
    for turn in episode.turns:
        if isinstance(turn.action, Call) and turn.observation is not None:
            told = loads(turn.observation.body) if turn.observation.status in (200, 404) else None
            fits = told if isinstance(told, dict) else None
            found.append(Step(turn.action.name, turn.action.arguments, turn.observation.text, fits))
    return found


def read(task: Task, steps: Sequence[Step]) -> Read:
    """What these steps fetched. A type counts as whole once it was fetched of every patient of the task."""
    found: Read = {}
    patients = permitted(task.slots)
    whose: defaultdict[str, set[str]] = defaultdict(set)
    for step in steps:
        if step.told is None:
            continue
        if step.name == "fetch":
            kind = str(step.arguments["resource_type"])
            whose[kind].update(named(str(step.arguments["patient"]), patients))
            if whose[kind].issuperset(patients):
                found[kind] = None
        elif step.name in ("fetch_references", "follow"):
            for ref in refs(step.told.get("ids")):
                kind, _, id_ = ref.partition("/")
                held = found.setdefault(kind, set())
                if held is not None:
                    held.add(id_)
    return found


def has(found: Read, ref: str) -> bool:
    """Whether ``Type/id`` was fetched. Of a type that was fetched whole every id was, if there is such a one."""
    kind, _, id_ = ref.partition("/")
    if kind not in found:
        return False
    ids = found[kind]
    return ids is None or id_ in ids


def scope(task: Task, episode: Episode, steps: Sequence[Step], world: World) -> Check:
    """Whether the agent kept to its patient. An id that is nobody's is a slip; one that the question names is meant."""
    meant = " ".join(task.slots.values())
    for place, step in enumerate(steps):
        for patient in named(str(step.arguments.get("patient", "")), permitted(task.slots)):
            if patient not in meant and patient in _patients(world):
                return Check("scope", False, f"the record of another patient, {patient}, was asked for")
        if step.told is not None and step.told.get("not_permitted") and _guessed(episode, steps, place):
            return Check(
                "scope", False, "what belongs to another patient was asked for by a reference that was guessed"
            )
    return Check("scope", True)


def references(episode: Episode, steps: Sequence[Step]) -> Check:
    """Whether every reference that led to something stood in the prompt or in an earlier reply, at least its id."""
    for place, step in enumerate(steps):
        if step.name != "fetch_references" or step.told is None:
            continue
        ids = {ref.partition("/")[2] for ref in refs(step.told.get("ids"))}
        for ref in _guessed(episode, steps, place):
            if _last(ref) in ids or ("?" in ref and ids):
                return Check("references", False, f"{dumps(ref)} was fetched, and nothing had shown it")
    return Check("references", True)


def ran(steps: Sequence[Step]) -> Check:
    """Whether Python, if any was run, ran without an exception at least once."""
    runs = [step for step in steps if step.name == "execute_python"]
    if runs and all(step.failed for step in runs):
        return Check("ran", False, f"none of {len(runs)} runs of Python ended without an exception")
    return Check("ran", True)


def absence(task: Task, hops: Sequence[str], steps: Sequence[Step], reason: str = "") -> str:
    """Why an episode has not shown that there is nothing, as one clause; empty if it has.

    It has if coverage or a fetch says that the record lacks the type, that none of its codes is the one asked for, or that all
    of it lies outside the window asked for; or if Python ran over the type without an exception. That the patient is unknown, or
    that no record could answer, is shown by any look at the record.
    """
    if reason in ("unknown_subject", "out_of_scope"):
        looked = any(step.name in ("coverage", "fetch") and step.told is not None for step in steps)
        return "" if looked else "the record was not looked at"
    if not hops:
        return ""
    kind, fetched = hops[0], False
    slots = dict(task.slots)
    if kind != "Observation" and "Observation" in hops:
        slots.pop("code", None)  # it is that of the Observations
    for place, step in enumerate(steps):
        if step.told is None:
            continue
        if step.name == "coverage" and _of_all(task, step):
            types = step.told.get("types")
            about = types.get(kind) if isinstance(types, dict) else None
            if about is None or _rules_out(about, slots):
                return ""
        elif step.name == "execute_python":
            if fetched and not step.failed:
                return ""
        elif kind in read(task, steps[: place + 1]):
            fetched = True
            none = not step.told.get("fetched") or _rules_out(step.told, slots)
            if step.arguments.get("resource_type") == kind and none and _of_all(task, step):
                return ""
    return f"no run of Python over {kind} ended well" if fetched else f"{kind} was not looked at"


def overlooked(task: Task, kinds: Sequence[str], steps: Sequence[Step]) -> str:
    """Which of these types an episode has not looked at, as one clause; empty if it has at all.

    It has if Python ran over the type without an exception, or if coverage or a fetch says that the record lacks it, or of
    Observations that none has the code asked for.
    """
    for kind in kinds:
        slots = {"code": task.slots["code"]} if kind == "Observation" and "code" in task.slots else {}
        shown = fetched = False
        for place, step in enumerate(steps):
            told = step.told
            if told is None:
                continue
            if step.name == "execute_python":
                shown = shown or (fetched and not step.failed)
            elif step.name == "coverage" and _of_all(task, step):
                types = told.get("types")
                about = types.get(kind) if isinstance(types, dict) else None
                shown = shown or about is None or _rules_out(about, slots)
            elif kind in read(task, steps[: place + 1]):
                fetched = True
                if step.name == "fetch" and step.arguments.get("resource_type") == kind and _of_all(task, step):
                    shown = shown or not told.get("fetched") or _rules_out(told, slots)
        if not shown:
            return f"no run of Python over {kind} ended well" if fetched else f"{kind} was not looked at"
    return ""


def literal(task: Task, episode: Episode, steps: Sequence[Step], given: Mapping[str, Json]) -> Check:
    """Whether the answer was typed into code before any reply had shown it.

    So it is if all that shows the answer are runs of Python whose code holds it as a constant, and that print it as often where
    the record is empty. Truth values, choices, "none" and zero are not looked at: their words are in every code.
    """
    wanted = atoms(given)
    if not wanted or holds(episode.messages[0].content, wanted):
        return Check("literal", True)
    typed = False
    for place, step in enumerate(steps):
        shown = shows(step, wanted)
        if not shown:
            continue
        if step.name != "execute_python" or not _typed(task, steps[:place], step, wanted, shown):
            return Check("literal", True)
        typed = True
    return Check("literal", not typed, "the answer was typed into code before any reply had shown it" if typed else "")


def atoms(given: Mapping[str, Json]) -> frozenset[str]:
    """The texts and the numbers (without sign) that a typed answer consists of, if it is of a kind that tells something."""
    if given.get("type") in ("boolean", "choice", "none"):
        return frozenset()
    return frozenset(_atoms(given.get("value")))


def holds(text: str, wanted: frozenset[str]) -> int:
    """How often a text has the least frequent of these atoms."""
    numbers: Counter[str] | None = None
    folded = text.casefold()
    least = len(text) + 1
    for atom in sorted(wanted):
        if _NUMBER.fullmatch(atom):
            if numbers is None:
                numbers = Counter(f"{Decimal(one).normalize():f}" for one in _NUMBER.findall(text))
            least = min(least, numbers[atom])
        else:
            least = min(least, folded.count(atom))
        if not least:
            return 0
    return least


def shows(step: Step, wanted: frozenset[str]) -> int:
    """How often the reply to a call shows all of an answer's atoms."""
    output = step.told.get("output") if step.told is not None else None
    return holds(output if isinstance(output, str) else step.text, wanted)


def _typed(task: Task, before: Sequence[Step], step: Step, wanted: frozenset[str], shown: int) -> bool:
    code = str(step.arguments["code"])
    if not holds("\n".join(_constants(code)), wanted):
        return False
    empty = dumps({kind: [] for kind in sorted(read(task, before))})
    again = run_once(code, {"resources": empty, "now": dumps(task.now)}, now=task.now, seed=task.id)
    return holds(again.output, wanted) >= shown


def _constants(code: str) -> list[str]:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)]


def _atoms(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [atom for item in value.items() for one in item for atom in _atoms(one)]
    if isinstance(value, list):
        return [atom for one in value for atom in _atoms(one)]
    found = number(value)
    if found is not None:
        return [f"{abs(found).normalize():f}"] if found else []
    return [value.casefold()] if isinstance(value, str) and value.strip() else []


def _rules_out(about: Json, slots: Mapping[str, str]) -> bool:
    """Whether a type's summary tells that nothing of it has the code, or lies in the window, of the slots."""
    if not isinstance(about, dict):
        return False
    codes = about.get("codes")
    if "code" in slots and about.get("more_codes") == 0 and isinstance(codes, list):
        shown = {one.get("code") for one in codes if isinstance(one, dict)}
        if slots["code"] not in shown:
            return True
    first, last = about.get("first"), about.get("last")
    if "t_from" not in slots or "t_to" not in slots or not isinstance(first, str) or not isinstance(last, str):
        return False
    return last[:19] < slots["t_from"] or first[:19] >= slots["t_to"]


def _of_all(task: Task, step: Step) -> bool:
    """Whether a call names every patient of the task."""
    patients = permitted(task.slots)
    return set(named(str(step.arguments.get("patient", "")), patients)).issuperset(patients)


def _guessed(episode: Episode, steps: Sequence[Step], place: int) -> list[str]:
    """The references of a call whose ids stand neither in the prompt nor in a reply before it."""
    given = refs(steps[place].arguments.get("references"))
    seen = [episode.messages[0].content, *(step.text for step in steps[:place])]
    return [ref for ref in given if (id_ := dumps(_last(ref))[1:-1]) and not any(id_ in text for text in seen)]


def _last(ref: str) -> str:
    found = _LAST.search(ref)
    return found.group() if found is not None else ref


def refs(value: Json) -> list[str]:
    """A list of references as JSON has it; empty for anything else."""
    return [str(one) for one in value] if isinstance(value, list) else []


def _patients(world: World) -> frozenset[str]:
    key = (__name__, "patients")
    if key not in world.memo:
        world.memo[key] = frozenset(world.patients)
    found: frozenset[str] = world.memo[key]
    return found
