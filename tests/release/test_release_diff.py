"""What changed between two releases is counted and named, and why each row left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from release_altering import Rows, alter, columns, dropped, manifest, reseal, said, shard

import graders
from fhirtasks.errors import UserError
from fhirtasks.release.diff import Diff, diff
from fhirtasks.release.diff_reasons import UNKNOWN
from fhirtasks.release.versioning import classify
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.tasks.types import Check, Verdict

FAMILIES = ("patient_lookup", "potassium_replacement", "record_blood_pressure")


@pytest.fixture(scope="session")
def builds(release: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The room's release and builds that differ from it in one option."""
    place = tmp_path_factory.mktemp("builds")
    options: dict[str, dict[str, Any]] = {
        "more rows": {"per_family": 36},
        "more patients": {"patients": 48},
        "another seed": {"seed": 52},
        "another mode": {"mode": "compat"},
        "fewer families": {"families": FAMILIES[:2]},
        "more families": {"families": (*FAMILIES, "referral_order")},
    }
    made = {"release": release}
    for name, changed in options.items():
        config = {"patients": 45, "families": FAMILIES, "per_family": 24, "seed": 51} | changed
        assert build(BuildConfig(place / name, **config)).complete
        made[name] = place / name
    return made


def test_a_release_does_not_differ_from_itself(release: Path, copy: Callable[[], Path]) -> None:
    for other in (release, copy()):
        found = diff(release, other)
        assert found.identical
        assert classify(found).level == "none" and classify(found).findings == ()
        rows = found.rows
        assert rows["unchanged"] == rows["before"] == rows["after"] == 72
        assert [rows[name]["count"] for name in ("added", "removed", "changed")] == [0, 0, 0]


@pytest.mark.parametrize("one", ["release", pytest.param("more patients", marks=pytest.mark.proof)])
@pytest.mark.parametrize(
    "other", ["more rows", "more patients", "another seed", "another mode", "fewer families", "more families"]
)
def test_the_way_back_mirrors_the_way_there(builds: dict[str, Path], one: str, other: str) -> None:
    there, back = diff(builds[one], builds[other]), diff(builds[other], builds[one])
    assert there.before == back.after and there.after == back.before
    rows = there.rows
    for name, opposite in (("added", "removed"), ("removed", "added"), ("changed", "changed")):
        assert rows[name]["count"] == back.rows[opposite]["count"]
    assert rows["added"]["branches"] == back.rows["removed"]["branches"]
    assert rows["changed"]["what"] == back.rows["changed"]["what"]
    assert rows["before"] == rows["unchanged"] + rows["changed"]["count"] + rows["removed"]["count"]
    assert rows["after"] == rows["unchanged"] + rows["changed"]["count"] + rows["added"]["count"]
    assert sum(rows["removed"]["reasons"].values()) == rows["removed"]["count"]
    assert rows["removed"]["reasons"].keys().isdisjoint({UNKNOWN})
    assert {name: pair[::-1] for name, pair in there.options.items()} == back.options
    assert there.patients["added"] == back.patients["removed"]
    assert there.families["added"] == back.families["removed"]


def test_builds_say_why_rows_left(builds: dict[str, Path]) -> None:
    def reasons(other: str, **more: Any) -> dict[str, int]:
        found: dict[str, int] = diff(builds["release"], builds[other], **more).rows["removed"]["reasons"]
        return found

    assert list(reasons("more patients")) == ["the records changed, and another case was drawn in its place"]
    # What is asked for with another seed is drawn for other patients: theirs is the harder reason, if they are gone.
    assert set(reasons("another seed")) <= {"its patient is in no world", "the build's seed 51 is now 52"} | {
        f"its patient moved to {split}" for split in ("train", "validation", "test")
    }
    assert reasons("another mode") == {"mode clinical is now compat": 72}
    assert reasons("fewer families") == {"its family is no longer built": 24}
    assert reasons("more families") == {}
    assert diff(builds["release"], builds["more families"]).families["added"] == ["referral_order"]


def test_a_row_that_was_drawn_anew_names_its_successor(builds: dict[str, Path]) -> None:
    found = diff(builds["release"], builds["more patients"])
    added = {row["id"] for row in found.rows["added"]["rows"]}
    assert found.rows["removed"]["rows"] and all(row["by"] in added for row in found.rows["removed"]["rows"])


def without(number: int) -> Callable[[Path], dict[str, Any]]:
    """Takes one row of train out and returns it."""

    def take(folder: Path) -> dict[str, Any]:
        taken: Rows = []
        alter(folder, "sft", lambda rows: taken.append(rows.pop(number)))
        return taken[0]

    return take


def and_dropped(reason: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        row = without(3)(folder)
        alter(folder, "dropped", lambda rows: [*rows, dropped(row, reason)])

    return change


def patient_gone(folder: Path) -> None:
    (patient,) = json.loads(without(row_with_patient(folder))(folder)["task"])["patients"]
    alter(folder, "charts", lambda rows: [row for row in rows if row["patient"] != patient])


def patient_moved(folder: Path) -> None:
    (patient,) = json.loads(without(row_with_patient(folder))(folder)["task"])["patients"]
    moved: Rows = []

    def take(rows: Rows) -> Rows:
        moved.extend(row for row in rows if row["patient"] == patient)
        return [row for row in rows if row["patient"] != patient]

    alter(folder, "charts", take)
    alter(folder, "charts", lambda rows: [*rows, *({**row, "split": "test"} for row in moved)], "test")


def record_changed(folder: Path) -> None:
    (patient,) = json.loads(without(row_with_patient(folder))(folder)["task"])["patients"]

    def change(rows: Rows) -> None:
        next(row for row in rows if row["patient"] == patient and row["type"] == "Encounter")["raw"] += " "

    alter(folder, "charts", change)


def record_added(folder: Path) -> None:
    (patient,) = json.loads(without(row_with_patient(folder))(folder)["task"])["patients"]
    alter(
        folder,
        "charts",
        lambda rows: rows.append({**next(row for row in rows if row["patient"] == patient), "id": "x", "type": "Flag"}),
    )


def row_with_patient(folder: Path) -> int:
    found: list[int] = []

    def look(rows: Rows) -> None:
        found.extend(place for place, row in enumerate(rows) if len(json.loads(row["task"])["patients"]) == 1)

    alter(folder, "sft", look)
    return found[0]


def family_gone(folder: Path) -> None:
    alter(folder, "sft", lambda rows: [row for row in rows if row["family"] != "record_blood_pressure"])
    manifest(folder, lambda found: found["families"].pop("record_blood_pressure"))


def family_unsupported(folder: Path) -> None:
    family_gone(folder)
    manifest(folder, lambda found: found["unsupported"].update(record_blood_pressure="no Observation of 85354-9"))


def branch_gone(folder: Path) -> None:
    alter(folder, "sft", lambda rows: [row for row in rows if row["branch"] != "crisis"])
    manifest(folder, lambda found: found["families"]["record_blood_pressure"]["branches"].pop("crisis"))


def split_gone(folder: Path) -> None:
    for path in folder.glob("*/test-*"):
        path.unlink()
    reseal(folder)
    manifest(folder, lambda found: found["splits"].pop("test"))


def version_changed(folder: Path) -> None:
    alter(folder, "sft", lambda rows: [row for row in rows if row["family"] != "patient_lookup"])
    manifest(folder, lambda found: found["options"]["families"].update(patient_lookup="99"))


def mode_changed(folder: Path) -> None:
    without(3)(folder)
    manifest(folder, lambda found: found["options"].update(mode="compat"))


def cut(folder: Path) -> None:
    without(3)(folder)
    manifest(folder, lambda found: found["options"].update(per_family=23))


def code_changed(folder: Path) -> None:
    without(3)(folder)
    manifest(folder, lambda found: found["versions"].update(code="0" * 64))


REMOVED: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "dropped as a leak": (and_dropped("holdout"), "dropped: holdout", "major"),
    "dropped by its grader": (and_dropped("graded: answer"), "dropped: graded: answer", "major"),
    "dropped as a repetition": (and_dropped("duplicate"), "dropped: duplicate", "minor"),
    "patient gone": (patient_gone, "its patient is in no world", "minor"),
    "patient moved": (patient_moved, "its patient moved to test", "major"),
    "record changed": (record_changed, "its patient's records changed", "minor"),
    "record added": (record_added, "its patient's records changed", "minor"),
    "family gone": (family_gone, "its family is no longer built", "major"),
    "family unsupported": (
        family_unsupported,
        "the records no longer show record_blood_pressure: no Observation of 85354-9",
        "major",
    ),
    "branch gone": (branch_gone, "its branch is no longer built", "major"),
    "split gone": (split_gone, "the split test is left out", "major"),
    "version changed": (version_changed, "family version 1 is now 99", "minor"),
    "mode changed": (mode_changed, "mode clinical is now compat", "major"),
    "fewer rows": (cut, "per_family 24 is now 23", "minor"),
    "code changed": (code_changed, "other code made it", "minor"),
    "nothing said": (without(3), UNKNOWN, "minor"),
}


@pytest.mark.parametrize("name", REMOVED)
def test_a_row_that_left_has_its_reason(name: str, release: Path, copy: Callable[[], Path]) -> None:
    change, reason, level = REMOVED[name]
    folder = copy()
    change(folder)
    found = diff(release, folder)
    assert found.rows["removed"]["count"] >= 1 and found.rows["added"]["count"] == found.rows["changed"]["count"] == 0
    assert list(found.rows["removed"]["reasons"]) == [reason]
    assert {row["reason"] for row in found.rows["removed"]["rows"]} == {reason}
    assert classify(found).level == level, classify(found)


def test_a_model_row_left_because_its_episode_was_not_given(copy: Callable[[], Path], tmp_path: Path) -> None:
    folder = copy()
    alter(folder, "sft", lambda rows: rows[3].update(origin="model"))
    later = Path(shutil.copytree(folder, tmp_path / "later"))
    without(3)(later)
    assert list(diff(folder, later).rows["removed"]["reasons"]) == ["the build was not given its recorded episode"]


def say(place: int) -> Callable[[Rows], None]:
    return lambda rows: said(rows[3], place, "something else")


CHANGED: dict[str, tuple[Callable[[Rows], None], list[str], str]] = {
    "prompt": (say(0), ["prompt"], "minor"),
    "action": (say(1), ["actions"], "minor"),
    "observation": (say(2), ["observations"], "minor"),
    "verdict": (lambda rows: rows[3].update(verdict='{"passed":false}'), ["verdict"], "major"),
    "split": (lambda rows: rows[3].update(split="test"), ["split"], "major"),
    "tokens": (lambda rows: rows[3].update(tokens=7), ["tokens"], "minor"),
    "id": (lambda rows: rows[3].update(id="0" * 24), ["id"], "minor"),
    "task": (
        lambda rows: rows[3].update(task=rows[3]["task"].replace('"version":"', '"version":"9')),
        ["task"],
        "minor",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_row_says_what_changed(name: str, release: Path, copy: Callable[[], Path]) -> None:
    change, what, level = CHANGED[name]
    folder = copy()
    alter(folder, "sft", change)
    found = diff(release, folder)
    rows = found.rows
    assert (rows["added"]["count"], rows["removed"]["count"], rows["changed"]["count"]) == (0, 0, 1)
    assert rows["changed"]["rows"][0]["what"] == what and rows["changed"]["what"] == dict.fromkeys(what, 1)
    assert classify(found).level == level
    assert ("reason" in rows["changed"]["rows"][0]) == (what[0] in ("prompt", "actions", "observations"))


def test_an_episode_that_took_the_place_of_a_dropped_one_says_so(release: Path, copy: Callable[[], Path]) -> None:
    folder = copy()
    drop: Rows = []

    def change(rows: Rows) -> None:
        drop.append(dropped(rows[3], "holdout"))
        said(rows[3], 0, "something else")

    alter(folder, "sft", change)
    alter(folder, "dropped", lambda rows: [*rows, *drop])
    found = diff(release, folder)
    assert found.rows["changed"]["reasons"] == {"dropped: holdout": 1}
    assert classify(found).level == "major"


def licence(found: dict[str, Any]) -> None:
    found["sources"] = [{**source, "licence": "ODbL-1.0"} for source in found["sources"]]


def real_patients(found: dict[str, Any]) -> None:
    found["sources"] = [{**source, "real_patients": True} for source in found["sources"]]


def gone(config: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        shutil.rmtree(folder / config)
        reseal(folder)

    return change


def retyped(table: Any) -> Any:
    place = table.schema.get_field_index("turn")
    return table.set_column(place, "turn", table.column("turn").cast("string"))


OTHERWISE: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "card": (lambda folder: ((folder / "README.md").write_text("other"), reseal(folder)), "the rows are the same", "patch"),
    "order of rows": (lambda folder: alter(folder, "sft", lambda rows: rows[::-1]), "the rows are the same", "patch"),
    "drops": (lambda folder: alter(folder, "dropped", lambda rows: [{**rows[0], "reason": "x"}]), "the same", "patch"),
    "note": (lambda folder: manifest(folder, lambda found: found["notes"].append("x")), "the rows are the same", "patch"),
    "licence": (lambda folder: manifest(folder, licence), "licences", "major"),
    "format": (lambda folder: manifest(folder, lambda found: found.update(format=99)), "format", "major"),
    "real patients": (lambda folder: manifest(folder, real_patients), "real patients is among", "major"),
    "config gone": (gone("rl"), "the config rl is gone", "major"),
    "column gone": (lambda folder: columns(folder, "rl", lambda table: table.drop_columns(["reference"])), "rl.reference", "major"),
    "column retyped": (lambda folder: columns(folder, "sft_turns", retyped), "sft_turns.turn", "major"),
    "column new": (
        lambda folder: columns(folder, "rl", lambda table: table.append_column("more", table.column("id"))),
        "rl.more is new", "minor",
    ),
    "resource more": (
        lambda folder: alter(folder, "charts", lambda rows: rows.append({**rows[0], "id": "new"})),
        "resources of train: 1 added", "minor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_no_row_is_seen_too(name: str, release: Path, copy: Callable[[], Path]) -> None:
    change, text, level = OTHERWISE[name]
    folder = copy()
    change(folder)
    if name in ("column gone", "column new", "column retyped"):  # all shards of a config have its columns
        for split in ("validation", "test"):
            shard(folder, "rl" if "retyped" not in name else "sft_turns", split).unlink()
        reseal(folder)
    found = diff(release, folder)
    change_found = classify(found)
    assert change_found.level == level, change_found
    assert any(text in finding for _, finding in change_found.findings), change_found
    assert found.rows["unchanged"] == 72


def test_configs_that_sft_does_not_decide_are_compared_row_by_row(copy: Callable[[], Path], tmp_path: Path) -> None:
    folder = copy()
    shutil.rmtree(folder / "preference", ignore_errors=True)
    shutil.copytree(folder / "rl", folder / "preference")
    reseal(folder)
    later = Path(shutil.copytree(folder, tmp_path / "later"))

    def change(rows: Rows) -> Rows:
        rows[5]["reference"] += " "
        return [*rows[1:], {**rows[0], "id": "new"}, {**rows[2], "reference": "once more"}]

    alter(later, "preference", change)
    found = diff(folder, later)
    (entry,) = found.configs.values()
    assert [entry[name] for name in ("added", "removed", "changed")] == [2, 1, 1]
    assert classify(found).findings == (("minor", "rows of preference: 2 added, 1 removed, 1 changed"),)
    found = diff(later, folder)
    assert [found.configs["preference"][name] for name in ("added", "removed", "changed")] == [1, 2, 1]


def test_rows_that_left_are_graded_again(
    release: Path, copy: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy()
    without(3)(folder)
    alter(folder, "sft", say(0), "validation")
    found = diff(release, folder, regrade=True)
    assert found.regraded == {"rows": 2, "failed": 0}
    assert classify(found).level == "minor"

    judge = graders.grade

    def stricter(*arguments: Any) -> Verdict:
        verdict = judge(*arguments)
        return Verdict.of([*verdict.checks, Check("evidence", False, "not read")])

    monkeypatch.setattr(graders, "grade", stricter)
    found = diff(release, folder, regrade=True)
    assert found.regraded == {"rows": 2, "failed": 2}
    assert found.rows["removed"]["reasons"] == {"no longer verifies: graded: evidence": 1}
    assert found.rows["changed"]["reasons"] == {"no longer verifies: graded: evidence": 1}
    assert classify(found).level == "major"

    monkeypatch.setattr(graders, "grade", lambda *arguments: Verdict.of([Check("answer", True)]))
    assert diff(release, folder, regrade=True).rows["removed"]["reasons"] == {"no longer verifies: verdict differs": 1}


def test_another_replay_is_found(release: Path, copy: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from fhirtasks.release import regrade

    folder = copy()
    without(3)(folder)
    play = regrade.replay_task
    monkeypatch.setattr(
        regrade, "replay_task", lambda task, world, raws: play(task, world, [*raws[:-1], "FINISH([0])"])
    )
    assert diff(release, folder, regrade=True).rows["removed"]["reasons"] == {"no longer verifies: replay differs": 1}

    def broken(*arguments: Any) -> Any:
        raise KeyError("x")

    monkeypatch.setattr(regrade, "replay_task", broken)
    found = diff(release, folder, regrade=True)
    assert found.rows["removed"]["reasons"] == {"no longer verifies: cannot be replayed": 1}


BAD: dict[str, Callable[[Path], Any]] = {
    "cut off": lambda folder: shard(folder, "sft").write_bytes(shard(folder, "sft").read_bytes()[:-50]),
    "changed": lambda folder: (folder / "README.md").write_text("other"),
    "missing": lambda folder: shard(folder, "charts").unlink(),
    "no parquet": lambda folder: (shard(folder, "sft").write_text("x"), reseal_blindly(folder)),
    "repeats ids": lambda folder: alter(folder, "sft", lambda rows: rows.append({**rows[0], "content_hash": "x"})),
    "repeats contents": lambda folder: alter(folder, "sft", lambda rows: rows.append({**rows[0], "id": "x"})),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "no charts": gone("charts"),
    "no task": lambda folder: alter(folder, "sft", lambda rows: rows[0].update(task="{", id="x", content_hash="y")),
}


def reseal_blindly(folder: Path) -> None:
    from fhirtasks.release.writer import sha256_of

    name = shard(folder, "sft").relative_to(folder).as_posix()
    manifest(folder, lambda found: found["files"][name].update(sha256=sha256_of(shard(folder, "sft"))))


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_damaged_release_is_one_sentence(name: str, side: str, release: Path, copy: Callable[[], Path]) -> None:
    folder = copy()
    BAD[name](folder)
    with pytest.raises(UserError) as error:
        diff(*((folder, release) if side == "before" else (release, folder)))
    assert str(folder) in str(error.value) or "verify" in str(error.value)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_the_command_reports_and_exits_0(release: Path, copy: Callable[[], Path]) -> None:
    folder = copy()
    without(3)(folder)
    command = [sys.executable, "-m", "fhirtasks", "diff", str(release)]
    run = subprocess.run([*command, str(folder), "--json", "--regrade"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["change"] == "minor" and report["rows"]["removed"]["count"] == 1
    assert report["regraded"] == {"rows": 1, "failed": 0}
    run = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "1 removed" in run.stdout
    run = subprocess.run([*command, str(folder / "nowhere")], capture_output=True, text=True, check=False)
    assert run.returncode == 2 and run.stderr.strip().splitlines()[-1].startswith("fhirtasks: ")


def test_lists_are_bounded_and_counts_are_not(builds: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirtasks.release.diff.SHOWN", 5)
    found: Diff = diff(builds["release"], builds["another mode"])
    for name in ("added", "removed"):
        assert found.rows[name]["count"] == 72 and len(found.rows[name]["rows"]) == 5
    assert len({(row["family"], row["branch"]) for row in found.rows["added"]["rows"]}) == 5
