"""A push: one commit and a tag, or nothing at all; what is refused, and what is left where something breaks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hub_double import HubDouble
from hub_support import ANN, BOB, DATA, READER, assert_holds, assert_whole, content

from fhirtasks.errors import UserError
from fhirtasks.release.hub import Conflict
from fhirtasks.release.push import push

WRITES = r"^(PUT|DELETE)|^POST .*(create|preupload|batch|commit|tag|branch)"


def test_two_versions(hub: HubDouble, versions: tuple[Path, Path], quick: None) -> None:
    one, two = versions
    first = push(one, DATA, "v1.0.0")
    assert first.previous is None and first.creates and first.ready and hub.repos[DATA].private
    assert_holds(hub.files(DATA, "v1.0.0"), one)
    second = push(two, DATA, "v1.1.0", message="More rows")
    assert second.previous == "v1.0.0" and second.change == "minor" and second.commit == hub.repos[DATA].tags["v1.1.0"]
    assert_holds(hub.files(DATA, "v1.1.0"), two)
    assert_holds(hub.files(DATA, "v1.0.0"), one)
    assert hub.files(DATA) == hub.files(DATA, "v1.1.0")
    assert [commit.title for commit in hub.repos[DATA].history()][:-1] == ["More rows", "v1.0.0: 24 trajectories"]
    history = json.loads(hub.files(DATA)["VERSIONS.json"])
    assert [(row["tag"], row["previous"]) for row in history] == [("v1.0.0", None), ("v1.1.0", "v1.0.0")]
    changelog = hub.files(DATA)["CHANGELOG.md"].decode()
    assert changelog.index("## v1.1.0") < changelog.index("## v1.0.0") and "8 rows added" in changelog


def test_a_dry_run_says_everything_and_touches_nothing(
    hub: HubDouble, versions: tuple[Path, Path], quick: None
) -> None:
    one, two = versions
    planned = push(one, DATA, "v1.0.0", dry_run=True)
    assert planned.creates and planned.commit is None and not hub.repos
    made = push(one, DATA, "v1.0.0")
    assert (planned.upload, planned.delete) == (made.upload, made.delete)
    before = hub.count(WRITES)
    again = push(two, DATA, "v1.1.0", dry_run=True)
    assert again.previous == "v1.0.0" and again.change == "minor"
    assert (
        "sft/train-00000-of-00001.parquet" in again.upload and "charts/train-00000-of-00001.parquet" not in again.upload
    )
    small = push(two, DATA, "v1.0.1", dry_run=True)
    assert not small.ready and [check.name for check in small.checks if not check.passed] == ["version"]
    assert push(one, DATA, "v1.0.5", dry_run=True).upload == {}
    assert hub.count(WRITES) == before and list(hub.repos[DATA].tags) == ["v1.0.0"]


def test_files_that_are_gone_are_deleted_and_what_stays_is_not_sent_again(
    hub: HubDouble, versions: tuple[Path, Path], quick: None
) -> None:
    one, two = versions
    push(two, DATA, "v1.0.0")
    hub.repos[DATA].commit({**hub.repos[DATA].resolve("main").files, "sft/old.parquet": b"x"}, "by hand")  # type: ignore[union-attr]
    sent = hub.count("^PUT")
    report = push(one, DATA, "v2.0.0")
    old, new = content(two), content(one)
    assert report.delete == sorted({"sft/old.parquet", *old} - set(new))
    assert report.unchanged == sum(old.get(name) == data for name, data in new.items()) > 3
    assert any("not v1.0.0 any more" in warning for warning in report.warnings)
    assert hub.count("^PUT") - sent == sum(name.endswith(".parquet") for name in report.upload)
    assert_holds(hub.files(DATA, "v2.0.0"), one)
    assert ".gitattributes" in hub.repos[DATA].resolve("main").files  # type: ignore[union-attr]


def test_the_same_content_under_a_new_tag_makes_no_commit(
    hub: HubDouble, versions: tuple[Path, Path], quick: None
) -> None:
    one, two = versions
    first = push(one, DATA, "v1.0.0")
    second = push(one, DATA, "v1.2.0")
    assert first.commit == second.commit and second.previous == "v1.0.0" and not second.upload
    assert len(hub.repos[DATA].commits) == 2
    with pytest.raises(UserError, match=r"v1\.1\.0 does not come after v1\.2\.0"):
        push(one, DATA, "v1.1.0")
    with pytest.raises(UserError, match=r"too small a step from v1\.2\.0|does not come after v1\.2\.0"):
        push(two, DATA, "v1.2.1")
    assert push(two, DATA, "v1.3.0").previous == "v1.2.0"


def test_a_tag_that_exists_is_refused_before_anything_is_sent(
    hub: HubDouble, versions: tuple[Path, Path], quick: None
) -> None:
    one, two = versions
    push(one, DATA, "v1.0.0")
    before = hub.count(WRITES)
    with pytest.raises(UserError, match=r"has the tag v1\.0\.0 already"):
        push(two, DATA, "v1.0.0")
    for tag in ("1.0.0", "v1", "v1.0", "latest", "v01.0.0", "v1.0.0 ", ""):
        with pytest.raises(UserError, match="no version tag"):
            push(two, DATA, tag)
    assert hub.count(WRITES) == before


@pytest.mark.parametrize("error", [{"status": 500}, {"cut_request": 0}, {"lose_response": True}], ids=str)
def test_a_tag_that_fails_is_set_by_the_same_command(
    hub: HubDouble, versions: tuple[Path, Path], quick: None, error: dict[str, Any]
) -> None:
    one, two = versions
    hub.fault(r"POST .*/tag/", **error)
    with pytest.raises(UserError, match=r"is on main .* run the same command again: it will only tag"):
        push(one, DATA, "v1.0.0")
    if "lose_response" in error:
        assert list(hub.repos[DATA].tags) == ["v1.0.0"]
        return
    # Nobody builds upon a version that has no tag; its own push, or a copy of it, finishes it.
    with pytest.raises(UserError, match=r"holds v1\.0\.0, which is not tagged: .* fhirtasks push COPY"):
        push(two, DATA, "v1.1.0")
    with pytest.raises(UserError, match=r"holds this release as v1\.0\.0, not tagged yet"):
        push(one, DATA, "v1.0.1")
    commits, before = len(hub.repos[DATA].commits), hub.count(r"^PUT|POST .*(preupload|batch|commit)")
    assert push(one, DATA, "v1.0.0").previous is None
    assert len(hub.repos[DATA].commits) == commits
    assert hub.count(r"^PUT|POST .*(preupload|batch|commit)") == before
    assert_holds(hub.files(DATA, "v1.0.0"), one)
    assert push(two, DATA, "v1.1.0").previous == "v1.0.0"


def test_a_tag_that_somebody_else_sets_meanwhile(hub: HubDouble, versions: tuple[Path, Path], quick: None) -> None:
    hub.fault(r"POST .*/tag/", status=409)
    with pytest.raises(Conflict, match=r"is on main .* but somebody else set the tag v1\.0\.0 meanwhile"):
        push(versions[0], DATA, "v1.0.0")
    repo = hub.repos[DATA]
    repo.tags["v1.0.0"] = next(commit.oid for commit in repo.history() if commit.parent is None)
    assert push(versions[0], DATA, "v1.0.1").commit == repo.refs["main"]


@pytest.mark.parametrize(
    ("where", "cut"),
    [(r"POST .*/commit/", 9_000), (r"^PUT /lfs/", 2_000), (r"POST .*objects/batch", 100)]
    + [
        pytest.param(where, cut, marks=pytest.mark.proof)
        for where, cuts in (
            (r"POST .*/commit/", (0, 1, 1_000)),
            (r"^PUT /lfs/", (0, 1)),
            (r"POST .*/preupload/", (100,)),
        )
        for cut in cuts
    ],
)
def test_a_cut_connection_leaves_the_version_before_whole(
    first: HubDouble, versions: tuple[Path, Path], quick: None, where: str, cut: int
) -> None:
    one, two = versions
    hub = first
    before = hub.repos[DATA].refs["main"]
    hub.fault(where, times=1_000, cut_request=cut)
    with pytest.raises(UserError, match="run the same command again"):
        push(two, DATA, "v1.1.0")
    assert hub.repos[DATA].refs["main"] == before and list(hub.repos[DATA].tags) == ["v1.0.0"]
    assert_holds(hub.files(DATA), one)
    hub.faults.clear()
    push(two, DATA, "v1.1.0")
    assert_holds(hub.files(DATA, "v1.1.0"), two)


def test_one_cut_upload_is_sent_again_by_the_client(hub: HubDouble, versions: tuple[Path, Path], quick: None) -> None:
    hub.fault(r"^PUT /lfs/", times=2, cut_request=500)
    push(versions[0], DATA, "v1.0.0")
    assert_holds(hub.files(DATA, "v1.0.0"), versions[0])


def test_a_commit_whose_answer_is_lost_is_found_again(hub: HubDouble, versions: tuple[Path, Path], quick: None) -> None:
    hub.fault(r"POST .*/commit/", lose_response=True)
    with pytest.raises(UserError, match="run the same command again"):
        push(versions[0], DATA, "v1.0.0")
    assert len(hub.repos[DATA].commits) == 2 and not hub.repos[DATA].tags
    push(versions[0], DATA, "v1.0.0")
    assert len(hub.repos[DATA].commits) == 2
    assert_holds(hub.files(DATA, "v1.0.0"), versions[0])


def test_of_two_pushers_at_once_exactly_one_wins(hub: HubDouble, versions: tuple[Path, Path]) -> None:
    one, two = versions
    hub.fault(r"POST .*/commit/", times=2, gate=threading.Barrier(2))
    clients = [
        subprocess.Popen(
            [sys.executable, "-m", "fhirtasks", "push", str(folder), DATA, "--tag", tag],
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder, tag in ((one, "v1.0.0"), (two, "v1.1.0"))
    ]
    done = [(client.communicate(timeout=120), client.returncode) for client in clients]
    assert sorted(code for _, code in done) == [0, 2], done
    ((_, error),) = [streams for streams, code in done if code == 2]
    assert "was changed by somebody else since this push began" in error and "Traceback" not in error
    (tag,) = hub.repos[DATA].tags
    assert_holds(hub.files(DATA, tag), one if tag == "v1.0.0" else two)
    assert hub.files(DATA) == hub.files(DATA, tag)


def test_a_head_that_moves_during_the_push_is_a_conflict(
    hub: HubDouble, versions: tuple[Path, Path], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = versions
    push(one, DATA, "v1.0.0")
    repo = hub.repos[DATA]

    def meanwhile(message: str) -> None:
        if message.startswith("uploading"):
            repo.commit({**repo.commits[repo.refs["main"]].files, "README.md": b"edited"}, "by hand")

    with pytest.raises(Conflict, match="nothing of it was published"):
        push(two, DATA, "v1.1.0", progress=meanwhile)
    assert list(repo.tags) == ["v1.0.0"] and repo.commits[repo.refs["main"]].title == "by hand"
    assert hub.count(r"POST .*/commit/") == 2


@pytest.mark.parametrize(
    ("token", "name", "problem"),
    [
        ("", DATA, "There is no token for the Hub; set HF_TOKEN"),
        ("nobody", DATA, "does not know this token"),
        (READER, DATA, "may not write to clinic/data"),
        (BOB, DATA, "may not write to clinic/data"),
        (BOB, "clinic/open", "may not write to clinic/open"),
        (BOB, "clinic/new", "may not write to clinic/new"),
        (ANN, "data", "is ORG/NAME"),
        (ANN, "a/b/c", "is ORG/NAME"),
        (ANN, "clinic/da ta", "is ORG/NAME"),
    ],
)
def test_who_may_not_is_told_in_one_sentence(
    hub: HubDouble,
    versions: tuple[Path, Path],
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    name: str,
    problem: str,
) -> None:
    hub.repo(DATA, "clinic")
    hub.repo("clinic/open", "clinic", private=False)
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match=problem) as error:
        push(versions[0], name, "v1.0.0", public=name == "clinic/open")
    assert "\n" not in str(error.value)
    assert not any(repo.tags or len(repo.commits) > 1 for repo in hub.repos.values())


def test_a_hub_that_is_not_there(versions: tuple[Path, Path], hub: HubDouble, quick: None, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1 broke off .* check the network and HF_ENDPOINT"):
        push(versions[0], DATA, "v1.0.0")


def test_private_stays_private_and_public_is_said(hub: HubDouble, versions: tuple[Path, Path], quick: None) -> None:
    one, two = versions
    push(one, DATA, "v1.0.0")
    with pytest.raises(UserError, match="clinic/data is private; make it public in its settings"):
        push(two, DATA, "v1.1.0", public=True)
    push(one, "clinic/open", "v1.0.0", public=True)
    assert not hub.repos["clinic/open"].private
    with pytest.raises(UserError, match="clinic/open is public; say --public"):
        push(two, "clinic/open", "v1.1.0")
    push(two, "clinic/open", "v1.1.0", public=True)


def test_what_is_not_ours_is_left_alone(hub: HubDouble, versions: tuple[Path, Path], quick: None) -> None:
    hub.repo(DATA, "clinic", files={"model.bin": b"1"})
    with pytest.raises(UserError, match=r"holds something else than a release \(model\.bin\)"):
        push(versions[0], DATA, "v1.0.0")
    hub.repo("clinic/ignoring", "clinic", files={".gitignore": b"*.json"})
    with pytest.raises(UserError, match=r"has a \.gitignore"):
        push(versions[0], "clinic/ignoring", "v1.0.0")
    hub.repo("clinic/begun", "clinic", files={"README.md": b"# made on the site"})
    push(versions[0], "clinic/begun", "v1.0.0")
    assert_holds(hub.files("clinic/begun", "v1.0.0"), versions[0])


def test_a_folder_that_changes_while_it_is_pushed_is_not_tagged_and_can_be_replaced(
    hub: HubDouble, versions: tuple[Path, Path], quick: None, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(versions[0], tmp_path / "copy"))

    def meanwhile(message: str) -> None:
        if message.startswith("uploading"):
            (copy / "README.md").write_text("# another card\n")

    with pytest.raises(UserError, match="does not hold the release as its manifest says"):
        push(copy, DATA, "v1.0.0", progress=meanwhile)
    assert not hub.repos[DATA].tags
    push(versions[0], DATA, "v1.0.0")
    assert_holds(hub.files(DATA, "v1.0.0"), versions[0])
    assert_whole(hub.files(DATA))
