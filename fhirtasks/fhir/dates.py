"""FHIR dates as ranges: a date, dateTime or instant, partial ones too, is [low, high) in microseconds since the
epoch, UTC.

The grammar is R4's (https://hl7.org/fhir/R4/datatypes.html): a time needs seconds and an offset, ``24:00`` is
illegal, second 60 (a leap second) is legal and counts as the first second of the next minute. A date without a time
is taken as a day in UTC.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

Range = tuple[int, int]

SECOND = 1_000_000
DAY = 86_400 * SECOND
BEGINNING, END = -(2**63 - 1), 2**63 - 1
"""The ends of a period that has no start, or no end: what fits a 64-bit integer."""

_EPOCH = date(1970, 1, 1).toordinal()
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?", re.ASCII)
_OFFSET = r"Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00"
_DATETIME = re.compile(
    rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]+))?({_OFFSET})",
    re.ASCII,
)
_LENIENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9])"
    rf"(?::([0-5][0-9]|60)(?:\.([0-9]+))?)?({_OFFSET}|)",
    re.ASCII,
)


@lru_cache(maxsize=16_384)
def parse_range(text: str) -> Range | None:
    """The time that a FHIR date, dateTime or instant covers, or None if ``text`` is none of them.

    ``2010`` covers the year, ``2010-01-30T14:21:05Z`` one second, ``…05.716Z`` one millisecond (what its digits leave
    open, at least a microsecond; digits after the sixth are cut off).
    """
    found = _DATE.fullmatch(text)
    return _date_range(found) if found else _time_range(_DATETIME.fullmatch(text))


@lru_cache(maxsize=16_384)
def search_range(text: str) -> Range | None:
    """As :func:`parse_range`, for a search parameter: seconds and offset may be left out (then a minute; UTC)."""
    found = _DATE.fullmatch(text)
    return _date_range(found) if found else _time_range(_LENIENT.fullmatch(text))


@lru_cache(maxsize=16_384)
def instant(text: str) -> int:
    """Microseconds since the epoch of a full instant (date, time and offset). ValueError if it is not one."""
    span = _time_range(_DATETIME.fullmatch(text))
    if span is None:
        raise ValueError(f"{text!r} is not an instant such as 2023-11-13T10:15:00+00:00")
    return span[0]


@lru_cache(maxsize=4_096)
def render(us: int, like: str = "1970-01-01T00:00:00Z") -> str:
    """``us`` in the form of ``like``: a date or dateTime of the same precision, with the same offset written the same
    way.

    What the precision of ``like`` cannot hold is cut off. ValueError if ``like`` is no FHIR date, or the year leaves
    1 to 9999.
    """
    form = _form(like)
    if form is None:
        return _day(us // DAY).isoformat()[: len(like)]
    fraction, offset, ahead = form
    local = us + ahead
    second, micro = divmod(local % DAY, SECOND)
    text = f"{_day(local // DAY).isoformat()}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    if fraction:
        text += "." + f"{micro:06}".ljust(len(fraction), "0")[: len(fraction)]
    return text + offset


@lru_cache(maxsize=4_096)
def _form(like: str) -> tuple[str | None, str, int] | None:
    """Fraction, offset and what that adds to UTC, of a dateTime; None for a date. ValueError for anything else."""
    if (found := _DATE.fullmatch(like)) and _date_range(found):
        return None
    parts = _DATETIME.fullmatch(like)
    if parts is None or _time_range(parts) is None:
        raise ValueError(f"{like!r} is not a FHIR date or dateTime")
    return parts.group(5), parts.group(6), _offset(parts.group(6))


def _day(days: int) -> date:
    try:
        return date(1970, 1, 1) + timedelta(days=days)
    except OverflowError as error:
        raise ValueError("the year is outside 1 to 9999") from error


def _date_range(parts: re.Match[str]) -> Range | None:
    year, month, day = (int(part) if part else None for part in parts.groups())
    try:
        low = date(year or 0, month or 1, day or 1).toordinal()
    except ValueError:
        return None
    if day:
        return (low - _EPOCH) * DAY, (low - _EPOCH + 1) * DAY
    if month == 12 or month is None:
        high = date(year or 0, 12, 31).toordinal() + 1
    else:
        high = date(year or 0, month + 1, 1).toordinal()
    return (low - _EPOCH) * DAY, (high - _EPOCH) * DAY


def _time_range(parts: re.Match[str] | None) -> Range | None:
    if parts is None:
        return None
    day, hour, minute, second, fraction, offset = parts.groups()
    try:
        days = date.fromisoformat(day).toordinal() - _EPOCH
    except ValueError:
        return None
    low = days * DAY + (int(hour) * 3600 + int(minute) * 60 + int(second or 0)) * SECOND
    low += int((fraction or "0")[:6].ljust(6, "0")) - _offset(offset)
    width = SECOND * 60 if second is None else 10 ** max(0, 6 - len(fraction)) if fraction else SECOND
    return low, low + width


def _offset(text: str) -> int:
    if text in ("Z", ""):
        return 0
    size = (int(text[1:3]) * 3600 + int(text[4:6]) * 60) * SECOND
    return -size if text[0] == "-" else size
