"""The ``preference`` config: a correct episode against one with a mistake that models really make.

Both are episodes of the same task, played in its environment: what the rejected one was answered is what the server says
to it. They share the prompt, which ends where they part, with what the assistant is told. Which rows have a pair, and what
goes wrong in it, follows from the row's content hash alone; a model's own failure in the task takes the place of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import graders
from fhirtasks.episodes.types import Episode, Message, Protocol
from fhirtasks.graph.world import World
from fhirtasks.release.features import COLUMNS, schema
from fhirtasks.release.rows import Trajectory, message_texts, runs, table
from fhirtasks.tasks.play import replay_task
from fhirtasks.tasks.seeds import rng
from fhirtasks.tasks.types import Verdict
from graders.damage import LABS, Played, together
from graders.mutants import LOOKING, mutant

EVERY: Final = 6
"""About one row in so many has a pair."""

MODEL: Final = "model"
"""The mutant's name where the rejected episode is a model's own."""

COMMITTED: Final[dict[str, str]] = {
    # the form: the message is no action, or FINISH holds no plain answer
    "form_thinking": "reasoning is left in the message",
    "form_tool_call": "the call is written as the JSON that other harnesses take",
    "form_prose_before": "the action is announced first",
    "form_prose_instead": "what was done is told, and FINISH forgotten",
    "form_fenced": "the action stands in a Markdown fence",
    "form_two_actions": "the next action does not wait for the reply",
    "prose": "FINISH holds a sentence",
    "sentence": "the identifier is wrapped in a sentence",
    "with_unit": "the number carries its unit",
    "as_string": "the number is quoted",
    "extra_element": "remarks stand beside the answer",
    "empty": "the work was done and its value not reported",
    "post_in_answer": "FINISH tells of the POST, which the public grader takes for one",
    "write_fenced": "the POST stands in a Markdown fence",
    # what was read is contradicted
    "off_by_a_step": "the value is misread",
    "none_instead": "a result that was shown is denied",
    "fabricated": "a result is made up where there is none",
    "scaled": "the value is converted to a unit that nobody asked for",
    "unrounded": "the mean is not rounded as asked",
    "mean_of_all_time": "the window is forgotten",
    "median_instead": "the mean is taken for the median",
    "other_time": "the time is shifted by a zone",
    "date_only": "the time is cut to its date",
    "stale_value": "an older result is taken for the newest",
    "value_of_first_page": "the next page is not fetched",
    "write_not_due": "something is ordered though the value does not call for it",
    # somebody else
    "value_of_other_patient": "another patient's value is reported",
    "resource_id": "the server's id is taken for the record number",
    "read_other_patient": "another patient's record is read",
    "write_other_subject": "the order names another patient",
    "write_subject_by_number": "the order names the patient by record number",
    "write_absolute_subject": "the order names the patient by a whole URL",
    # nothing was read
    "never_read": "the answer is guessed, or taken from the prompt",
    "read_no_results": "the patient was found, the results were never read",
    "read_narrow_window": "the search leaves out what decides",
    "read_after_writing": "the order is placed before the chart was read",
    # the order
    "write_missing": "the order is reported and was never placed",
    "write_duplicate": "the order is placed twice",
    "write_extra": "something is ordered that nobody asked for",
    "write_other_tier": "the dose is another tier's",
    "write_other_dose": "the dose is miscalculated",
    "write_other_unit": "the dose has another unit",
    "write_other_rate": "the infusion takes another time",
    "write_no_rate": "the infusion's time is left out",
    "write_no_route": "the route is left out",
    "write_pressures_swapped": "systolic and diastolic are swapped",
    "write_other_code": "the code is misremembered",
    "write_code_as_text": "the code is written as text",
    "write_other_type": "another resource type is created",
    "write_other_time": "the time is another day's",
    "write_no_time": "the time is left out",
    "write_other_occurrence": "the repeat is due on another day",
    "write_other_status": "the order is left a draft",
    "write_other_priority": "the priority is another one",
    "write_other_text": "the note is not verbatim",
    "write_no_category": "the category is left out",
    # the schema
    "write_other_shape": "an element has another shape than R4's",
    "write_pressure_as_text": "the pressure is written as one text",
    "write_route_as_concept": "the route is a concept where the prompt wants text",
    "write_note_as_list": "the note is a list where the prompt wants one object",
    "write_zulu": "the time is rewritten in UTC",
}
"""Kinds of ``graders.mutants`` that models commit, each with how it shows. Those of them that apply to a row are equally likely."""

COMMITTED_CODE: Final[dict[str, str]] = {
    # the form
    "form_prose": "the answer is told, and submit_answer forgotten",
    "form_final_answer": "the answer ends with the words of another harness",
    "form_announced": "a plan is told, and no tool called",
    "form_call_as_text": "the call is written as text",
    "form_submitted_in_python": "submit_answer is called from Python",
    "form_bare_value": "the value is no JSON text",
    "form_argument_missing": "the evidence is left out of the call",
    "value_as_text": "the value stands in quotes",
    "value_in_list": "a single value is put into a list",
    "other_type": "the answer has a type that the question does not ask for",
    # what was found is contradicted
    "last_digit": "the number is misread",
    "sign": "a change is told without its sign",
    "scaled": "the number is converted and its unit is not",
    "unit_swapped": "another unit is stated than the records have",
    "unit_left_out": "the unit is left out",
    "negated": "yes is said for no, or no for yes",
    "other_choice": "the other of the offered words is taken",
    "misspelt": "a name or code is misspelt",
    "item_dropped": "an item is left out",
    "item_added": "an item is made up",
    "order_reversed": "a list is given from its end",
    "entry_changed": "a value stands under another key",
    "day_shifted": "the day is the next one",
    "hour_shifted": "the time is moved by an offset",
    "empty_instead": "what was found is not reported",
    "none_instead": "it is denied that there is an answer",
    # nothing found
    "none_for_zero": "zero, no or an empty list is taken for no answer",
    "zero_for_none": "no answer is told as zero",
    "false_for_none": "no answer is told as no",
    "wrong_reason": "another reason is given why there is no answer",
    # another question is answered
    "window_ignored": "the window is forgotten in the code",
    "other_end": "the first is taken for the last, or above for below",
    # how it was found
    "never_read": "the answer is guessed at once",
    "type_left_out": "what the answer rests on is not fetched",
    "empty_type_left_out": "that a type has nothing of it is concluded without a look at it",
    "only_coverage": "that there is nothing is concluded from coverage",
    "python_left_out": "what was fetched is never looked into",
    "python_fails": "no run of Python ends well, and the answer is given all the same",
    "typed_into_code": "the code prints a constant",
    "guessed_reference": "a reference is made up",
    "other_patient_first": "the record of another patient is looked at",
    "other_patient": "everything is asked of another patient",
    # the evidence
    "nothing_cited": "no evidence is given",
    "cited_unread": "evidence is cited that was never fetched",
    "cited_made_up": "an id is made up for the evidence",
    "cited_bare": "evidence is cited without its types",
    "cited_other": "something else that was read is cited",
}
"""Kinds of ``graders.mutants_code`` that models commit, likewise: the table of the ``code`` protocol."""

_BUGS = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError)
"""What a damage raises on an episode or family that it was not made for: it does not apply there."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What goes against an episode: ``rejected`` follows its first ``shared`` messages and fails ``check``."""

    shared: int
    rejected: tuple[Message, ...]
    mutant: str
    check: str


LATER: Final = Pair(0, (), "", "")
"""In place of a pair that is found at less cost together with others."""


def has_pair(content_hash: str) -> bool:
    """Whether the row of this content gets a pair."""
    return int(content_hash[:8], 16) % EVERY == 0


def committed(protocol: Protocol) -> dict[str, str]:
    """The table of kinds that models commit in this protocol."""
    return COMMITTED_CODE if protocol == "code" else COMMITTED


def order(content_hash: str, protocol: Protocol = "text") -> list[str]:
    """The kinds in the order in which they are tried on the row of this content: each comes first equally often."""
    kinds = list(committed(protocol))
    rng(f"preference/{content_hash}").shuffle(kinds)
    return kinds


def pairs(
    rows: Sequence[Trajectory], world: World, truths: Mapping[str, graders.Truth], forbidden: Callable[[str], bool]
) -> dict[str, Pair]:
    """Pairs by content hash, for those of the rows that get one; ``truths`` by task id.

    A mistake in which some message is ``forbidden`` (a holdout) gives way to the next.
    """
    mine = [row for row in rows if has_pair(row.content_hash)]
    found, waiting = {}, []
    for row in mine:
        truth = truths.get(row.task.id)
        made = _damaged(row, Played(row.task, row.episode, world, truth=truth), truth, forbidden, LOOKING)
        if made == LATER:
            waiting.append(row)
        else:
            found[row.content_hash] = made
    known = together([(row.task, row.episode) for row in waiting], world)
    for row, played in zip(waiting, known, strict=True):
        found[row.content_hash] = _damaged(row, played, truths.get(row.task.id), forbidden)
    return {content: made for content, made in found.items() if made is not None}


def natural_pairs(
    rows: Sequence[Trajectory],
    failures: Mapping[str, Sequence[tuple[Episode, Verdict]]],
    forbidden: Callable[[str], bool],
) -> dict[str, Pair]:
    """Pairs by content hash of rows with what a model did wrong in the same task: each failure, by task id, goes to one row."""
    left = {task: list(reversed(episodes)) for task, episodes in failures.items()}
    found = {}
    for row in rows:
        while row.content_hash not in found and left.get(row.task.id):
            made = pair(row.episode, *left[row.task.id].pop(), MODEL)
            if made is not None and not any(map(forbidden, message_texts(made.rejected))):
                found[row.content_hash] = made
    return found


def pair(chosen: Episode, rejected: Episode, verdict: Verdict, kind: str, check: str | None = None) -> Pair | None:
    """The pair that two episodes of a task make, ``verdict`` being on the rejected one.

    ``check`` is the one that it must fail, without it the first that it does. None if it does not, or if the episodes do
    not part at something that was said by the assistant.
    """
    failed = [one.name for one in verdict.checks if not one.passed]
    shared = 0
    for one, other in zip(chosen.messages, rejected.messages, strict=False):
        if one != other:
            break
        shared += 1
    ours, theirs = chosen.messages[shared:], rejected.messages[shared:]
    if not failed or (check or failed[0]) not in failed or not ours or not theirs:
        return None
    if ours[0].role != "assistant" or theirs[0].role != "assistant":
        return None
    return Pair(shared, theirs, kind, check or failed[0])


def _damaged(
    row: Trajectory,
    played: Played,
    truth: graders.Truth | None,
    forbidden: Callable[[str], bool],
    costly: frozenset[str] = frozenset(),
) -> Pair | None:
    """The first kind, in the row's order, that applies and fails as it must; :data:`LATER` if it is ``costly``."""
    for kind in order(row.content_hash, row.task.protocol):
        if kind in costly and row.task.family in LABS:
            return LATER
        try:
            wrong = mutant(played, kind)
        except _BUGS:
            continue
        if wrong is None:
            continue
        episode = replay_task(row.task, played.world, wrong.raws)
        verdict = graders.grade(row.task, episode, played.world, truth)
        made = pair(row.episode, episode, verdict, kind, wrong.check)
        if made is not None and not any(map(forbidden, message_texts(made.rejected))):
            return made
    return None


def preference_table(rows: Any) -> Any:
    """The ``preference`` rows of these ``sft`` rows, which have the columns of :class:`Pair` besides (null: no pair)."""
    import numpy as np
    import pyarrow.compute as pc

    rows = rows.filter(pc.is_valid(rows.column("mutant")))
    if not len(rows):
        return schema("preference").empty_table()
    messages = rows.column("messages").combine_chunks()
    offsets = np.from_dlpack(messages.offsets).astype(np.int64)
    shared = np.asarray(rows.column("shared").to_pylist(), dtype=np.int64)
    starts, lengths = offsets[:-1], offsets[1:] - offsets[:-1]
    made = {
        "prompt": runs(messages.values, starts, shared),
        "chosen": runs(messages.values, starts + shared, lengths - shared),
    }
    return table(
        "preference", {name: made[name] if name in made else rows.column(name) for name in COLUMNS["preference"]}
    )
