"""A tag says how great a change is: the smallest right one is named, smaller ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_altering import alter, manifest, reseal

from fhirtasks.errors import UserError
from fhirtasks.release.diff import Diff, diff
from fhirtasks.release.versioning import FIRST, LEVELS, Level, check_tag, classify, next_tag, numbers

Version = tuple[int, int, int]
versions = st.tuples(*[st.integers(0, 30)] * 3)


def text(version: Version) -> str:
    return "v" + ".".join(map(str, version))


@pytest.fixture(scope="session")
def differences(release: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Level, Diff]:
    """A difference of each level."""
    import shutil

    place = tmp_path_factory.mktemp("levels")

    def changed(level: Level, change: Callable[[Path], object]) -> Diff:
        folder = Path(shutil.copytree(release, place / level))
        change(folder)
        found = diff(release, folder)
        assert classify(found).level == level
        return found

    return {
        "none": changed("none", lambda folder: None),
        "patch": changed("patch", lambda folder: ((folder / "README.md").write_text("other"), reseal(folder))),
        "minor": changed("minor", lambda folder: alter(folder, "sft", lambda rows: rows[1:])),
        "major": changed(
            "major", lambda folder: manifest(folder, lambda found: found["options"].update(mode="compat"))
        ),
    }


@given(previous=versions, tag=versions, level=st.sampled_from(LEVELS))
def test_a_tag_is_right_if_it_is_not_before_the_smallest_right_one(
    differences: dict[Level, Diff], previous: Version, tag: Version, level: Level
) -> None:
    problem = check_tag(text(previous), text(tag), differences[level])
    if level == "none":
        assert problem is not None and "nothing to tag" in problem
        return
    smallest = next_tag(text(previous), level)
    assert check_tag(text(previous), smallest, differences[level]) is None
    # By its place in the order of versions, and nothing else.
    assert (problem is None) == (tag >= numbers(smallest))
    if problem is not None:
        assert smallest in problem and problem.endswith(".") and "\n" not in problem


@given(previous=versions)
def test_steps_are_in_order(previous: Version) -> None:
    tags = [numbers(next_tag(text(previous), level)) for level in LEVELS]
    assert tags == sorted(set(tags)) and tags[0] == previous


@pytest.mark.parametrize(
    "tag", ["1.0.0", "v1.0", "v1.0.0.0", "v01.0.0", "v1.0.0-rc1", "main", "", "v1.0.٣", "v1.0.0\n", "V1.0.0"]
)
def test_what_is_no_version_is_refused(tag: str, differences: dict[Level, Diff]) -> None:
    for previous in (None, "v1.0.0"):
        problem = check_tag(previous, tag, differences["minor"])
        assert problem is not None and FIRST in problem
    with pytest.raises(UserError):
        check_tag(tag, "v9.0.0", differences["minor"])


def test_any_version_may_be_the_first() -> None:
    assert next_tag(None, "none") == FIRST
    for tag in (FIRST, "v0.1.0", "v7.0.3"):
        assert check_tag(None, tag, None) is None
