"""A question family, what it was asked about, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

AnswerType: TypeAlias = Literal[
    "boolean", "integer", "number", "quantity", "duration", "date", "datetime", "code", "string", "choice", "reference",
    "set", "list", "map", "record",
]  # fmt: skip
Category: TypeAlias = Literal[
    "filtering", "traversal", "temporal", "aggregation", "comparison", "multi_hop", "unanswerable"
]
Reason: TypeAlias = Literal[
    "no_matching_record", "not_recorded", "false_premise", "unknown_subject", "future", "masked", "ambiguous",
    "out_of_scope", "not_permitted",
]  # fmt: skip
"""Why there is no answer: "none" is an answer of its own, never 0, false or an empty set."""


@dataclass(frozen=True, slots=True)
class Question:
    """One family. The SQL runs on the tables of :mod:`fhirtasks.graph.views`.

    ``candidates`` gives ``patient`` and the slots, all VARCHAR, one row per question that could be asked. ``truth`` runs on
    ``asked`` (task, patient, now in µs, t_now as naive text, ``slots`` as MAP) and on ``seen_<table>``, the rows of each
    task's patient, or patients, that are visible at its now (with ``task``, ``t_now``, ``slots``); it gives per task ``value``
    (JSON text; null for none), ``unit``, ``evidence`` (list of Type/id), where not ``empty`` the ``reason`` of a none, and where
    that depends on the question ``lacks`` (list of types). A task that it leaves out is ambiguous, a tie, and is not asked.
    ``branch`` may be given too: else it is ``true`` or ``false`` for booleans, ``found`` or ``none`` for others.

    Two columns of ``candidates`` are no slots: ``owners`` (list of ids), whom the question tells of where that is not
    ``patient`` alone, and ``since`` (µs), after which the present time lies; else it lies after all that is known of the first
    owner. A question whose window (``t_from``) begins after the present time is asked only where its reason is ``future``.

    A question about a cohort has a slot ``patients`` (ids joined with ", "), ``patient`` then being one of them.

    ``wordings`` hold the slots in braces and ``tables`` what a world must have. ``answer_note`` says in the prompt what form
    the answer has. ``hops`` is the plan: the resource types in the order in which they are looked at (``{slot}``: the type that
    the slot names).
    """

    name: str
    code: str
    category: Category
    answer: AnswerType
    tables: tuple[str, ...]
    hops: tuple[str, ...]
    candidates: str
    truth: str
    wordings: tuple[str, ...]
    answer_note: str
    branches: tuple[str, ...]
    empty: Reason = "no_matching_record"
    version: str = "1"
    per_patient: int = 24
    """Candidates looked at for one patient."""
    twins: tuple[tuple[str, ...], ...] = ()
    """Slots whose values must not tell the branches apart: for all values of such slots together, the pool holds as many
    questions of each branch."""
    lacks: tuple[str, ...] = ()
    """Types, besides the first of ``hops``, that may lack what is asked for. Where the answer rests on nothing of such a type, it
    must have been looked at. Where that is so for some questions alone, ``truth`` says for which."""
    needs: str = ""
    """The element that records lack in which a branch has no case."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question put: to which patient, when (ISO 8601 with an offset), with which slots."""

    task: str
    patient: str
    now: str
    slots: dict[str, str]
    owners: tuple[str, ...] = ()
    """The patients of the world whom the question tells of; empty where that is ``patient`` alone, or the cohort."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The answer by SQL. ``value`` is JSON text, None where there is none, for ``reason``; ``evidence`` holds Type/id, ``lacks``
    the types that must have been looked at where ``evidence`` has nothing of them."""

    value: str | None
    unit: str
    evidence: tuple[str, ...]
    branch: str
    reason: str = ""
    lacks: tuple[str, ...] = ()
