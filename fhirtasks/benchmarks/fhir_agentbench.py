"""FHIR-AgentBench's table of questions: one per row, about one patient of the MIMIC-IV demo."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Final

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.shapes import leaves, nested
from fhirtasks.errors import UserError

COLUMNS: Final = frozenset(("question_id", "question", "true_answer", "patient_fhir_id"))
"""Columns by which the table is known; ``val_dict`` and ``true_fhir_ids`` are read where they are."""

_SHARED_TYPES: Final = frozenset(("Medication", "Location", "Organization", "Practitioner"))
"""Types whose resources many patients' charts refer to, so that their ids identify nobody."""
_EMPTY: Final = ("", "[]", "{}", "no answer", "nan")


def held_out(source: str, number: int, row: Mapping[str, Any]) -> HeldOut:
    """A question with its patient (FHIR id, and record number where the placeholders name it), its facts and its answer.

    Ids of the resources that hold the answer count as the patient's identifiers. UserError for a row without question.
    """
    question, patient = _text(row, "question"), _text(row, "patient_fhir_id")
    if not question:
        raise UserError(f"{source}, row {number}: no text in 'question'; give the benchmark's table as published.")
    values = literal(row.get("val_dict"))
    subjects = _named(values, "patient_id")
    resources = literal(row.get("true_fhir_ids"))
    evidence = [
        one
        for kind, ids in (resources.items() if isinstance(resources, Mapping) else ())
        if kind not in _SHARED_TYPES
        for one in leaves(ids)
    ]
    answer = _text(row, "true_answer")
    return HeldOut(
        source=source,
        id=_text(row, "question_id") or str(number),
        texts=(question,),
        identifiers=tuple(dict.fromkeys(text for text in (patient, *subjects, *evidence) if text)),
        parameters=tuple(dict.fromkeys(text for text in leaves(values) if text)),
        answer=None if answer.strip().lower() in _EMPTY else answer,
    )


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def literal(value: Any) -> Any:
    """A cell that holds JSON or, as printed by Python, a literal; an empty one is no value."""
    if not isinstance(value, str):
        return value
    inner = nested(value)
    if inner is not None:
        return inner
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value or None


def _named(value: Any, name: str) -> list[str]:
    """All scalars under members of that name."""
    if isinstance(value, Mapping):
        own = list(leaves(value[name])) if name in value else []
        return own + [text for key, item in value.items() if key != name for text in _named(item, name)]
    return [text for item in value for text in _named(item, name)] if isinstance(value, list | tuple) else []
