"""One small real release for the room's tests; each test that damages it takes a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fhirtasks.synthesis.build import BuildConfig, build


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "ds"
    families = ("patient_lookup", "potassium_replacement", "record_blood_pressure")
    report = build(BuildConfig(folder, patients=45, families=families, per_family=24, seed=51))
    assert report.complete and set(report.splits) == {"train", "validation", "test"}, report
    return folder


@pytest.fixture
def copy(release: Path, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        return Path(shutil.copytree(release, tmp_path / "copy"))

    return make
