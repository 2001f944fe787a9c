"""Damaged copies of correct ``code`` episodes: how they answer, what they read and cite, how they go about it, their form.

``KINDS`` has, per kind, the check that it must trip and the function that makes it; those called ``form_`` leave the
episode without an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from fhirtasks.episodes.text import exact
from fhirtasks.episodes.tools import raw_message
from fhirtasks.episodes.types import Call, ToolCall
from fhirtasks.fhir.jsontext import dumps
from graders import mutants_code_answers as answers
from graders import process
from graders.damage_code import Raws, Solved, call

Damage = Callable[[Solved], Raws | None]


# -- read


def never_read(solved: Solved) -> Raws | None:
    """The answer at once."""
    return solved.raws[-1:] if not solved.absent or solved.unshown(()) else None


def type_left_out(solved: Solved) -> Raws | None:
    """A type that the answer rests on is not fetched."""
    led = {ref for step in solved.steps if step.told is not None for ref in process.refs(step.told.get("ids"))}
    needed = [ref.partition("/")[0] for ref in solved.truth.evidence if ref not in led]
    if not needed:
        return None
    return solved.calling(
        lambda one: None if one.name == "fetch" and one.arguments["resource_type"] == needed[0] else one
    )


def empty_type_left_out(solved: Solved) -> Raws | None:
    """A type of which the answer rests on nothing is not fetched, and no summary tells that there is nothing."""
    held = {ref.partition("/")[0] for ref in solved.truth.evidence}
    open_ = [
        kind
        for kind in solved.truth.lacks
        if kind not in held
        and process.overlooked(
            solved.task, [kind], [step for step in solved.steps if step.arguments.get("resource_type") != kind]
        )
    ]
    if not open_:
        return None
    return solved.calling(
        lambda one: None if one.name == "fetch" and one.arguments["resource_type"] == open_[0] else one
    )


def only_coverage(solved: Solved) -> Raws | None:
    """That there is nothing is concluded from a summary that leaves it open."""
    looks = [turn for turn, step in zip(solved.calls, solved.steps, strict=True) if step.name == "coverage"][:1]
    steps = [step for step in solved.steps if step.name == "coverage"][:1]
    return solved.only(looks) if looks and solved.unshown(steps) else None


def python_left_out(solved: Solved) -> Raws | None:
    """That there is nothing is said of what was fetched and never looked into."""
    steps = [step for step in solved.steps if step.name != "execute_python"]
    if not solved.unshown(steps):
        return None
    return solved.calling(lambda one: None if one.name == "execute_python" else one)


# -- cited


def nothing_cited(solved: Solved) -> Raws | None:
    return None if solved.absent else solved.submit(evidence=[])


def cited_unread(solved: Solved) -> Raws | None:
    """The patient's own resource, of whom everything is, without having fetched it."""
    ref = f"Patient/{solved.patient}"
    return None if process.has(solved.read, ref) else solved.submit(evidence=[*solved.answer["evidence"], ref])


def cited_made_up(solved: Solved) -> Raws | None:
    """An id that looks like the others."""
    cited = solved.answer["evidence"]
    return solved.submit(evidence=[*cited, f"{cited[0][:60]}-00"]) if cited else None


def cited_bare(solved: Solved) -> Raws | None:
    """Ids without their types."""
    cited = solved.answer["evidence"]
    return solved.submit(evidence=[ref.partition("/")[2] for ref in cited]) if cited else None


def cited_other(solved: Solved) -> Raws | None:
    """Something that was read and has no part in the answer."""
    ref = f"Patient/{solved.patient}"
    if solved.absent or ref in solved.truth.evidence:
        return None
    fetch = call(Call("fetch", {"patient": solved.patient, "resource_type": "Patient"}))
    return (
        (*solved.raws[:-1], fetch, *solved.submit(evidence=[ref])[-1:]) if "patients" not in solved.task.slots else None
    )


# -- the way there


def other_patient_first(solved: Solved) -> Raws | None:
    """A look into the record of somebody else."""
    if solved.other is None:
        return None
    return (call(Call("coverage", {"patient": solved.other})), *solved.raws)


def other_patient(solved: Solved) -> Raws | None:
    """Everything is asked of somebody else."""
    if solved.other is None:
        return None
    other = solved.other
    return solved.calling(
        lambda one: Call(one.name, {**one.arguments, "patient": other}) if "patient" in one.arguments else one
    )


def guessed_reference(solved: Solved) -> Raws | None:
    """A resource is fetched by an id that nothing had shown."""
    prompt = solved.episode.messages[0].content
    hidden = [ref for ref in solved.truth.evidence if ref.partition("/")[2] not in prompt]
    return (call(Call("fetch_references", {"references": hidden[:1]})), *solved.raws) if hidden else None


def python_fails(solved: Solved) -> Raws | None:
    """Every run of Python ends with an exception, and the answer is given all the same."""
    if not any(step.name == "execute_python" for step in solved.steps):
        return None
    return solved.calling(
        lambda one: (
            Call(one.name, {"code": f"{one.arguments['code']}\nprint(table)\n"})
            if one.name == "execute_python"
            else one
        )
    )


def typed_into_code(solved: Solved) -> Raws | None:
    """The code prints the answer as a constant."""
    wanted = process.atoms(solved.answer)
    others = [step for step in solved.steps if step.name != "execute_python"]
    if not wanted or any(sign in atom for atom in wanted for sign in "\"'\\"):
        return None
    if process.holds(solved.episode.messages[0].content, wanted) or any(process.shows(step, wanted) for step in others):
        return None
    if solved.absent or any(step.name == "fetch_references" for step in others):
        return None
    return (
        *solved.calling(lambda one: None if one.name == "execute_python" else one)[:-1],
        call(Call("execute_python", {"code": f"print({dumps(solved.value)})\n"})),
        solved.raws[-1],
    )


# -- form


def prose(solved: Solved) -> Raws | None:
    """The answer is told, and submit_answer forgotten."""
    return solved.ending(raw_message(f"The answer is {_spoken(solved)}.", ()))


def final_answer(solved: Solved) -> Raws | None:
    """The answer in the words that the public benchmark's agents end with."""
    return solved.ending(raw_message(f"The final answer is: {_spoken(solved)}", ()))


def announced(solved: Solved) -> Raws | None:
    """A plan is told, and the call that should go with it left out."""
    return (raw_message("I will first look at what the record of this patient holds.", ()),)


def call_as_text(solved: Solved) -> Raws | None:
    """The first call, written out as text between the tags of a chat template."""
    (first, *_) = solved.calls or (None,)
    if first is None or not isinstance(first.action, Call):
        return None
    told = dumps({"name": first.action.name, "arguments": first.action.arguments})
    return (raw_message(f"<tool_call>\n{told}\n</tool_call>", ()),)


def submitted_in_python(solved: Solved) -> Raws | None:
    """submit_answer is called from Python, which does not know it."""
    given = ", ".join(f"{name}={dumps(value)!s}" for name, value in solved.answer.items() if name != "value")
    code = f"submit_answer({given}, value={dumps(dumps(solved.value))})\n"
    return solved.ending(call(Call("execute_python", {"code": code})))


def bare_value(solved: Solved) -> Raws | None:
    """The value is no JSON text: without quotes, or with its unit."""
    if not isinstance(solved.value, str) and not solved.answer["unit"]:
        return None
    value = f"{_spoken(solved)} {solved.answer['unit']}".strip()
    with suppress(ValueError, RecursionError):
        exact(value)
        return None
    return solved.ending(raw_message("", [ToolCall("submit_answer", {**solved.answer, "value": value})]))


def argument_missing(solved: Solved) -> Raws | None:
    given = {**solved.answer, "value": dumps(solved.value)}
    del given["evidence"]
    return solved.ending(raw_message("", [ToolCall("submit_answer", given)]))


def _spoken(solved: Solved) -> str:
    return solved.value if isinstance(solved.value, str) else dumps(solved.value)


KINDS: Final[dict[str, tuple[str, Damage]]] = {
    damage.__name__ if check not in ("protocol", "completed") else f"form_{damage.__name__}": (check, damage)
    for check, damages in {
        "answer": (
            *(answers.last_digit, answers.sign, answers.scaled, answers.unit_swapped, answers.unit_left_out),
            *(answers.negated, answers.other_choice, answers.misspelt, answers.item_dropped, answers.item_added),
            *(answers.order_reversed, answers.entry_changed, answers.day_shifted, answers.hour_shifted),
            *(answers.empty_instead, answers.wrong_reason, answers.window_ignored, answers.other_end),
        ),
        "answer_shape": (
            *(answers.none_instead, answers.none_for_zero, answers.zero_for_none, answers.false_for_none),
            *(answers.other_type, answers.value_as_text, answers.value_in_list),
        ),
        "evidence": (never_read, type_left_out, empty_type_left_out, only_coverage, python_left_out),
        "cited": (nothing_cited, cited_unread, cited_made_up, cited_bare, cited_other),
        "scope": (other_patient_first, other_patient),
        "references": (guessed_reference,),
        "ran": (python_fails,),
        "literal": (typed_into_code,),
        "protocol": (prose, final_answer, announced, call_as_text),
        "completed": (submitted_in_python, bare_value, argument_missing),
    }.items()
    for damage in damages
}
