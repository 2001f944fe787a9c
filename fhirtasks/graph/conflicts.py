"""One resource, several bodies: which is current. The rule looks at the bodies alone, so the order of loading cannot
matter.

Bodies that are equal as JSON, up to the order of keys, with numbers compared by their text, are one body; of its
texts the first in byte order is kept. Of several bodies the current one has the highest ``meta.versionId`` (as a
number; none counts lowest), then the latest ``meta.lastUpdated`` (none counts lowest), then the greatest sha256 of
its canonical text. The others are superseded. Where a history says that a resource was deleted later than its newest
body, none is current.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import duckdb

from fhirtasks.fhir.dates import instant
from fhirtasks.graph.bundles import LONGEST_VERSION
from fhirtasks.graph.store import insert

_NUMBER = "\0number\0"
"""Stands before a number's text while a body is a Python value."""

_NUMBERS = re.compile(r'"\\u0000number\\u0000([^"]*)"')


@dataclass(frozen=True, slots=True)
class Body:
    """One body: a text, its canonical digest and what its meta says (-1 if it says nothing); ``updated`` in epoch µs."""

    text: str
    digest: str
    version: int
    updated: int


def read_body(text: str) -> Body:
    """What the rule needs to know of a resource's text."""
    value = json.loads(text, parse_float=_numbered, parse_int=_numbered)
    about = value.get("meta") if isinstance(value, dict) else None
    about = about if isinstance(about, dict) else {}
    version = str(about.get("versionId", "")).removeprefix(_NUMBER)
    try:
        updated = instant(str(about.get("lastUpdated", "")))
    except ValueError:
        updated = -1
    canonical = _NUMBERS.sub(r"\1", json.dumps(value, sort_keys=True, separators=(",", ":")))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    numbered = version.isascii() and version.isdigit() and len(version) <= LONGEST_VERSION
    return Body(text, digest, int(version) if numbered else -1, updated)


def rank(bodies: Iterable[Body]) -> list[Body]:
    """The different bodies, the current one first; of equal ones the text that is first in byte order."""
    different: dict[str, Body] = {}
    for body in sorted(bodies, key=lambda body: body.text, reverse=True):
        different[body.digest] = body
    return sorted(different.values(), key=lambda body: (body.version, body.updated, body.digest), reverse=True)


def _numbered(text: str) -> str:
    return _NUMBER + text


def settle(db: duckdb.DuckDBPyConnection) -> int:
    """Leaves one row per resource in ``staging``, its current body, and puts the others into ``superseded``.

    A body that several sources hold belongs to the first of them. Gives the number of resources with several bodies.
    """
    db.execute("""create temp table twin as
        select type, id from staging group by all having count(*) > 1
        union select type, id from deleted where (type, id) in (select (type, id) from staging)""")
    if not _any(db, "twin"):
        return 0
    db.execute("""create temp table body as
        select type, id, raw, min(place) as seq, min(source) as source
        from staged semi join twin using (type, id) group by type, id, raw""")
    db.execute("""create temp table several as
        select type, id from body group by all having count(*) > 1
        union select type, id from twin semi join deleted using (type, id)""")
    db.execute("""create temp table kept as
        select seq, source from body anti join several using (type, id)""")
    conflicts = _settle_several(db)
    db.execute("""create temp table dropped as
        select s.place as seq from staging s semi join twin using (type, id) anti join kept on s.place = kept.seq""")
    db.execute(
        "update staging set source = kept.source from kept where place = kept.seq and staging.source <> kept.source"
    )
    db.execute("delete from staging using dropped where place = dropped.seq")
    return conflicts


def _settle_several(db: duckdb.DuckDBPyConnection) -> int:
    deletions: dict[tuple[str, str], tuple[int, int]] = {}
    for type_, id_, version, updated in db.execute("select type, id, version, updated from deleted").fetchall():
        deletions[type_, id_] = max(deletions.get((type_, id_), (-1, -1)), (version, updated))
    rows = db.execute(
        "select type, id, raw, seq, source from body semi join several using (type, id) order by type, id"
    )
    kept: list[tuple[int, int]] = []
    superseded: list[tuple[str, str, int, str]] = []
    conflicts = 0
    for (type_, id_), group in groupby(iter(rows.fetchone, None), key=lambda row: (row[0], row[1])):
        members = [(read_body(raw), seq, source) for _, _, raw, seq, source in group]
        seqs = {body.text: seq for body, seq, _ in members}
        ranked = rank(body for body, _, _ in members)
        conflicts += len(ranked) > 1
        gone = deletions.get((type_, id_), (-1, -1)) > (ranked[0].version, ranked[0].updated)
        for number, body in enumerate(ranked):
            source = min(source for other, _, source in members if other.digest == body.digest)
            if number == 0 and not gone:
                kept.append((seqs[body.text], source))
            else:
                superseded.append((type_, id_, source, body.text))
    insert(db, "kept", kept)
    insert(db, "superseded", sorted(superseded))
    return conflicts


def _any(db: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(db.execute(f"select 1 from {table} limit 1").fetchall())
