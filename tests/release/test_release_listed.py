"""The manifest lists what a release has and nothing else, also where a forger has brought all its sums up to date."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from release_altering import Rows, alter, manifest

from fhirtasks.fhir.jsontext import canonical
from fhirtasks.release.verify import verify
from fhirtasks.release.writer import sha256_of


def add(folder: Path, name: str) -> None:
    """Lists a file as it is."""
    file = folder / name
    about = {"rows": 0, "bytes": file.stat().st_size, "sha256": sha256_of(file)}
    manifest(folder, lambda found: found["files"].update({name: about}))


def forget(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        manifest(folder, lambda found: found["files"].pop(name))

    return change


def script(folder: Path) -> None:
    (folder / "load.py").write_text("import os")
    add(folder, "load.py")


def odd_shard(folder: Path) -> None:
    shutil.copy(folder / "charts" / "train-00000-of-00001.parquet", folder / "sft" / "more.parquet")
    add(folder, "sft/more.parquet")


def outside(folder: Path) -> None:
    (folder.parent / "other.txt").write_text("x")
    add(folder, str(folder.parent / "other.txt"))


def stated(name: str, member: str) -> Callable[[Path], None]:
    def more(found: dict[str, Any]) -> None:
        found["files"][name][member] += 1

    return lambda folder: manifest(folder, more)


def world(found: dict[str, Any]) -> None:
    found["row_sets"]["train"]["charts"] = "0" * 64


SHARD = "rl/train-00000-of-00001.parquet"


def stranger(rows: Rows) -> None:
    task = json.loads(rows[0]["task"])
    task["patients"] = ["nobody"]
    rows[0]["task"] = canonical(task).decode()


FORGED: dict[str, tuple[Callable[[Path], Any], str | None, str]] = {
    "a patient of nobody's": (lambda folder: alter(folder, "sft", stranger), None, "a patient of its task is not in"),
    "a script": (script, "load.py", "is no file of a release"),
    "a shard of another name": (odd_shard, "sft/more.parquet", "is no file of a release"),
    "a file elsewhere": (outside, None, "is no file of a release"),
    "no card": (forget("README.md"), "README.md", "does not list it"),
    "a trace less": (forget("traces/train-00000.jsonl"), "traces/train-00000.jsonl", "does not list it"),
    "other rows": (stated(SHARD, "rows"), SHARD, "rows, the manifest says"),
    "other bytes": (stated(SHARD, "bytes"), SHARD, "bytes, the manifest says"),
    "another world": (lambda folder: manifest(folder, world), "manifest.json", "different worlds of train"),
    "a link to nowhere": (lambda folder: (folder / "gone").symlink_to("/nowhere/x"), "gone", "is not in the manifest"),
    "a link to a folder": (lambda folder: (folder / "more").symlink_to(folder), "more", "is not in the manifest"),
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe"), "pipe", "is not in the manifest"),
}


def test_a_forged_list_is_seen(copy: Callable[[], Path]) -> None:
    folder = copy()
    for change, _, _ in FORGED.values():
        change(folder)
    failures = verify(folder).failures
    for how, (_, file, problem) in FORGED.items():
        found = [one for one in failures if (file is None or one.get("file") == file) and problem in one["problem"]]
        assert found, how
