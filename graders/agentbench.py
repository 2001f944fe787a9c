"""The public FHIR-AgentBench's rules, for reports beside the typed verdict: what its judge lets pass, and its retrieval metrics.

Lee et al., FHIR-AgentBench (arXiv 2509.19319, 2025). The judge is a language model there; these are the rules that it is told,
as far as code can hold them: numbers are compared after rounding to integers, sign and unit aside; the time of day does not
count unless it is asked for; "no", 0 and "nothing found" are one class; a list needs every item and no other. They credit too
much (0.4 is 0, false is none), which is why nothing here decides what is released.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from fhirtasks.fhir.jsontext import Json, loads
from graders.answers import number

_NOTHING = frozenset(
    (
        *(
            "",
            "0",
            "no",
            "none",
            "null",
            "nan",
            "nat",
            "false",
            "no answer",
            "not found",
            "nothing found",
            "n/a",
            "unknown",
        ),
        "nothing",
    )
)
_YES = frozenset(("yes", "true"))
_MARK = re.compile(r"the final answer is:?", re.IGNORECASE)
_NUMBER = re.compile(r"([-+]?\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?)\s*(?:[^\d\s].{0,20})?", re.IGNORECASE | re.DOTALL)
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?).*)?", re.DOTALL)
CELL = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^\s\[\],'\"]+)")
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Retrieval:
    """``recall`` is 1 if all of the gold resources were fetched, else 0. ``precision`` is the share of what was fetched, of
    the types of the gold ones, that is gold; None where there is gold and nothing was fetched."""

    recall: float
    precision: float | None


def correct(expected: Json, given: Json, *, time_of_day: bool = False) -> bool:
    """Whether the benchmark's judge would take ``given`` for ``expected``.

    Both may be JSON values, lists of them, a text (the benchmark's printed arrays, ``[[87.]]``, and replies that end with "The
    final answer is: …" are read as such), or a typed answer with ``type`` and ``value``. With ``time_of_day`` two times have to
    agree to the minute, else days are compared.
    """
    wanted, found = cells(expected), cells(given)
    if len(wanted) != len(found):
        return False
    left = list(found)
    for one in wanted:
        match = next((place for place, other in enumerate(left) if _same(one, other, time_of_day)), None)
        if match is None:
            return False
        del left[match]
    return True


def retrieval(expected: Collection[str], fetched: Iterable[str]) -> Retrieval:
    """The benchmark's retrieval metrics of one question, of references ``Type/id``; types that are not gold do not count."""
    kinds = {ref.partition("/")[0] for ref in expected}
    mine = {ref for ref in fetched if ref.partition("/")[0] in kinds}
    gold = set(expected)
    if not gold:
        return Retrieval(1.0, 1.0)
    return Retrieval(float(gold <= mine), len(gold & mine) / len(mine) if mine else None)


def means(rows: Iterable[Retrieval]) -> dict[str, float]:
    """Mean ``recall``, mean ``precision`` (of the questions that have one), and ``f1``, the harmonic mean of the two means."""
    found = list(rows)
    precisions = [row.precision for row in found if row.precision is not None]
    recall = sum(row.recall for row in found) / len(found) if found else 0.0
    precision = sum(precisions) / len(precisions) if precisions else 0.0
    total = recall + precision
    return {"recall": recall, "precision": precision, "f1": 2 * recall * precision / total if total else 0.0}


def cells(value: Json) -> list[str]:
    """The single values of an answer as texts, those that stand for nothing left out; a typed answer's value, ``none`` being
    nothing."""
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        return [] if value["type"] == "none" else cells(value.get("value"))
    if isinstance(value, dict):
        return [cell for item in value.items() for one in item for cell in cells(one)]
    if isinstance(value, list):
        return [cell for one in value for cell in cells(one)]
    if isinstance(value, str):
        return [cell for cell in _read(value) if not _empty(cell)]
    if isinstance(value, bool) or value is None:
        return ["yes"] if value else []
    found = number(value)
    return [] if found is None or _rounded(found) == 0 else [f"{found:f}"]


def _read(text: str) -> list[str]:
    """A reply's final answer, an array as numpy prints it, or the text itself."""
    *_, text = _MARK.split(text)
    text = text.strip().removesuffix(".") if not text.strip().startswith("[") else text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    try:
        told = loads(text)
    except (ValueError, RecursionError):
        return [next(part for part in match.groups() if part is not None) for match in CELL.finditer(text)]
    return cells(told)


def _empty(cell: str) -> bool:
    found = _number(cell)
    return _folded(cell) in _NOTHING or (found is not None and _rounded(found) == 0)


def _same(one: str, other: str, time_of_day: bool) -> bool:
    if _folded(one) == _folded(other):
        return True
    times = _TIME.fullmatch(one.strip()), _TIME.fullmatch(other.strip())
    if times[0] is not None and times[1] is not None:
        return _same_time(times[0], times[1], time_of_day)
    if times != (None, None):
        return False
    wanted, found = _number(one), _number(other)
    if wanted is None or found is None:
        # 1 says that something is so, as yes does.
        return (wanted == 1 and _folded(other) in _YES) or (found == 1 and _folded(one) in _YES)
    return abs(_rounded(wanted)) == abs(_rounded(found))


def _same_time(one: re.Match[str], other: re.Match[str], time_of_day: bool) -> bool:
    if not time_of_day or None in (one[2], other[2]):
        return one[1] == other[1]
    moments = [datetime.fromisoformat(f"{match[1]}T{match[2]}") for match in (one, other)]
    return abs((moments[0] - moments[1]).total_seconds()) <= _MINUTE


def _number(text: str) -> Decimal | None:
    """The number that a text is, with or without a unit behind it."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or _TIME.match(text.strip()) is not None:
        return None
    return Decimal(match[1].replace(",", "").removesuffix("."))


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1), ROUND_HALF_UP) if value.adjusted() < 25 else value


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .,;:")
