"""Collections that are known by their own marks, whatever a person said of them when loading: MIMIC-IV on FHIR, Synthea.

``known_sources.json`` holds the marks (parts of URLs that stand in a collection's records), what is true of the collection,
and where that is said. The demo of MIMIC-IV is told from the full collection by its hundred patients: the table has the
beginnings of the sha256 of their identifiers. A graph with any other patient of MIMIC-IV holds more than the demo.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import duckdb
import msgspec

MIMIC, DEMO = "mimic-iv-fhir", "mimic-iv-fhir-demo"
_TABLE = Path(__file__).with_name("known_sources.json")
_DIGITS = 12
"""Hexadecimal digits of an identifier's sha256 in the table."""


class Known(msgspec.Struct, frozen=True):
    """A known collection. ``licence`` is an SPDX name, None where such records come under licences of their own."""

    title: str
    markers: tuple[str, ...]
    licence: str | None
    real_patients: bool
    origin: str
    citation: str
    source: str
    patients: tuple[str, ...] = ()


@cache
def known_sources() -> dict[str, Known]:
    """The table, by key, the strictest first."""
    return msgspec.json.decode(_TABLE.read_bytes(), type=dict[str, Known])


def known_sql(raw: str) -> str:
    """SQL: the key of the known collection that a resource's text has the mark of, the strictest; null if of none."""
    marks = [(marker, key) for key, known in known_sources().items() for marker in known.markers]
    return "case " + " ".join(f"when contains({raw}, '{marker}') then '{key}'" for marker, key in marks) + " end"


def recognise(db: duckdb.DuckDBPyConnection) -> dict[int, str]:
    """Source number -> key of the known collection its current resources belong to; the strictest where several do.

    Reads ``staging``, whose column ``known`` is that of :func:`known_sql`, and the patients of ``resource``.
    """
    marked = set(db.execute("select distinct source, known from staging where known is not null").fetchall())
    found: dict[int, str] = {}
    for key in known_sources():
        for number, known in sorted(marked):
            if known == key:
                found.setdefault(number, key)
    if MIMIC in found.values() and _only_demo(db):
        found = {number: DEMO if key == MIMIC else key for number, key in found.items()}
    return found


def _only_demo(db: duckdb.DuckDBPyConnection) -> bool:
    """Whether there are patients of MIMIC-IV in a graph, all of them the demo's."""
    (marker,) = known_sources()[MIMIC].markers
    demo = frozenset(known_sources()[DEMO].patients)
    query = f"select raw from resource where type = 'Patient' and contains(raw, ?) limit {len(demo) + 1}"
    rows = db.execute(query, [marker]).fetchall()
    return bool(rows) and all(demo & _digests(raw, marker) for (raw,) in rows)


def _digests(patient: str, marker: str) -> set[str]:
    """Of the identifiers that MIMIC-IV gave a patient."""
    named = json.loads(patient).get("identifier")
    return {
        hashlib.sha256(str(one.get("value")).encode()).hexdigest()[:_DIGITS]
        for one in (named if isinstance(named, list) else [])
        if isinstance(one, dict) and marker in str(one.get("system"))
    }
