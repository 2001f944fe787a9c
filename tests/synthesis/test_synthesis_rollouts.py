"""Recorded transcripts become rows if they pass and are counted if not; nothing of them is believed but the actions."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from synthesis_support import BASE, SPLITS, contents, rewrite, rows, told, write_lines

from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import canonical
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.verify import verify
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.synthesis.combine import MergeConfig, combine
from fhirtasks.synthesis.journal import journal_of
from fhirtasks.synthesis.rollouts import model_name
from fhirtasks.synthesis.transcript_files import open_rollouts

LOOK = "GET http://localhost:8080/fhir/Patient?_count=1"


def looking(row: dict[str, Any], text: str = LOOK, **more: Any) -> dict[str, Any]:
    """The transcript of a row that looks around first, and so differs from the expert's."""
    first = row["messages"][0]
    extra = [{"role": "agent", "content": text}, {"role": "user", "content": "a reply that nobody believes"}]
    return {"id": row["id"], "messages": [first, *extra, *row["messages"][1:]], **more}


@pytest.fixture(scope="module")
def lines(base: Path) -> list[Any]:
    all_rows = rows(base)
    by_family = {row["family"]: row for row in all_rows}
    write, read = by_family["record_blood_pressure"], by_family["latest_lab"]
    post = next(one["content"] for one in write["messages"] if one["content"].startswith("POST"))
    unwritten = told(write, lambda text: text if text != post else LOOK)
    twice = told(write, lambda text: text)
    place = next(place for place, one in enumerate(twice["messages"]) if one["content"] == post)
    twice["messages"][place:place] = [{"role": "assistant", "content": post}]
    wrong = told(write, lambda text: text.replace("mm[Hg]", "kPa"))
    guessed = {"id": read["id"], "messages": [read["messages"][0], read["messages"][-1]]}
    return [
        *(looking(row, f"<think>so\n{LOOK}</think>\n{LOOK}", model="org/a") for row in all_rows[:3]),
        looking(all_rows[3], f"```\n{LOOK}\n```", model="org/b"),
        looking(all_rows[0], LOOK, model="org/b"),  # the same as org/a's, once that is cleaned
        told(all_rows[5], lambda text: text, model="org/a"),  # the expert's own
        {**told(all_rows[6], lambda text: f"Next:\n{text}"), "model": "org/c"},
        {**told(all_rows[6], lambda text: f"{text}\nDone."), "model": "org/c"},
        {**told(all_rows[6], lambda text: text.replace("GET ", "GET  ")), "model": "org/c"},
        {**told(all_rows[6], lambda text: "<think>" + text), "model": "org/c"},
        {**told(all_rows[6], lambda text: ""), "model": "org/c"},
        {"id": read["id"], "messages": [{"role": "assistant", "content": LOOK}] * 25},
        {"id": read["id"], "messages": read["messages"][:2]},
        {"id": read["id"], "messages": read["messages"][:1]},
        told(read, lambda text: "FINISH([-77])" if text.startswith("FINISH") else text),
        guessed,
        unwritten,
        twice,
        wrong,
        {"id": "ffffffffffffffffffffffff", "messages": read["messages"]},
        {"id": read["id"], "messages": [{"role": "narrator", "content": "x"}]},
        {"id": read["id"], "messages": [{"role": "assistant", "content": "FINISH(" + "[" * 30_000 + ")"}]},
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        json.dumps(guessed).encode()[:90],
    ]


@pytest.fixture(scope="module")
def release(base: Path, graph: Path, lines: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollouts")
    files = (
        write_lines(folder / "one.jsonl", lines[:4]),
        write_lines(folder / "two.jsonl", lines[4:]),
    )
    report = build(BuildConfig(folder / "ds", graph, **BASE, rollouts=(*files, files[0])))
    assert report.complete and report.rollouts == read_manifest(folder / "ds")["rollouts"]
    return folder / "ds"


def test_what_passes_is_a_row_beside_the_experts(release: Path, base: Path) -> None:
    every = rows(release)
    mine = [row for row in every if row["origin"] == "model"]
    assert [row for row in every if row["origin"] == "expert"] == rows(base)
    assert len(mine) == 4 and verify(release).failures == []
    for row in mine:
        task, content = row["id"].split("-")
        assert task == json.loads(row["task"])["id"] and content == row["content_hash"][:12]
        assert row["messages"][1]["content"] == LOOK and row["messages"][2]["content"].startswith(
            "Here is the response"
        )
        assert json.loads(row["verdict"])["passed"]
    found = sorted((one["model"], one["cleaned"]) for one in (json.loads(row["provenance"]) for row in mine))
    assert found[-1] == ("org/b", "code fence") and ("org/a", "reasoning") in found
    assert {row["origin"] for row in rows(release, "sft_turns")} == {"expert", "model"}
    assert rows(release, "rl") == rows(base, "rl")


def test_everything_else_is_counted_by_kind_and_listed(release: Path) -> None:
    manifest = read_manifest(release)
    kinds: dict[str, int] = {}
    for entry in manifest["rollouts"]:
        assert entry["transcripts"] == entry["kept"] + sum(entry["dropped"].values())
        for kind, count in entry["dropped"].items():
            kinds[kind] = kinds.get(kind, 0) + count
    assert kinds == {
        "duplicate": 2,
        "prose for format": 2,
        "malformed action": 2,
        "unfinished reasoning": 1,
        "empty message": 1,
        "round limit": 1,
        "no answer": 1,
        "no assistant message": 1,
        "wrong answer": 1,
        "unread evidence": 1,
        "write missing": 1,
        "write extra": 1,
        "write wrong": 1,
        "unknown task": 1,
        "unreadable line": 5,
    }
    assert manifest["dropped"] == {f"rollout: {kind}": count for kind, count in kinds.items()}
    listed = [row["reason"] for row in rows(release, "dropped") if row["reason"] != "none"]
    assert sorted(listed) == sorted(kind for kind, count in manifest["dropped"].items() for _ in range(count))
    assert sum(manifest["models"].values()) == 4 and set(manifest["models"]) <= {"org/a", "org/b"}
    assert sum(row["model"] for one in manifest["families"].values() for row in one["branches"].values()) == 4
    assert str(release.parent) not in json.dumps(manifest)


def test_models_rows_that_are_told_otherwise_are_found(release: Path, tmp_path: Path) -> None:
    forgeries: list[Any] = [
        lambda row: row.update(origin="expert"),
        lambda row: row.update(origin="person"),
        lambda row: row.update(id=row["id"][:-1] + "x"),
        lambda row: row.update(provenance=row["provenance"].replace('"model":', '"who":')),
    ]
    folder = Path(shutil.copytree(release, tmp_path / "copy"))
    forged = []
    for split in SPLITS:

        def forge(listed: list[dict[str, Any]], split: str = split) -> None:
            for place, row in enumerate(listed):
                if row["origin"] == "model":
                    forgeries[len(forged)](row)
                    forged.append((split, place))

        rewrite(folder, "sft", split, forge)
    assert len(forged) == len(forgeries)
    failures = [one for one in verify(folder, hashes=False).failures if one.get("config") == "sft"]
    assert set(forged) <= {(one.get("split"), one.get("row")) for one in failures}


def test_another_model_and_another_task_of_one_id_are_found(release: Path, base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(release, tmp_path / "copy"))

    def forge(listed: list[dict[str, Any]]) -> None:
        row = next(row for row in listed if row["origin"] == "model")
        row["provenance"] = row["provenance"].replace('"model":"', '"model":"x')
        task = json.loads(row["task"]) | {"difficulty": '{"forged":1}'}
        row["task"] = canonical(task).decode()

    rewrite(folder, "sft", "train", forge)
    problems = {one["problem"] for one in verify(folder, hashes=False).failures}
    assert "another row tells its task otherwise" in problems
    assert "the models and the numbers of their rows are not the manifest's" in problems
    report = combine(MergeConfig(tmp_path / "ds", (base, folder)))
    assert report.dropped["merge: id of another task"] == 1 and report.kept == 75


def test_files_in_another_order_and_more_workers_give_the_same(release: Path, graph: Path, tmp_path: Path) -> None:
    files = tuple(release.parent / name for name in ("two.jsonl", "one.jsonl"))
    build(BuildConfig(tmp_path / "ds", graph, **BASE, rollouts=files, workers=2))
    assert contents(tmp_path / "ds") == contents(release)


def test_a_refused_order_stays_refused(base: Path, graph: Path, tmp_path: Path) -> None:
    row = next(row for row in rows(base) if row["family"] == "record_blood_pressure")
    place = next(place for place, one in enumerate(row["messages"]) if one["content"].startswith("POST"))
    fenced = row["messages"][place]["content"].replace("\n", "\n```json\n", 1) + "\n```"
    tried = [{"role": "assistant", "content": fenced}, {"role": "user", "content": "Invalid POST request"}]
    transcript = {"id": row["id"], "messages": [*row["messages"][:place], *tried, *row["messages"][place:]]}
    file = write_lines(tmp_path / "t.jsonl", [transcript])
    build(BuildConfig(tmp_path / "ds", graph, **BASE, rollouts=(file,)))
    (mine,) = [one for one in rows(tmp_path / "ds") if one["origin"] == "model"]
    assert mine["messages"][place : place + 2] == tried
    assert json.loads(mine["provenance"])["cleaned"] == ""


def test_rollouts_of_an_earlier_release_go_into_the_next(base: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "t.jsonl", [looking(row) for row in rows(base)])
    report = build(BuildConfig(tmp_path / "ds", **BASE, extend=base, rollouts=(file,)))
    assert report.kept == 144 and report.rollouts[0]["kept"] == 72 and report.rollouts[0]["model"] == "unknown"
    assert verify(tmp_path / "ds").failures == []
    again = build(BuildConfig(tmp_path / "again", **BASE, extend=tmp_path / "ds", rollouts=(file,)))
    assert again.kept == 144 and again.dropped == {"rollout: duplicate": 72} and len(again.rollouts) == 2
    assert rows(tmp_path / "again") == rows(tmp_path / "ds")


@pytest.mark.parametrize("data", [b"", b"\n \n", b"PAR1\x00\x01", b'{"id": "x"}\n' * 9, b"\x00" * 3_000_000])
def test_what_is_no_file_of_transcripts_is_refused(data: bytes, graph: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(data)
    with pytest.raises(UserError, match=r"t\.jsonl holds no transcript .*; give a JSONL file"):
        build(BuildConfig(tmp_path / "ds", graph, **BASE, rollouts=(tmp_path / "t.jsonl",)))
    with pytest.raises(UserError, match="There is no file"):
        build(BuildConfig(tmp_path / "ds", graph, **BASE, rollouts=(tmp_path,)))
    assert not (tmp_path / "ds").exists() and not journal_of(tmp_path / "ds").exists()


def test_long_lines_are_passed_over_and_chunks_end_at_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fhirtasks.synthesis import transcript_files

    good = {"id": "x", "messages": []}
    lines = [good, b"x" * 5_000, *[good] * 7, b"", good, b"y" * 2_000]
    path = write_lines(tmp_path / "t.jsonl", lines)
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(transcript_files, "LINE_BYTES", 1_000)
    monkeypatch.setattr(transcript_files, "CHUNK_LINES", 3)
    for block in (7, 1 << 20):
        monkeypatch.setattr(transcript_files, "_BLOCK", block)
        (file,) = open_rollouts([path])
        read = [pair for chunk in range(len(file.chunks)) for pair in transcript_files.lines_of(file, chunk)]
        assert [number for number, _ in read] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]
        assert [number for number, line in read if not line] == [2, 12]
        assert sum(size for _, size, _ in file.chunks) == path.stat().st_size


def test_a_model_is_named_without_a_path() -> None:
    names = {"org/m": "org/m", "/home/me/ckpt/": "ckpt", "C:\\x\\y": "y", "./a": "a", "": "unknown", "a\n\x1bb": "a b"}
    assert {said: model_name(said) for said in names} == names
    assert len(model_name("m" * 5_000)) < 100


def test_the_config_of_a_finished_build_differs_by_its_rollouts(release: Path, graph: Path) -> None:
    config = BuildConfig(release, graph, **BASE, rollouts=(release.parent / "one.jsonl",))
    with pytest.raises(UserError, match="another build"):
        build(config)
    assert build(dataclasses.replace(config, rollouts=(release.parent / "two.jsonl", *config.rollouts))).kept == 76
