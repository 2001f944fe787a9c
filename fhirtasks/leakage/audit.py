"""The audit of any dataset: every text of every row of every file searched for what is held out.

An auditor trusts nothing but the rows: the files are found by looking, their kinds by their content, and what could not
be read is named. Rows are searched in processes side by side, in memory that does not grow with them, and the audit
measures itself on leaks planted in copies of the very rows that it searched (:mod:`fhirtasks.leakage.selftest`).
"""

from __future__ import annotations

import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from fhirtasks.benchmarks.files import Heading
from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.holdouts import read_heldout, read_sealed
from fhirtasks.errors import UserError
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.keyed import open_sealed
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.leakage.ngrams import common_phrases
from fhirtasks.leakage.policy import read_policy
from fhirtasks.leakage.reading import Dataset, Part, find_parts, keyed, open_file, part_rows
from fhirtasks.leakage.report import AuditReport
from fhirtasks.leakage.search import Job, Outcome, bound, close_finders, open_finders, placed, search
from fhirtasks.leakage.selftest import CLEAN, EACH, Finder, measure
from fhirtasks.leakage.splits import Overlap, Shard, shared
from fhirtasks.leakage.texts import row_texts
from fhirtasks.planting.rows import Row
from fhirtasks.processes import runner

SAMPLED: Final = 96
"""Rows, about, from all over the dataset: what they repeat is its template, and the self-test plants in them."""
LARGEST: Final = 200_000
"""Characters of a sampled row at most."""
PARALLEL_FROM: Final = 4
"""Parts from which on it pays to start other processes."""


def audit(
    dataset: str | Path,
    sources: Sequence[str | Path],
    policy: Path | None = None,
    *,
    key: bytes | None = None,
    workers: int = 1,
    each: int = EACH,
    clean: int = CLEAN,
    progress: Callable[[str], None] = lambda message: None,
) -> AuditReport:
    """Searches a folder, a file or a Hub dataset (``org/name[@revision]``) for what the sources hold out.

    All texts of a row count together, so that a name in one message and the birth date in another are found. What is
    found does not depend on ``workers``. The self-test plants ``each`` leaks per kind of fact and disguise, and ``clean``
    texts that are none. ``key`` opens sealed holdouts that need one. UserError for a source, policy or dataset that cannot be read.
    """
    rules = read_policy(policy)
    known = {str(source): read_sealed(source) for source in sources}
    sealed = [value for value in known.values() if value is not None]
    items = [item for source in sources if known[str(source)] is None for item in read_heldout(source)]
    for value in sealed:
        open_sealed(value, key)  # what is wrong with it is told before anything is read
    holdouts = Holdouts.of(items)
    progress("looking at the dataset's files")
    found = find_parts(dataset)
    sample = _sample(found.parts)
    matcher = Matcher(holdouts, rules)
    templates = common_phrases(
        ([text for _, text in row] for row in sample if not _is_verbatim(matcher, row)),
        (text for item in items for text in item.texts),
    )
    with tempfile.TemporaryDirectory(prefix="fhirtasks-audit-") as folder:
        setup = Path(folder) / "setup"
        setup.write_bytes(pickle.dumps((holdouts, sealed, key, rules, templates)))
        parts = (*found.parts, found.names)
        jobs = [Job(number, part, str(setup)) for number, part in enumerate(parts)]
        outcomes: list[Outcome] = []
        try:
            with runner(workers if len(jobs) >= PARALLEL_FROM else 1) as run:
                for outcome in run(search, jobs):
                    outcomes.append(outcome)
                    bound(outcomes)
                    total, leaks = sum(one.rows for one in outcomes), sum(one.leaks for one in outcomes)
                    progress(f"audited {total:,} rows, {len(outcomes)} of {len(jobs)} parts; {leaks:,} leaks so far")
            test = None
            if items:
                progress("planting leaks in copies of rows, to measure what is found")
                finders = open_finders(str(setup))
                rows_ = [row for row in sample if not any(_leaks(finder, row) for finder in finders)]
                test = measure(finders[0], items, rows_ or [[("text", "")]], each=each, clean=clean, progress=progress)
        finally:
            close_finders()
    outcomes.sort(key=lambda outcome: outcome.number)
    rows, findings = placed(parts, outcomes)
    if not sum(rows.values()) and not sum(outcome.characters for outcome in outcomes):
        raise UserError(f"{dataset} holds no rows and no text; give a dataset with something to search.")
    return AuditReport(
        dataset=str(dataset),
        commit=found.commit,
        findings=tuple(findings),
        leaks=sum(outcome.leaks for outcome in outcomes),
        leaking=sum(outcome.leaking for outcome in outcomes),
        doubts=sum(outcome.doubts for outcome in outcomes),
        matchers=dict(sorted(sum((outcome.matchers for outcome in outcomes), Counter[str]()).items())),
        rows=rows,
        characters=sum(outcome.characters for outcome in outcomes),
        unsearched=found.unsearched,
        holdouts=holdouts.digest,
        items=holdouts.counts,
        policy=rules.as_json(),
        notes=tuple(_notes(sealed, items)),
        splits=_shared(dataset, found),
        self_test=test,
    )


def _sample(parts: Sequence[Part]) -> list[Row]:
    """Rows from all over the dataset, about as many of each config and split."""
    groups: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        groups.setdefault((part.config, part.split), []).append(part)
    each = max(1, SAMPLED // len(groups))
    sampled: list[Row] = []
    for group in groups.values():
        chosen = group[:: -(-len(group) // 4)]
        for part in chosen:
            rows = (texts for row in part_rows(part) if not isinstance(row, Heading) and (texts := _named(row, part)))
            sampled += islice(rows, -(-each // len(chosen)))
    return sampled


def _named(row: Any, part: Part) -> Row:
    """A row's texts as the self-test takes them: prose named by its file, and of a huge row the beginning."""
    texts, left = [], LARGEST
    for place, text in row_texts(row, keys=keyed(part)):
        texts.append((part.name if part.prose else place or part.name, text[:left]))
        left -= len(text)
        if left <= 0:
            break
    return texts


def _leaks(finder: Finder, row: Row) -> bool:
    return any(match.decisive for match in finder.find([text for _, text in row]))


def _is_verbatim(matcher: Matcher, row: Row) -> bool:
    """Whether a row has a held-out text whole: what such rows repeat is a leak, however often, and no template."""
    return any(match.matcher in ("exact", "normalised") for match in matcher.find([text for _, text in row]))


def _shared(dataset: str | Path, found: Dataset) -> tuple[Overlap, ...]:
    """What two splits share, where the dataset is laid out as a release of ours."""
    if not _is_release(found.parts):
        return ()
    files = {part.name: part for part in found.parts if part.kind == "parquet" and part.member is None}
    shards = [Shard(name, partial(open_file, part.path, part.commit, name)) for name, part in sorted(files.items())]
    return tuple(shared(shards, str(dataset)))


def _is_release(parts: Sequence[Part]) -> bool:
    return {"charts", "sft"} <= {part.config for part in parts}


def _notes(sealed: Sequence[dict[str, Any]], items: Sequence[HeldOut]) -> list[str]:
    notes = []
    if sealed:
        notes.append(
            "sealed holdouts are compared by hashes of identities, parameter tuples and whole normalised texts alone: "
            "disguises are not seen through there"
        )
    if not items:
        notes.append(
            "only sealed holdouts were given, so nothing could be planted and what the audit misses is not measured"
        )
    return notes
