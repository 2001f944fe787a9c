"""``build --extend``: what a new version takes over from the one before, and what it still has to make.

Options that are not given are those of the release; so are its records, from its own charts, where neither a graph nor a
number of patients is given. Patients keep their split. A branch whose quota grew gets the rows that it lacks; one whose
quota did not grow is brought back to what the release held of it, no further, so nothing is made where nothing changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.release.manifest import read_manifest
from fhirtasks.synthesis.config import BuildConfig
from fhirtasks.synthesis.earlier import Release, quotas_of
from fhirtasks.synthesis.merge import ENOUGH, Merged
from fhirtasks.tasks.quotas import Quota


def defaults(folder: Path | None) -> dict[str, Any]:
    """What a build is asked for where nobody says so: mode, per_family, seed, protocol, what test alone has; all of the release
    that it extends."""
    usual: dict[str, Any] = {
        "mode": "clinical", "per_family": 240, "seed": 0, "protocol": None, "test_families": [], "test_wordings": False,
        "difficulty": {},
    }  # fmt: skip
    if folder is None:
        return usual
    theirs = read_manifest(folder)["options"]
    found = {name: theirs[name] if theirs.get(name) is not None else value for name, value in usual.items()}
    return found | {name: str(found[name]).split(", ")[0] for name in ("mode", "protocol")}


def check_extension(config: BuildConfig, release: Release, decided: dict[str, Any]) -> None:
    """UserError where the two cannot stand in one release: another mode, protocol, tokenizer or budget; holdouts
    forgotten."""
    theirs = release.manifest["options"]
    for name in ("mode", "protocol"):
        if decided[name] not in str(theirs.get(name)).split(", "):
            raise UserError(
                f"{release.folder} is of the {name} {theirs.get(name)}, the build asks for {decided[name]}: leave "
                f"--{name} out, or build a release of its own and merge them."
            )
    if decided["tokenizer"] != theirs.get("tokenizer"):
        which = (
            "with another --tokenizer: give that one" if theirs.get("tokenizer") else "no tokens: leave --tokenizer out"
        )
        raise UserError(f"{release.folder} counts {which}.")
    if decided.get("max_tokens") != theirs.get("max_tokens"):
        budget = theirs.get("max_tokens")
        which = "without --max-tokens: leave it out" if budget is None else f"with --max-tokens {budget}: give the same"
        raise UserError(f"{release.folder} was built {which}.")
    for name in ("test_families", "test_wordings"):
        if decided.get(name) != theirs.get(name):
            option = "--" + name.replace("_", "-")
            raise UserError(f"{release.folder} keeps other families or wordings for test: leave {option} out.")
    if theirs.get("holdouts") and not config.holdouts:
        raise UserError(f"{release.folder} was built with holdouts: give them again by --holdout, or later ones.")


def settled(quotas: Sequence[Quota], release: Release) -> list[Quota]:
    """The quotas that hold for the new version: of a branch that is not asked for more, the old ones of the old splits."""
    before = _by_branch(quotas_of(release.manifest))
    asked: Counter[tuple[str, str]] = Counter()
    had: Counter[tuple[str, str]] = Counter()
    for quota in quotas:
        asked[quota.family, quota.branch] += quota.rows
    for (_, family, branch), rows in before.items():
        had[family, branch] += rows
    return [
        replace(quota, rows=before[quota.split, quota.family, quota.branch])
        if quota.split in release.manifest["splits"]
        and asked[quota.family, quota.branch] <= had[quota.family, quota.branch]
        else quota
        for quota in quotas
    ]


def still_wanted(quotas: Sequence[Quota], release: Release, standing: Merged) -> list[Quota]:
    """The quotas less what stands already; rows of a model do not count."""
    before = _by_branch(quotas_of(release.manifest))
    found = []
    for quota in quotas:
        key = (quota.split, quota.family, quota.branch)
        stand = standing.of(quota.family, quota.branch, quota.split, origin="expert")
        held = min(quota.rows, release.held[key])
        target = quota.rows if quota.rows > before[key] or held < ENOUGH * quota.rows else held
        found.append(replace(quota, rows=max(0, target - stand)))
    return found


def _by_branch(quotas: Sequence[Quota]) -> Counter[tuple[str, str, str]]:
    found: Counter[tuple[str, str, str]] = Counter()
    for quota in quotas:
        found[quota.split, quota.family, quota.branch] += quota.rows
    return found


def carried(quotas: Sequence[Quota], release: Release) -> list[Quota]:
    """The release's quotas of the families that the build does not make rows of."""
    made = {quota.family for quota in quotas}
    return [quota for quota in quotas_of(release.manifest) if quota.family not in made]
