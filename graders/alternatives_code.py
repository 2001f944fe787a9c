"""Other right ways through a question: legitimate variants of a correct ``code`` episode, every one of which must pass."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from fhirtasks.episodes.tools import raw_message
from fhirtasks.episodes.types import Call, ToolCall
from graders.answers import number
from graders.damage_code import Raws, Solved, call


def items_in_another_order(solved: Solved) -> Raws | None:
    if solved.kind == "set" and isinstance(solved.value, list):
        return solved.submit(value=solved.value[::-1])
    return solved.submit(value=dict(reversed(solved.value.items()))) if isinstance(solved.value, dict) else None


def item_twice(solved: Solved) -> Raws | None:
    if solved.kind != "set" or not isinstance(solved.value, list) or not solved.value:
        return None
    return solved.submit(value=[*solved.value, solved.value[0]])


def equal_number(solved: Solved) -> Raws | None:
    """2 as 2.0, 1.5 as 1.500."""
    found = None if isinstance(solved.value, str) else number(solved.value)
    if found is None:
        return None
    return solved.submit(value=Decimal(f"{found:f}{'.0' if '.' not in f'{found:f}' else '00'}"))


def other_spelling(solved: Solved) -> Raws | None:
    """Upper and lower case, and spaces around, of a text."""
    if solved.kind not in ("string", "code", "choice") or not isinstance(solved.value, str):
        return None
    return solved.submit(
        value=f" {solved.value.upper()} " if solved.value.upper().casefold() == solved.value.casefold() else ""
    )


def with_offset(solved: Solved) -> Raws | None:
    """A time with the offset that the record writes behind it."""
    if solved.kind != "datetime" or len(str(solved.value)) != 19:
        return None
    return solved.submit(value=f"{solved.value}.000+00:00")


def one_cited(solved: Solved) -> Raws | None:
    cited = solved.answer["evidence"]
    right = [ref for ref in cited if ref in solved.truth.evidence]
    return solved.submit(evidence=right[:1]) if len(cited) > 1 and right else None


def more_cited(solved: Solved) -> Raws | None:
    """The Patient besides, which was fetched."""
    ref = f"Patient/{solved.patient}"
    if "patients" in solved.task.slots or solved.patient not in solved.world.patients:
        return None
    return (
        *solved.raws[:-1],
        _fetch(solved, "Patient"),
        *solved.submit(evidence=[*solved.answer["evidence"], ref])[-1:],
    )


def all_cited(solved: Solved) -> Raws | None:
    evidence = list(solved.truth.evidence)
    return solved.submit(evidence=evidence) if evidence and evidence != solved.answer["evidence"] else None


def more_fetched(solved: Solved) -> Raws | None:
    """Types of which nothing is needed, and of which there is nothing."""
    return (_fetch(solved, "Patient"), _fetch(solved, "Appointment"), *solved.raws)


def fetched_twice(solved: Solved) -> Raws | None:
    first = next(
        (turn.raw for turn in solved.calls if isinstance(turn.action, Call) and turn.action.name == "fetch"), None
    )
    return None if first is None else (*solved.raws[:-1], first, solved.raws[-1])


def coverage_again(solved: Solved) -> Raws | None:
    return solved.before_answer(_coverage(solved))


def without_coverage(solved: Solved) -> Raws | None:
    """Straight to fetching. Where the types to fetch follow from coverage alone, an absence has to be read there."""
    raws = solved.calling(lambda one: None if one.name == "coverage" else one)
    needed = {*solved.question.hops[:1], *solved.truth.lacks}
    fetched = bool(needed) and needed <= solved.read.keys()
    return raws if fetched and len(raws) > 1 else None


def another_order(solved: Solved) -> Raws | None:
    """The fetches in reverse."""
    fetches = [turn.raw for turn in solved.calls if isinstance(turn.action, Call) and turn.action.name == "fetch"]
    if len(fetches) < 2 or any(turn.follows for turn in solved.episode.turns):
        return None
    left = list(fetches)
    return tuple(left.pop() if raw in fetches else raw for raw in solved.raws)


def calls_together(solved: Solved) -> Raws | None:
    """All calls before the first run of Python in one message."""
    first: list[ToolCall] = []
    for turn in solved.calls:
        if not isinstance(turn.action, Call) or turn.action.name == "execute_python" or turn.follows:
            break
        first.append(ToolCall(turn.action.name, turn.action.arguments))
    return (raw_message("", first), *solved.raws[len(first) :]) if len(first) > 1 else None


def with_words(solved: Solved) -> Raws | None:
    """A sentence beside a call."""
    (turn, *_) = solved.calls or (None,)
    if turn is None or not isinstance(turn.action, Call) or len(solved.raws) < 2:
        return None
    said = raw_message("I look at what the record holds.", [ToolCall(turn.action.name, turn.action.arguments)])
    return (said, *solved.raws[1:]) if not any(one.follows for one in solved.calls) else None


def patient_as_reference(solved: Solved) -> Raws | None:
    if "patients" in solved.task.slots:
        return None
    return solved.calling(
        lambda one: (
            Call(one.name, {**one.arguments, "patient": f"Patient/{one.arguments['patient']}"})
            if "patient" in one.arguments
            else one
        )
    )


def mistyped_first(solved: Solved) -> Raws | None:
    """An id that is nobody's, refused and put right."""
    return (call(Call("coverage", {"patient": f"{solved.patient}-0"})), *solved.raws)


def unknown_tool_first(solved: Solved) -> Raws | None:
    return (call(Call("get_resources", {"type": "Patient"})), *solved.raws)


def unknown_reference_first(solved: Solved) -> Raws | None:
    """A reference that leads nowhere."""
    return (call(Call("fetch_references", {"references": ["Observation/no-such-id"]})), *solved.raws)


def exception_first(solved: Solved) -> Raws | None:
    """Code that raises, before the right one; where none follows, none ran."""
    if not any(step.name == "execute_python" for step in solved.steps):
        return None
    return (call(Call("execute_python", {"code": "print(len(records))\n"})), *solved.raws)


def looks_first(solved: Solved) -> Raws | None:
    """A look at what was fetched before the answer."""
    code = "for name in sorted(resources):\n    print(name, len(resources[name]))\nprint(now)\n"
    return solved.before_answer(call(Call("execute_python", {"code": code})))


def answer_checked_in_code(solved: Solved) -> Raws | None:
    """The answer, once a run has shown it, typed into another one to see whether it holds."""
    if solved.kind in ("map", "record", "none", "boolean"):
        return None
    code = f"expected = {solved.value!r}\nprint(expected == expected, expected)\n"
    return (
        None
        if isinstance(solved.value, Decimal)
        else solved.before_answer(call(Call("execute_python", {"code": code})))
    )


def _fetch(solved: Solved, kind: str) -> str:
    return call(Call("fetch", {"patient": solved.patient, "resource_type": kind}))


def _coverage(solved: Solved) -> str:
    return call(Call("coverage", {"patient": solved.patient}))


KINDS: Final[dict[str, Callable[[Solved], Raws | None]]] = {
    variant.__name__: variant
    for variant in (
        *(items_in_another_order, item_twice, equal_number, other_spelling, with_offset),
        *(
            one_cited,
            more_cited,
            all_cited,
            more_fetched,
            fetched_twice,
            coverage_again,
            without_coverage,
            another_order,
        ),
        *(
            calls_together,
            with_words,
            patient_as_reference,
            mistyped_first,
            unknown_tool_first,
            unknown_reference_first,
        ),
        *(exception_first, looks_first, answer_checked_in_code),
    )
}
