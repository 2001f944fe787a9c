"""Connections to DuckDB, the same wherever they are made."""

from __future__ import annotations

from pathlib import Path

import duckdb


def connect(path: Path | str = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection to a file, or to a database of its own in memory. ``duckdb.Error`` where the file cannot be opened.

    It draws no progress bar: DuckDB would, onto stdout, wherever it takes the process for an interactive one, as in a
    worker process or a notebook.
    """
    db = duckdb.connect(str(path), read_only=read_only)
    db.execute("SET enable_progress_bar = false")
    return db
