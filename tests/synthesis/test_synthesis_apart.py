"""Splits that differ in more than their patients: families and wordings that test alone asks."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from synthesis_support import BASE, rows

from fhirtasks.errors import UserError
from fhirtasks.leakage.splits import overlaps
from fhirtasks.release.manifest import manifest_bytes, read_manifest
from fhirtasks.release.verify import verify
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.synthesis.combine import MergeConfig, combine
from fhirtasks.tasks.registry import families
from fhirtasks.tasks.wording import reserved


@pytest.fixture(scope="module")
def apart(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("apart") / "ds"
    options = BASE | {"per_family": 60}
    assert build(BuildConfig(out, graph, **options, test_families=("patient_l*",), test_wordings=True)).complete
    return out


def test_a_family_is_asked_in_test_alone(apart: Path) -> None:
    asked = Counter((row["split"], row["family"]) for row in rows(apart))
    assert asked == {
        ("train", "latest_lab"): 48, ("validation", "latest_lab"): 6, ("train", "record_blood_pressure"): 48,
        ("validation", "record_blood_pressure"): 6, ("test", "patient_lookup"): 6,
    }  # fmt: skip
    assert not [one for one in overlaps(apart, families=True) if one.what == "family" and "test" in one.splits]
    assert read_manifest(apart)["options"]["test_families"] == ["patient_lookup"]
    assert verify(apart).failures == []


def test_wordings_of_test_are_its_own(graph: Path, tmp_path: Path) -> None:
    config = BuildConfig(tmp_path / "ds", graph, **BASE | {"per_family": 60}, test_wordings=True)
    report = build(config)
    assert report.complete and "test has wordings of its own" in report.notes
    shared = overlaps(config.out, wordings=True)
    assert [one.splits for one in shared if one.what == "wording"] == [("train", "validation")]
    assert verify(config.out).failures == []
    plain = build(BuildConfig(tmp_path / "plain", graph, **BASE | {"per_family": 60}))
    assert plain.complete
    assert ("test", "train") in {
        one.splits for one in overlaps(tmp_path / "plain", wordings=True) if one.what == "wording"
    }


def test_verify_finds_a_family_that_is_not_apart(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "ds")
    manifest = read_manifest(tmp_path / "ds")
    manifest["options"] |= {"test_families": ["patient_lookup"], "test_wordings": True}
    (tmp_path / "ds" / "manifest.json").write_bytes(manifest_bytes(manifest))
    problems = " ".join(failure["problem"] for failure in verify(tmp_path / "ds").failures)
    assert "test and train share 3 families by content" in problems
    assert "wordings by content" in problems


def test_the_next_version_keeps_them_apart(apart: Path, graph: Path, tmp_path: Path) -> None:
    options = BASE | {"per_family": 60}
    with pytest.raises(UserError, match="leave --test-families out"):
        build(
            BuildConfig(tmp_path / "a", graph, **options, extend=apart, test_families=("latest*",), test_wordings=True)
        )
    config = BuildConfig(
        tmp_path / "b", graph, **options, extend=apart, test_families=("patient_lookup",), test_wordings=True
    )
    assert build(config).kept == 114
    assert {row["content_hash"] for row in rows(apart)} == {row["content_hash"] for row in rows(config.out)}


def test_a_merge_keeps_apart_what_all_do(apart: Path, base: Path, tmp_path: Path) -> None:
    combine(MergeConfig(tmp_path / "same", (apart, apart)))
    assert read_manifest(tmp_path / "same")["options"]["test_families"] == ["patient_lookup"]
    report = combine(MergeConfig(tmp_path / "other", (apart, base)))
    assert "test_families" not in read_manifest(tmp_path / "other")["options"]
    assert any("keeps none apart" in note for note in report.notes)


@pytest.mark.parametrize(
    ("globs", "says"), [(("nothing*",), "fits none of the families"), (("*",), "none is left to train on")]
)
def test_what_cannot_be_kept_apart_is_refused(globs: tuple[str, ...], says: str, graph: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        build(BuildConfig(tmp_path / "ds", graph, **BASE, test_families=globs))
    assert list(tmp_path.iterdir()) == []


def test_every_family_states_wordings_of_which_a_quarter_is_reserved() -> None:
    for family in families():
        wordings = set(family.wordings)
        assert len(wordings) == len(family.wordings) >= 4, family.name
        mine = reserved(family.wordings)
        assert mine < wordings and len(mine) == max(1, len(wordings) // 4)
        assert mine == reserved(sorted(family.wordings))
