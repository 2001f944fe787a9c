"""What counts as a leak is chosen by a file, and the release says by which rules it was filtered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhirtasks.errors import UserError
from fhirtasks.leakage.policy import Policy
from fhirtasks.synthesis.build import BuildConfig, build

TASKS = [{"id": "a_1", "instruction": "How old is Q7654321 in years?", "eval_MRN": "Q7654321", "sol": [63]}]


def config(tmp_path: Path, out: str, **more: Path) -> BuildConfig:
    held = tmp_path / "tasks.json"
    held.write_text(json.dumps(TASKS))
    return BuildConfig(tmp_path / out, patients=40, families=("patient_age",), per_family=12, holdouts=(held,), **more)


def test_the_policy_in_force_stands_in_the_manifest(tmp_path: Path) -> None:
    rules = tmp_path / "policy.json"
    rules.write_text('{"phone": {"decides": false}}')
    manifests = []
    for number, more in enumerate(({}, {"policy": rules})):
        build(config(tmp_path, str(number), **more))
        manifests.append(json.loads((tmp_path / str(number) / "manifest.json").read_text()))
    assert manifests[0]["policy"] == Policy.default().as_json()
    assert manifests[1]["policy"]["phone"] == {"decides": False, "digits": 7}
    assert manifests[0]["options"]["policy"] != manifests[1]["options"]["policy"]
    assert manifests[1]["holdouts"]["items"]["identifiers"] == 1


def test_a_policy_without_holdouts_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "policy.json"
    rules.write_text("{}")
    with pytest.raises(UserError, match="--policy says what counts"):
        build(BuildConfig(tmp_path / "out", policy=rules))
