"""Who a task file speaks of: record numbers, people (name and birth date) and the times at which its tasks play.

The format is the public benchmark's: a JSON list, or one JSON object per line, of rows with ``id``, ``instruction``,
``context``, ``eval_MRN`` and ``sol``. People are found by general patterns: a name beside a birth date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from fhirtasks.errors import UserError

MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"), 1,
    )
    for name in names.split()
}  # fmt: skip
"""English month names and their usual short forms, lower case."""

_MONTH = "(" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b\.?"
_DATE = re.compile(
    rf"\b(?P<y1>\d{{4}})[-/.](?P<m1>\d{{1,2}})[-/.](?P<d1>\d{{1,2}})(?![\d])"
    rf"|\b(?P<a>\d{{1,2}})[-/.](?P<b>\d{{1,2}})[-/.](?P<y2>\d{{4}})\b"
    rf"|\b(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of)?\s+(?P<m3>{_MONTH}),?\s+(?P<y3>\d{{4}})\b"
    rf"|\b(?P<m4>{_MONTH})\s+(?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y4>\d{{4}})\b",
    re.IGNORECASE,
)
_BIRTH = re.compile(r"\b(?:d\.?o\.?b\b|birth\s?-?date|date\s+of\s+birth|birth\s?day|born)", re.IGNORECASE)
_LETTER = r"[^\W\d_]"
_WORD = rf"(?:{_LETTER}\.|{_LETTER}[^\W\d_]*(?:[-'’]{_LETTER}+)*)"
_PARTICLE = r"(?:de|del|della|di|da|do|dos|das|la|las|le|los|van|von|der|den|ter|ten|bin|ibn|al|el|y|e|zu)"
_KEYWORD = re.compile(r"\b(named?|called|patient)\b(?:\s*(?:of|is|was|:|=))?[\s\"'“”‘’(:]*", re.IGNORECASE)
_QUOTED = re.compile(rf"[\"“”‘']\s*(?P<name>{_WORD},?(?:\s+{_WORD},?){{1,4}})\s*[\"“”’']")
_RUN = re.compile(rf"(?P<name>{_WORD},?(?:\s+{_WORD},?)+)")
_SHORT_RUN = re.compile(rf"(?P<name>{_WORD},?(?:\s+{_WORD},?){{1,7}})")
_NOT_NAMES = frozenset(
    (
        "a", "an", "and", "are", "as", "at", "birth", "birthdate", "born", "by", "can", "check", "could", "date",
        "dob", "does", "do", "find", "for", "from", "get", "give", "has", "have", "he", "her", "his", "i", "if",
        "in", "is", "it", "look", "lookup", "mr", "mrn", "mrs", "ms", "no", "of", "on", "or", "order", "patient",
        "patient's", "please", "record", "s", "she", "tell", "the", "their", "there", "this", "to", "up", "was",
        "what", "when", "which", "who", "whose", "with",
    )
)  # fmt: skip
_ID_LIKE = re.compile(
    r"(?<![\w./-])(?:[A-Za-z]{1,4}-?\d{4,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?![\w])"
)
_NUMBERED = re.compile(
    r"\b(?:MRN|patient|identifier|record number|id)\b(?:\s+(?:number|no\.?|of|is))*\s*[:#=]?\s*[\"“']?"
    r"([A-Za-z]{0,6}[-_]?\d[\w-]{3,})",
    re.IGNORECASE,
)
_INSTANT = re.compile(r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?")


@dataclass(frozen=True, slots=True)
class Row:
    """One task: ``record`` is its eval_MRN (None where the row names no patient), ``answers`` the texts in ``sol``."""

    number: int
    id: str
    instruction: str
    context: str
    record: str | None
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Person:
    """A name as written and a birth date."""

    name: str
    birth_date: date


def read_rows(path: Path) -> list[Row]:
    """The rows of a task file. UserError names the file, the row and the reason."""
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise UserError(f"Cannot read the task file {path}: {error.strerror}; check the path.") from None
    if not data.strip():
        raise UserError(f"The task file {path} is empty; give a JSON list or JSON lines of tasks.")
    rows = [_row(path, number, value) for number, value in _values(path, data)]
    if not rows:
        raise UserError(f"The task file {path} holds no row; give a JSON list or JSON lines of tasks.")
    return rows


def identifiers(rows: Iterable[Row]) -> list[str]:
    """Every record number that the rows mention, sorted.

    These are eval_MRN, identifiers among the answers, and words of the instructions that look like a record number.
    """
    rows = list(rows)
    found = {row.record for row in rows if row.record}
    found |= {answer for row in rows for answer in row.answers if _is_identifier(answer)}
    shapes = {_shape(known) for known in found}
    for row in rows:
        found |= set(_ID_LIKE.findall(row.instruction))
        found |= {word for word in _NUMBERED.findall(row.instruction) if _is_identifier(word)}
        found |= {word for word in re.findall(r"[\w-]*\d[\w-]*", row.instruction) if _shape(word) in shapes}
    return sorted(found)


def people(row: Row) -> list[Person]:
    """The people whom a row names with a birth date; a date such as 03/04/1940 gives both of its readings."""
    found: set[Person] = set()
    for text in (row.instruction, row.context):
        found |= _people_in(text)
    return sorted(found)


def times(row: Row) -> list[str]:
    """The instants that a row's context and instruction state, in their order."""
    return _INSTANT.findall(row.context) + _INSTANT.findall(row.instruction)


def dates_in(text: str) -> Iterator[tuple[int, int, list[date]]]:
    """(start, end, readings) of every date in a text: year first, numeric, or with an English month name."""
    for match in _DATE.finditer(text):
        part = match.groupdict()
        if part["y1"]:
            triples = [(part["y1"], part["m1"], part["d1"])]
        elif part["y2"]:
            triples = [(part["y2"], part["a"], part["b"]), (part["y2"], part["b"], part["a"])]
        elif part["y3"]:
            triples = [(part["y3"], str(MONTHS[part["m3"].lower().rstrip(".")]), part["d3"])]
        else:
            triples = [(part["y4"], str(MONTHS[part["m4"].lower().rstrip(".")]), part["d4"])]
        readings = sorted({day for triple in triples if (day := _date(*triple)) is not None})
        if readings:
            yield match.start(), match.end(), readings


def _people_in(text: str) -> set[Person]:
    found: set[Person] = set()
    names = _names_in(text)
    for start, end, readings in dates_in(text):
        if text[end : end + 1] == "T":  # an instant, not a birth date
            continue
        labelled = any(mark.end() <= start and start - mark.end() < 30 for mark in _BIRTH.finditer(text))
        near = [row for row in names if (0 <= start - row[1] <= 60) or (0 <= row[0] - end <= (60 if labelled else 20))]
        if not near:
            continue
        best = min(
            near, key=lambda row: (15 * row[3] + (start - row[1] if row[1] <= start else 100 + row[0] - end), row)
        )
        if labelled or best[3] == 0:
            found |= {Person(best[2], day) for day in readings}
    return found


def _names_in(text: str) -> list[tuple[int, int, str, int]]:
    """(start, end, name, rank): rank 0 after a word such as "name" or in quotes, 1 for other capitalised words."""
    found = []
    for keyword in _KEYWORD.finditer(text):
        run = _SHORT_RUN.match(text, keyword.end())
        if run is not None:
            parts = _trim(run["name"], lower=keyword[1].lower() != "patient")
            found += [(run.start() + at, run.start() + to, name, 0) for at, to, name in parts[:1]]
    for rank, pattern in ((0, _QUOTED), (1, _RUN)):
        for match in pattern.finditer(text):
            parts = _trim(match["name"], lower=False)
            found += [(match.start("name") + at, match.start("name") + to, name, rank) for at, to, name in parts]
    return found


def _trim(run: str, lower: bool) -> list[tuple[int, int, str]]:
    """The parts of a run of words that can be a name: capitalised words and particles, none of them a stop word.

    ``lower`` takes words without a capital too, as far as the first stop word.
    """
    if lower and not any(letter.isupper() for letter in run):
        words = [word.rstrip(",") for word in run.split()]
        stop = next((n for n, word in enumerate(words) if word in _NOT_NAMES), len(words))
        name = " ".join(words[:stop])
        return [(0, len(name), name)] if 2 <= stop <= 4 else []
    parts: list[list[re.Match[str]]] = [[]]
    for word in re.finditer(rf"{_WORD},?", run):
        bare = word.group().rstrip(",")
        if bare.lower() in _NOT_NAMES or not (bare[0].isupper() or re.fullmatch(_PARTICLE, bare)):
            parts.append([])
            continue
        parts[-1].append(word)
    names = []
    for part in parts:
        while part and not part[0].group()[0].isupper() and not re.fullmatch(_PARTICLE, part[0].group()):
            part.pop(0)
        while part and not part[-1].group()[0].isupper():
            part.pop()
        if len(part) >= 2 and any(word.group()[0].isupper() for word in part):
            text = re.sub(r"['’]s$", "", run[part[0].start() : part[-1].end()].rstrip(","))
            names.append((part[0].start(), part[-1].end(), " ".join(text.split())))
    return names


def _values(path: Path, data: bytes) -> Iterator[tuple[int, Any]]:
    if data.lstrip()[:1] == b"[":
        try:
            rows = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise UserError(f"{path} is not JSON ({error}); give a JSON list or JSON lines of tasks.") from None
        yield from enumerate(rows, 1)
        return
    lines = [(number, text) for number, text in enumerate(data.splitlines(), 1) if text.strip()]
    for number, text in lines:
        try:
            yield number, orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise UserError(
                f"{path}, line {number}: not JSON ({error}); give one task per line, or a JSON list."
            ) from None


def _row(path: Path, number: int, value: Any) -> Row:
    where = f"{path}, row {number}"
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: a task is a JSON object, this is {type(value).__name__}; give the benchmark's task format."
        )
    instruction, record, answers = value.get("instruction"), value.get("eval_MRN"), value.get("sol")
    if not isinstance(instruction, str) or not instruction.strip():
        raise UserError(f"{where}: the task has no text in 'instruction'; give the benchmark's task format.")
    context = value.get("context")
    if context is not None and not isinstance(context, str):
        raise UserError(f"{where}: 'context' is {type(context).__name__}; it takes a text.")
    if isinstance(record, bool) or not isinstance(record, str | int | None):
        raise UserError(f"{where}: 'eval_MRN' is {type(record).__name__}; it takes a text.")
    if answers is not None and not isinstance(answers, list):
        answers = [answers]
    return Row(
        number=number,
        id=str(value.get("id", number)),
        instruction=instruction,
        context=context or "",
        record=str(record).strip() or None if record is not None else None,
        answers=tuple(str(answer).strip() for answer in answers or () if isinstance(answer, str | int)),
    )


def _is_identifier(text: str) -> bool:
    """True for one word with at least four digits that is neither a date nor a short number."""
    if re.search(r"\s", text) or len(re.findall(r"\d", text)) < 4 or not re.fullmatch(r"[\w.:/|-]+", text):
        return False
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return text.isdigit() and len(text) >= 6
    return not re.match(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", text)


def _shape(word: str) -> str:
    return re.sub(r"[A-Za-z]", "A", re.sub(r"\d", "9", word))


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
