"""The build: from a graph, or from nothing, to a release folder that appears whole or not at all.

What is finished lies in the journal beside the folder, so a build that was killed goes on where it stopped and ends
with the same bytes as one that was left alone.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import content_hash
from fhirtasks.graph.store import fingerprint, open_graph
from fhirtasks.leakage.holdouts import read_holdouts
from fhirtasks.leakage.keyed import seal
from fhirtasks.release.code import versions
from fhirtasks.release.manifest import NAME as MANIFEST
from fhirtasks.release.manifest import file_failures, read_manifest
from fhirtasks.release.processes import close_worlds, runner
from fhirtasks.synthesis.config import BuildConfig, BuildReport
from fhirtasks.synthesis.earlier import Release, lineage_of, open_release
from fhirtasks.synthesis.extend import check_extension
from fhirtasks.synthesis.identity import options
from fhirtasks.synthesis.jobs import token_counter
from fhirtasks.synthesis.journal import Journal, journal_of
from fhirtasks.synthesis.merge import Merged, coverage
from fhirtasks.synthesis.publish import describe, finish, stated_sources, write_shards
from fhirtasks.synthesis.stages import Stages
from fhirtasks.synthesis.transcript_files import open_rollouts
from fhirtasks.tasks.quotas import Quota
from fhirtasks.tasks.registry import families as registered
from fhirtasks.tasks.types import Family

__all__ = ["BuildConfig", "BuildReport", "build"]


def build(config: BuildConfig, progress: Callable[[str], None] | None = None) -> BuildReport:
    """Builds the release ``config.out``; run again after a kill, it goes on. Done already, it says what is there.

    UserError for bad options or inputs, for a folder in the way, and where no family can be sampled from the records.
    """
    say = progress or (lambda message: None)
    config = replace(config, out=Path(os.path.abspath(config.out)))
    extended = None if config.extend is None else open_release(config.extend, config.out)
    families = _families(config, extended)
    if config.policy is not None and not config.holdouts:
        raise UserError(
            "--policy says what counts as a leak of what --holdout keeps out; give a holdout, or leave it out."
        )
    holdouts = read_holdouts(config.holdouts, config.policy) if config.holdouts else None
    if config.tokenizer is not None:
        token_counter(config.tokenizer)
    elif config.max_tokens is not None:
        raise UserError("--max-tokens says how long an episode may be by a tokenizer; give --tokenizer too.")
    graph = sources = None
    if config.graph is not None:
        with open_graph(config.graph) as db:
            graph = fingerprint(db)
        sources, _ = stated_sources(config.graph)
    rollouts = open_rollouts(config.rollouts)
    identity: dict[str, Any] = {
        "options": options(config, families, holdouts, extended, [file.digest for file in rollouts]),
        "graph": graph,
        "sources": sources,
        "versions": versions(),
    }
    if extended is not None:
        check_extension(config, extended, identity["options"])
    there = already_there(config.out, identity)
    if there is not None:
        say(f"{config.out} is this build's release already; delete it to build it anew")
        return there
    return in_journal(
        config.out,
        identity,
        lambda journal: _build(
            Stages(config, families, holdouts, journal, say, extended, rollouts), identity["options"]
        ),
    )


def in_journal(out: Path, identity: dict[str, Any], work: Callable[[Journal], BuildReport]) -> BuildReport:
    """Does the work in the journal of ``out``, which stays behind only where it is worth going on."""
    fresh = not journal_of(out).exists()
    with Journal(out, identity) as journal:
        try:
            return work(journal)
        except UserError:
            close_worlds()
            if fresh:
                journal.remove()
            raise
        except duckdb.Error as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from error
            raise


def _build(stages: Stages, decided: dict[str, Any]) -> BuildReport:
    with runner(stages.config.workers) as run:
        stages.take_graph()
        stages.make_worlds(run)
        stages.judge_standing(run)
        stages.allot()
        merged, lacking = stages.make(run)
        if lacking:
            close_worlds()
            stages.journal.remove()
            return _failed(stages, merged, lacking)
        merged, parts, rollouts = stages.replay_rollouts(merged, run)
        staging = stages.journal.staging()
        shards, splits = write_shards(staging, parts, merged, stages.worlds, run, stages.say)
        stated, said = stages.stated_sources()
        manifest = describe(
            decided=decided,
            stated=stated,
            fingerprint=stages.graph_fingerprint,
            merged=merged,
            splits=splits,
            quotas=stages.all_quotas(),
            unsupported=stages.unsupported,
            notes=[*stages.notes, *said],
            shards=shards,
            lineage=lineage_of([] if stages.extended is None else [stages.extended]),
            rollouts=[*([] if stages.extended is None else stages.extended.manifest["rollouts"]), *rollouts],
        )
        sealed = None if stages.holdouts is None else seal(stages.holdouts)
        finish(staging, manifest, stages.config.out, stages.worlds, run, stages.say, sealed)
        close_worlds()
    stages.journal.remove()
    return report_of(manifest)


def _families(config: BuildConfig, extended: Release | None) -> tuple[Family, ...]:
    for name in ("per_family", "workers", "patients"):
        if getattr(config, name) is not None and getattr(config, name) < 1:
            raise UserError(f"{name} is {getattr(config, name)}; it must be 1 or more.")
    patterns = config.families
    if extended is not None and not patterns:
        known = {family.name for family in registered()}
        patterns = tuple(name for name in extended.manifest["options"]["families"] if name in known)
    chosen = tuple(family for family in registered(patterns, config.protocol) if config.mode in family.modes)
    if not chosen:
        raise UserError(f"None of these families has the mode {config.mode}; leave --mode out, or name others.")
    weights = dict(config.difficulty)
    if weights and not weights.keys() & {family.name for family in chosen}:
        raise UserError("--difficulty names none of the families of this build; name those that it makes.")
    wanted = tuple(family for family in chosen if weights.get(family.name, 1.0))
    if not wanted:
        raise UserError("--difficulty gives every family the weight 0; leave one to build.")
    return wanted


def already_there(out: Path, identity: dict[str, Any]) -> BuildReport | None:
    """The report of a finished release at ``out``; None where the place is free. UserError where it is taken."""
    if not out.exists() and not out.is_symlink():
        return None
    if not out.is_dir():
        raise UserError(f"{out} is a file; give a folder to --out.")
    if not any(out.iterdir()):
        return None
    if not (out / MANIFEST).is_file():
        raise UserError(f"{out} is not empty and holds no release; empty it, or give another --out.")
    manifest = read_manifest(out)
    same = manifest["options"] == identity["options"] and manifest["versions"] == identity["versions"]
    same = same and all(identity[name] in (None, manifest[name]) for name in ("graph", "sources"))
    if not same:
        raise UserError(f"{out} holds a release of another build; delete it, or give another --out.")
    wrong = file_failures(out, manifest)
    if wrong:
        what = f"{wrong[0]['file']} {wrong[0]['problem']}"
        raise UserError(f"{out} holds this build's release, but {what}; delete it to build it anew.")
    shutil.rmtree(journal_of(out), ignore_errors=True)
    return report_of(manifest)


def _failed(stages: Stages, merged: Merged, lacking: Sequence[tuple[Quota, int]]) -> BuildReport:
    return BuildReport(
        kept=0,
        dropped=merged.reasons(),
        unsupported=stages.unsupported,
        families=coverage(stages.all_quotas(), merged),
        splits={},
        fingerprint="",
        notes=stages.notes,
        missed=[f"{quota.family}/{quota.branch} in {quota.split}: {kept} of {quota.rows}" for quota, kept in lacking],
    )


def report_of(manifest: dict[str, Any]) -> BuildReport:
    return BuildReport(
        kept=manifest["kept"],
        dropped=manifest["dropped"],
        unsupported=manifest["unsupported"],
        families=manifest["families"],
        splits=manifest["splits"],
        fingerprint=content_hash(manifest["row_sets"]),
        notes=manifest["notes"],
        rollouts=manifest["rollouts"],
    )
