"""The truth about many questions of one family in one SQL statement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import duckdb

from fhirtasks.episodes.code import permitted
from fhirtasks.fhir.dates import instant
from fhirtasks.graph.views import TABLES, views
from fhirtasks.graph.world import World
from fhirtasks.tasks.questions.types import Asked, Question, Truth

_SHARED = frozenset(("drug_name", "organization", "practitioner", "practitioner_role"))
"""Tables that belong to no patient: a truth joins them by itself."""
_EDGES: Final[Mapping[str, str]] = {
    "first": "CASE length({t}) WHEN 4 THEN {t} || '-01-01' WHEN 7 THEN {t} || '-01' ELSE {t} END",
    "last": """CASE length({t}) WHEN 4 THEN {t} || '-12-31T23:59:59'
        WHEN 7 THEN strftime(last_day(({t} || '-01')::DATE), '%Y-%m-%d') || 'T23:59:59' ELSE {t} END""",
}
"""A time without a day as the first and as the last moment that it may mean."""


def truths(
    question: Question,
    asked: Sequence[Asked],
    world: World,
    *,
    hidden: Mapping[str, Collection[str]] | None = None,
    edge: Literal["first", "last"] | None = None,
) -> dict[str, Truth]:
    """Truth by task; ambiguous ones are left out. ``hidden`` (task -> Type/id) is taken to be not there; with ``edge`` a time
    without a day is taken to be the first or the last moment of its month or year."""
    if not asked:
        return {}
    db = views(world)
    _ask(db, asked, hidden or {}, edge)
    rows = db.execute(f"SELECT * FROM ({question.truth}) ORDER BY task")
    names = [column[0] for column in rows.description or ()]
    found = {}
    for row in rows.fetchall():
        told = dict(zip(names, row, strict=True))
        found[told["task"]] = _truth(question, told)
    return found


def _truth(question: Question, told: Mapping[str, Any]) -> Truth:
    value = told["value"]
    branch = told.get("branch") or (
        ("none" if value is None else "found") if question.answer != "boolean" or value is None else str(value)
    )
    reason = (told.get("reason") or question.empty) if value is None else ""
    evidence = tuple(sorted({ref for ref in told.get("evidence") or () if ref is not None}))
    lacks = tuple(told["lacks"] or ()) if "lacks" in told else question.lacks
    return Truth(None if value is None else str(value), told.get("unit") or "", evidence, str(branch), reason, lacks)


def _ask(
    db: duckdb.DuckDBPyConnection, asked: Sequence[Asked], hidden: Mapping[str, Collection[str]], edge: str | None
) -> None:
    """The tables ``asked``, ``scope`` (a row per patient of a task) and ``hidden``, and a view ``seen_<table>`` for every table
    of patients, on this connection."""
    import pyarrow as pa

    slots = pa.array([list(one.slots.items()) for one in asked], pa.map_(pa.string(), pa.string()))
    questions = pa.table({
        "task": pa.array([one.task for one in asked], pa.string()),
        "patient": pa.array([one.patient for one in asked], pa.string()),
        "now": pa.array([instant(one.now) for one in asked], pa.int64()),
        "t_now": pa.array([one.now[:19] for one in asked], pa.string()),
        "slots": slots,
    })  # fmt: skip
    whose = [
        (n, patient) for n, one in enumerate(asked) for patient in permitted({"patient": one.patient, **one.slots})
    ]
    gone = [(task, ref) for task, refs in hidden.items() for ref in refs]
    away = pa.table({
        "task": pa.array([task for task, _ in gone], pa.string()),
        "ref": pa.array([ref for _, ref in gone], pa.string()),
    })  # fmt: skip
    rows = questions.take(pa.array([n for n, _ in whose], pa.int64()))
    scope = rows.set_column(1, "patient", pa.array([patient for _, patient in whose], pa.string()))
    for name, table in (("asked", questions), ("scope", scope), ("hidden", away)):
        db.register("given", table)
        db.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given")
        db.unregister("given")
    for name in _of_patients():
        taken = "" if edge is None else _at(edge, db.execute(f"SELECT * FROM {name} LIMIT 0").description or ())
        db.execute(f"""CREATE OR REPLACE TEMP VIEW seen_{name} AS SELECT a.task, a.t_now, a.slots, v.* {taken} FROM scope a
            JOIN {name} v ON v.patient = a.patient AND (v.available IS NULL OR v.available <= a.now)
            WHERE NOT EXISTS (SELECT 1 FROM hidden h WHERE h.task = a.task AND h.ref = v.ref)""")


def _of_patients() -> Iterable[str]:
    return (name for name in TABLES if name not in _SHARED)


def _at(edge: str, columns: Sequence[tuple[Any, ...]]) -> str:
    """SQL that replaces the times among these columns."""
    names = [column[0] for column in columns if column[0] in ("t", "t_own", "t_end")]
    times = [f"{_EDGES[edge].format(t=f'v.{name}')} AS {name}" for name in names]
    return f"REPLACE ({', '.join(times)})" if times else ""
