"""``fhirtasks merge``: several releases become one, in the order in which they are given.

A patient whom two releases have in different splits stays in the one that is tested on: test before validation before train;
the other's chart of that patient, and its rows on it, are left out. The world of a split is what the releases' charts of
it show together; of several bodies of one resource the graph's own rule says which is current. Every row is replayed and
graded there. Of equal contents, and of different tasks under one id, the first stays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import content_hash
from fhirtasks.leakage.holdouts import Holdouts, read_holdouts
from fhirtasks.leakage.keyed import seal
from fhirtasks.release.code import versions
from fhirtasks.release.features import SPLITS
from fhirtasks.release.manifest import HOLDOUTS
from fhirtasks.release.processes import Runner, close_worlds, open_world, runner
from fhirtasks.synthesis.build import already_there, in_journal, report_of
from fhirtasks.synthesis.config import BuildReport
from fhirtasks.synthesis.earlier import Release, lineage_of, open_release, quotas_of
from fhirtasks.synthesis.jobs import WorldJob, survey_world
from fhirtasks.synthesis.journal import Journal
from fhirtasks.synthesis.merge import Part, merge
from fhirtasks.synthesis.publish import describe, finish, write_shards
from fhirtasks.synthesis.standing import carry_drops, judge_standing, standing_jobs
from fhirtasks.synthesis.worlds import conflicts

LABEL = "merge"


@dataclass(frozen=True, slots=True)
class MergeConfig:
    """Which release folders become one, and where; ``holdouts`` are kept out of the whole."""

    out: Path
    releases: tuple[Path, ...]
    holdouts: tuple[Path, ...] = ()
    workers: int = 1


def combine(config: MergeConfig, progress: Callable[[str], None] | None = None) -> BuildReport:
    """Makes one release of several; run again after a kill, it goes on. Done already, it says what is there.

    A release that is given twice counts once. UserError for fewer than two folders, what is no whole release, a folder
    in the way, and where no row stands.
    """
    say = progress or (lambda message: None)
    out = Path(os.path.abspath(config.out))
    if len(config.releases) < 2:
        raise UserError("One release is no merge: give two or more.")
    if config.workers < 1:
        raise UserError(f"workers is {config.workers}; it must be 1 or more.")
    given = [open_release(folder, out) for folder in config.releases]
    releases = list({release.digest: release for release in given}.values())
    holdouts = read_holdouts(config.holdouts) if config.holdouts else None
    decided, notes = _options(releases, holdouts)
    identity = {"options": decided, "graph": None, "sources": None, "versions": versions()}
    there = already_there(out, identity)
    if there is not None:
        say(f"{out} is this merge's release already; delete it to make it anew")
        return there
    return in_journal(
        out, identity, lambda journal: _combine(out, releases, holdouts, decided, notes, journal, config, say)
    )


def _combine(
    out: Path, releases: list[Release], holdouts: Holdouts | None, decided: dict[str, Any], notes: list[str],
    journal: Journal, config: MergeConfig, say: Callable[[str], None],
) -> BuildReport:  # fmt: skip
    patients = settle(releases)
    notes = [*notes, *_moved(releases, patients)]
    with runner(config.workers) as run:
        worlds = _worlds(releases, patients, holdouts, journal, run, say)
        parts = _parts(releases, worlds, holdouts, decided, journal, run, say)
        merged = merge(parts)
        for split in [split for split in worlds if not merged.kept(split)]:
            notes.append(f"the split {split} is left out: no row of it stands")
            del worlds[split]
        if not worlds:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in merged.reasons().items())
            raise UserError(f"No row of these releases stands on their united charts ({reasons}): merge others.")
        if merged.shared:
            notes.append(f"{merged.shared:,} rows stand in several of the releases, and once here")
        several = sum(conflicts([release.folder for release in releases], split) for split in worlds)
        if several:
            notes.append(f"{several:,} resources have different bodies in the releases; the current one is kept")
        staging = journal.staging()
        shards, splits = write_shards(staging, parts, merged, worlds, run, say)
        graphs = sorted({release.manifest["graph"] for release in releases})
        manifest = describe(
            decided=decided,
            stated=_once(source for release in releases for source in release.manifest["sources"]),
            fingerprint=graphs[0] if len(graphs) == 1 else content_hash(graphs),
            merged=merged,
            splits=splits,
            quotas=[quota for release in releases for quota in quotas_of(release.manifest)],
            unsupported={name: why for release in releases for name, why in release.manifest["unsupported"].items()},
            notes=_once([*(note for release in releases for note in release.manifest["notes"]), *notes]),
            shards=shards,
            lineage=lineage_of(releases),
            rollouts=_once(one for release in releases for one in release.manifest["rollouts"]),
        )
        sealed = seal(holdouts) if holdouts is not None else _sealed(releases, decided["holdouts"])
        finish(staging, manifest, out, worlds, run, say, sealed)
        close_worlds()
    journal.remove()
    return report_of(manifest)


def settle(releases: Sequence[Release]) -> dict[str, str]:
    """The split of every patient: of several, the one that is furthest from training."""
    found: dict[str, str] = {}
    for release in releases:
        for patient, split in release.patients.items():
            found[patient] = max(found.get(patient, split), split, key=SPLITS.index)
    return found


def _moved(releases: Sequence[Release], patients: dict[str, str]) -> list[str]:
    moved = {
        patient for release in releases for patient, split in release.patients.items() if split != patients[patient]
    }
    if not moved:
        return []
    return [
        f"{len(moved):,} patients stand in different splits of the releases; each stays in the one furthest from "
        "training, and what the others have of them is left out"
    ]


def _worlds(
    releases: Sequence[Release], patients: dict[str, str], holdouts: Holdouts | None, journal: Journal, run: Runner,
    say: Callable[[str], None],
) -> dict[str, Path]:  # fmt: skip
    folders = tuple(release.folder for release in releases)
    present = [split for split in SPLITS if split in patients.values()]
    worlds = {split: journal.path("worlds", f"{split}.duckdb") for split in present}
    members = {split: tuple(sorted(one for one, where in patients.items() if where == split)) for split in present}
    say("uniting the charts of " + ", ".join(f"{split} ({len(members[split]):,} patients)" for split in present))
    jobs = [WorldJob(folders, members[split], split, worlds[split], holdouts) for split in present]
    list(run(survey_world, jobs))
    return {split: path for split, path in worlds.items() if open_world(path).patients}


def _parts(
    releases: Sequence[Release], worlds: dict[str, Path], holdouts: Holdouts | None, decided: dict[str, Any],
    journal: Journal, run: Runner, say: Callable[[str], None],
) -> list[Part]:  # fmt: skip
    """All rows of all releases, judged on the worlds, release by release."""
    folder = journal.path("partitions")
    jobs = [
        job
        for release in releases
        for split in release.manifest["splits"]
        for job in standing_jobs(
            release,
            split,
            worlds.get(split),
            folder,
            holdouts=holdouts,
            label=LABEL,
            tokens=decided["tokenizer"] is not None,
        )
    ]
    left = [job for job in jobs if not job.out.exists()]
    rows = 0
    for number, kept in enumerate(run(judge_standing, left), 1):
        rows += kept
        say(f"{rows:,} rows stand ({number} of {len(left)} parts judged)")
    parts = [Part(job.out, job.split, LABEL, foreign=True) for job in jobs]
    return [*parts, *(Part(path, split) for release in releases for split, path in carry_drops(release, folder))]


def _sealed(releases: Sequence[Release], digest: str | None) -> dict[str, Any] | None:
    """The sealed holdouts that all the releases were built with, if they were built with the same."""
    if digest is None or HOLDOUTS not in releases[0].manifest["files"]:
        return None
    found: dict[str, Any] = json.loads((releases[0].folder / HOLDOUTS).read_bytes())
    return found


def _options(releases: Sequence[Release], holdouts: Holdouts | None) -> tuple[dict[str, Any], list[str]]:
    """The merge's options in the words of a build's, and what is to be remarked of them."""
    theirs = [release.manifest["options"] for release in releases]
    protocols = _once(one["protocol"] for one in theirs)
    if len(protocols) > 1:
        raise UserError(
            f"The releases speak different protocols ({', '.join(protocols)}): merge those of one protocol."
        )
    notes = []
    tokenizers = _once(one.get("tokenizer") for one in theirs)
    if len(tokenizers) > 1:
        notes.append("the releases count tokens by different tokenizers, or not: no token counts are kept")
    held = _once(one.get("holdouts") for one in theirs)
    if holdouts is None and len(held) > 1:
        notes.append("the releases were built with different holdouts, or without: none are claimed for the whole")
    kept_apart = {name: _once(one.get(name) for one in theirs) for name in ("test_families", "test_wordings")}
    if any(len(apart) > 1 for apart in kept_apart.values()):
        notes.append("the releases keep other families or wordings for test: the whole keeps none apart")
    families: dict[str, str] = {}
    for one in theirs:
        families |= one["families"]
    return {
        "families": dict(sorted(families.items())),
        "holdouts": holdouts.digest if holdouts is not None else held[0] if len(held) == 1 else None,
        "merge": [release.digest for release in releases],
        "mode": _joined(one["mode"] for one in theirs),
        "per_family": None,
        "population": None,
        "protocol": protocols[0],
        "seed": None,
        "tokenizer": tokenizers[0] if len(tokenizers) == 1 else None,
        **{name: apart[0] for name, apart in kept_apart.items() if len(apart) == 1 and apart[0]},
    }, notes


def _joined(names: Iterable[str]) -> str:
    """Names once each, in order, with commas; a name may be such a list itself."""
    return ", ".join(sorted({part for name in names for part in name.split(", ")}))


def _once(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
