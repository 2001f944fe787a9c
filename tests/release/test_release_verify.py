"""A clean release verifies; one changed digit anywhere does not, even without hashes; damaged files are named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import canonical, content_hash
from fhirtasks.release.manifest import file_failures, read_manifest
from fhirtasks.release.verify import verify

Rows = list[dict[str, Any]]


def shard(folder: Path, config: str, split: str = "validation") -> Path:
    (path,) = (folder / config).glob(f"{split}-*.parquet")
    return path


def edit(folder: Path, config: str, change: Callable[[Rows], Any], split: str = "validation") -> None:
    path = shard(folder, config, split)
    table = pq.read_table(path)
    rows = table.to_pylist()
    changed = change(rows)
    pq.write_table(pa.Table.from_pylist(rows if changed is None else changed, schema=table.schema), path)


def digit(text: str, last: bool = True) -> str:
    """The same text with one digit changed."""
    places = [match.start() for match in re.finditer(r"\d", text)]
    place = places[-1 if last else len(places) // 2]
    return text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]


def consistent(row: dict[str, Any]) -> None:
    """What a forger who knows the format would repair."""
    messages = {"protocol": "text", "tools": [], "messages": row["messages"]}
    row["content_hash"] = content_hash(messages)


def message(role: str, place: int) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        row = next(row for row in rows if len(row["messages"]) > 4)
        found = [one for one in row["messages"][1:] if one["role"] == role and re.search(r"\d", one["content"])][place]
        found["content"] = digit(found["content"], last=False)
        consistent(row)

    return change


def task_field(name: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        row = next(row for row in rows if re.search(r"\d", str(json.loads(row["task"])[name])))
        task = json.loads(row["task"])
        if name in ("slots",):
            key = next(key for key, value in sorted(task[name].items()) if re.search(r"\d", value))
            task[name][key] = digit(task[name][key])
        else:
            task[name] = digit(task[name])
        row["task"] = canonical(task).decode()

    return change


def overlay(rows: Rows) -> None:
    row = next(row for row in rows if json.loads(row["task"])["scenario"]["add"])
    task = json.loads(row["task"])
    task["scenario"]["add"][0] = digit(task["scenario"]["add"][0], last=False)
    row["task"] = canonical(task).decode()


def column(name: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        row = next(row for row in rows if re.search(r"\d", str(row[name] or "")))
        row[name] = digit(row[name])

    return change


def unread_chart(rows: Rows) -> None:
    row = next(row for row in rows if row["type"] in ("Encounter", "Practitioner", "Organization", "Location"))
    row["raw"] = digit(row["raw"], last=False)


def verdict(rows: Rows) -> None:
    rows[0]["verdict"] = rows[0]["verdict"].replace('"name":"answer"', '"name":"answers"', 1)
    rows[0]["verdict"] = rows[0]["verdict"].replace('"passed":true', '"passed":false', 1)


TAMPERING: dict[str, tuple[str, Callable[[Rows], Any]]] = {
    "observation": ("sft", message("user", 0)),
    "last observation": ("sft", message("user", -1)),
    "action": ("sft", message("assistant", 0)),
    "answer": ("sft", message("assistant", -1)),
    "prompt": ("sft", lambda rows: rows[0]["messages"][0].update(content=digit(rows[0]["messages"][0]["content"]))),
    "task: now": ("sft", task_field("now")),
    "task: instruction": ("sft", task_field("instruction")),
    "task: slots": ("sft", task_field("slots")),
    "task: gold": ("sft", task_field("gold")),
    "task: seed": ("sft", task_field("seed")),
    "task: id": ("sft", task_field("id")),
    "task: scenario": ("sft", overlay),
    "verdict": ("sft", verdict),
    "provenance": ("sft", column("provenance")),
    "content hash": ("sft", column("content_hash")),
    "null": ("sft", lambda rows: rows[0].update(task=None)),
    "nonsense task": ("sft", lambda rows: rows[0].update(task="{")),
    "row removed": ("sft", lambda rows: rows[1:]),
    "row twice": ("sft", lambda rows: [*rows, rows[0]]),
    "rows in another order": ("sft", lambda rows: rows[::-1]),
    "turn: prompt": ("sft_turns", lambda rows: rows[3]["prompt"][-1].update(content="")),
    "turn: completion": ("sft_turns", lambda rows: rows[0]["completion"][0].update(content="FINISH([])")),
    "turn removed": ("sft_turns", lambda rows: rows[:-1]),
    "turn added": ("sft_turns", lambda rows: [*rows, rows[-1]]),
    "rl: task": ("rl", task_field("gold")),
    "rl: reference": ("rl", column("reference")),
    "rl removed": ("rl", lambda rows: rows[:-1]),
    "chart": ("charts", column("raw")),
    "chart that nothing reads": ("charts", unread_chart),
    "chart: patient": ("charts", column("patient")),
    "chart: id": ("charts", column("id")),
    "chart removed": ("charts", lambda rows: rows[:-1]),
    "chart twice": ("charts", lambda rows: [*rows, rows[0]]),
    "chart of another split": ("charts", lambda rows: rows[0].update(split="test")),
    "no charts": ("charts", lambda rows: []),
    "dropped": ("dropped", lambda rows: [*rows, {**rows[0], "reason": "duplicate"}]),
}  # fmt: skip


def test_a_clean_release_verifies(release: Path) -> None:
    report = verify(release)
    assert report.failures == []
    assert report.rows == report.verified == read_manifest(release)["kept"] == 72


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_without_hashes(name: str, copy: Callable[[], Path]) -> None:
    folder = copy()
    config, change = TAMPERING[name]
    split = "train" if change is overlay else "validation"
    edit(folder, config, change, split)
    report = verify(folder, hashes=False)
    assert report.failures, name
    assert all(len(failure["problem"]) < 400 for failure in report.failures)
    if (
        not name.startswith("task: ") and "order" not in name
    ):  # these show where rl and sft_turns differ, if nowhere else
        assert any(failure.get("config") == config for failure in report.failures) or config == "charts", (
            report.failures
        )
    by_hash = file_failures(folder, read_manifest(folder))
    assert [found["file"] for found in by_hash] == [shard(folder, config, split).relative_to(folder).as_posix()]


def test_processes_find_the_same(copy: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy()
    edit(folder, "sft", lambda rows: rows[1].update(verdict="{}"))
    edit(folder, "rl", lambda rows: rows[:-1])
    alone = verify(folder)
    monkeypatch.setattr("fhirtasks.release.verify.PARALLEL_FROM", 1)
    assert verify(folder, workers=2) == alone and alone.verified == alone.rows - 1


def test_a_changed_row_is_named(copy: Callable[[], Path]) -> None:
    folder = copy()
    edit(folder, "sft", lambda rows: rows[1]["messages"][2].update(content=digit(rows[1]["messages"][2]["content"])))
    failures = [failure for failure in verify(folder, hashes=False).failures if failure.get("config") == "sft"]
    assert [(failure["split"], failure["row"]) for failure in failures] == [("validation", 1)]


def drop_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["task"]), path)


def retype_column(path: Path) -> None:
    table = pq.read_table(path)
    place = table.schema.get_field_index("tokens")
    pq.write_table(table.set_column(place, "tokens", table.column("tokens").cast(pa.string())), path)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "missing": lambda folder: shard(folder, "sft").unlink(),
    "missing charts": lambda folder: shard(folder, "charts").unlink(),
    "zero bytes": lambda folder: shard(folder, "sft").write_bytes(b""),
    "cut off": lambda folder: shard(folder, "sft").write_bytes(shard(folder, "sft").read_bytes()[:-100]),
    "holed": lambda folder: shard(folder, "sft").write_bytes(hole(shard(folder, "sft").read_bytes())),
    "charts cut off": lambda folder: shard(folder, "charts").write_bytes(shard(folder, "charts").read_bytes()[:999]),
    "turns no parquet": lambda folder: shard(folder, "sft_turns").write_text("hello"),
    "dropped no parquet": lambda folder: shard(folder, "dropped").write_text("hello"),
    "a column less": lambda folder: drop_column(shard(folder, "sft")),
    "a column of another type": lambda folder: retype_column(shard(folder, "sft")),
    "no card": lambda folder: (folder / "README.md").unlink(),
    "a file more": lambda folder: (folder / "sft" / "train-extra.parquet").write_bytes(b"x"),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "manifest no JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "manifest of something else": lambda folder: (folder / "manifest.json").write_text('{"a": 1}'),
}


def hole(data: bytes) -> bytes:
    middle = len(data) // 3
    return data[:middle] + bytes(64) + data[middle + 64 :]


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(name: str, copy: Callable[[], Path]) -> None:
    folder = copy()
    DAMAGE[name](folder)
    failures = verify(folder, hashes=False).failures
    assert failures
    assert all(len(failure["problem"]) < 400 for failure in failures)
    assert any("file" in failure for failure in failures) or name == "holed", failures
    assert len(failures) == len({canonical(failure) for failure in failures}), "nothing is said twice"
    if "cut off" in name:  # the cause before what follows from it
        assert failures[0]["file"].endswith(".parquet")


def test_hidden_files_do_not_matter(copy: Callable[[], Path]) -> None:
    folder = copy()
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x").write_text("x")
    assert verify(folder).failures == []


def test_splits_must_not_share_a_patient(copy: Callable[[], Path]) -> None:
    folder = copy()
    test = pq.read_table(shard(folder, "charts", "test")).to_pylist()
    patient = next(row for row in test if row["type"] == "Patient")
    edit(folder, "charts", lambda rows: [*rows, {**patient, "split": "validation"}])
    problems = [failure["problem"] for failure in verify(folder, hashes=False).failures]
    assert any("is in validation too" in problem or "is in test too" in problem for problem in problems), problems


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder"])
def test_no_release_is_misuse(what: str, tmp_path: Path) -> None:
    place = tmp_path / "x"
    if what == "a file":
        place.write_text("x")
    elif what == "an empty folder":
        place.mkdir()
    with pytest.raises(UserError, match="no release"):
        verify(place)
