"""One small release per mode, built by the command itself, for every test of this folder."""

from __future__ import annotations

import pytest
from end_to_end_support import Release, build


@pytest.fixture(scope="session")
def clinical(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return build(tmp_path_factory.mktemp("clinical") / "ds", "--patients", 120, "--per-family", 60)


@pytest.fixture(scope="session")
def compat(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("compat") / "ds"
    return build(folder, "--patients", 120, "--per-family", 40, "--mode", "compat")
