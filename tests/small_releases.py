"""Small releases, one per protocol, made once per process from the same embedded patients."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from fhirtasks.population.populate import populate
from fhirtasks.synthesis.build import BuildConfig, build

FAMILIES: Final = {
    "text": ("patient_lookup", "record_blood_pressure"),
    "tools": ("latest_lab", "record_blood_pressure"),
    "code": ("active_conditions",),
}
"""Protocol -> the families of its release."""


@cache
def release(protocol: str) -> Path:
    """A release of eight rows per family."""
    out = _folder() / protocol
    report = build(BuildConfig(out, _graph(), families=FAMILIES[protocol], per_family=8, seed=51, protocol=protocol))  # type: ignore[arg-type]
    assert report.complete
    return out


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fhirtasks-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _graph() -> Path:
    path = _folder() / "g.duckdb"
    populate(path, patients=24, seed=51)
    return path
