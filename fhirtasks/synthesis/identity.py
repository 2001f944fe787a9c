"""What decides a release's bytes: options, inputs and code, and nothing of the machine."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import graders
import solvers
from fhirtasks import __version__
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.release.features import FORMAT
from fhirtasks.synthesis.config import BuildConfig
from fhirtasks.tasks.types import Family

_LIBRARIES = ("duckdb", "faker", "pyarrow")
"""Other people's code that shapes records or files."""


def versions() -> dict[str, Any]:
    """Versions of everything that shapes the bytes; ``code`` is a digest of our own sources."""
    return {"fhirtasks": __version__, "code": code(), "format": FORMAT} | {name: version(name) for name in _LIBRARIES}


@cache
def code() -> str:
    """sha256 over the sources and tables of fhirtasks, solvers, graders and cards: other code is another build."""
    digest = hashlib.sha256()
    own = Path(__file__).parents[1]
    for root in (own, own.parent / "cards", Path(graders.__path__[0]), Path(solvers.__path__[0])):
        for path in sorted(root.rglob("*")):
            if path.suffix in (".py", ".json", ".md", ".sql") and path.is_file():
                name = path.relative_to(root.parent).as_posix()
                digest.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def options(config: BuildConfig, families: tuple[Family, ...], holdouts: Holdouts | None) -> dict[str, Any]:
    """The options that decide the bytes, inputs by their digests: no path, no worker count."""
    return {
        "families": {family.name: family.version for family in families},
        "holdouts": None if holdouts is None else holdouts.digest,
        "mode": config.mode,
        "per_family": config.per_family,
        "population": None if config.graph is not None else {"patients": config.patients, "seed": config.seed},
        "protocol": config.protocol,
        "seed": config.seed,
        "tokenizer": None if config.tokenizer is None else _digest(config.tokenizer),
    }


def _digest(path: Path) -> str:
    """sha256 of a file, or of ``tokenizer.json`` in a folder."""
    return hashlib.sha256((path / "tokenizer.json" if path.is_dir() else path).read_bytes()).hexdigest()
