"""A later version keeps what stands, to the byte, and makes what is missing; patients never change sides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthesis_support import SPLITS, contents, patients, rewrite, rows

from fhirtasks.errors import UserError
from fhirtasks.population.populate import populate
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.verify import verify
from fhirtasks.release.writer import sha256_of
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.synthesis.extend import defaults
from fhirtasks.synthesis.plan import LEAST_PATIENTS, split_patients

SAME = {"per_family": 24, "seed": 51}


def test_where_nothing_changed_the_rows_are_the_same(base: Path, tmp_path: Path) -> None:
    report = build(BuildConfig(tmp_path / "ds", extend=base, **SAME))
    assert report.kept == 72 and report.dropped == {}
    for config in ("sft", "sft_turns", "rl", "preference", "privileged", "charts", "dropped"):
        for split in SPLITS:
            assert rows(tmp_path / "ds", config, split) == rows(base, config, split)
    manifest = read_manifest(tmp_path / "ds")
    assert manifest["row_sets"] == read_manifest(base)["row_sets"]
    assert [one["manifest"] for one in manifest["lineage"]] == [sha256_of(base / "manifest.json")]
    assert manifest["options"]["extend"] == sha256_of(base / "manifest.json")


def test_more_of_everything_keeps_what_there_was(base: Path, graph: Path, tmp_path: Path) -> None:
    larger = tmp_path / "larger.duckdb"
    shutil.copy(graph, larger)
    populate(larger, patients=70, seed=51)
    options: dict[str, Any] = {"families": ("patient_age", "latest_lab"), "per_family": 40, "seed": 51}
    out = tmp_path / "ds"
    assert build(BuildConfig(out, larger, extend=base, **options)).complete
    assert verify(out).failures == []
    old = {row["id"] for row in rows(base)}
    gone = sum(read_manifest(out)["dropped"].values())
    for split in SPLITS:
        before, after = rows(base, split=split), rows(out, split=split)
        stands = [row for row in after if row["id"] in old]
        assert after[: len(stands)] == stands  # first, in their order, to the byte
        assert [row for row in before if row in stands] == stands
        assert patients(base, split) <= patients(out, split)
        assert {json.loads(row["provenance"])["world"] for row in stands} == {
            read_manifest(base)["splits"][split]["world"]
        }
    kept = {row["id"] for row in rows(out)}
    assert len(old - kept) == gone and set(read_manifest(out)["dropped"]) <= {"extend: replay differs"}
    families = read_manifest(out)["families"]
    for family, quota in {
        "patient_age": 40,
        "latest_lab": 40,
        "patient_lookup": 24,
        "record_blood_pressure": 24,
    }.items():
        branches = families[family]["branches"].values()
        assert sum(row["quota"] for row in branches) == quota and sum(row["kept"] for row in branches) >= quota - gone
    # On two processes, and once more from the charts alone.
    build(BuildConfig(tmp_path / "two", larger, extend=base, workers=2, **options))
    assert contents(tmp_path / "two") == contents(out)
    again = build(BuildConfig(tmp_path / "again", extend=out, **SAME))
    assert again.kept == len(kept) and len(read_manifest(tmp_path / "again")["lineage"]) == 2
    assert rows(tmp_path / "again") == rows(out)


def test_rows_that_no_longer_stand_are_dropped_and_made_good(base: Path, graph: Path, tmp_path: Path) -> None:
    task = json.loads(
        next(row for row in rows(base, split="train") if json.loads(row["task"])["slots"].get("mrn"))["task"]
    )
    held = [{"id": "task2_1", "instruction": "x", "context": "", "eval_MRN": task["slots"]["mrn"]}]
    (tmp_path / "held.json").write_text(json.dumps(held))
    other = tmp_path / "other.duckdb"
    shutil.copy(graph, other)
    read = next(
        row for row in rows(base, split="train") if row["family"] == "latest_lab" and row["branch"] == "present"
    )
    patient = json.loads(read["task"])["patients"][0]
    with duckdb.connect(str(other)) as db:
        db.execute("DELETE FROM resource WHERE type = 'Observation' AND patient = ?", [patient])
    out = tmp_path / "ds"
    report = build(BuildConfig(out, other, extend=base, holdouts=(tmp_path / "held.json",), **SAME))
    assert report.complete and verify(out).failures == []
    assert "extend: replay differs" in report.dropped
    reasons = ("extend: replay differs", "extend: patient not in the split", "holdout", "duplicate", "graded: ")
    assert all(reason.startswith(reasons) for reason in report.dropped)
    assert read["id"] not in {row["id"] for row in rows(out)}
    listed = {row["content_hash"]: row["reason"] for row in rows(out, "dropped")}
    assert listed[read["content_hash"]] == "extend: replay differs"
    assert task["slots"]["mrn"] not in json.dumps(rows(out)) and report.kept == 72
    with pytest.raises(UserError, match="built with holdouts: give them again"):
        build(BuildConfig(tmp_path / "next", extend=out, **SAME))


def test_who_is_held_out_leaves_the_charts_too(base: Path, tmp_path: Path) -> None:
    mrn = next(slots["mrn"] for row in rows(base) if (slots := json.loads(row["task"])["slots"]).get("mrn"))
    held = [{"id": "task2_1", "instruction": "x", "context": "", "eval_MRN": mrn}]
    (tmp_path / "held.json").write_text(json.dumps(held))
    report = build(BuildConfig(tmp_path / "ds", extend=base, holdouts=(tmp_path / "held.json",), **SAME))
    assert "1 patients are held out" in report.notes and report.complete
    assert mrn not in json.dumps([rows(tmp_path / "ds", config) for config in ("sft", "charts")])
    assert verify(tmp_path / "ds").failures == []


def test_a_forged_release_gives_no_row_that_is_not_right(base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "forged"))

    def forge(listed: list[dict[str, Any]]) -> None:
        listed[0]["verdict"] = "{}"  # is written anew
        listed[1]["messages"][-1]["content"] = "FINISH([])"  # the replay tells
        listed[2]["content_hash"] = "0" * 64
        listed[3]["provenance"] = '{"graph":"x"}'
        listed[4]["family"] = "patient_age"
        listed[5]["task"] = "{"

    rewrite(folder, "sft", "train", forge)
    out = tmp_path / "ds"
    report = build(BuildConfig(out, extend=folder, **SAME))
    assert verify(out).failures == []
    assert report.dropped == {"extend: replay differs": 2, "extend: columns disagree": 3}
    assert rows(out)[0] == rows(base)[0]
    (folder / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"README.md has not the sha256 .*; take a whole copy"):
        build(BuildConfig(tmp_path / "other", extend=folder, **SAME))


def test_what_does_not_go_together_is_refused(base: Path, tmp_path: Path) -> None:
    refused: dict[str, dict[str, Any]] = {
        "is of the mode clinical": {"mode": "compat"},
        "has no manifest.json": {"extend": tmp_path},
        "have none of the patients": {"patients": 30, "seed": 3},
    }
    for reason, options in refused.items():
        with pytest.raises(UserError, match=reason):
            build(BuildConfig(tmp_path / "ds", **{"extend": base, **SAME, **options}))
    assert list(tmp_path.iterdir()) == []


def test_options_come_from_the_release(base: Path, tmp_path: Path) -> None:
    usual = {"mode": "clinical", "test_families": [], "test_wordings": False, "difficulty": {}}
    assert defaults(None) == usual | {"per_family": 240, "seed": 0, "protocol": None}
    assert defaults(base) == usual | {"per_family": 24, "seed": 51, "protocol": "text"}


@given(st.dictionaries(st.integers(0, 300).map(str), st.sampled_from(["", *SPLITS]), max_size=120), st.integers(0, 9))
def test_fixed_patients_stay_where_they_are(known: dict[str, str], seed: int) -> None:
    fixed = {patient: split for patient, split in known.items() if split}
    splits = split_patients(known, seed, fixed)
    where = {patient: split for split, members in splits.items() for patient in members}
    assert len(where) == sum(map(len, splits.values()))
    for patient, split in fixed.items():
        assert where.get(patient, split) == split
    lost = [patient for patient in known if patient not in where]
    assert all(fixed.get(patient) in ("validation", "test") for patient in lost)
    assert all(not splits[split] or len(splits[split]) >= LEAST_PATIENTS for split in ("validation", "test"))
    if not fixed:
        assert splits == split_patients(known, seed)
