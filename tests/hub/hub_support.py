"""What the tests of the Hub share: users' tokens, and what makes a version whole."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

ANN, READER, BOB = "token-of-ann", "token-to-read", "token-of-bob"
DATA = "clinic/data"
AT_PUSH = {"CHANGELOG.md", "VERSIONS.json"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def assert_whole(files: dict[str, bytes]) -> None:
    """A version is whole: just the files of its manifest, each as it says, and the history knows the manifest."""
    manifest = json.loads(files["manifest.json"])
    assert set(files) == {*manifest["files"], "manifest.json", *AT_PUSH}
    for name, about in manifest["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == about["sha256"], name
    assert json.loads(files["VERSIONS.json"])[-1]["manifest"] == hashlib.sha256(files["manifest.json"]).hexdigest()


def assert_holds(files: dict[str, bytes], folder: Path) -> None:
    """A version is whole and just this release."""
    assert_whole(files)
    assert {name: one for name, one in files.items() if name not in AT_PUSH} == content(folder)


def benchmark(path: Path, number: str) -> Path:
    """A task file whose one task is about the patient with this record number."""
    rows = [
        {
            "id": "task1_1",
            "instruction": f"Look at the chart of {number}.",
            "context": "",
            "eval_MRN": number,
            "sol": ["1"],
        }
    ]
    path.write_text(json.dumps(rows))
    return path
