"""Loading records into a graph: all or nothing, and the same graph whatever the order.

A load builds a new graph file from the sources and the bodies of the graph that is there, beside it, and puts it in
its place when it is whole; a load that fails or is killed leaves the old graph (or none), and the next one clears
what it left. Loading the same files again, in another order or split over several calls, gives the same rows and the
same fingerprint. Which of several bodies of a resource is current: see ``conflicts``. How references are resolved:
see ``edges``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from fhirtasks.errors import UserError
from fhirtasks.graph import store
from fhirtasks.graph.conflicts import settle
from fhirtasks.graph.connection import connect
from fhirtasks.graph.edges import build_edges, may_name_owners
from fhirtasks.graph.known import recognise
from fhirtasks.graph.server import is_server, server_name
from fhirtasks.graph.stage import Reader, fill
from fhirtasks.graph.texts import Texts

_EXAMPLES = 10
_NAMES = "set search_path = 'graph.main,work.main'"
_ROW_GROUP = 20_480
"""Rows that one thread writes or reads at a time. A sixth of DuckDB's own choice: a small graph keeps all cores busy, and one
patient's chart is found in less."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a graph holds after a load. ``resources`` counts current ids by type, Bundle envelopes apart in
    ``bundles``.

    ``conflicts`` is the number of resources with several bodies, ``superseded`` that of the bodies that are not
    current. ``unresolved_examples`` are the first few unresolved references, ``skipped`` the files that were no
    records.
    """

    resources: dict[str, int]
    bundles: int
    conflicts: int
    superseded: int
    unresolved_references: int
    unresolved_examples: list[dict[str, str]]
    fingerprint: str
    sources: list[dict[str, Any]]
    skipped: list[str]

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


def load(
    sources: Sequence[str],
    graph: Path,
    *,
    licence: str | None = None,
    origin: str | None = None,
    real_patients: bool = False,
    on_conflict: Literal["keep", "error"] = "keep",
    progress: Callable[[str], None] = lambda message: None,
) -> LoadReport:
    """Loads files, folders, archives or servers into ``graph``, adding to what it holds.

    ``licence`` and ``origin`` (None: unknown) and ``real_patients`` are kept with the sources; so is which known
    collection they are (``known``). With ``on_conflict="error"`` a load that
    brings a further body for a resource is refused. UserError for input that cannot be read, naming file, line and
    reason.
    """
    graph = Path(graph)
    if not sources or not all(source.strip() for source in sources):
        raise UserError("There is nothing to load; name at least one file, folder, archive or server.")
    old = graph.exists()
    if old:
        store.open_graph(graph).close()
    with _workplace(graph) as folder:
        made = folder / "graph"
        db = connect()
        try:
            db.execute(f"set temp_directory = {_quoted(folder / 'spill')}")
            db.execute(f"attach {_quoted(made)} as graph (row_group_size {_ROW_GROUP})")
            db.execute("attach ':memory:' as work")
            db.execute(_NAMES)
            given = (licence, origin, real_patients)
            with closing(Texts(folder / "texts")) as texts:
                report = _load(db, texts, sources, graph if old else None, given, on_conflict, progress)
            db.execute("checkpoint graph")
        finally:
            db.close()
        os.replace(made, graph)
    return report


def _load(
    db: duckdb.DuckDBPyConnection,
    texts: Texts,
    sources: Sequence[str],
    old: Path | None,
    given: tuple[str | None, str | None, bool],
    on_conflict: Literal["keep", "error"],
    progress: Callable[[str], None],
) -> LoadReport:
    db.execute(store.SCHEMA)
    if old is not None:
        db.execute(f"attach {_quoted(old)} as old (read_only)")
    reader = Reader(sources, _number_sources(db, sources, old, *given), texts, progress)
    fill(db, reader, old=old is not None)
    logical = reader.logical or (
        old is not None and _one(db, "select count(*) from old.pointer where kind = 'logical'") > 0
    )
    superseded_before = 0 if old is None else _one(db, "select count(*) from old.superseded")
    _keep_beside(db, reader, old)
    if old is not None:
        db.execute("detach old")
    if _one(db, "select count(*) from staging") == 0:
        raise UserError(f"No FHIR resource was found in {', '.join(sources)}; give NDJSON files, Bundles, or a server.")
    progress("looking for conflicts")
    conflicts = settle(db)
    superseded = _one(db, "select count(*) from superseded")
    if on_conflict == "error" and superseded > superseded_before:
        ((type_, id_),) = db.execute("select type, id from superseded order by all limit 1").fetchall()
        raise UserError(
            f"{conflicts} resources have several bodies, {type_}/{id_} for one; load with --on-conflict keep to keep them all, "
            "or leave out the files that repeat them."
        )
    progress("resolving references")
    with ThreadPoolExecutor(1) as beside, db.cursor() as other:  # small loads are one thread's work, step by step
        other.execute(_NAMES)
        if may_name_owners(db):
            build_edges(db, logical=logical)
            _insert(db)
        else:
            edges = beside.submit(build_edges, other, logical=logical)
            _insert(db)
            edges.result()
        for number, key in sorted(recognise(db).items()):
            db.execute("update source set known = ? where source = ?", [key, number])
        db.execute("drop view work.staged; drop table work.staging")
        progress("finishing the graph")
        fingerprinting = beside.submit(_fingerprint, other)
        db.execute("create index resource_id on resource (id)")
        fingerprint = fingerprinting.result()
    db.execute("insert into meta values ('graph_version', ?), ('fingerprint', ?)", [store.VERSION, fingerprint])
    return LoadReport(
        resources=store.counts(db),
        bundles=_one(db, "select count(*) from bundle"),
        conflicts=conflicts,
        superseded=superseded,
        unresolved_references=_one(db, "select count(*) from pointer where not resolved"),
        unresolved_examples=store.unresolved(db, _EXAMPLES),
        fingerprint=fingerprint,
        sources=store.sources(db),
        skipped=sorted(set(reader.skipped)),
    )


def _number_sources(
    db: duckdb.DuckDBPyConnection,
    sources: Sequence[str],
    old: Path | None,
    licence: str | None,
    origin: str | None,
    real_patients: bool,
) -> list[int]:
    """Fills ``source`` with old and new ones; a source's number is its place among all, by name, licence and origin.

    Real patients once are real patients ever.
    """
    names = [server_name(source) if is_server(source) else Path(source).resolve().name for source in sources]
    rows: dict[tuple[Any, ...], bool] = dict.fromkeys(((name, licence, origin) for name in names), real_patients)
    if old is not None:
        for *row, real in db.execute("select name, licence, origin, real_patients from old.source").fetchall():
            rows[tuple(row)] = bool(real) or rows.get(tuple(row), False)
    ordered: list[tuple[Any, ...]] = sorted(rows, key=lambda row: (row[0], row[1] or "", row[2] or ""))
    db.executemany(
        "insert into source values (?, ?, ?, ?, ?, null, null)",
        [(number, *row, rows[row]) for number, row in enumerate(ordered)],
    )
    return [ordered.index((name, licence, origin)) for name in names]


def _keep_beside(db: duckdb.DuckDBPyConnection, reader: Reader, old: Path | None) -> None:
    """Notes, Bundles, fullUrls and deletions: those of the sources and those of the old graph."""
    tables: dict[str, set[tuple[Any, ...]]] = {
        "bundle": reader.bundles,
        "full_url": reader.full_urls,
        "deleted": reader.deleted,
    }
    for table, rows in tables.items():
        store.insert(db, table, sorted(rows, key=repr))
        if old is not None:
            db.execute(f"insert into {table} select * from old.{table} except select * from {table}")
    notes = {number: set(found) for number, found in reader.notes.items()}
    if old is not None:
        for number, text in db.execute("""select new.source, o.notes from old.source o join source new
                on new.name = o.name and new.licence is not distinct from o.licence
                and new.origin is not distinct from o.origin where o.notes is not null""").fetchall():
            notes.setdefault(number, set()).update(text.split(", "))
    for number, found in notes.items():
        if found:
            db.execute("update source set notes = ? where source = ?", [", ".join(sorted(found)), number])


def _insert(db: duckdb.DuckDBPyConnection) -> None:
    """Puts what is staged into ``resource``, in its order. The texts are fetched after the sort, not sorted."""
    db.execute(f"create table resource ({store.COLUMNS})")
    names = store.NAMES.replace("raw", "place")
    db.execute(f"""insert into resource select * exclude (place), text_at(place)
        from (select {names} from staging order by {store.ORDER})""")


def _fingerprint(db: duckdb.DuckDBPyConnection) -> str:
    """sha256 over the texts in table order, which is the same for the same resources; JSON objects end by themselves."""
    digest = hashlib.sha256()
    for query in ("select raw from resource", "select raw from superseded order by type, id, raw"):
        for batch in db.sql(query).to_arrow_reader(10_000):
            column = batch.column(0)
            _, offsets, data = column.buffers()
            if len(column):
                ends = memoryview(offsets).cast("i")
                digest.update(memoryview(data)[ends[column.offset] : ends[column.offset + len(column)]])
        digest.update(b"\n")
    return digest.hexdigest()


def _one(db: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(db.execute(query).fetchall()[0][0])


@contextmanager
def _workplace(graph: Path) -> Iterator[Path]:
    """A folder beside the graph, ours alone while the load runs, gone afterwards; what a killed load left is cleared."""
    folder = graph.absolute().with_name(f".{graph.name}.loading")
    try:
        folder.mkdir(exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{graph} cannot be written ({error.strerror}); choose another place.") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{graph} is being loaded by another process; wait until it is done.") from None
        for leftover in folder.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
