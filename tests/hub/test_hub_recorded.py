"""A build records what it held out, so that every push can look for it again."""

from __future__ import annotations

import json
from pathlib import Path

from hub_double import HubDouble
from hub_support import DATA, assert_whole, benchmark

from fhirtasks.release.push import push
from fhirtasks.synthesis.build import BuildConfig, build


def test_a_build_records_what_it_held_out(hub: HubDouble, records: Path, mrn: str, tmp_path: Path) -> None:
    """Sealed: the file holds hashes, and says nothing of the patient."""
    held, folder = benchmark(tmp_path / "held.json", mrn), tmp_path / "ds"
    build(BuildConfig(folder, graph=records, families=("patient_lookup",), per_family=12, seed=51, holdouts=(held,)))
    manifest = json.loads((folder / "manifest.json").read_text())
    text = (folder / "holdouts.json").read_text()
    assert manifest["holdouts"] == json.loads(text)["holdouts"] and manifest["holdouts"]["items"]["items"] == 1
    assert "holdouts.json" in manifest["files"] and mrn not in text
    report = push(folder, DATA, "v1.0.0")
    assert [check.name for check in report.checks] == [
        "licences",
        "patients",
        "files",
        "credentials",
        "holdouts",
        "verify",
    ]
    assert_whole(hub.files(DATA, "v1.0.0"))
