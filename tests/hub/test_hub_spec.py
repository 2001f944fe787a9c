"""A dataset on the Hub as an environment: its tag is pulled once and serves every process after that."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_double import HubDouble
from hub_support import DATA

from fhirtasks.environments.source import folder_of
from fhirtasks.environments.spec import FhirSpec
from fhirtasks.errors import UserError


def test_a_tag_is_pulled_once_and_played(pushed: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = FhirSpec(DATA, revision="v1.0.0")
    assert spec.folder == tmp_path / "cache" / "fhirtasks" / DATA / pushed.repos[DATA].tags["v1.0.0"]
    task = spec.tasks[0]
    assert spec.source.open(task.id).prompt == spec.train_dataset[0]["prompt"][0]["content"]
    monkeypatch.setattr("fhirtasks.release.pull.pull", lambda *_, **__: pytest.fail("it is there already"))
    assert folder_of(DATA, "v1.0.0") == spec.folder
    with pytest.raises(UserError, match=r"has no tag v9\.0\.0"):
        FhirSpec(DATA, revision="v9.0.0")
