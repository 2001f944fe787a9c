"""Several releases become one: every row stands on the united charts, and nobody gets nearer to training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from synthesis_support import BASE, SPLITS, contents, patients, rewrite, rows

from fhirtasks.errors import UserError
from fhirtasks.population.populate import populate
from fhirtasks.release.manifest import manifest_bytes, read_manifest
from fhirtasks.release.verify import verify
from fhirtasks.release.writer import sha256_of
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.synthesis.combine import MergeConfig, combine
from fhirtasks.synthesis.journal import journal_of


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of other patients."""
    folder = tmp_path_factory.mktemp("other")
    populate(folder / "g.duckdb", patients=40, seed=8)
    options: dict[str, Any] = {"families": ("patient_lookup",), "per_family": 24, "seed": 8}
    assert build(BuildConfig(folder / "ds", folder / "g.duckdb", **options)).complete
    return folder / "ds"


@pytest.fixture(scope="module")
def resplit(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the same patients, split otherwise."""
    out = tmp_path_factory.mktemp("resplit") / "ds"
    build(BuildConfig(out, graph, **BASE | {"seed": 9, "families": ("latest_lab", "patient_age")}))
    return out


def test_a_release_with_itself_is_itself(base: Path, tmp_path: Path) -> None:
    spoken = Path(shutil.copytree(base, tmp_path / "spoken"))
    manifest = read_manifest(spoken)
    manifest["options"]["protocol"] = "tools"
    (spoken / "manifest.json").write_bytes(manifest_bytes(manifest))
    with pytest.raises(UserError, match=r"different protocols \(text, tools\)"):
        combine(MergeConfig(tmp_path / "ds", (base, spoken)))
    copy = Path(shutil.copytree(base, tmp_path / "copy"))
    report = combine(MergeConfig(tmp_path / "ds", (base, copy)))
    assert report.kept == 72 and report.dropped == {} and report.notes == []
    for config in ("sft", "rl", "charts", "preference"):
        for split in SPLITS:
            assert rows(tmp_path / "ds", config, split) == rows(base, config, split)


def test_two_become_one_in_their_order(base: Path, other: Path, tmp_path: Path) -> None:
    out = tmp_path / "ds"
    report = combine(MergeConfig(out, (base, other)))
    assert report.kept == 96 and verify(out).failures == []
    manifest = read_manifest(out)
    assert manifest["options"]["merge"] == [sha256_of(folder / "manifest.json") for folder in (base, other)]
    names = [source["name"] for source in manifest["sources"]]
    assert sorted(names) == ["population-seed-51.ndjson", "population-seed-8.ndjson"]
    for split in SPLITS:
        assert rows(out, split=split) == [*rows(base, split=split), *rows(other, split=split)]
        assert patients(out, split) == patients(base, split) | patients(other, split)
    branches = {name: read_manifest(base)["families"]["patient_lookup"]["branches"][name] for name in ("found",)}
    assert manifest["families"]["patient_lookup"]["branches"]["found"]["kept"] == 2 * branches["found"]["kept"]
    combine(MergeConfig(tmp_path / "two", (base, other), workers=2))
    assert contents(tmp_path / "two") == contents(out)
    assert combine(MergeConfig(out, (base, other))) == report
    with pytest.raises(UserError, match="another build"):
        combine(MergeConfig(out, (other, base)))
    # A merge can be gone on from.
    more = build(BuildConfig(tmp_path / "more", extend=out, per_family=24, seed=1))
    assert more.kept == 96 and verify(tmp_path / "more").failures == []


def test_a_patient_that_is_tested_on_is_trained_on_nowhere(base: Path, resplit: Path, tmp_path: Path) -> None:
    out = tmp_path / "ds"
    report = combine(MergeConfig(out, (base, resplit)))
    assert verify(out).failures == []
    for folder in (base, resplit):
        assert patients(folder, "test") <= patients(out, "test")
        assert not patients(folder, "validation") & patients(out, "train")
    moved = patients(base, "train") & (patients(resplit, "test") | patients(resplit, "validation"))
    assert moved and any("stand in different splits" in note for note in report.notes)
    train = json.dumps([rows(out, "charts", "train"), rows(out, "sft", "train")])
    assert not any(f"Patient/{patient}" in train for patient in moved)
    assert set(report.dropped) <= {"merge: patient not in the split", "merge: replay differs", "merge: duplicate"}
    total = report.kept + sum(report.dropped.values())
    assert report.dropped["merge: patient not in the split"] and total == len(rows(base)) + len(rows(resplit))


def test_shared_rows_stand_once_and_ids_are_not_shared(base: Path, tmp_path: Path) -> None:
    larger = tmp_path / "larger"
    more = build(BuildConfig(larger, extend=base, per_family=30, seed=51)).kept
    report = combine(MergeConfig(tmp_path / "ds", (base, larger)))
    assert report.kept == more >= 90 and report.dropped == {} and "72 rows stand in several" in report.notes[0]
    assert rows(tmp_path / "ds") != [] and verify(tmp_path / "ds").failures == []
    forged = Path(shutil.copytree(base, tmp_path / "forged"))

    def swap(listed: list[dict[str, Any]]) -> None:
        # Two wordings change places under each other's ids: everything replays, but the ids are taken.
        for row in listed:
            task = json.loads(row["task"])
            task["difficulty"] = '{"forged":1}'
            row["task"] = json.dumps(task, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    rewrite(forged, "sft", "test", swap)
    report = combine(MergeConfig(tmp_path / "taken", (base, forged)))
    assert report.kept == 72 and report.dropped == {"merge: duplicate": len(rows(base, split="test"))}


def test_different_bodies_of_a_resource_follow_the_graphs_rule(base: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(base, tmp_path / "changed"))
    newer: dict[str, str] = {}

    def edit(listed: list[dict[str, Any]]) -> None:
        row = next(row for row in listed if row["type"] == "Encounter")
        body = json.loads(row["raw"])
        body["meta"] = {"versionId": "99"}
        newer[row["id"]] = row["raw"] = json.dumps(body, separators=(",", ":"))

    rewrite(changed, "charts", "train", edit)
    found = []
    for order in ((base, changed), (changed, base)):
        out = tmp_path / f"ds-{order[0].name}"
        report = combine(MergeConfig(out, order))
        assert "1 resources have different bodies" in report.notes[-1]
        raws = {row["id"]: row["raw"] for row in rows(out, "charts", "train")}
        assert all(raws[id_] == raw for id_, raw in newer.items())
        found.append(sorted(map(str, rows(out))))
    assert found[0] == found[1] and verify(out).failures == []  # the order of arguments decides the rows' order alone


def test_holdouts_are_kept_out_of_a_merge(base: Path, other: Path, tmp_path: Path) -> None:
    mrn = next(slots["mrn"] for row in rows(base) if (slots := json.loads(row["task"])["slots"]).get("mrn"))
    held = [{"id": "task2_1", "instruction": "x", "context": "", "eval_MRN": mrn}]
    (tmp_path / "held.json").write_text(json.dumps(held))
    report = combine(MergeConfig(tmp_path / "ds", (base, other), (tmp_path / "held.json",)))
    assert report.kept < 96 and read_manifest(tmp_path / "ds")["options"]["holdouts"]
    assert mrn not in json.dumps([rows(tmp_path / "ds", config) for config in ("sft", "charts")])
    assert verify(tmp_path / "ds").failures == []


def test_what_is_no_release_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give two or more"):
        combine(MergeConfig(tmp_path / "ds", (base,)))
    with pytest.raises(UserError, match=r"has no manifest\.json"):
        combine(MergeConfig(tmp_path / "ds", (base, tmp_path)))
    copy = Path(shutil.copytree(base, tmp_path / "copy"))
    with pytest.raises(UserError, match="which would be damaged"):
        combine(MergeConfig(copy / "ds", (base, copy)))
    assert contents(copy) == contents(base)
    broken = Path(shutil.copytree(base, tmp_path / "broken"))
    next((broken / "sft").glob("test-*")).unlink()
    with pytest.raises(UserError, match="is missing; take a whole copy"):
        combine(MergeConfig(tmp_path / "ds", (base, broken)))
    assert not (tmp_path / "ds").exists() and not journal_of(tmp_path / "ds").exists()
