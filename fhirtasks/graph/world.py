"""A world: what can be seen in one split. Whole compartments of its patients, plus what they reference, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb


class World:
    """A read-only DuckDB file with a table ``resource`` (see docs/architecture.md) and charts cached in memory.

    ``memo`` is a scratch dict for whoever derives tables from the world (keyed by a tuple that starts with the module's
    name): what is stored there must be a pure function of the world.
    """

    split: str
    fingerprint: str
    db: duckdb.DuckDBPyConnection
    patients: tuple[str, ...]
    memo: dict[Any, Any]
