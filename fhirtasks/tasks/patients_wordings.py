"""Wordings of ``patient_lookup`` and ``patient_age``: whole sentences of their own, not one sentence with synonyms."""

from __future__ import annotations

from fhirtasks.tasks.wording import Wording


def _both(instruction: str, context: str) -> Wording:
    return Wording(instruction, context, context)


LOOKUP = (
    _both(
        "Look up {name}, born {birthdate}, in the patient registry and report the {asked}.",
        "Time now: {now}. Full name and date of birth must both agree exactly with a record; a near match is nobody. "
        'Answer with a list of one string, the identifier\'s value, or ["Patient not found"].',
    ),
    _both(
        "Someone at the front desk says: I am {name}, my birthday is {birthdate}. Which {asked} belongs to this "
        "person?",
        'It is {now}. Say ["Patient not found"] unless spelling and birthday are identical to what we hold; otherwise '
        "give the number between quotes inside square brackets.",
    ),
    _both(
        "We are preparing a discharge letter and lack one item for {name} (date of birth {birthdate}): the {asked}. "
        "Please supply it.",
        "Today's timestamp is {now}. Similar names or neighbouring dates mean different people. Where no entry fits, "
        'the result is ["Patient not found"], else a JSON array holding only that string.',
    ),
    _both(
        "Does anybody called {name} with birth date {birthdate} exist on this server? If so, I want their {asked}.",
        'Current instant {now}. Return the value itself, as text in a one-element list. Return ["Patient not found"] '
        "if the person is unknown here, even when somebody almost fits.",
    ),
    _both(
        "An outside laboratory sent results labelled only {name} / {birthdate}. Find out whose they are and name the "
        "{asked}.",
        "Results must never reach the wrong chart, so accept only an exact agreement of both labels. Clock: {now}. "
        'Expected shape: ["…"] with the value; without a certain owner: ["Patient not found"].',
    ),
    _both(
        "For billing: {asked} of {name}, date of birth {birthdate}?",
        "Query made at {now}. One string in a list is all that billing reads. Misspelt or mistyped requests do occur "
        'and have to be turned down with ["Patient not found"] rather than guessed at.',
    ),
    _both(
        "Please search the demographics. Name: {name}. Birth date: {birthdate}. Wanted: {asked}.",
        "The search happens at {now}. Compare every letter and every digit before you conclude. No such patient: "
        'finish with ["Patient not found"]. Such a patient: finish with the identifier, quoted, as sole member.',
    ),
    _both(
        "A colleague phones from another ward about {name}, who was born on {birthdate}, and asks you to read out the "
        "{asked}.",
        "Now is {now}. Several people may share a surname or a birthday; only the one with this complete name and "
        'this very birthday is meant. Reply ["Patient not found"] when there is none, and just [value] when there is.',
    ),
    _both(
        "Reconcile this waiting-list line with our index: {birthdate}, {name}. Which {asked} should stand beside it?",
        "State of the index: {now}. A line that differs from all records in one character stays unmatched and gets "
        '["Patient not found"]; a matched line gets its identifier as a JSON string within an array.',
    ),
)
"""Places: ``name``, ``birthdate``, ``asked`` (which identifier), ``now``."""

AGE = (
    _both(
        "How old is {who}?",
        "The present moment is {now}. Count completed years only and give the number in a list.",
    ),
    _both(
        "State the age in full years of {who} as of {now}.",
        "Take the birth date from the record. Use the calendar day of that timestamp, offset as written; "
        "someone has the new age from the birthday itself on. Finish with one integer, like [n].",
    ),
    _both(
        "A vaccination schedule depends on years lived. Please work them out for {who}.",
        "Reference time: {now}. Part years are dropped, never rounded up. The reply is a JSON array with a single "
        "whole number.",
    ),
    _both(
        "I am filling in a consent form and need to enter an age. The form concerns {who}.",
        "It is {now} on this ward, and that local date decides. Before this year's birthday subtract one; on it, do "
        "not. Return [age] without quotes.",
    ),
    _both(
        "Check the demographics of {who} and tell me which birthday was celebrated last (0 for a child not yet one).",
        "Clock on the wall: {now}. What I expect back is an integer inside square brackets, nothing else.",
    ),
    _both(
        "Insurance wants to know the attained age: {who}.",
        "Attained means anniversaries of birth already reached at {now}, today's included. Send a list of exactly one "
        "numeric value.",
    ),
    _both(
        "For the anaesthetic chart, retrieve when {who} was born and convert it into years.",
        "Conversion date: the day named in {now}. Always round towards the lower year. Put the figure, as a JSON "
        "number, alone in the final list.",
    ),
    _both(
        "Would you calculate for me what age applies today to {who}?",
        "By today I mean {now}, read in its own time zone. Months and days beyond the last anniversary are ignored. "
        "Output format: [years].",
    ),
    _both(
        "Paediatrics or adult service? That hinges on the exact age, so determine it for {who}.",
        "We decide at {now}. Difference between calendar years, less one where month and day are still ahead. Close "
        "with a bracketed integer.",
    ),
)
"""Places: ``who``, ``now``."""
