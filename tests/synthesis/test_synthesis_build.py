"""Whole builds: the same bytes for any workers, after kills and in another process; what is refused leaves nothing behind."""

from __future__ import annotations

import errno
import json
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhirtasks.errors import UserError
from fhirtasks.graph.world import World
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.verify import verify
from fhirtasks.synthesis import jobs, stages
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.synthesis.journal import Journal, journal_of

FAMILIES = ("patient_lookup", "record_blood_pressure", "latest_lab")
OPTIONS: dict[str, Any] = {"families": FAMILIES, "per_family": 24, "seed": 51}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "ds"
    report = build(BuildConfig(out, graph, **OPTIONS))
    assert report.complete and report.kept == 72 and set(report.splits) == {"train", "validation", "test"}
    assert not journal_of(out).exists()
    return contents(out)


SCRIPT = """
    import os, pathlib, signal, sys
    from fhirtasks.synthesis.build import BuildConfig, build
    out, graph, workers, last = sys.argv[1:]
    renames = 0
    for owner, name in ((pathlib.Path, "replace"), (os, "replace")):
        def counted(*args, real=getattr(owner, name)):
            global renames
            renames += 1
            if renames == int(last):
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)
        setattr(owner, name, counted)
    if __name__ == "__main__":
        build(BuildConfig(pathlib.Path(out), pathlib.Path(graph), workers=int(workers), **{options!r}))
"""


def start(tmp_path: Path, graph: Path, workers: int = 1, rename: int = 0) -> subprocess.Popen[bytes]:
    """A build in a process of its own, that kills itself just before its ``rename``-th rename."""
    script = tmp_path / "build_once.py"
    script.write_text(textwrap.dedent(SCRIPT).replace("{options!r}", repr(OPTIONS)))
    command = [sys.executable, script, tmp_path / "ds", graph, str(workers), str(rename)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def test_two_workers_in_another_process_write_the_same(
    undisturbed: dict[str, bytes], graph: Path, tmp_path: Path
) -> None:
    process = start(tmp_path, graph, workers=2)
    _, errors = process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")
    assert contents(tmp_path / "ds") == undisturbed


def test_killed_at_every_kind_of_rename_it_goes_on(undisturbed: dict[str, bytes], graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "ds"
    for rename in (2, 4, 5, 11):
        process = start(tmp_path, graph, rename=rename)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not out.exists() and journal_of(out).exists()
    assert build(BuildConfig(out, graph, **OPTIONS)).kept == 72
    assert contents(out) == undisturbed
    assert not journal_of(out).exists()


@pytest.mark.proof
def test_killed_at_twenty_random_points_it_goes_on(undisturbed: dict[str, bytes], graph: Path, tmp_path: Path) -> None:
    rng, out, kills = random.Random(0), tmp_path / "ds", 0
    while kills < 20:
        process = start(tmp_path, graph, workers=rng.choice([1, 2]))
        time.sleep(rng.uniform(0.3, 3))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if out.exists():
            assert contents(out) == undisturbed
            shutil.rmtree(out)
    assert build(BuildConfig(out, graph, **OPTIONS)).kept == 72
    assert contents(out) == undisturbed


def test_other_options_seeds_and_modes_differ(undisturbed: dict[str, bytes], graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "ds"
    report = build(BuildConfig(out, graph, **OPTIONS | {"mode": "compat"}))
    assert report.complete
    ours = {row for row in undisturbed if row.startswith("sft/")}
    assert all(contents(out)[name] != undisturbed[name] for name in ours)
    assert verify(out).failures == []


def test_a_finished_build_is_not_made_twice(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = BuildConfig(tmp_path / "ds", graph, families=("patient_age",), per_family=16, seed=51)
    first = build(config)
    monkeypatch.setattr(stages, "make_partition", lambda job: pytest.fail("nothing is to be made"))
    # As if killed between the rename and the removal of the journal:
    journal_of(config.out).mkdir()
    assert build(config) == first
    assert not journal_of(config.out).exists()
    with pytest.raises(UserError, match="another build"):
        build(BuildConfig(tmp_path / "ds", graph, families=("patient_age",), per_family=17, seed=51))
    (tmp_path / "ds" / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"README.md has not the sha256"):
        build(config)


def test_a_journal_of_another_build_is_refused(graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "ds"
    with Journal(out, {"options": {}, "graph": "x", "versions": {}}):
        pass
    before = contents(journal_of(out))
    with pytest.raises(UserError, match=r"differs in: graph, options, sources, versions\. .*delete") as caught:
        build(BuildConfig(out, graph, **OPTIONS))
    assert str(journal_of(out)) in str(caught.value)
    assert contents(journal_of(out)) == before and not out.exists()


def test_two_builds_at_once_are_refused(graph: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "ds", {"a": 1}), pytest.raises(UserError, match="Another build"):
        build(BuildConfig(tmp_path / "ds", graph, **OPTIONS))


@pytest.mark.parametrize("what", ["file", "folder", "journal", "bad family", "no rows", "no graph", "few patients"])
def test_what_is_refused_leaves_nothing_behind(what: str, graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "ds"
    options: dict[str, Any] = {"out": out, "graph": graph, **OPTIONS}
    if what == "file":
        out.write_text("mine")
    elif what == "folder":
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    elif what == "journal":
        journal_of(out).mkdir()
        (journal_of(out) / "thesis.txt").write_text("mine")
    elif what == "bad family":
        options["families"] = ("nonsense_*",)
    elif what == "no rows":
        options["per_family"] = 0
    elif what == "no graph":
        options["graph"] = tmp_path / "absent.duckdb"
    elif what == "few patients":
        options |= {"graph": None, "patients": 3}
    before = contents(tmp_path)
    with pytest.raises(UserError):
        build(BuildConfig(**options))
    assert {name: data for name, data in contents(tmp_path).items() if not name.endswith("/lock")} == before


def test_an_empty_folder_is_taken(undisturbed: dict[str, bytes], graph: Path, tmp_path: Path) -> None:
    (tmp_path / "ds").mkdir()
    build(BuildConfig(tmp_path / "ds", graph, **OPTIONS))
    assert contents(tmp_path / "ds") == undisturbed


def test_a_missed_quota_fails_and_writes_nothing(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fhirtasks.synthesis import partition

    draw = partition.draw
    monkeypatch.setattr(partition, "draw", lambda row, *rest: None if row.branch == "tie" else draw(row, *rest))
    report = build(BuildConfig(tmp_path / "ds", graph, families=("latest_lab",), per_family=30, seed=51))
    assert not report.complete and report.kept == 0
    assert report.missed == ["latest_lab/tie in train: 0 of 2"]
    assert report.families["latest_lab"]["branches"]["tie"] == {
        "quota": 2,
        "kept": 0,
        "native": 0,
        "overlaid": 0,
        "model": 0,
    }
    assert set(report.dropped) == {"no case found"}
    assert list(tmp_path.iterdir()) == []


def test_a_split_whose_records_are_too_few_is_left_out(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fhirtasks.synthesis import partition

    draw = partition.draw
    monkeypatch.setattr(
        partition, "draw", lambda row, part, *rest: None if part.split == "test" else draw(row, part, *rest)
    )
    report = build(BuildConfig(tmp_path / "ds", graph, families=("patient_age",), per_family=40, seed=51))
    assert report.complete and report.kept == 40
    assert set(report.splits) == {"train", "validation"}
    assert any("test is left out" in note and "patient_age" in note for note in report.notes)
    assert not list((tmp_path / "ds" / "charts").glob("test-*"))
    assert verify(tmp_path / "ds").failures == []


def test_held_out_patients_and_texts_are_nowhere(graph: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    build(BuildConfig(plain, graph, families=("patient_age",), per_family=24, seed=51))
    import pyarrow.parquet as pq

    task = json.loads(pq.read_table(next((plain / "rl").glob("train-*")), columns=["task"]).to_pylist()[0]["task"])
    mrn, instruction = task["slots"]["mrn"], task["instruction"]
    rows = [{"id": "task2_1", "instruction": instruction, "context": "", "eval_MRN": mrn}]
    (tmp_path / "held.json").write_text(json.dumps(rows))
    out = tmp_path / "ds"
    report = build(
        BuildConfig(out, graph, families=("patient_age",), per_family=24, seed=51, holdouts=(tmp_path / "held.json",))
    )
    assert report.complete and "1 patients are held out" in report.notes
    assert sum(split["patients"] for split in report.splits.values()) == 44
    for path in out.rglob("*.parquet"):
        texts = json.dumps(pq.read_table(path).to_pylist())
        assert mrn not in texts and instruction not in texts
    assert mrn not in (out / "README.md").read_text() + (out / "manifest.json").read_text()
    assert read_manifest(out)["options"]["holdouts"]
    assert verify(out).failures == []


def test_a_full_disk_is_said_and_the_journal_stays_whole(
    undisturbed: dict[str, bytes], graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = jobs.sft_table
    calls = 0

    def full(rows: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(rows)

    config = BuildConfig(tmp_path / "ds", graph, **OPTIONS)
    monkeypatch.setattr(jobs, "sft_table", full)
    with pytest.raises(OSError, match="No space"):
        build(config)
    assert not config.out.exists() and not list(tmp_path.rglob("*.part"))
    assert build(config).complete
    assert contents(config.out) == undisturbed


def test_a_family_that_the_records_cannot_show_is_unsupported(tmp_path: Path, graph: Path) -> None:
    import duckdb

    poor = tmp_path / "poor.duckdb"
    poor.write_bytes(graph.read_bytes())
    with duckdb.connect(str(poor)) as db:
        db.execute("DELETE FROM resource WHERE type = 'Observation'")
    report = build(BuildConfig(tmp_path / "ds", poor, families=("latest_lab", "patient_age"), per_family=16, seed=51))
    assert report.complete and list(report.unsupported) == ["latest_lab"] and report.unsupported["latest_lab"]
    assert list(report.families) == ["patient_age"]
    with pytest.raises(UserError, match="none of the families"):
        build(BuildConfig(tmp_path / "other", poor, families=("latest_lab",), per_family=16, seed=51))
    assert not journal_of(tmp_path / "other").exists()


def test_worlds_hold_disjoint_patients(undisturbed: dict[str, bytes], graph: Path) -> None:
    import io

    import pyarrow.parquet as pq

    everyone = World.open(graph)
    seen: dict[str, str] = {}
    for name, data in undisturbed.items():
        if name.startswith("charts/"):
            for row in pq.read_table(io.BytesIO(data), columns=["type", "id", "split"]).to_pylist():
                if row["type"] == "Patient":
                    assert seen.setdefault(row["id"], row["split"]) == row["split"]
    assert sorted(seen) == list(everyone.patients)
    everyone.close()


def test_tokens_are_counted_with_a_tokenizer(graph: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="comes with the train extra")
    import pyarrow.parquet as pq

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    (tmp_path / "tokenizer").mkdir()
    words.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    config = BuildConfig(
        tmp_path / "ds", graph, families=("patient_age",), per_family=16, seed=51, tokenizer=tmp_path / "tokenizer"
    )
    build(config)
    rows = pq.read_table(next((tmp_path / "ds" / "sft").glob("train-*"))).to_pylist()
    for row in rows:
        assert row["tokens"] == sum(len(message["content"].split()) for message in row["messages"])
    assert "median tokens" in (tmp_path / "ds" / "README.md").read_text()
    longest = read_manifest(tmp_path / "ds")["lengths"]["patient_age"]["tokens"]["longest"]
    build(replace(config, out=tmp_path / "short", max_tokens=longest - 1))
    manifest = read_manifest(tmp_path / "short")
    assert manifest["dropped"]["over the token budget"] >= 1 and manifest["options"]["max_tokens"] == longest - 1
    assert manifest["lengths"]["patient_age"]["tokens"]["longest"] < longest
    assert f"--max-tokens {longest - 1}" in (tmp_path / "short" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="built with --max-tokens"):
        build(replace(config, out=tmp_path / "more", extend=tmp_path / "short", graph=None))
    with pytest.raises(UserError, match="give --tokenizer too"):
        build(replace(config, out=tmp_path / "more", tokenizer=None, max_tokens=9))
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="no tokenizer"):
        build(config)


def test_out_may_be_the_empty_folder_that_one_stands_in(
    undisturbed: dict[str, bytes], graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    build(BuildConfig(Path("."), graph, **OPTIONS))
    assert contents(tmp_path / "here") == undisturbed
