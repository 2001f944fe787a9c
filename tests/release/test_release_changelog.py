"""CHANGELOG.md: one entry per version, newest first, made from the releases."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from release_altering import alter, dropped, reseal

from fhirtasks.release.changelog import changelog
from fhirtasks.release.diff import diff


def titles(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, flags=re.MULTILINE)


def test_entries_come_newest_first_and_old_ones_stay_as_they_are(release: Path, copy: Callable[[], Path]) -> None:
    first = changelog(None, release, "v1.0.0", "2026-11-01", "")
    assert titles(first) == ["v1.0.0 (2026-11-01)"]
    assert "72 rows" in first and "`potassium_replacement`" in first
    folder = copy()
    alter(folder, "sft", lambda rows: rows[1:])
    second = changelog(release, folder, "v1.1.0", "2026-11-02", first)
    assert titles(second) == ["v1.1.0 (2026-11-02): minor", "v1.0.0 (2026-11-01)"]
    assert second.endswith(first.partition("\n## ")[2])
    again = changelog(release, folder, "v1.1.0", "2026-11-03", second)
    assert titles(again) == ["v1.1.0 (2026-11-03): minor", "v1.0.0 (2026-11-01)"]
    assert again == changelog(release, folder, "v1.1.0", "2026-11-03", first, diff(release, folder))


def test_an_entry_says_what_left_and_why(release: Path, copy: Callable[[], Path]) -> None:
    folder = copy()
    taken = []
    alter(folder, "sft", lambda rows: taken.append(rows.pop(2)))
    alter(folder, "dropped", lambda rows: [dropped(taken[0], "holdout")])
    text = changelog(release, folder, "v2.0.0", "2026-11-02", "")
    assert titles(text) == ["v2.0.0 (2026-11-02): major"]
    assert "- **major**: 1 row removed: dropped: holdout\n" in text
    assert "71 rows, 72 before: 0 added, 1 removed, 0 changed, 71 the same." in text
    assert f"removed {taken[0]['id']} of {taken[0]['family']}/{taken[0]['branch']}: dropped: holdout" in text


def test_tables_are_markdown(release: Path, copy: Callable[[], Path]) -> None:
    folder = copy()
    alter(folder, "sft", lambda rows: rows[:10])
    lines = [
        line for line in changelog(release, folder, "v1.1.0", "2026-11-02", "").splitlines() if line.startswith("|")
    ]
    assert len({(len(line), line.count("|")) for line in lines}) == 1
    assert re.fullmatch(r"\|-+\|-+\|(-+:\|){4}", lines[1])
    left = sum(int(line.split("|")[6]) for line in lines[2:])
    kept = len([line for line in lines if line]) - 2
    assert kept >= 3 and 0 < left <= 72


@given(
    st.lists(st.sampled_from(["## ", "v1.0.0 ", "v0.9.0", "\n", "# Changes", "|", "\u2028"])).map("".join) | st.text()
)
def test_whatever_stood_there_before_does_not_break_it(release: Path, before: str) -> None:
    text = changelog(None, release, "v1.0.0", "2026-11-01", before)
    assert titles(text)[0] == "v1.0.0 (2026-11-01)"
    assert before.partition("## ")[0].strip() in text
    again = titles(changelog(None, release, "v1.0.0", "2026-11-01", text))
    assert sum(title.startswith("v1.0.0 ") for title in again) == 1


def test_a_patch_has_no_rows_to_tell_of(release: Path, copy: Callable[[], Path]) -> None:
    folder = copy()
    (folder / "README.md").write_text("another card")
    reseal(folder)
    text = changelog(release, folder, "v1.0.1", "2026-11-02", "")
    assert titles(text) == ["v1.0.1 (2026-11-02): patch"]
    assert "0 added, 0 removed, 0 changed, 72 the same" in text and "###" not in text
