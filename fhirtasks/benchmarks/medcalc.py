"""MedCalc-Bench's table: a patient note, a question for one calculator, the entities it needs and the answer."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Final

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.phrases import identifiers_in, people_in, phones_in
from fhirtasks.benchmarks.shapes import leaves, nested
from fhirtasks.errors import UserError

COLUMNS: Final = frozenset(("Patient Note", "Question", "Ground Truth Answer"))
"""Columns by which the table is known, in all its versions."""


def held_out(source: str, number: int, row: Mapping[str, Any]) -> HeldOut:
    """A note with its entities and answer. The question is its calculator's, the same in every row, and is left out.

    An entity counts as ``name: value unit``. A note's id is an identifier where it names an article (letters and
    digits), not where it only counts. UserError for a row without a note.
    """
    note = str(row.get("Patient Note") or "").strip()
    if not note:
        raise UserError(f"{source}, row {number}: no text in 'Patient Note'; give the benchmark's table as published.")
    about = str(row.get("Note ID") or "").strip()
    named = any(letter.isalpha() for letter in about) and sum(letter.isdigit() for letter in about) >= 4
    answer = row.get("Ground Truth Answer")
    return HeldOut(
        source=source,
        id=str(row.get("Row Number") or number),
        texts=(note,),
        identifiers=tuple(dict.fromkeys([*([about] if named else []), *identifiers_in(note)])),
        people=tuple(people_in(note)),
        phones=tuple(phones_in(note)),
        parameters=tuple(entities(row.get("Relevant Entities"))),
        answer=None if answer is None or str(answer).strip() == "" else str(answer).strip(),
    )


def entities(cell: Any) -> list[str]:
    """The entities of a cell that holds a JSON object or a Python literal: ``{"age": [45, "years"]}`` gives ``age: 45 years``."""
    value = cell
    if isinstance(cell, str):
        value = nested(cell)
        if value is None:
            try:
                value = ast.literal_eval(cell.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                return [cell.strip()] if cell.strip() else []
    if not isinstance(value, Mapping):
        return list(leaves(value))
    found = []
    for name, item in value.items():
        if item is not None:
            text = str(item) if isinstance(item, bool) else " ".join(leaves(item))
            found.append(f"{name}: {text}")
    return found
