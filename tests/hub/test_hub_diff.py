"""Two tags are compared as two folders are; a push grades again what left since the tag before."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_double import HubDouble

import graders
from fhirtasks.errors import UserError
from fhirtasks.release.push import push
from fhirtasks.tasks.types import Check, Verdict

DATA = "clinic/data"


def test_tags_are_compared_as_folders_are(
    hub: HubDouble, versions: tuple[Path, Path], quick: None, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    one, two = versions
    push(one, DATA, "v1.0.0")
    push(two, DATA, "v1.1.0")
    reports = [
        json.loads(command("diff", before, after, "--json").stdout)
        for before, after in ((one, two), (f"{DATA}@v1.0.0", f"{DATA}@v1.1.0"), (one, f"{DATA}@v1.1.0"))
    ]
    assert reports[0]["change"] == "minor" and reports[0]["rows"]["added"]["count"] == 8
    assert reports[0] == reports[1] == reports[2]


def test_a_push_grades_again_what_left(
    hub: HubDouble, versions: tuple[Path, Path], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = versions
    push(two, DATA, "v1.0.0")
    judge = graders.grade

    def stricter(*arguments: Any) -> Verdict:
        return Verdict.of([*judge(*arguments).checks, Check("evidence", False, "not read")])

    monkeypatch.setattr(graders, "grade", stricter)
    with pytest.raises(UserError, match=r"8 rows removed: no longer verifies: graded: evidence.* is v2\.0\.0"):
        push(one, DATA, "v1.1.0")
    assert push(one, DATA, "v2.0.0").change == "major"
