"""What must hold before a release is published: its sources allow it, no secrets, nothing held out, every row verified."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.leakage.audit import audit
from fhirtasks.release.credentials import find_credentials
from fhirtasks.release.hub import hidden, plain
from fhirtasks.release.licences import refusals
from fhirtasks.release.manifest import HOLDOUTS, NAME
from fhirtasks.release.verify import verify

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a release: its name, whether it holds, and a sentence: what was looked at, or what to do."""

    name: str
    passed: bool
    detail: str


def stated_checks(manifest: dict[str, Any], acknowledge: str | None) -> list[Check]:
    """What the manifest alone shows: licences, real patients, plain file names."""
    return [_licences(manifest), _people(manifest, acknowledge), _names(manifest)]


def content_checks(
    folder: Path, manifest: dict[str, Any], holdouts: Sequence[str], say: Callable[[str], None]
) -> list[Check]:
    """What the files show: no credentials, nothing held out, every row verified."""
    say("searching for credentials")
    found = [_credentials(folder, manifest)]
    say("searching for what is held out")
    found += _held_out(folder, manifest, holdouts, say)
    say("verifying")
    return [*found, _verified(folder, say)]


def has_people(manifest: dict[str, Any]) -> bool:
    """Whether a source holds records of real patients."""
    return any(source.get("real_patients") for source in manifest["sources"])


def _licences(manifest: dict[str, Any]) -> Check:
    problems = refusals(manifest["sources"])
    licences = ", ".join(sorted({str(source.get("licence")) for source in manifest["sources"]}))
    return Check("licences", not problems, " ".join(problems) or f"the sources may be shared ({licences or 'none'})")


def _people(manifest: dict[str, Any], acknowledge: str | None) -> Check:
    if not has_people(manifest):
        return Check("patients", True, "no source is known to hold records of real patients")
    names = ", ".join(str(source.get("name")) for source in manifest["sources"] if source.get("real_patients"))
    if not (acknowledge or "").strip():
        return Check(
            "patients",
            False,
            f"{names} holds records of real patients; say who decided that they may be published, and why, with "
            f'--acknowledge "WHO AND WHY", which is kept in VERSIONS.json.',
        )
    return Check("patients", True, f"records of real patients ({names}), acknowledged: {acknowledge}")


def _names(manifest: dict[str, Any]) -> Check:
    """Every file has a plain relative path: what is hidden or leads elsewhere is no part of a release."""
    for name in manifest["files"]:
        if hidden(name) or not plain(name):
            return Check("files", False, f"{name!r} in {NAME} is no plain path; build the release again.")
    return Check("files", True, f"{len(manifest['files']):,} files")


def _credentials(folder: Path, manifest: dict[str, Any]) -> Check:
    there = [name for name in (*sorted(manifest["files"]), NAME) if (folder / name).is_file()]
    found = find_credentials(folder, there)
    if not found:
        return Check("credentials", True, f"no text of {len(there):,} files looks like credentials")
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    what = "; ".join(str(one) for one in found[:_SHOWN])
    return Check(
        "credentials",
        False,
        f"what looks like credentials is in {what}{more}; make them invalid where they were issued, take them out of the "
        f"records, and build again.",
    )


def _held_out(
    folder: Path, manifest: dict[str, Any], holdouts: Sequence[str], say: Callable[[str], None]
) -> list[Check]:
    """The audit against what the release records as held out, by the policy that it records, and against what is given
    besides; none where there is nothing to look for."""
    recorded = [folder / HOLDOUTS] if HOLDOUTS in manifest["files"] else []
    if not recorded and not holdouts:
        return []
    with tempfile.TemporaryDirectory(prefix="fhirtasks-") as scratch:
        policy = None
        if manifest.get("policy") is not None:
            policy = Path(scratch) / "policy.json"
            policy.write_text(json.dumps(manifest["policy"]))
        report = audit(folder, [*recorded, *holdouts], policy, workers=os.cpu_count() or 1, progress=say)
    if report.clean:
        rows = sum(report.rows.values())
        doubts = f", {report.doubts:,} places worth a look (fhirtasks audit shows them)" if report.doubts else ""
        return [Check("holdouts", True, f"{rows:,} rows and the documents hold nothing of what is held out{doubts}")]
    if report.leaks:
        what = f"{report.leaks:,} places hold what is held out"
        for first in [finding for finding in report.findings if finding.decisive][:1]:
            place = first.file if first.row is None else f"{first.config}/{first.split} row {first.row}, {first.column}"
            what += f", the first being {place}, with {first.item} ({first.matcher})"
    else:
        first_shared = report.splits[0]
        what = f"the splits {' and '.join(first_shared.splits)} share {first_shared.number:,} × {first_shared.what}"
    return [Check("holdouts", False, f"{what}; fhirtasks audit lists all, build again with these holdouts.")]


def _verified(folder: Path, say: Callable[[str], None]) -> Check:
    try:
        report = verify(folder, progress=say, workers=os.cpu_count() or 1)
    except UserError as error:
        return Check("verify", False, str(error))
    if report.failures:
        first = report.failures[0]
        place = ", ".join(f"{name} {first[name]}" for name in ("file", "config", "split", "row") if name in first)
        more = f", and {len(report.failures) - 1:,} more" if len(report.failures) > 1 else ""
        return Check(
            "verify", False, f"{place}: {first['problem']}{more}; fhirtasks verify lists all, build the release again."
        )
    return Check("verify", True, f"{report.verified:,} of {report.rows:,} rows verified")
