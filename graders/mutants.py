"""Damaged copies of correct episodes. Each names the check that it must trip; only those called ``form_`` are mistakes
of form, which end an episode.

``KINDS`` is the table of damages to episodes with a server: what they are called, which check they trip in either mode
(None: the mode's rules do not mind), and the function that makes them, which gives None where a damage does not apply to an
episode. Those of the ``code`` protocol are in :mod:`graders.mutants_code`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fhirtasks.episodes.types import Episode
from fhirtasks.fhir.jsontext import Json
from fhirtasks.graph.world import World
from fhirtasks.tasks.play import replay_task
from fhirtasks.tasks.types import Task, Verdict
from graders import Truth, grade
from graders import mutants_answers as answers
from graders import mutants_code as code
from graders import mutants_form as form
from graders import mutants_reading as reading
from graders import mutants_writes as writes
from graders.damage import Played, Raws, said_in


@dataclass(frozen=True, slots=True)
class Mutant:
    """A damaged episode as raw assistant texts, and the check that has to find it out."""

    kind: str
    check: str
    raws: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of damage: ``clinical`` and ``compat`` are the checks it trips, None where that mode's rules allow it."""

    clinical: str | None
    compat: str | None
    damage: Callable[[Played], Raws | None]


def _answer(damage: Callable[[Played], Json]) -> Callable[[Played], Raws | None]:
    def made(played: Played) -> Raws | None:
        answer = damage(played)
        return None if answer is None else played.finish(answer)

    return made


def _kind(damage: Callable[[Played], Raws | None], clinical: str | None, compat: str | None) -> Kind:
    return Kind(clinical, compat, damage)


_WRONG = {
    name: _kind(_answer(getattr(answers, name)), "answer", "answer")
    for name in (
        *(
            "off_by_a_step",
            "negated",
            "scaled",
            "zero",
            "none_instead",
            "fabricated",
            "sentence",
            "padded",
            "other_case",
            "resource_id",
        ),
        *("stale_value", "value_of_other_patient", "sum_instead", "median_instead", "mean_of_all_time"),
        *("other_time", "date_only", "value_without_time"),
    )
}
_MISSHAPEN = {
    name: _kind(_answer(getattr(answers, name)), "answer_shape", "answer")
    for name in (
        *("as_string", "as_number", "with_unit", "prose", "extra_element", "nested", "object_element", "null_element"),
        *("boolean_element", "empty", "pair_swapped", "birthdate_instead"),
    )
}
_UNREAD = {
    name: _kind(getattr(reading, name), "evidence", None)
    for name in (
        *(
            "never_read",
            "read_elsewhere",
            "read_other_patient",
            "read_no_results",
            "read_no_patient",
            "read_other_code",
        ),
        *("read_narrow_window", "read_first_page_only", "read_only_counts", "read_after_writing"),
    )
}
_WRITES = {
    f"write_{name}": _kind(getattr(writes, name), check, check)
    for check, names in {
        "writes_count": ("missing", "duplicate", "extra", "not_due"),
        "write_order": ("swapped",),
        "write_type": ("other_type",),
        "write_subject": ("other_subject", "subject_by_number"),
        "write_code": ("other_code", "other_system", "code_as_text"),
        "write_dose": ("other_dose", "other_tier"),
        "write_unit": ("other_unit",),
        "write_rate": ("other_rate", "no_rate"),
        "write_route": ("other_route", "no_route"),
        "write_value": ("other_pressure", "pressures_swapped"),
        "write_time": ("other_time", "no_time", "other_occurrence"),
        "write_status": ("other_status", "other_intent", "not_to_be_done"),
        "write_priority": ("other_priority",),
        "write_text": ("other_text", "no_text"),
        "write_category": ("other_category", "no_category"),
    }.items()
    for name in names
}

KINDS: dict[str, Kind] = {
    **_WRONG,
    # A mean that was not rounded is within the public grader's tolerance.
    "unrounded": _kind(_answer(answers.unrounded), "answer", None),
    **_MISSHAPEN,
    **_UNREAD,
    "value_of_first_page": _kind(reading.value_of_first_page, "answer", "answer"),
    **_WRITES,
    "write_refused": _kind(writes.refused, "write_valid", None),
    "write_other_shape": _kind(writes.other_shape, "write_valid", None),
    "write_modifier": _kind(writes.modifier, "write_valid", None),
    "write_as_needed": _kind(writes.as_needed, "write_status", None),
    "write_two_codes": _kind(writes.two_codes, "write_code", None),
    "write_repeated_dose": _kind(writes.repeated_dose, "write_dose", None),
    "write_pressure_as_text": _kind(writes.pressure_as_text, "write_value", None),
    "write_second_note": _kind(writes.second_note, "write_text", None),
    "write_fenced": _kind(writes.fenced, None, "writes_count"),
    "write_indented": _kind(writes.indented, None, "write_type"),
    "post_in_answer": _kind(writes.post_in_answer, None, "writes_count"),
    "write_subject_with_display": _kind(writes.subject_with_display, None, "write_subject"),
    "write_route_as_concept": _kind(writes.route_as_concept, None, "write_route"),
    "write_note_as_list": _kind(writes.note_as_list, None, "write_text"),
    "write_zulu": _kind(writes.zulu, None, "write_time"),
    "write_double_slash": _kind(writes.double_slash, None, "write_type"),
    "write_absolute_subject": _kind(writes.absolute_subject, None, "write_subject"),
    **{
        f"form_{name}": _kind(getattr(form, name), "protocol", compat)
        for name, compat in {
            "thinking": "protocol",
            "tool_call": "protocol",
            "prose_before": "protocol",
            "prose_instead": "protocol",
            "fenced": None,
            "two_actions": None,
            "no_list": None,
        }.items()
    },
}


LOOKING: frozenset[str] = frozenset(
    (
        *("stale_value", "value_of_other_patient", "value_of_first_page", "read_narrow_window", "read_first_page_only"),
        *("sum_instead", "median_instead", "mean_of_all_time", "unrounded"),
    )
)
"""Kinds that look at results of patients: a query each, unless the results are known (see ``graders.damage.together``)."""


def mutants(task: Task, episode: Episode, world: World, truth: Truth | None = None) -> Iterator[Mutant]:
    """Every damage that applies to a correct episode of the task."""
    played = Played(task, episode, world, truth=truth)
    for kind in code.KINDS if task.protocol == "code" else KINDS:
        made = mutant(played, kind)
        if made is not None:
            yield made


def mutant(played: Played, name: str) -> Mutant | None:
    """The damage of this kind to a correct episode; None where it does not apply."""
    if played.task.protocol == "code":
        check, damage = code.KINDS[name]
        made = damage(played.solved)
        return None if made is None or made == played.episode.raws else Mutant(name, check, made)
    task, episode, kind = played.task, played.episode, KINDS[name]
    trips = kind.clinical if task.mode == "clinical" else kind.compat
    if trips is None:
        return None
    if task.mode == "compat":
        if (name in _WRONG or name in _MISSHAPEN) and _answer_ignored(task, episode):
            return None
        if name == "empty" and task.kind == "conditional":
            return None  # the value was only to be checked: [] passes
    raws = kind.damage(played)
    return None if raws is None or raws == played.raws else Mutant(name, trips, said_in(task, raws))


def run_mutant(task: Task, world: World, mutant: Mutant, truth: Truth | None = None) -> Verdict:
    """The verdict on the mutant, played from its raw texts so that its observations are what the environment says."""
    return grade(task, replay_task(task, world, mutant.raws), world, truth)


def coverage(rows: Iterable[tuple[Task, Mutant]]) -> dict[tuple[str, str, str, str], int]:
    """How often each (mode, family, branch, kind) occurs; cells that do not occur do not apply."""
    return dict(sorted(Counter((task.mode, task.family, task.branch, mutant.kind) for task, mutant in rows).items()))


def table(rows: Iterable[tuple[Task, Mutant]]) -> str:
    """:func:`coverage` as text: one line per mode, family and branch, with each kind's count."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    for (mode, family, branch, kind), count in coverage(rows).items():
        lines.setdefault((mode, family, branch), []).append(f"{kind} {count}")
    return "\n".join(f"{' '.join(place)} ({len(cells)} kinds): {', '.join(cells)}" for place, cells in lines.items())


def _answer_ignored(task: Task, episode: Episode) -> bool:
    """Whether the public grader does not look at what FINISH says: dictated writes, and no magnesium at all."""
    return task.kind == "action" or (task.family == "magnesium_replacement" and episode.result == "[-1]")
