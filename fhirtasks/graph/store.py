"""The graph file: its tables, and reading it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import duckdb

from fhirtasks.errors import UserError
from fhirtasks.graph.connection import connect

VERSION = "2"
"""Of the tables below; a graph of another version is loaded anew."""

ORDER = "patient nulls last, type, codes[1] nulls last, date_lo nulls last, id"
"""The order of ``resource``: a patient's chart is one stretch of the file, and the rows are the same whatever the
load order.
"""

COLUMNS = """type varchar, id varchar using compression zstd, patient varchar, codes varchar[], categories varchar[],
    status varchar, date_lo bigint, date_hi bigint, effective varchar, value varchar, unit varchar, source integer,
    raw varchar using compression zstd"""
"""Of ``resource``, as docs/architecture.md explains them."""

NAMES = "type, id, patient, codes, categories, status, date_lo, date_hi, effective, value, unit, source, raw"

SCHEMA = """
create table source (
    source integer, name varchar, licence varchar, origin varchar, real_patients boolean, known varchar, notes varchar);
create table superseded (type varchar, id varchar, source integer, raw varchar using compression zstd);
create table pointer (
    type varchar, id varchar using compression zstd, path varchar, reference varchar, kind varchar, target varchar,
    resolved boolean);
create view edge as
    select type, id, path, reference, kind, nullif(split_part(coalesce(target, reference), '/', 1), '') as target_type,
        nullif(split_part(coalesce(target, reference), '/', 2), '') as target_id, resolved
    from pointer;
create table bundle (hash varchar, type varchar);
create table full_url (bundle varchar, url varchar, type varchar, id varchar);
create table deleted (type varchar, id varchar, version bigint, updated bigint);
create table meta (key varchar, value varchar);
"""
"""``pointer`` keeps what ``edge`` shows: ``target`` is the ``Type/id`` that a reference leads to where it does not
read so itself, and ``/`` where it is not known. ``source.real_patients`` is what the person who loaded said, ``known`` the
key of the collection that ``known`` recognised, ``notes`` names licence and read-me files that lay beside the records.
``bundle``, ``full_url`` and ``deleted`` keep what Bundles said beside their resources: which there were, what an entry
was called, what a history says was deleted.
"""


def open_graph(path: Path | str, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """Opens a graph file. UserError if it is missing, no graph, of another version, or in use by a writer."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; a graph is a file, made with fhirtasks load SOURCE --graph FILE.")
    if not path.is_file():
        raise UserError(f"{path} does not exist; make it with fhirtasks load SOURCE --graph {path}.")
    try:
        db = connect(path, read_only=read_only)
    except duckdb.Error as error:
        if "set lock" in str(error):  # "block" is what DuckDB says of a damaged file
            raise UserError(f"{path} is being written by another program; wait for it, or stop it.") from None
        raise UserError(f"{path} is not a graph: DuckDB cannot open it.") from None
    try:
        found = db.execute("select value from meta where key = 'graph_version'").fetchall()
    except duckdb.Error:
        found = []
    if found != [(VERSION,)]:
        db.close()
        what = (
            f"is a graph of version {found[0][0]}, this is fhirtasks for version {VERSION}"
            if found
            else "is not a graph"
        )
        raise UserError(f"{path} {what}; make one with fhirtasks load SOURCE --graph OTHER.")
    return db


def read(db: duckdb.DuckDBPyConnection, type_: str, id_: str) -> str | None:
    """The JSON text of the current resource, None if there is none."""
    found = db.execute("select raw from resource where id = ? and type = ?", [id_, type_]).fetchall()
    return str(found[0][0]) if found else None


def counts(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Current resources by type, in the order of the types' names."""
    return dict(db.execute("select type, count(*) from resource group by type order by type").fetchall())


def sources(db: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Name, licence, origin, real_patients, known and notes of every source, in the order of ``resource.source``."""
    names = ("name", "licence", "origin", "real_patients", "known", "notes")
    rows = db.execute(f"select {', '.join(names)} from source order by source").fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def fingerprint(db: duckdb.DuckDBPyConnection) -> str:
    """sha256 over the texts of the current resources, then of the superseded ones, in the order of their tables."""
    return meta(db, "fingerprint")


def meta(db: duckdb.DuckDBPyConnection, key: str) -> str:
    """A value of the table ``meta``. KeyError if there is none."""
    found = db.execute("select value from meta where key = ?", [key]).fetchall()
    if not found:
        raise KeyError(key)
    return str(found[0][0])


def unresolved(db: duckdb.DuckDBPyConnection, limit: int | None = None) -> list[dict[str, str]]:
    """References that lead nowhere: type, id, path, reference, kind; in a stated order, at most ``limit``."""
    rows = db.execute(
        "select type, id, path, reference, kind from edge where not resolved order by all"
        + (f" limit {limit}" if limit else "")
    ).fetchall()
    return [dict(zip(("type", "id", "path", "reference", "kind"), row, strict=True)) for row in rows]


def insert(db: duckdb.DuckDBPyConnection, table: str, rows: Collection[Sequence[Any]]) -> None:
    """Adds rows, given in the order of the table's columns, at once (DuckDB's executemany adds one after the other)."""
    if not rows:
        return
    import pyarrow as pa

    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    db.register("rows", pa.Table.from_arrays(columns, names=[f"column_{i}" for i in range(len(columns))]))
    db.execute(f"insert into {table} select * from rows")
    db.unregister("rows")
