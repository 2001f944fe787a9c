"""What verify derives besides rows: without any hash it finds a changed card, trace, figure, licence, length or floor."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import solvers
from fhirtasks.errors import UserError
from fhirtasks.graph.world import World, write_world_from_charts
from fhirtasks.release import derived, floors
from fhirtasks.release.floors import LEAST, measure
from fhirtasks.release.lengths import quantiles, tokenizer_digest
from fhirtasks.release.manifest import read_manifest
from fhirtasks.release.processes import close_worlds
from fhirtasks.release.read import Failure, tables
from fhirtasks.release.verify import VerifyReport, verify
from fhirtasks.synthesis.build import BuildConfig, build

Change = Callable[[Path], None]


def text(name: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        before = path.read_text(encoding="utf-8")
        assert old in before
        path.write_text(before.replace(old, new, 1), encoding="utf-8")

    return change


def stated(change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(folder: Path) -> None:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        change(manifest)
        path.write_text(json.dumps(manifest), encoding="utf-8")

    return apply


def longer(manifest: dict[str, Any]) -> None:
    manifest["lengths"]["patient_lookup"]["characters"]["median"] += 1


def passing(manifest: dict[str, Any]) -> None:
    manifest["floors"]["families"]["patient_lookup"]["passed"]["echo"] += 1


CHANGES: list[tuple[str, Change, list[str]]] = [
    ("a word of the card", text("README.md", "Nothing has to be taken", "All has to be taken"), ["README.md"]),
    ("the card's licence", text("README.md", "- cc0-1.0", "- mit"), ["README.md"]),
    ("a hash in Croissant", text("croissant.json", '"sha256": "', '"sha256": "0'), ["croissant.json"]),
    ("a value in a trace", text("traces/train-00000.jsonl", "FINISH(", "FINISH(["), ["traces/train-00000.jsonl"]),
    ("an episode of the report", text("report.html", "FINISH(", "FINISH(["), ["report.html"]),
    ("a figure of the report", text("report.html", "fill: var(--native)", "fill: var(--bad)"), ["report.html"]),
    ("the report's script", text("report.html", '"use strict"', '"use strict";alert(1)'), ["report.html"]),
    (
        "a source's licence",
        stated(lambda m: m["sources"][0].update(licence="MIT")),
        ["README.md", "croissant.json", "report.html"],
    ),
    ("a source left out", stated(lambda m: m["sources"].clear()), ["README.md", "croissant.json", "report.html"]),
    ("a seed", stated(lambda m: m["options"].update(seed=7)), ["README.md"]),
    ("a note", stated(lambda m: m["notes"].append("all is well")), ["README.md", "report.html"]),
    ("a length", stated(longer), ["README.md", "manifest.json", "report.html"]),
    ("a family's lengths left out", stated(lambda m: m["lengths"].pop("patient_lookup")), ["manifest.json"]),
    ("a floor", stated(passing), ["README.md", "manifest.json", "report.html"]),
    ("the floors left out", stated(lambda m: m.pop("floors")), ["manifest.json"]),
    ("a manifest that no card can say", stated(lambda m: m["options"].pop("mode")), ["manifest.json"]),
]


@pytest.fixture(scope="module")
def lengths(release: Path) -> dict[str, dict[str, list[int]]]:
    found: dict[str, dict[str, list[int]]] = {}
    for split in read_manifest(release)["splits"]:
        for table in tables(release, "sft", split, 4096, ("family", "messages")):
            for row in table.to_pylist():
                counts = found.setdefault(row["family"], {"characters": []})["characters"]
                counts.append(sum(len(message["content"]) for message in row["messages"]))
    return found


@pytest.mark.parametrize(("change", "files"), [one[1:] for one in CHANGES], ids=[one[0] for one in CHANGES])
def test_a_change_is_found_without_hashes(
    change: Change, files: list[str], release: Path, copy: Callable[[], Path], lengths: dict[str, Any]
) -> None:
    folder = copy()
    change(folder)
    manifest = read_manifest(folder)
    drawn = {"floors": read_manifest(release)["floors"], **dict([derived.draw_again(derived.Drawn(folder, manifest))])}
    found = [*derived.check_documents(folder, manifest, drawn), *derived.check_lengths(manifest, [lengths])]
    failures = [one for one in found if isinstance(one, Failure)]
    assert set(files) <= {str(failure.file) for failure in failures}, failures
    assert all(len(failure.problem) < 900 for failure in failures) and len(failures) == len(found)


def test_verify_looks_at_all_of_it(copy: Callable[[], Path]) -> None:
    folder = copy()
    for name in ("a word of the card", "a value in a trace", "a length", "a floor"):
        next(change for about, change, _ in CHANGES if about == name)(folder)
    report = verify(folder, hashes=False)
    found = {failure["file"]: failure["problem"] for failure in report.failures}
    assert found.keys() == {"README.md", "manifest.json", "report.html", "traces/train-00000.jsonl"}
    problems = " ".join(failure["problem"] for failure in report.failures)
    assert "the floors are not those that are measured" in problems and "lengths of patient_lookup" in problems
    assert report.verified == report.rows


def test_a_clean_release_leaves_nothing_unchecked(release: Path) -> None:
    report = verify(release, hashes=False)
    assert (report.failures, report.unchecked) == ([], [])


def test_a_trace_of_nothing_is_found(copy: Callable[[], Path]) -> None:
    folder = copy()
    (folder / "traces" / "train-00099.jsonl").write_bytes((folder / "traces" / "train-00000.jsonl").read_bytes())
    stated(lambda m: m["files"].update({"traces/train-00099.jsonl": {"rows": 0, "bytes": 1, "sha256": "0"}}))(folder)
    (failure,) = verify(folder, hashes=False).failures
    assert failure == {"file": "traces/train-00099.jsonl", "problem": "shows no episode of the sample"}


def test_other_code_or_another_matplotlib_is_said_and_is_no_failure(copy: Callable[[], Path]) -> None:
    folder = copy()
    text("report.html", "fill: var(--native)", "fill: var(--bad)")(folder)
    text("README.md", "Nothing has to be taken", "All has to be taken")(folder)

    def older(manifest: dict[str, Any]) -> None:
        manifest["versions"] |= {"matplotlib": "0.1", "code": "0" * 64}

    stated(older)(folder)
    report = verify(folder, hashes=False)
    assert report.failures == []
    assert [line.split(":")[0] for line in sorted(report.unchecked)] == ["README.md", "report.html"]


def test_only_figures_may_differ_by_matplotlib(copy: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy()
    own = derived.versions()
    monkeypatch.setattr(derived, "versions", lambda: own | {"matplotlib": "99"})
    text("report.html", "fill: var(--native)", "fill: var(--bad)")(folder)
    report = verify(folder, hashes=False)
    assert report.failures == [] and [line.split(":")[0] for line in report.unchecked] == ["the figures of report.html"]
    text("report.html", "FINISH(", "FINISH([")(folder)
    assert [failure["file"] for failure in verify(folder, hashes=False).failures] == ["report.html"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("tokenizer")
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    out = tmp_path_factory.mktemp("counted") / "ds"
    assert build(BuildConfig(out, patients=40, families=("patient_age",), per_family=20, tokenizer=tokenizer)).complete
    return out


def test_tokens_are_counted_again_where_the_tokenizer_is_given(counted: Path, tokenizer: Path) -> None:
    digest = tokenizer_digest(tokenizer)
    assert verify(counted).unchecked == [f"token counts: give --tokenizer, the one of sha256 {digest}"]
    assert verify(counted, tokenizer=tokenizer).unchecked == []
    assert "median tokens" in (counted / "README.md").read_text(encoding="utf-8")
    assert digest[:16] in (counted / "README.md").read_text(encoding="utf-8")

    (path,) = (counted / "sft").glob("train-*.parquet")
    whole = pq.read_table(path)
    rows = whole.to_pylist()
    words = sum(len(re.findall(r"\w+|[^\w\s]+", message["content"])) for message in rows[0]["messages"])
    assert rows[0]["tokens"] == words
    rows[0]["tokens"] += 1
    try:
        pq.write_table(pa.Table.from_pylist(rows, schema=whole.schema), path)

        def said(report: VerifyReport) -> str:
            return " ".join(failure["problem"] for failure in report.failures)

        assert f"tokens is {words + 1}, the tokenizer counts {words}" in said(
            verify(counted, hashes=False, tokenizer=tokenizer)
        )
    finally:
        pq.write_table(whole, path)


def test_another_tokenizer_is_refused(counted: Path, release: Path, tokenizer: Path, tmp_path: Path) -> None:
    made = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    made.add_tokens(["GET"])
    made.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="is not the tokenizer of the release"):
        verify(counted, tokenizer=tmp_path)
    with pytest.raises(UserError, match="holds no token counts"):
        verify(release, tokenizer=tokenizer)


def test_the_marks_of_lengths() -> None:
    assert quantiles([]) == {"median": 0, "p95": 0, "longest": 0}
    assert quantiles([4, 1, 3, 2]) == {"median": 2, "p95": 4, "longest": 4}
    assert quantiles(range(101)) == {"median": 50, "p95": 95, "longest": 100}


def test_floors_are_measured_on_as_many_tasks_of_each_family(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_manifest(release)["floors"]
    assert found["split"] == "train" and set(found["families"]) == set(read_manifest(release)["families"])
    assert all(entry["tasks"] == LEAST for entry in found["families"].values())
    assert not any(passed for entry in found["families"].values() for passed in entry["passed"].values())

    columns = (table.to_pylist() for table in tables(release, "charts", "train", 4096))
    rows = ((row["type"], row["id"], row["patient"], row["raw"]) for part in columns for row in part)
    write_world_from_charts(rows, "train", tmp_path / "world.duckdb")
    world = World.open(tmp_path / "world.duckdb")
    try:
        assert measure(release, "train", world) == found

        def expert(task: Any) -> Any:
            return solvers.solver(task.family)(task)

        monkeypatch.setattr(floors, "floor", lambda name, tasks: expert)
        again = measure(release, "train", world)["families"]
        assert all(entry["passed"]["echo"] == entry["tasks"] == LEAST for entry in again.values())

        def broken(task: Any) -> Any:
            raise ValueError("no idea")
            yield

        monkeypatch.setattr(floors, "floor", lambda name, tasks: broken)
        assert not any(entry["passed"]["echo"] for entry in measure(release, "train", world)["families"].values())
    finally:
        world.close()


def test_the_parts_of_the_floors_are_one_whatever_their_order(release: Path, tmp_path: Path) -> None:
    manifest = read_manifest(release)
    columns = (table.to_pylist() for table in tables(release, "charts", "train", 4096))
    rows = ((row["type"], row["id"], row["patient"], row["raw"]) for part in columns for row in part)
    write_world_from_charts(rows, "train", tmp_path / "world.duckdb")
    jobs = derived.jobs(release, manifest, {"train": tmp_path / "world.duckdb"})
    assert len(jobs) == derived.PARTS + 1
    try:
        parts = [derived.draw(job) for job in jobs]
    finally:
        close_worlds()
    for found in (parts, parts[::-1]):
        assert derived.together(deepcopy(found))["floors"] == manifest["floors"]
    damaged = [("floors", Failure("b")), ("floors", Failure("a")), parts[0]]
    for found in itertools.permutations(damaged):
        assert derived.together(found)["floors"] == Failure("a")
