"""A release as its users meet it: data teams build and verify, modelers load, auditors check."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from end_to_end_support import Release, build, command

from fhirtasks.release.verify import verify

pytestmark = pytest.mark.xdist_group("release")

FLOORS = ("do-nothing", "never-read", "constant")
CONFIGS = ("sft", "sft_turns", "rl", "charts", "dropped")


def load(release: Release, config: str, split: str = "train") -> Any:
    import datasets

    # datasets keeps what it read by the folder's name: another release called the same would be taken for it
    cache = str(release.folder.parent / "cache")
    return datasets.load_dataset(str(release.folder), config, split=split, cache_dir=cache)


@pytest.mark.parametrize("mode", ["clinical", "compat"])
def test_every_branch_meets_its_quota(mode: str, request: pytest.FixtureRequest) -> None:
    release: Release = request.getfixturevalue(mode)
    assert release.report["families"]
    for name, family in release.report["families"].items():
        for branch, row in family["branches"].items():
            assert row["kept"] >= 0.8 * row["quota"], (name, branch, row)
            assert row["native"] + row["overlaid"] == row["kept"], (name, branch, row)
    assert release.report["kept"] == sum(
        row["kept"] for family in release.report["families"].values() for row in family["branches"].values()
    )


@pytest.mark.parametrize("mode", ["clinical", "compat"])
def test_a_copy_verifies_without_its_graph(mode: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    release: Release = request.getfixturevalue(mode)
    copy = tmp_path / "copy"
    shutil.copytree(release.folder, copy)
    run = command("verify", copy, "--json", cwd=tmp_path)
    report = json.loads(run.stdout)
    assert run.returncode == 0, report["failures"][:5]
    assert report["rows"] == report["verified"] == release.report["kept"]


def test_load_dataset_opens_every_config(clinical: Release, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    import datasets

    rows = {config: datasets.load_dataset(str(clinical.folder), config, cache_dir=str(tmp_path)) for config in CONFIGS}
    for config in CONFIGS:
        assert set(rows[config]) == {"train", "validation", "test"}, config
    counted = sum(len(split) for split in rows["sft"].values())
    assert counted == sum(len(split) for split in rows["rl"].values()) == clinical.report["kept"]
    dropped = [row for split in rows["dropped"].values() for row in split if row["reason"] != "none"]
    assert len(dropped) == sum(clinical.report["dropped"].values())
    assert len(rows["sft_turns"]["train"]) > len(rows["sft"]["train"])
    assert len(rows["charts"]["train"]) > 0


def test_the_prompt_shows_every_slot_and_never_the_resource_id(clinical: Release) -> None:
    for row in load(clinical, "sft"):
        task = json.loads(row["task"])
        prompt = row["messages"][0]["content"]
        for slot, value in task["slots"].items():
            assert value in prompt, (row["family"], slot, value)
        for patient in task["patients"]:
            assert patient not in prompt, row["family"]


def test_the_expert_succeeds_and_the_floors_do_not(clinical: Release) -> None:
    policies = [word for name in ("expert", *FLOORS) for word in ("--policy", name)]
    run = command("evaluate", "--tasks", clinical.folder, *policies, "--json")
    assert run.returncode == 0, run.stderr[-2000:]
    report = json.loads(run.stdout)
    for name, family in report["families"].items():
        assert family["passed"] == family["n"], (name, family)
    for policy in FLOORS:
        for name, family in report["policies"][policy]["families"].items():
            assert family["passed"] <= 0.05 * family["n"], (policy, name, family)


def test_half_of_the_conditional_rows_are_native(clinical: Release) -> None:
    kinds = {row["family"]: row["kind"] for row in load(clinical, "sft")}
    rows = [
        row
        for name, family in clinical.report["families"].items()
        if kinds[name] == "conditional"
        for row in family["branches"].values()
    ]
    assert sum(row["native"] for row in rows) >= 0.5 * sum(row["kept"] for row in rows)


def test_one_row_per_family_is_a_release_too(tmp_path: Path) -> None:
    release = build(tmp_path / "ds", "--patients", 40, "--per-family", 1)
    assert release.report["kept"] == len(release.report["families"])
    run = command("verify", release.folder)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("member", ["files", "splits", "families", "row_sets", "dropped", "kept", "graph", "notes"])
def test_a_manifest_that_lacks_a_member_is_named(member: str, clinical: Release, tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    manifest = json.loads((clinical.folder / "manifest.json").read_text(encoding="utf-8"))
    for wrong in (None, 7.5):
        manifest[member] = wrong
        (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        assert [failure["file"] for failure in verify(tmp_path).failures] == ["manifest.json"]
