"""A pull: a version whole in its folder, or no folder; what is damaged or gone is said, what was fetched is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_double import HubDouble
from hub_support import BOB, DATA, Run, assert_whole, content

from fhirtasks.errors import UserError
from fhirtasks.release.pull import pull
from fhirtasks.release.push import push


def damage(hub: HubDouble, **files: bytes | None) -> None:
    """A commit by hand upon main; a name's dots and slashes are written as _dot_ and _in_."""
    now = dict(hub.repos[DATA].commits[hub.repos[DATA].refs["main"]].files)
    for name, data in files.items():
        path = name.replace("_dot_", ".").replace("_in_", "/")
        if data is None:
            del now[path]
        else:
            now[path] = data
    hub.repos[DATA].commit(now, "by hand")


def test_a_tag_and_main_as_a_user_pulls_them(
    pushed: HubDouble, versions: tuple[Path, Path], command: Run, tmp_path: Path
) -> None:
    report = json.loads(command("pull", DATA, "--tag", "v1.0.0", "--out", tmp_path / "one", "--json").stdout)
    assert report["commit"] == pushed.repos[DATA].tags["v1.0.0"] and report["kept"] == 24
    assert "every hash as its manifest says" in command("pull", DATA, "--out", tmp_path / "sub" / "two").stdout
    for name, folder in (("one", versions[0]), ("sub/two", versions[1])):
        found = content(tmp_path / name)
        assert_whole(found)
        assert {path: data for path, data in found.items() if path in content(folder)} == content(folder)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_what_is_not_there(pushed: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"has no tag v9\.0\.0; it has v1\.0\.0, v1\.1\.0"):
        pull(DATA, tmp_path / "a", tag="v9.0.0")
    with pytest.raises(UserError, match=r"There is no dataset clinic/nothing .* that you may see"):
        pull("clinic/nothing", tmp_path / "a")
    pushed.repo("clinic/other", "clinic", files={"README.md": b"# hello"})
    with pytest.raises(UserError, match=r"clinic/other main holds no release"):
        pull("clinic/other", tmp_path / "a")
    for token in (BOB, ""):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(UserError, match="There is no dataset clinic/data"):
            pull(DATA, tmp_path / "a")
    pushed.repos[DATA].private = False
    assert pull(DATA, tmp_path / "a").kept == 32
    with pytest.raises(UserError, match="is there already"):
        pull(DATA, tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("README_dot_md", b"# another\n", r"README\.md has not the sha256"),
        ("README_dot_md", None, r"README\.md is missing"),
        ("extra_dot_jsonl", b"{}", r"extra\.jsonl is not in the manifest"),
        ("manifest_dot_json", b"{}", r"no release's manifest"),
        ("manifest_dot_json", None, r"holds no release"),
        ("VERSIONS_dot_json", b"[]", r"manifest\.json is not the one that VERSIONS\.json records"),
        ("VERSIONS_dot_json", b"{", r"VERSIONS\.json of clinic/data main is damaged"),
        ("sft_in_train-00000-of-00001_dot_parquet", b"PAR1", r"sft/train-00000-of-00001\.parquet has not the sha256"),
        ("notes_in_x", b"1", r"notes/x is not in the manifest"),
    ],
)
def test_what_is_damaged_does_not_appear(
    pushed: HubDouble, tmp_path: Path, name: str, data: bytes | None, problem: str
) -> None:
    damage(pushed, **{name: data})
    for _ in range(2):
        with pytest.raises(UserError, match=problem):
            pull(DATA, tmp_path / "a")
        assert not (tmp_path / "a").exists()
    assert pull(DATA, tmp_path / "a", tag="v1.1.0").kept == 32


def test_a_name_that_leads_out_of_the_folder_is_refused(pushed: HubDouble, tmp_path: Path) -> None:
    for name in ("../x.json", "sft/../../x", "/etc/x", "a\\..\\x"):
        pushed.repos[DATA].commit(
            {**pushed.repos[DATA].commits[pushed.repos[DATA].tags["v1.1.0"]].files, name: b"1"}, "bad"
        )
        with pytest.raises(UserError, match="leads out of its folder"):
            pull(DATA, tmp_path / "in" / "a")
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("cut", [0, 1, 100, 20_000])
def test_a_cut_download_goes_on_where_it_stopped(
    pushed: HubDouble, versions: tuple[Path, Path], tmp_path: Path, cut: int
) -> None:
    fault = pushed.fault(r"GET .*/resolve/.*/charts/train", times=1_000, cut_response=cut)
    with pytest.raises(UserError, match="run the same command again"):
        pull(DATA, tmp_path / "a", tag="v1.1.0")
    assert not (tmp_path / "a").exists()
    fault.times = 0
    before = pushed.count(r"GET .*/resolve/")
    pull(DATA, tmp_path / "a", tag="v1.1.0")
    assert pushed.count(r"GET .*/resolve/") - before < len(pushed.files(DATA))
    assert {name: data for name, data in content(tmp_path / "a").items() if name in content(versions[1])} == content(
        versions[1]
    )


def test_what_another_version_left_is_cleared(pushed: HubDouble, versions: tuple[Path, Path], tmp_path: Path) -> None:
    left = tmp_path / ".a.pulling"
    (left / "sft").mkdir(parents=True)
    (left / "sft" / "old.parquet").write_bytes(b"old")
    (left / "README.md").write_bytes(b"cut of")
    pull(DATA, tmp_path / "a", tag="v1.0.0")
    assert_whole(content(tmp_path / "a"))


def test_a_place_that_cannot_be_written(pushed: HubDouble, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        pull(DATA, tmp_path / "file" / "a")


def test_what_was_pulled_can_be_pushed(
    pushed: HubDouble, versions: tuple[Path, Path], quick: None, tmp_path: Path
) -> None:
    """The copy holds the history and the changelog; they are written anew where it goes."""
    pull(DATA, tmp_path / "a", tag="v1.1.0")
    assert push(tmp_path / "a", "ann/mirror", "v1.0.0").previous is None
    assert_whole(pushed.files("ann/mirror", "v1.0.0"))
    assert [row["tag"] for row in json.loads(pushed.files("ann/mirror")["VERSIONS.json"])] == ["v1.0.0"]
