"""How the labs families are worded: eight different prompts each, put together from sentences with the same slots."""

from __future__ import annotations

from collections.abc import Mapping

from fhirtasks.episodes.types import Mode
from fhirtasks.tasks.labs_wordings_orders import A1C, MAGNESIUM, MAGNESIUM_SHAPE, ORDERS_SHAPE, POTASSIUM, RECHECK_SHAPE
from fhirtasks.tasks.labs_wordings_queries import LATEST, LATEST_IN_WINDOW, MEAN

WORDINGS = 8
"""Prompts per family; the number is drawn without regard to the branch."""

NOW = (
    "It is {now}.",
    "The clock on the ward reads {now}.",
    "Present time: {now}.",
    "You are working at {now}.",
    "This request was made at {now}, which is the present for you.",
    "Treat {now} as the current date and time.",
    "Current timestamp = {now}.",
    "We write {now}.",
)

TIE: dict[Mode, tuple[str, ...]] = {
    "clinical": (
        "Should several results share the latest time, take the {tie} of them.",
        "If two or more were drawn at the same newest moment, report the {tie} value.",
        "Equal newest times are settled by size: the {tie} one counts.",
        "Where the most recent collection has more than one number, use the {tie}.",
        "On a draw for newest, we want whichever is {tie}.",
        "More than one at the final timestamp? Go by the {tie}.",
        "Among measurements that are jointly most recent only the {tie} matters.",
        "When the top timestamp occurs repeatedly, keep its {tie} entry.",
    ),
    "compat": (
        "Should several results share the latest time, take the {tie} that the server lists.",
        "If two or more were drawn at the same newest moment, report the one that comes {tie} in the server's default order.",
        "Equal newest times are settled by listing: whichever the server returns {tie} counts.",
        "Where the most recent collection has more than one number, use the {tie} as served.",
        "On a draw for newest, we want what the server shows {tie}.",
        "More than one at the final timestamp? Go by which the response puts {tie}.",
        "Among measurements that are jointly most recent only the {tie} in server order matters.",
        "When the top timestamp occurs repeatedly, keep the entry returned {tie}.",
    ),
}

FUTURE: dict[Mode, tuple[str, ...]] = {
    "clinical": (
        "Results dated after now do not count.",
        "Ignore anything with a later time than the present.",
        "A timestamp in the future is an entry error: leave such values out.",
        "Nothing dated beyond this moment may be used.",
        "Entries whose time still lies ahead are to be disregarded.",
        "Skip results that claim to come from later than that.",
        "Post-dated rows are invalid here.",
        "What bears a date yet to come must not influence you.",
    ),
    "compat": (
        "There is no upper limit: results dated after now count as well.",
        "Anything with a later time than the present is included.",
        "A timestamp in the future is accepted like every other.",
        "Values dated beyond this moment are used too.",
        "Entries whose time still lies ahead are to be regarded as valid.",
        "Do not skip results that claim to come from later than that.",
        "Post-dated rows are valid here.",
        "What bears a date yet to come takes part all the same.",
    ),
}

VALUE = (
    "Finish with a list that holds one number, for example [4.2], or [-1] when there is no such result.",
    "Your answer is a one-element list: the bare value, or -1 in its place if nothing qualifies.",
    "Reply [value], digits as charted; with no qualifying measurement reply [-1].",
    "Give the number alone inside square brackets. No result means [-1].",
    "The final list has exactly one entry, numeric, no unit. An empty search is answered by [-1].",
    "Close by returning [x], x being that figure as recorded; [-1] stands for none found.",
    "Output format: [number]. Use [-1] to say that none exists.",
    "Hand back a single figure in a list; write [-1] should the chart offer nothing.",
)
"""How a value is answered; ``[-1]`` if there is none."""

_FAMILIES = {
    "latest_lab_in_window": (LATEST_IN_WINDOW, True, VALUE, {}),
    "mean_lab_in_window": (MEAN, False, (), {}),
    "latest_lab": (LATEST, True, VALUE, {}),
    "magnesium_replacement": (MAGNESIUM, True, VALUE, MAGNESIUM_SHAPE),
    "potassium_replacement": (POTASSIUM, True, VALUE, RECHECK_SHAPE),
    "a1c_reorder": (A1C, True, (), ORDERS_SHAPE),
}


def wording(family: str, number: int, mode: Mode, slots: Mapping[str, str], now: str, patient: str) -> tuple[str, str]:
    """Instruction and context number ``number`` (below :data:`WORDINGS`) of a family, filled in.

    ``patient`` is the noun phrase that names the patient.
    """
    texts, tie, answer, shape = _FAMILIES[family]
    instruction, rules = texts[number]
    parts = [NOW[number], rules, FUTURE[mode][number]]
    if tie:
        parts.append(TIE[mode][number])
    if shape:
        parts.append(shape[mode][number])
    if answer:
        parts.append(answer[number])
    values = {**slots, "now": now, "patient": patient}
    return _capital(instruction.format_map(values)), " ".join(part.format_map(values) for part in parts)


def _capital(sentence: str) -> str:
    # A name that starts a sentence stays as it is: it is a slot.
    return "T" + sentence[1:] if sentence.startswith("the patient ") else sentence
