"""A world: what can be seen in one split. Whole compartments of its patients, plus what they reference, and nothing
else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from fhirtasks.errors import UserError
from fhirtasks.graph.connection import connect
from fhirtasks.graph.visibility import available_sql

_COLUMNS = (
    ("type", "VARCHAR"), ("id", "VARCHAR"), ("patient", "VARCHAR"), ("codes", "VARCHAR[]"), ("categories", "VARCHAR[]"),
    ("status", "VARCHAR"), ("date_lo", "BIGINT"), ("date_hi", "BIGINT"), ("effective", "VARCHAR"), ("value", "VARCHAR"),
    ("unit", "VARCHAR"),
)  # fmt: skip
"""The graph's columns that a world keeps. ``source`` is the graph's business and null here: a release's charts lack
it."""

_CREATE = f"""CREATE TABLE resource ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS)},
    source INTEGER, raw VARCHAR USING COMPRESSION zstd, available BIGINT)"""

_ORDER = "ORDER BY patient NULLS LAST, type, codes[1] NULLS LAST, date_lo NULLS LAST, id"

_BATCH = 20_000


class World:
    """A read-only DuckDB file with a table ``resource`` (see docs/architecture.md).

    ``split`` and ``fingerprint`` come from the file; ``patients`` are the sorted ids of its Patient resources.
    ``memo`` is a scratch dict for whoever derives tables from the world (keyed by a tuple that starts with the
    module's name): what is stored there must be a pure function of the world. A pickled world travels as its path and
    is reopened.
    """

    split: str
    fingerprint: str
    db: duckdb.DuckDBPyConnection
    patients: tuple[str, ...]
    memo: dict[Any, Any]

    def __init__(self, path: Path, threads: int | None = None) -> None:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise UserError(f"{path} {what}; give a world or graph file.")
        try:
            self.db = connect(path, read_only=True)
            if threads is not None:
                self.db.execute(f"SET threads = {int(threads)}")
            columns = {row[0] for row in self.db.execute("SELECT column_name FROM (DESCRIBE resource)").fetchall()}
            meta = dict(self.db.execute("SELECT key, value FROM meta").fetchall())
        except duckdb.Error as error:
            if "set lock" in str(error):  # "block" is what DuckDB says of a damaged file
                raise UserError(f"{path} is being written by another program; wait for it, or stop it.") from None
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{path} cannot be read as a world or graph ({reason}); make it anew with fhirtasks."
            ) from error
        self.path = path
        self.threads = threads
        self.has_available = "available" in columns
        self.split = str(meta.get("split", ""))
        self.fingerprint = str(meta.get("fingerprint", ""))
        rows = self.db.execute("SELECT id FROM resource WHERE type = 'Patient' ORDER BY id").fetchall()
        self.patients = tuple(row[0] for row in rows)
        self.memo = {}

    @classmethod
    def open(cls, path: Path, threads: int | None = None) -> World:
        """Opens a world file (or a whole graph: then everything is visible). UserError if it is neither."""
        return cls(Path(path), threads)

    def raw(self, type: str, id: str) -> str | None:
        """The JSON text of one resource, whatever its time; None if the world lacks it."""
        row = self.db.execute("SELECT raw FROM resource WHERE id = ? AND type = ?", [id, type]).fetchone()
        return None if row is None else str(row[0])

    def visible_sql(self, now_us: int) -> str:
        """The SQL condition on ``resource`` that holds for what is seen at ``now_us`` (µs since the epoch, UTC)."""
        return f"(available IS NULL OR available <= {int(now_us)})" if self.has_available else "true"

    def close(self) -> None:
        """Closes the file; the world cannot be used after that."""
        self.db.close()

    def __reduce__(self) -> tuple[Any, tuple[Path, int | None]]:
        return World, (self.path, self.threads)


def write_world(graph: Path, patients: Sequence[str], split: str, out: Path) -> None:
    """Writes the world of ``patients`` from a graph: their whole compartments, and the closure of what those reference.

    Resources outside every compartment (Practitioner, Medication …) come along when referenced, directly or through
    each other, unless they point at another patient or into another patient's compartment. ``out`` appears whole or
    not at all; close a World that is open on it first (DuckDB shares what a process has open under one path).
    """
    graph = Path(graph)
    if not graph.is_file():
        raise UserError(f"{graph} does not exist; load records into it first (fhirtasks load … --graph {graph}).")
    with _new_file(Path(out)) as db:
        db.execute(f"ATTACH '{_quoted(graph)}' AS graph (READ_ONLY)")
        _patient_table(db, patients)
        _choose_outside(db)
        names = ", ".join(f"r.{name}" for name, _ in _COLUMNS)
        db.execute(f"""INSERT INTO resource SELECT {names}, NULL, r.raw, {available_sql("r.raw")} FROM graph.resource r
            WHERE r.patient IN (SELECT id FROM wanted)
               OR (r.patient IS NULL AND (r.type, r.id) IN (SELECT (type, id) FROM outside)) {_ORDER}""")
        db.execute("DROP TABLE wanted; DROP TABLE outside; DETACH graph")
        _finish(db, split)


def write_world_from_charts(rows: Iterable[tuple[str, str, str | None, str]], split: str, out: Path) -> None:
    """Writes the same file from a release's charts: rows of (type, id, patient, raw), in any order.

    The ``resource`` rows and the fingerprint equal those of :func:`write_world` for the same resources.
    """
    import pyarrow as pa

    from fhirtasks.graph.columns import columns_query

    schema = pa.schema([("type", pa.string()), ("id", pa.string()), ("patient", pa.string()), ("raw", pa.string())])
    with _new_file(Path(out)) as db:
        db.execute("CREATE TABLE chart (type VARCHAR, id VARCHAR, patient VARCHAR, raw VARCHAR USING COMPRESSION zstd)")
        stream = iter(rows)
        while batch := list(islice(stream, _BATCH)):
            part = pa.Table.from_arrays([pa.array(column) for column in zip(*batch, strict=True)], schema=schema)
            db.register("part", part)
            db.execute("INSERT INTO chart SELECT * FROM part")
            db.unregister("part")
        names = ", ".join(name for name, _ in _COLUMNS)
        db.execute(f"""INSERT INTO resource SELECT {names}, NULL, raw, {available_sql("raw")}
            FROM ({columns_query("chart")}) {_ORDER}""")
        db.execute("DROP TABLE chart")
        _finish(db, split)


def _patient_table(db: duckdb.DuckDBPyConnection, patients: Sequence[str]) -> None:
    """Temporary table ``wanted`` (id). UserError for a patient that the graph lacks."""
    db.execute("CREATE TEMP TABLE wanted AS SELECT DISTINCT unnest(?::VARCHAR[]) AS id", [list(patients)])
    known = "SELECT id FROM graph.resource WHERE type = 'Patient'"
    lacking = db.execute(f"SELECT id FROM wanted WHERE id NOT IN ({known}) ORDER BY id LIMIT 1").fetchone()
    if lacking is not None:
        raise UserError(f"The graph has no Patient {lacking[0]!r}; take ids of its Patient resources.")


def _choose_outside(db: duckdb.DuckDBPyConnection) -> None:
    """Temporary table ``outside`` (type, id): the closure outside compartments, in waves over the graph's edges."""
    # What is outside and points at someone who is not wanted would carry that someone's identity into the world.
    db.execute("""CREATE TEMP TABLE foreign_pointer AS
        SELECT DISTINCT e.type, e.id FROM graph.edge e
        JOIN graph.resource r ON r.type = e.type AND r.id = e.id AND r.patient IS NULL
        LEFT JOIN graph.resource t ON t.type = e.target_type AND t.id = e.target_id
        WHERE coalesce(t.patient, CASE WHEN e.target_type = 'Patient' THEN e.target_id END) NOT IN (SELECT id FROM
        wanted)""")
    db.execute("CREATE TEMP TABLE outside (type VARCHAR, id VARCHAR)")
    sources = "SELECT type, id FROM graph.resource WHERE patient IN (SELECT id FROM wanted)"
    while True:
        db.execute(f"""CREATE OR REPLACE TEMP TABLE wave AS
            SELECT DISTINCT t.type, t.id FROM ({sources}) s
            JOIN graph.edge e ON e.type = s.type AND e.id = s.id
            JOIN graph.resource t ON t.type = e.target_type AND t.id = e.target_id AND t.patient IS NULL
            ANTI JOIN outside o ON o.type = t.type AND o.id = t.id""")
        db.execute("DELETE FROM wave USING foreign_pointer f WHERE f.type = wave.type AND f.id = wave.id")
        db.execute("INSERT INTO outside SELECT * FROM wave")
        if not db.execute("SELECT count(*) FROM wave").fetchone()[0]:  # type: ignore[index, unused-ignore]
            break
        sources = "SELECT type, id FROM wave_before"
        db.execute("CREATE OR REPLACE TEMP TABLE wave_before AS SELECT * FROM wave")
    db.execute("DROP TABLE foreign_pointer; DROP TABLE IF EXISTS wave; DROP TABLE IF EXISTS wave_before")


def _finish(db: duckdb.DuckDBPyConnection, split: str) -> None:
    """Index and meta. The fingerprint is a digest of (type, id, raw), whatever the order of the rows."""
    db.execute("CREATE INDEX resource_id ON resource (id)")
    # In two levels, so that no string grows with the world: sorted row digests by prefix, then the prefixes.
    row = db.execute("""
        WITH digests AS (SELECT sha256(type || chr(10) || id || chr(10) || raw) AS d FROM resource),
        groups AS (SELECT left(d, 3) AS prefix, sha256(string_agg(d, '' ORDER BY d)) AS g FROM digests GROUP BY prefix)
        SELECT sha256(coalesce(string_agg(g, '' ORDER BY prefix), '')) FROM groups""").fetchone()
    assert row is not None
    db.execute("CREATE TABLE meta (key VARCHAR, value VARCHAR)")
    db.execute("INSERT INTO meta VALUES ('split', ?), ('fingerprint', ?)", [split, row[0]])


@contextmanager
def _new_file(out: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB file that becomes ``out`` when all went well and leaves nothing behind otherwise."""
    if not out.parent.is_dir():
        raise UserError(f"The folder {out.parent} does not exist; create it first.")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    try:
        db = connect(partial)
        try:
            db.execute("SET preserve_insertion_order = true")
            db.execute(_CREATE)
            yield db
            db.execute("CHECKPOINT")
        finally:
            db.close()
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
        Path(f"{partial}.wal").unlink(missing_ok=True)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
