"""What shapes the bytes of a release besides its options and records: our own sources and other people's libraries."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import graders
import solvers
from fhirtasks import __version__
from fhirtasks.release.features import FORMAT

LIBRARIES: Final = ("duckdb", "faker", "matplotlib", "pyarrow")
"""Other people's code that shapes records, files or figures."""
_KINDS = (".py", ".json", ".md", ".sql", ".html", ".css", ".js")


def versions() -> dict[str, Any]:
    """Versions of everything that shapes the bytes; ``code`` is a digest of our own sources."""
    return {"fhirtasks": __version__, "code": code(), "format": FORMAT} | {name: version(name) for name in LIBRARIES}


@cache
def code() -> str:
    """sha256 over the sources, tables and templates of fhirtasks, solvers, graders and cards: other code is another build."""
    digest = hashlib.sha256()
    own = Path(__file__).parents[1]
    for root in (own, own.parent / "cards", Path(graders.__path__[0]), Path(solvers.__path__[0])):
        for path in sorted(root.rglob("*")):
            if path.suffix in _KINDS and path.is_file():
                name = path.relative_to(root.parent).as_posix()
                digest.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
