"""What a push looks for before it sends anything: licences, real patients, credentials, holdouts, every row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_double import HubDouble
from hub_support import DATA, Run, assert_whole, benchmark

from fhirtasks.errors import UserError
from fhirtasks.leakage.holdouts import read_holdouts
from fhirtasks.leakage.keyed import seal
from fhirtasks.release.manifest import manifest_bytes
from fhirtasks.release.push import push
from fhirtasks.release.writer import sha256_of

SECRET = "hf_" + "Qw3rTy" * 6


@pytest.fixture
def altered(versions: tuple[Path, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of the first version with members of its manifest replaced, and files added to it."""

    def make(files: dict[str, bytes] | None = None, **members: Any) -> Path:
        folder = Path(shutil.copytree(versions[0], tmp_path / "altered", dirs_exist_ok=True))
        manifest = json.loads((folder / "manifest.json").read_text()) | members
        for name, data in (files or {}).items():
            (folder / name).write_bytes(data)
            manifest["files"][name] = {"rows": 0, "bytes": len(data), "sha256": sha256_of(folder / name)}
        (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
        return folder

    return make


def source(**members: Any) -> list[dict[str, Any]]:
    return [
        {"name": "ward", "licence": "ODbL-1.0", "origin": None, "real_patients": False, "citation": None, **members}
    ]


@pytest.mark.parametrize(
    ("licence", "problem"),
    [
        (None, "the licence of the source ward is not known"),
        ("LicenseRef-ours", "LicenseRef-ours of the source ward is not one that fhirtasks knows"),
        ("LicenseRef-PhysioNet-Credentialed-1.5.0", "does not allow publishing it"),
    ],
)
def test_sources_that_may_not_be_published(
    hub: HubDouble, altered: Callable[..., Path], quick: None, licence: str | None, problem: str
) -> None:
    folder = altered(sources=source(licence=licence))
    with pytest.raises(UserError, match=problem):
        push(folder, DATA, "v1.0.0")
    planned = push(folder, DATA, "v1.0.0", dry_run=True)
    assert not planned.ready and any(problem in check.detail for check in planned.checks)
    assert not hub.repos and hub.count(r"^PUT|^POST") == 0


def test_real_patients_need_an_acknowledgement_that_is_kept(
    hub: HubDouble, altered: Callable[..., Path], quick: None
) -> None:
    folder = altered(sources=source(real_patients=True))
    for nothing in (None, "", "  "):
        with pytest.raises(UserError, match="ward holds records of real patients; say who decided"):
            push(folder, DATA, "v1.0.0", acknowledge=nothing)
    assert not hub.repos
    with pytest.raises(UserError, match="--acknowledge holds what looks like a Hugging Face token"):
        push(folder, DATA, "v1.0.0", acknowledge=f"me {SECRET}")
    push(folder, DATA, "v1.0.0", acknowledge="A. Lee, ethics vote 12: de-identified")
    assert_whole(hub.files(DATA, "v1.0.0"))
    (version,) = json.loads(hub.files(DATA)["VERSIONS.json"])
    assert version["acknowledgement"] == "A. Lee, ethics vote 12: de-identified"


def test_an_acknowledgement_that_nobody_needs_is_not_kept(
    hub: HubDouble, versions: tuple[Path, Path], quick: None
) -> None:
    push(versions[0], DATA, "v1.0.0", acknowledge="me")
    assert json.loads(hub.files(DATA)["VERSIONS.json"])[0]["acknowledgement"] is None


def test_credentials_are_named_and_not_shown(hub: HubDouble, altered: Callable[..., Path], quick: None) -> None:
    for name, data in (("README.md", f"# x\nlogin with {SECRET}\n"), ("traces.jsonl", f'{{"a": "{SECRET}"}}\n')):
        with pytest.raises(UserError, match=rf"{name}, line \d: a Hugging Face token") as error:
            push(altered({name: data.encode()}), DATA, "v1.0.0")
        assert SECRET not in str(error.value) and "make them invalid" in str(error.value)
    with pytest.raises(UserError, match="--message holds what looks like a Hugging Face token"):
        push(altered(), DATA, "v1.0.0", message=SECRET)
    with pytest.raises(UserError, match=r"manifest\.json, line \d+: a password in a URL"):
        push(altered(notes=["from https://me:secret@ehr.local/fhir"]), DATA, "v1.0.0")
    assert not hub.repos


@pytest.mark.parametrize("name", ["../x.json", "/etc/x.json", ".env", "a/.netrc", "a\\b"])
def test_names_that_are_no_part_of_a_release(
    hub: HubDouble, altered: Callable[..., Path], quick: None, name: str
) -> None:
    folder = altered(files=None)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"rows": 0, "bytes": 1, "sha256": "0" * 64}
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
    with pytest.raises(UserError, match="is no plain path"):
        push(folder, DATA, "v1.0.0")
    assert not hub.repos


def test_what_does_not_verify_is_not_pushed(hub: HubDouble, altered: Callable[..., Path], command: Run) -> None:
    folder = altered()
    (folder / "extra.txt").write_text("x")
    done = command("push", folder, DATA, "--tag", "v1.0.0", check=False)
    assert done.returncode == 2 and "extra.txt: is not in the manifest" in done.stderr
    dry = command("push", folder, DATA, "--tag", "v1.0.0", "--dry-run", check=False)
    assert dry.returncode == 1 and "NO  verify" in dry.stdout and "it would be refused" in dry.stdout
    assert not hub.repos


def test_holdouts_are_looked_for(
    hub: HubDouble, versions: tuple[Path, Path], altered: Callable[..., Path], quick: None, mrn: str, tmp_path: Path
) -> None:
    held, other = benchmark(tmp_path / "held.json", mrn), benchmark(tmp_path / "other.json", "S9999999")
    planned = push(versions[0], DATA, "v1.0.0", dry_run=True)
    assert any("no holdouts were given" in warning for warning in planned.warnings)
    with pytest.raises(UserError, match=rf"places hold .*{mrn}.* fhirtasks audit lists all"):
        push(versions[0], DATA, "v1.0.0", holdouts=[str(held)])
    sealed = json.dumps(seal(read_holdouts([held])), indent=1).encode()
    with pytest.raises(UserError, match=r"with sealed identifier .* fhirtasks audit lists all"):
        push(altered({"holdouts.json": sealed}), DATA, "v1.0.0")
    with pytest.raises(UserError, match="policy"):  # the release's own policy is the one that is asked
        push(altered({"holdouts.json": sealed}, policy={"no such rule": 1}), DATA, "v1.0.0")
    assert not hub.repos
    sealed = json.dumps(seal(read_holdouts([other])), indent=1).encode()
    report = push(altered({"holdouts.json": sealed}), DATA, "v1.0.0", holdouts=[str(other)])
    assert not report.warnings and any(check.name == "holdouts" and check.passed for check in report.checks)
    assert hub.files(DATA, "v1.0.0")["holdouts.json"] == sealed
