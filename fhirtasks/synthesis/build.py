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
from fhirtasks.release.manifest import NAME as MANIFEST
from fhirtasks.release.manifest import file_failures, read_manifest
from fhirtasks.release.processes import close_worlds, runner
from fhirtasks.synthesis.config import BuildConfig, BuildReport
from fhirtasks.synthesis.identity import options, versions
from fhirtasks.synthesis.jobs import token_counter
from fhirtasks.synthesis.journal import Journal, journal_of
from fhirtasks.synthesis.merge import Merged
from fhirtasks.synthesis.publish import describe, finish, stated_sources
from fhirtasks.synthesis.stages import Stages
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
    families = _families(config)
    holdouts = read_holdouts(config.holdouts) if config.holdouts else None
    if config.tokenizer is not None:
        token_counter(config.tokenizer)
    graph = sources = None
    if config.graph is not None:
        with open_graph(config.graph) as db:
            graph = fingerprint(db)
        sources, _ = stated_sources(config.graph)
    identity: dict[str, Any] = {
        "options": options(config, families, holdouts),
        "graph": graph,
        "sources": sources,
        "versions": versions(),
    }
    there = _already_there(config.out, identity)
    if there is not None:
        say(f"{config.out} is this build's release already; delete it to build it anew")
        return there
    fresh = not journal_of(config.out).exists()
    with Journal(config.out, identity) as journal:
        try:
            return _build(Stages(config, families, holdouts, journal, say), identity["options"])
        except UserError:
            close_worlds()
            if fresh:
                journal.remove()
            raise
        except duckdb.Error as error:
            if "No space left" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(config.out)) from error
            raise


def _build(stages: Stages, decided: dict[str, Any]) -> BuildReport:
    with runner(stages.config.workers) as run:
        stages.take_graph()
        stages.make_worlds(run)
        stages.allot()
        merged, lacking = stages.make(run)
        table = _table(stages.quotas, merged)
        if lacking:
            close_worlds()
            stages.journal.remove()
            return _failed(stages, merged, table, lacking)
        staging, shards, splits = stages.write(merged, run)
        close_worlds()
    manifest = describe(
        decided=decided,
        graph=stages.graph,
        fingerprint=stages.graph_fingerprint,
        merged=merged,
        splits=splits,
        families=table,
        unsupported=stages.unsupported,
        notes=stages.notes,
        shards=shards,
    )
    finish(staging, manifest, stages.config.out)
    stages.journal.remove()
    return _report(manifest)


def _families(config: BuildConfig) -> tuple[Family, ...]:
    for name in ("per_family", "workers", "patients"):
        if getattr(config, name) < 1:
            raise UserError(f"{name} is {getattr(config, name)}; it must be 1 or more.")
    chosen = tuple(family for family in registered(config.families, config.protocol) if config.mode in family.modes)
    if not chosen:
        raise UserError(f"None of these families has the mode {config.mode}; leave --mode out, or name others.")
    return chosen


def _already_there(out: Path, identity: dict[str, Any]) -> BuildReport | None:
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
    return _report(manifest)


def _table(quotas: Sequence[Quota], merged: Merged) -> dict[str, Any]:
    """Per family and branch: quota, kept, native, overlaid, over all splits."""
    table: dict[str, Any] = {}
    for quota in quotas:
        branches = table.setdefault(quota.family, {"branches": {}})["branches"]
        if quota.branch not in branches:
            branches[quota.branch] = {
                "quota": 0,
                "kept": merged.of(quota.family, quota.branch),
                "native": merged.of(quota.family, quota.branch, records="native"),
                "overlaid": merged.of(quota.family, quota.branch, records="overlaid"),
            }
        branches[quota.branch]["quota"] += quota.rows
    return table


def _failed(stages: Stages, merged: Merged, table: dict[str, Any], lacking: Sequence[tuple[Quota, int]]) -> BuildReport:
    return BuildReport(
        kept=0,
        dropped=merged.reasons(),
        unsupported=stages.unsupported,
        families=table,
        splits={},
        fingerprint="",
        notes=stages.notes,
        missed=[f"{quota.family}/{quota.branch} in {quota.split}: {kept} of {quota.rows}" for quota, kept in lacking],
    )


def _report(manifest: dict[str, Any]) -> BuildReport:
    return BuildReport(
        kept=manifest["kept"],
        dropped=manifest["dropped"],
        unsupported=manifest["unsupported"],
        families=manifest["families"],
        splits=manifest["splits"],
        fingerprint=content_hash(manifest["row_sets"]),
        notes=manifest["notes"],
    )
