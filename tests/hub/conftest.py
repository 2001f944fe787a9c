"""A Hub of our own with three users, and two small versions of one release, built once."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_double import HubDouble
from hub_support import ANN, BOB, DATA, READER, Run

import graders
from fhirtasks.population.populate import populate
from fhirtasks.release.diff import Diff, diff
from fhirtasks.release.push import push
from fhirtasks.release.read import tables
from fhirtasks.release.verify import VerifyReport
from fhirtasks.synthesis.build import BuildConfig, build


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small graph."""
    graph = tmp_path_factory.mktemp("records") / "g.duckdb"
    populate(graph, patients=45, seed=51)
    return graph


@pytest.fixture(scope="session")
def versions(records: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two releases of the same records, the second with more rows."""
    folder = tmp_path_factory.mktemp("versions")
    families = ("patient_lookup", "record_blood_pressure")
    for name, rows in (("one", 12), ("two", 16)):
        assert build(BuildConfig(folder / name, graph=records, families=families, per_family=rows, seed=51)).complete
    return folder / "one", folder / "two"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    """Ann, of the clinic, may write and is logged in; a token of hers may only read; Bob has nothing to do with it."""
    import huggingface_hub.constants

    with HubDouble() as double:
        double.user(ANN, "ann", ("clinic",))
        double.user(READER, "ann", ("clinic",), write=False)
        double.user(BOB, "bob")
        settings = {"HF_ENDPOINT": double.endpoint, "HF_TOKEN": ANN, "HF_HOME": str(tmp_path / "hf")}
        for name, value in (*settings.items(), ("HF_HUB_DISABLE_XET", "1"), ("HF_HUB_DISABLE_TELEMETRY", "1")):
            monkeypatch.setenv(name, value)
        # Read at import: set once more for what runs in this process.
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        yield double


_DIFFS: dict[tuple[bytes, bytes, object], Diff] = {}


def _compared(before: Path, after: Path, **options: Any) -> Diff:
    """:func:`diff`, once for the same two releases and the same judge."""
    one, other = ((folder / "manifest.json").read_bytes() for folder in (before, after))
    key = (one, other, graders.grade)
    if key not in _DIFFS:
        _DIFFS[key] = diff(before, after, **options)
    return _DIFFS[key]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification is left out, a comparison is made once, nobody waits between tries: for tests of what comes after."""
    monkeypatch.setattr("fhirtasks.release.preflight.verify", lambda folder, **_: VerifyReport(1, 1))
    monkeypatch.setattr("fhirtasks.release.push.diff", _compared)
    idle = SimpleNamespace(sleep=lambda seconds: None, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr("huggingface_hub.utils._http.time", idle)


@pytest.fixture(scope="session")
def states(versions: tuple[Path, Path]) -> tuple[HubDouble, HubDouble]:
    """Hubs that hold the first version of clinic/data, and both: made once, copied by ``first`` and ``pushed``."""
    with pytest.MonkeyPatch.context() as patch, HubDouble() as double:
        patch.setenv("HF_ENDPOINT", double.endpoint)
        patch.setenv("HF_TOKEN", ANN)
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        patch.setattr("fhirtasks.release.preflight.verify", lambda folder, **_: VerifyReport(1, 1))
        double.user(ANN, "ann", ("clinic",))
        states = []
        for folder, tag in zip(versions, ("v1.0.0", "v1.1.0"), strict=True):
            push(folder, DATA, tag)
            state = HubDouble()
            state.repos, state.lfs = copy.deepcopy(double.repos), dict(double.lfs)
            states.append(state)
        return states[0], states[1]


@pytest.fixture
def first(hub: HubDouble, states: tuple[HubDouble, HubDouble]) -> HubDouble:
    """A Hub with clinic/data at v1.0.0."""
    hub.repos, hub.lfs = copy.deepcopy(states[0].repos), dict(states[0].lfs)
    return hub


@pytest.fixture
def pushed(hub: HubDouble, states: tuple[HubDouble, HubDouble]) -> HubDouble:
    """A Hub with clinic/data at v1.0.0 and v1.1.0."""
    hub.repos, hub.lfs = copy.deepcopy(states[1].repos), dict(states[1].lfs)
    return hub


@pytest.fixture(scope="session")
def mrn(versions: tuple[Path, Path]) -> str:
    """The record number of a patient of the first version."""
    rows = (row for table in tables(versions[0], "sft", "train", 64) for row in table.to_pylist())
    slots = (json.loads(row["task"])["slots"] for row in rows)
    return next(str(slot["mrn"]) for slot in slots if "mrn" in slot)


@pytest.fixture
def command(hub: HubDouble) -> Run:
    """The ``fhirtasks`` command in a process of its own, with the double as its Hub."""

    def run(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        return subprocess.run(
            [sys.executable, "-m", "fhirtasks", *words], env=os.environ, capture_output=True, text=True, check=check
        )

    return run
