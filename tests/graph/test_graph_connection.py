"""Connections to DuckDB draw nothing onto stdout, in whatever kind of process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTING = "SELECT current_setting('enable_progress_bar')"


def test_a_process_without_a_script_draws_no_progress_bar() -> None:
    """DuckDB takes it for an interactive one, as it does a worker."""
    script = (
        f"import duckdb; from fhirtasks.graph.connection import connect; sql = {SETTING!r}; db = connect(); "
        "print([one.execute(sql).fetchone()[0] for one in (duckdb.connect(), db, db.cursor())])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[True, False, False]"


def test_every_connection_is_made_there() -> None:
    folders = ("fhirtasks", "solvers", "graders", "train")
    makers = [
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "duckdb.connect(" in path.read_text()
    ]
    assert makers == ["fhirtasks/graph/connection.py"]
