"""Pairs: both sides part at one message, the rejected one fails as it says, and every change of a pair is found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import graders
from fhirtasks.episodes.types import Episode, Message
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.release import preference
from fhirtasks.release.card import front_matter
from fhirtasks.release.check_pairs import check_pairs, pair_jobs
from fhirtasks.release.features import SPARSE
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.preference import COMMITTED, COMMITTED_CODE, has_pair, order, pair, pairs
from fhirtasks.release.processes import close_worlds, open_world
from fhirtasks.release.read import Failure
from fhirtasks.release.rows import Trajectory, message_lists, message_of
from fhirtasks.release.verify import verify
from fhirtasks.synthesis.build import BuildConfig, build
from fhirtasks.tasks.codec import task_from_json
from fhirtasks.tasks.play import replay_task
from fhirtasks.tasks.types import Check, Verdict
from graders import mutants, mutants_code

Rows = list[dict[str, Any]]


def read(folder: Path, config: str, split: str = "train") -> Rows:
    return [row for path in sorted((folder / config).glob(f"{split}-*")) for row in pq.read_table(path).to_pylist()]


def edit(folder: Path, change: Callable[[Rows], Any]) -> None:
    (path,) = (folder / "preference").glob("train-*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    changed = change(rows)
    pq.write_table(pa.Table.from_pylist(rows if changed is None else changed, schema=table.schema), path)


def world_of(folder: Path, out: Path) -> Path:
    rows = ((row["type"], row["id"], row["patient"], row["raw"]) for row in read(folder, "charts"))
    write_world_from_charts(rows, "train", out)
    return out


def checked(folder: Path, world: Path) -> list[Failure]:
    """What the pairs of train are found to have wrong."""
    failures: list[Failure] = []
    for job in pair_jobs(folder, read_manifest(folder), {"train": world}, failures):
        failures += check_pairs(job)
    return failures


def digit(text: str) -> str:
    place = [match.start() for match in re.finditer(r"\d", text)][-1]
    return text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]


def test_the_table_names_kinds_that_there_are_with_a_reason_each() -> None:
    assert set(COMMITTED) <= set(mutants.KINDS) and all(COMMITTED.values())
    assert len(set(COMMITTED.values())) == len(COMMITTED)
    assert {*mutants.LOOKING} <= set(mutants.KINDS)
    assert set(COMMITTED_CODE) == set(mutants_code.KINDS)
    assert len({*COMMITTED_CODE.values()}) == len(COMMITTED_CODE) and all(COMMITTED_CODE.values())


def test_both_sides_part_where_the_prompt_ends(release: Path) -> None:
    sft = {row["content_hash"]: row for row in read(release, "sft")}
    found = read(release, "preference")
    assert [row["content_hash"] for row in found] == [content for content in sft if has_pair(content)]
    for row in found:
        chosen = sft[row["content_hash"]]
        assert row["prompt"] + row["chosen"] == chosen["messages"] and row["id"] == chosen["id"]
        assert row["prompt"][-1]["role"] == "user"
        assert [one[0]["role"] for one in (row["chosen"], row["rejected"])] == ["assistant"] * 2
        assert row["chosen"][0] != row["rejected"][0]
        assert row["mutant"] in COMMITTED and row["check"] == mutants.KINDS[row["mutant"]].clinical


def test_kinds_that_apply_are_equally_likely() -> None:
    """Whatever part of the kinds applies to a branch."""
    for applies in (list(COMMITTED)[:6], list(COMMITTED)[10:30], list(COMMITTED)[::2]):
        firsts: Counter[str] = Counter()
        for number in range(150 * len(applies)):
            firsts[next(kind for kind in order(f"{number:064x}") if kind in applies)] += 1
        assert set(firsts) == set(applies)
        assert all(100 < count < 200 for count in firsts.values()), firsts


@pytest.fixture(scope="module")
def world_file(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield world_of(release, tmp_path_factory.mktemp("world") / "train.duckdb")
    close_worlds()


@pytest.fixture(scope="module")
def train(release: Path, world_file: Path) -> tuple[World, list[Trajectory]]:
    """The split's world and rows, as a build holds them."""
    world, made = open_world(world_file), []
    for row in read(release, "sft"):
        task = task_from_json(row["task"])
        raws = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        verdict = Verdict.of([])
        made.append(Trajectory(task, replay_task(task, world, raws), verdict, {}, row["content_hash"]))
    return world, made


def test_a_row_has_the_same_pair_alone_and_among_others(
    train: tuple[World, list[Trajectory]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preference, "has_pair", lambda content: True)
    world, rows = train
    together = pairs(rows, world, graders.truths([row.task for row in rows], world), lambda text: False)
    assert len(together) == len(rows)
    assert len({one.mutant for one in together.values()}) > 15
    for row in rows[::9]:
        assert pairs([row], world, {}, lambda text: False) == {row.content_hash: together[row.content_hash]}


def test_what_is_held_out_gives_way_to_another_mistake(
    train: tuple[World, list[Trajectory]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preference, "has_pair", lambda content: True)
    world, rows = train[0], train[1][::6]
    free = pairs(rows, world, {}, lambda text: False)
    held = {one.rejected[0].content for one in free.values()}
    second = pairs(rows, world, {}, lambda text: text in held)
    assert second.keys() == free.keys()
    assert not held & {message.content for one in second.values() for message in one.rejected}
    assert pairs(rows[:1], world, {}, lambda text: True) == {}


def test_two_episodes_make_a_pair_only_if_one_fails_and_they_part() -> None:
    def episode(*said: str) -> Episode:
        messages = [Message("user", "q")]
        for text in said:
            messages += [Message("assistant", text), Message("user", f"reply to {text}")]
        return Episode("t", tuple(messages), (), "completed", None)

    fails = Verdict.of([Check("completed", True), Check("answer", False, "x"), Check("evidence", False, "y")])
    right = episode("a", "b", "c")
    made = pair(right, episode("a", "x"), fails, "model")
    assert made is not None and (made.shared, made.check) == (3, "answer")
    assert [message.content for message in made.rejected] == ["x", "reply to x"]
    assert pair(right, episode("a", "x"), fails, "k", "evidence") is not None
    assert pair(right, episode("a", "x"), fails, "k", "protocol") is None
    assert pair(right, episode("a", "x"), Verdict.of([Check("answer", True)]), "k") is None
    assert pair(right, right, fails, "k") is None
    assert pair(right, episode("a", "b"), fails, "k") is None, "it left off: there is nothing to reject"


def message(side: str, role: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        found = [one for row in rows for one in row[side] if one["role"] == role and re.search(r"\d", one["content"])]
        found[0]["content"] = digit(found[0]["content"])

    return change


def column(name: str, value: Any) -> Callable[[Rows], None]:
    return lambda rows: rows[0].update({name: value})


def shifted(rows: Rows) -> None:
    """The shared prompt cut short, and its end put before both sides."""
    row = next(row for row in rows if len(row["prompt"]) > 2)
    end = row["prompt"][-2:]
    row.update(prompt=row["prompt"][:-2], chosen=end + row["chosen"], rejected=end + row["rejected"])


TAMPERING: dict[str, Callable[[Rows], Any]] = {
    "prompt": message("prompt", "user"),
    "chosen action": message("chosen", "assistant"),
    "chosen reply": message("chosen", "user"),
    "rejected action": message("rejected", "assistant"),
    "rejected reply": message("rejected", "user"),
    "rejected is the chosen one": lambda rows: rows[0].update(rejected=rows[0]["chosen"]),
    "nothing rejected": lambda rows: rows[0].update(rejected=[]),
    "rejected of another row": lambda rows: rows[0].update(rejected=rows[1]["rejected"]),
    "prompt not all that is shared": shifted,
    "no prompt": lambda rows: rows[0].update(prompt=[]),
    "mutant": column("mutant", "bad mood"),
    "check": column("check", "write_rate"),
    "check that there is not": column("check", "mood"),
    "id": lambda rows: rows[0].update(id=digit(rows[0]["id"])),
    "branch": column("branch", "b"),
    "tools": column("tools", "[1]"),
    "content hash": lambda rows: rows[0].update(content_hash=digit(rows[0]["content_hash"])),
    "null": column("check", None),
    "null prompt": column("prompt", None),
    "row removed": lambda rows: rows[1:],
    "row twice": lambda rows: [*rows, rows[-1]],
    "row twice, another removed": lambda rows: [*rows[:-2], rows[-1], rows[-1]],
    "rows in another order": lambda rows: rows[::-1],
    "no rows": lambda rows: [],
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_without_hashes(name: str, world_file: Path, copy: Callable[[], Path]) -> None:
    folder = copy()
    edit(folder, TAMPERING[name])
    failures = checked(folder, world_file)
    assert {(failure.config, failure.split) for failure in failures} == {("preference", "train")}
    assert all(len(failure.problem) < 400 for failure in failures)


def test_a_changed_pair_is_named(copy: Callable[[], Path]) -> None:
    folder = copy()
    edit(folder, lambda rows: rows[1].update(check="write_rate"))
    (failure,) = [one for one in verify(folder, hashes=False).failures if "config" in one]
    assert (failure["config"], failure["split"], failure["row"]) == ("preference", "train", 1)
    assert failure["problem"] == "the rejected episode does not fail the check 'write_rate'"


@pytest.mark.parametrize("damage", ["missing", "cut off", "no parquet"])
def test_damage_is_named(damage: str, copy: Callable[[], Path]) -> None:
    folder = copy()
    (path,) = (folder / "preference").glob("train-*.parquet")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100] if damage == "cut off" else b"hello")
    failures = verify(folder, hashes=False).failures
    assert path.relative_to(folder).as_posix() in [failure.get("file") for failure in failures], failures


def test_a_damaged_row_of_sft_is_told_once(copy: Callable[[], Path]) -> None:
    folder = copy()
    content = read(folder, "preference")[0]["content_hash"]
    (path,) = (folder / "sft").glob("train-*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    next(row for row in rows if row["content_hash"] == content)["task"] = "{"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    failures = [one for one in verify(folder, hashes=False).failures if one.get("config") == "preference"]
    assert [(one["row"], one["problem"]) for one in failures] == [(0, "its row of sft is damaged")]


def test_pairs_of_native_calls_are_checked_like_others(tmp_path: Path) -> None:
    out = tmp_path / "ds"
    families = ("record_blood_pressure", "latest_lab")
    build(BuildConfig(out, patients=30, families=families, protocol="tools", per_family=60, seed=51))
    world = world_of(out, tmp_path / "train.duckdb")
    assert len(read(out, "preference")) > 5 and checked(out, world) == []

    (path,) = (out / "preference").glob("train-*.parquet")
    table = pq.read_table(path)
    sides = [[message_of(one) for one in row] for row in table.column("rejected").to_pylist()]
    place = next(place for place, side in enumerate(sides) if side[0].tool_calls)
    (call,) = sides[place][0].tool_calls
    sides[place][0] = replace(sides[place][0], tool_calls=(replace(call, arguments={**call.arguments, "x": "1"}),))
    column = table.schema.get_field_index("rejected")
    pq.write_table(table.set_column(column, table.schema.field(column), message_lists(sides)), path)
    (failure,) = checked(out, world)
    assert failure.row == place and failure.problem == "the rejected episode is not what the replay gives"
    close_worlds()


def test_pairs_of_code_share_their_prefix_and_are_checked_again(tmp_path: Path) -> None:
    out = tmp_path / "ds"
    families = ("value_ever_beyond", "active_conditions", "ever_diagnosed")
    build(BuildConfig(out, patients=20, families=families, protocol="code", per_family=24, seed=51))
    world = world_of(out, tmp_path / "train.duckdb")
    sft = {row["content_hash"]: row for row in read(out, "sft")}
    found = read(out, "preference")
    assert [row["content_hash"] for row in found] == [content for content in sft if has_pair(content)]
    assert len(found) > 4 and len({row["mutant"] for row in found}) > 3
    for row in found:
        assert row["prompt"] + row["chosen"] == sft[row["content_hash"]]["messages"]
        assert row["prompt"][-1]["role"] in ("user", "tool") and row["chosen"][0] != row["rejected"][0]
        assert row["check"] == mutants_code.KINDS[row["mutant"]][0]
    assert checked(out, world) == []

    (path,) = (out / "preference").glob("train-*.parquet")
    table = pq.read_table(path)
    place = table.schema.get_field_index("mutant")
    others = pa.array(["stale_value", *table.column("mutant").to_pylist()[1:]])
    pq.write_table(table.set_column(place, table.schema.field(place), others), path)
    (failure,) = checked(out, world)
    assert failure.problem == "mutant is 'stale_value', which is no known kind"
    close_worlds()


def test_without_pairs_there_is_no_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``datasets`` opens no split without rows, so that it has neither a file nor a line in the card."""
    monkeypatch.setattr("fhirtasks.release.preference.has_pair", lambda content: False)
    monkeypatch.setattr("fhirtasks.release.privileged.has_context", lambda content: False)
    out = tmp_path / "ds"
    build(BuildConfig(out, patients=20, families=("patient_age",), per_family=8, seed=51))
    assert not any((out / config).exists() for config in SPARSE)
    manifest = read_manifest(out)
    assert not any(f"config_name: {config}" in front_matter(manifest) for config in SPARSE)
    assert verify(out).failures == []
