"""Damaged answers: each function gives the answer that takes the right one's place, or None where the damage does not apply."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from statistics import median

from fhirtasks.fhir.dates import SECOND, instant, render
from fhirtasks.fhir.jsontext import Json
from graders import identities
from graders.answers import number
from graders.damage import LABS, Played
from graders.results import FOREVER

NOT_FOUND = "Patient not found"
FABRICATED = Decimal("4.2")
"""A value that nobody measured."""


def _value(played: Played) -> Decimal | None:
    """The first number of the answer, -1 for "none" included."""
    return number(played.answer[0]) if played.answer else None


def _text(played: Played) -> str | None:
    return played.answer[0] if played.answer and isinstance(played.answer[0], str) else None


def _absent(played: Played) -> bool:
    return played.answer in ([-1], [NOT_FOUND])


def _with(played: Played, first: Json) -> list[Json]:
    return [first, *played.answer[1:]]


def off_by_a_step(played: Played) -> Json:
    value, text = _value(played), _text(played)
    if value is not None:
        exponent = value.as_tuple().exponent
        step = Decimal(1).scaleb(exponent if isinstance(exponent, int) and played.task.mode == "clinical" else 0)
        return _with(played, value + step)
    return [text[:-1] + ("1" if text[-1] != "1" else "2")] if text else None


def negated(played: Played) -> Json:
    value = _value(played)
    return _with(played, -value) if value else None


def scaled(played: Played) -> Json:
    """As after a unit conversion that nobody asked for."""
    value = _value(played)
    return _with(played, value * 10) if value else None


def zero(played: Played) -> Json:
    value = _value(played)
    return _with(played, 0) if value else None


def none_instead(played: Played) -> Json:
    if not played.answer or _absent(played):
        return None
    return [NOT_FOUND] if _text(played) else [-1]


def fabricated(played: Played) -> Json:
    """A value, or somebody's identifier, where there is none."""
    if not _absent(played):
        return None
    if not _text(played):
        return [FABRICATED]
    return [played.other.identifiers[0][0]] if played.other else None


def as_string(played: Played) -> Json:
    value = _value(played)
    return None if value is None else _with(played, str(value))


def as_number(played: Played) -> Json:
    return [7] if _text(played) else None


def with_unit(played: Played) -> Json:
    value, slots = _value(played), played.task.slots
    unit = slots.get("unit", "years" if played.task.family == "patient_age" else "%")
    return None if value is None else _with(played, f"{value} {unit}")


def prose(played: Played) -> Json:
    if _text(played):
        return None
    return [f"The answer to this request is {played.answer[0] if played.answer else 'that it is done'}."]


def sentence(played: Played) -> Json:
    """A right answer of text, wrapped in a sentence."""
    return [f"The number is {played.answer[0]}."] if _text(played) else None


def extra_element(played: Played) -> Json:
    return [*played.answer, "nothing", "else"]


def nested(played: Played) -> Json:
    return [played.answer]


def object_element(played: Played) -> Json:
    return [{"value": played.answer[0] if played.answer else None}]


def null_element(played: Played) -> Json:
    return [None]


def boolean_element(played: Played) -> Json:
    """``true`` is 1 to the public grader, so an answer near 1 becomes ``false``."""
    value = _value(played)
    return _with(played, value is None or abs(value - 1) > Decimal("0.5"))


def empty(played: Played) -> Json:
    return [] if played.answer else None


def stale_value(played: Played) -> Json:
    """An older result in place of the newest; the one before the window, where there is a window."""
    if played.task.family not in LABS or not played.patient_id:
        return None
    return _other_value(played, played.patient_id)


def value_of_other_patient(played: Played) -> Json:
    other, family = played.other, played.task.family
    if other is None or not played.answer:
        return None
    if family in LABS:
        return _other_value(played, other.id)
    if family == "patient_lookup":
        return [other.identifiers[0][0]] if not _absent(played) and [other.identifiers[0][0]] != played.answer else None
    if family == "patient_age" and len(other.birthdate or "") == 10:
        years = int(played.task.now[:4]) - int((other.birthdate or "")[:4])
        return [years] if years != _value(played) else None
    return None


def _other_value(played: Played, patient: str) -> Json:
    """The most recent value in that chart that clearly is not the answer."""
    value = _value(played)
    for one in sorted(played.results(patient), key=lambda one: (one.time or 0, one.id), reverse=True):
        if one.value is not None and value is not None and abs(Decimal(one.value) - value) > _clear(played):
            return [Decimal(one.value), *([one.effective] if len(played.answer) > 1 else [])]
    return None


def _clear(played: Played) -> Decimal:
    """How far from the answer a number clearly is another: past compat's 0.1 around the mean before it was rounded."""
    return Decimal("0.1") + Decimal(5).scaleb(-int(played.task.slots.get("decimals", "1")) - 1)


def resource_id(played: Played) -> Json:
    """The id of the Patient resource where its record number is asked for."""
    person = played.patient
    return [person.id] if _text(played) and person is not None and person.id != _text(played) else None


def padded(played: Played) -> Json:
    """The right text with a blank before it."""
    return [f" {_text(played)}"] if _text(played) else None


def other_case(played: Played) -> Json:
    text = _text(played)
    return [text.swapcase()] if text and text.swapcase() != text else None


def birthdate_instead(played: Played) -> Json:
    person: identities.Person | None = played.patient
    return [person.birthdate] if played.task.family == "patient_age" and person is not None else None


def _means(played: Played, of: Callable[[list[Decimal]], Decimal], low: int | None = None) -> Json:
    """What a mean is mistaken for, over the window or from ``low`` on, where it differs enough to matter."""
    value = _value(played)
    if played.task.family != "mean_lab_in_window" or _absent(played) or value is None:
        return None
    start = instant(played.task.now) - int(Decimal(played.task.slots["window_hours"]) * 3600) * SECOND
    results = played.results(played.patient_id, start if low is None else low)
    values = [Decimal(one.value) for one in results if one.value is not None]
    if not values:  # compat counts results that lie in the future
        return None
    found = of(values)
    return [found] if abs(found - value) > (0 if played.clinical else _clear(played)) else None


def sum_instead(played: Played) -> Json:
    return _means(played, lambda values: sum(values, Decimal(0)))


def median_instead(played: Played) -> Json:
    return _means(played, median)


def unrounded(played: Played) -> Json:
    return _means(played, lambda values: sum(values, Decimal(0)) / len(values))


def mean_of_all_time(played: Played) -> Json:
    return _means(played, lambda values: round(sum(values, Decimal(0)) / len(values), 2), low=-FOREVER)


def other_time(played: Played) -> Json:
    """The right value with the time of an hour later."""
    if len(played.answer) != 2:
        return None
    value, time = played.answer
    return [value, render(instant(time) + 3600 * SECOND, time)]


def date_only(played: Played) -> Json:
    return [played.answer[0], played.answer[1][:10]] if len(played.answer) == 2 else None


def value_without_time(played: Played) -> Json:
    return played.answer[:1] if len(played.answer) == 2 else None


def pair_swapped(played: Played) -> Json:
    return played.answer[::-1] if len(played.answer) == 2 else None
