"""Wrong answers to questions that were worked out rightly: each function gives raw texts, or None where it does not apply."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal

from fhirtasks.fhir.jsontext import Json, dumps
from graders import typed
from graders.answers import number
from graders.damage_code import Raws, Solved

_UNITS = {
    "mg/dL": "mmol/L", "mmol/L": "mg/dL", "g/dL": "g/L", "kg": "lb", "lb": "kg", "cm": "in", "mL": "L", "mg": "g", "g": "mg",
    "hours": "minutes", "minutes": "hours", "days": "hours", "seconds": "minutes", "weeks": "days", "years": "months",
}  # fmt: skip
_OTHER_TYPE = {
    "boolean": "string", "integer": "number", "number": "integer", "quantity": "number", "duration": "number",
    "date": "datetime", "datetime": "date", "code": "string", "string": "code", "choice": "string", "reference": "string",
    "set": "list", "list": "set", "map": "record", "record": "map",
}  # fmt: skip
_OPPOSITE = {
    "first": "last", "last": "first", "second": "first", "third": "second", "highest": "lowest", "lowest": "highest",
    "above": "below", "below": "above",
}  # fmt: skip
NONE: dict[str, Json] = {"type": "none", "value": "no_matching_record", "unit": "", "evidence": []}


def _number(solved: Solved) -> Decimal | None:
    return number(solved.value) if solved.kind in ("integer", "number", "quantity", "duration") else None


def _near(solved: Solved, value: Decimal) -> Decimal:
    """A distance within which another number may pass for the answer: twice the tolerance, for either may be off by it."""
    return 2 * typed.tolerance(solved.kind, value, str(solved.answer["unit"]))


def last_digit(solved: Solved) -> Raws | None:
    """The last digit that matters is another one."""
    value = _number(solved)
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    step = Decimal(1).scaleb(min(exponent, 0) if isinstance(exponent, int) else 0)
    while step <= _near(solved, value):
        step *= 10
    return solved.submit(value=value + step)


def sign(solved: Solved) -> Raws | None:
    value = _number(solved)
    return solved.submit(value=-value) if value is not None and 2 * abs(value) > _near(solved, value) else None


def scaled(solved: Solved) -> Raws | None:
    """As after a conversion to a unit that is not the one stated."""
    value = _number(solved)
    if value is None or not value or solved.kind not in ("quantity", "duration"):
        return None
    return solved.submit(value=value * (1000 if solved.kind == "quantity" else 60))


def unit_swapped(solved: Solved) -> Raws | None:
    unit = str(solved.answer["unit"])
    return solved.submit(unit=_UNITS.get(unit, f"{unit}/h")) if solved.kind in ("quantity", "duration") else None


def unit_left_out(solved: Solved) -> Raws | None:
    return solved.submit(unit="") if solved.kind in ("quantity", "duration") and solved.answer["unit"] else None


def negated(solved: Solved) -> Raws | None:
    return solved.submit(value=not solved.value) if solved.kind == "boolean" else None


def other_choice(solved: Solved) -> Raws | None:
    """Another of the words that the prompt offers."""
    if solved.kind != "choice":
        return None
    offered = re.findall(r'"([^"]+)"', f"{solved.task.instruction} {solved.task.context}")
    other = next((word for word in offered if word.casefold() != str(solved.value).casefold()), "neither")
    return solved.submit(value=other)


def misspelt(solved: Solved) -> Raws | None:
    """A text whose last sign is another one."""
    if solved.kind not in ("string", "code", "reference") or not solved.value:
        return None
    text = str(solved.value)
    return solved.submit(value=f"{text[:-1]}{'x' if text[-1].casefold() != 'x' else 'y'}")


def item_dropped(solved: Solved) -> Raws | None:
    value = solved.value
    if isinstance(value, list) and value:
        kept = [one for one in value if one != value[-1]] if solved.kind == "set" else value[:-1]
        return solved.submit(value=kept)
    if isinstance(value, dict) and value:
        return solved.submit(value=dict(list(value.items())[:-1]))
    return None


def item_added(solved: Solved) -> Raws | None:
    value = solved.value
    if isinstance(value, list):
        first = value[0] if value else None
        return solved.submit(value=[*value, max(map(_plain, value)) + 1 if number(first) is not None else "other"])
    return solved.submit(value={**value, "other": 1}) if isinstance(value, dict) else None


def _plain(one: Json) -> Decimal:
    return number(one) or Decimal(0)


def order_reversed(solved: Solved) -> Raws | None:
    value = solved.value
    if solved.kind != "list" or not isinstance(value, list) or value == value[::-1]:
        return None
    return solved.submit(value=value[::-1])


def entry_changed(solved: Solved) -> Raws | None:
    """The right keys, with another value at the first."""
    value = solved.value
    if not isinstance(value, dict) or not value:
        return None
    key, first = next(iter(value.items()))
    found = number(first)
    return solved.submit(value={**value, key: f"{first}x" if found is None else 2 * found + 1})


def day_shifted(solved: Solved) -> Raws | None:
    return _shifted(solved, timedelta(days=1)) if solved.kind in ("date", "datetime") else None


def hour_shifted(solved: Solved) -> Raws | None:
    """As by somebody who takes the offset into account."""
    return _shifted(solved, timedelta(hours=1)) if solved.kind == "datetime" and len(str(solved.value)) > 10 else None


def _shifted(solved: Solved, by: timedelta) -> Raws | None:
    text = str(solved.value)
    try:
        moment = datetime.fromisoformat(text[:19]) + by
    except ValueError:  # a year or a month
        return None
    return solved.submit(value=moment.isoformat()[: len(text)])


def empty_instead(solved: Solved) -> Raws | None:
    if not isinstance(solved.value, list | dict) or not solved.value:
        return None
    return solved.submit(value=[] if isinstance(solved.value, list) else {})


def wrong_reason(solved: Solved) -> Raws | None:
    if solved.kind != "none":
        return None
    return solved.submit(value="not_recorded" if solved.value != "not_recorded" else "no_matching_record")


def window_ignored(solved: Solved) -> Raws | None:
    """The window is forgotten: all of the record is looked at."""
    if not {"t_from", "t_to"} <= solved.task.slots.keys():
        return None
    return solved.computed_with({"t_from": "0001-01-01", "t_to": "9999-12-31"})


def other_end(solved: Solved) -> Raws | None:
    """The first for the last, the highest for the lowest, above for below."""
    swapped = {name: _OPPOSITE[value] for name, value in solved.task.slots.items() if value in _OPPOSITE}
    return solved.computed_with(dict(list(swapped.items())[:1])) if swapped else None


# -- of another type


def none_instead(solved: Solved) -> Raws | None:
    """What was found is denied."""
    return solved.submit(**NONE) if solved.kind != "none" and not solved.absent else None


def none_for_zero(solved: Solved) -> Raws | None:
    """Zero, false or an empty set taken for no answer."""
    return solved.submit(**NONE) if solved.kind != "none" and solved.value in (0, False, [], {}) else None


def zero_for_none(solved: Solved) -> Raws | None:
    return solved.submit(type="integer", value=0) if solved.kind == "none" else None


def false_for_none(solved: Solved) -> Raws | None:
    return solved.submit(type="boolean", value=False) if solved.kind == "none" else None


def other_type(solved: Solved) -> Raws | None:
    return solved.submit(type=_OTHER_TYPE[solved.kind]) if solved.kind in _OTHER_TYPE else None


def value_as_text(solved: Solved) -> Raws | None:
    """The value in quotes, lists as one text. Truth values may be words."""
    value = solved.value
    if isinstance(value, str | bool):
        return None
    return solved.submit(value=", ".join(map(str, value)) if isinstance(value, list) else dumps(value))


def value_in_list(solved: Solved) -> Raws | None:
    return solved.submit(value=[solved.value]) if not isinstance(solved.value, list) and solved.kind != "none" else None
