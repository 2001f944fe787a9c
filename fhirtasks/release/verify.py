"""Verifies a release from its folder alone: files, worlds rebuilt from charts, every row replayed and graded again."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import loads
from fhirtasks.graph.columns import columns_query
from fhirtasks.graph.world import write_world_from_charts
from fhirtasks.leakage.splits import overlaps
from fhirtasks.release.check import Places, check_derived, check_rows
from fhirtasks.release.check_pairs import check_pairs, pair_jobs
from fhirtasks.release.derived import check_documents, check_lengths, draw_again, together
from fhirtasks.release.derived import jobs as drawing_jobs
from fhirtasks.release.features import NOTHING
from fhirtasks.release.lengths import token_counter, tokenizer_digest
from fhirtasks.release.listed import check_listed
from fhirtasks.release.manifest import NAME, file_failures, read_manifest
from fhirtasks.release.processes import close_worlds, open_world, runner
from fhirtasks.release.read import DamagedShard, Failure, open_shard, row_group, shards_of, tables
from fhirtasks.release.rows import message_of, message_texts

JOB_ROWS = 500
PARALLEL_FROM = 1_000
"""Rows from which on it pays to start other processes."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """``rows`` of ``sft`` that there are, ``verified`` of them without fault, and everything that is not right.

    ``unchecked`` are sentences on what could not be compared here, and why.
    """

    rows: int
    verified: int
    failures: list[dict[str, Any]] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return {
            "rows": self.rows,
            "verified": self.verified,
            "failures": self.failures,
            "unchecked": self.unchecked,
        }


@dataclass(frozen=True, slots=True)
class Job:
    """Rows [start, stop) of a row group of ``sft``, the first being row ``first`` of the split; or all derived rows."""

    folder: Path
    split: str
    world: Path
    places: Places
    tokenizer: Path | None = None
    path: Path | None = None
    group: int = 0
    start: int = 0
    stop: int = 0
    first: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """What a job found: failures, and the (family, branch, records), id, content hash and task of its rows.

    ``tasks`` are digests of the tasks' texts, ``models`` counts the rows of each model, ``lengths`` has per family the
    characters and tokens of its rows.
    """

    job: Job
    failures: list[Failure]
    labels: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    models: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, dict[str, list[int]]] = field(default_factory=dict)


def verify(
    folder: Path,
    *,
    hashes: bool = True,
    tokenizer: Path | None = None,
    progress: Callable[[str], None] | None = None,
    workers: int = 1,
) -> VerifyReport:
    """Checks a release; without ``hashes`` the manifest's sha256 sums are not compared, everything else is.

    With ``tokenizer``, the one that the release names, tokens are counted again. ``workers`` are processes; what is found
    does not depend on them.

    UserError if ``folder`` is no release at all, or for another tokenizer.
    """
    say = progress or (lambda message: None)
    folder = Path(folder)
    if not folder.is_dir() or not ((folder / NAME).exists() or (folder / "sft").is_dir()):
        raise UserError(f"{folder} is no release; give the folder that fhirtasks build wrote.")
    try:
        manifest = read_manifest(folder)
    except UserError as error:
        return VerifyReport(0, 0, [Failure(str(error), file=NAME).as_json()])
    unchecked = _tokenizer(manifest, tokenizer)
    say("comparing files with the manifest")
    failures = [Failure(found["problem"], file=found["file"]) for found in file_failures(folder, manifest, hashes)]
    failures += check_listed(folder, manifest, {one.file for one in failures} if hashes else None)
    with tempfile.TemporaryDirectory(prefix="fhirtasks-verify-") as temporary:
        jobs: list[Job] = []
        worlds: dict[str, Path] = {}
        patients: dict[str, str] = {}
        for split, about in manifest["splits"].items():
            say(f"rebuilding the world of {split}")
            world = Path(temporary) / f"{split}.duckdb"
            found = list(_rebuild(folder, split, about, world, patients))
            failures += found
            if world.exists():
                worlds[split] = world
                jobs += _jobs(folder, split, world, _places(manifest, split), tokenizer, failures)
        rows = sum(job.stop - job.start for job in jobs)
        done: list[Done] = []
        try:
            with runner(workers if rows >= PARALLEL_FROM else 1) as run:
                for part in run(do, jobs):
                    done.append(part)
                    failures += part.failures
                    say(f"{sum(len(one.ids) for one in done):,} of {rows:,} rows checked")
                say("replaying what is rejected in the pairs")
                for problems in run(check_pairs, list(pair_jobs(folder, manifest, worlds, failures))):
                    failures += problems
                say("writing card, report and traces again")
                drawn = together(run(draw_again, drawing_jobs(folder, manifest, worlds)))
        finally:
            close_worlds()
    wrong = {
        (failure.split, failure.row) for failure in failures if failure.config == "sft" and failure.row is not None
    }
    done.sort(key=lambda part: (list(manifest["splits"]).index(part.job.split), part.job.first))
    failures += _whole(manifest, done, hashes)
    failures += _dropped(folder, manifest)
    failures += _shared(folder, manifest["options"])
    failures += check_lengths(manifest, [part.lengths for part in done])
    for one in check_documents(folder, manifest, drawn):
        if isinstance(one, Failure):
            failures.append(one)
        else:
            unchecked.append(one)
    failures = sorted(dict.fromkeys(failures), key=_order)
    return VerifyReport(rows, rows - len(wrong), [failure.as_json() for failure in failures], unchecked)


def do(job: Job) -> Done:
    """One job; a damaged shard is a failure like any other."""
    try:
        if job.path is None:
            return Done(job, list(check_derived(job.folder, job.split)))
        table = row_group(job.folder, job.path, "sft", job.group).slice(job.start, job.stop - job.start)
    except DamagedShard as damaged:
        return Done(job, [damaged.failure])
    rows = table.to_pylist()
    failures = check_rows(rows, open_world(job.world), job.split, job.first, job.places)
    lengths: dict[str, dict[str, list[int]]] = {}
    count = None if job.tokenizer is None else token_counter(job.tokenizer)
    for number, row in enumerate(rows, job.first):
        try:
            texts = message_texts(map(message_of, row["messages"] or ()))
        except (ValueError, LookupError, TypeError, AttributeError):  # check_rows says so
            texts = []
        mine = lengths.setdefault(str(row["family"]), {"characters": [], "tokens": []})
        mine["characters"].append(sum(map(len, texts)))
        if row["tokens"] is not None:
            mine["tokens"].append(row["tokens"])
        if count is not None and row["tokens"] != count(texts):
            problem = f"tokens is {row['tokens']}, the tokenizer counts {count(texts)}"
            failures.append(Failure(problem, config="sft", split=job.split, row=number, id=str(row["id"])))
    labels = Counter((row["family"], row["branch"], '"records":"native"' in str(row["provenance"])) for row in rows)
    named = Counter({(f, b, "native" if native else "overlaid"): count for (f, b, native), count in labels.items()})
    return Done(
        job,
        failures,
        named,
        [row["id"] for row in rows],
        [row["content_hash"] for row in rows],
        [hashlib.sha256(str(row["task"]).encode()).hexdigest() for row in rows],
        Counter(_model(row) for row in rows if row["origin"] == "model"),
        lengths,
    )


def _tokenizer(manifest: dict[str, Any], path: Path | None) -> list[str]:
    """That token counts cannot be checked, if so. UserError for a tokenizer that the release was not counted by."""
    stated = manifest["options"].get("tokenizer")
    if path is None:
        return [f"token counts: give --tokenizer, the one of sha256 {stated}"] if stated else []
    token_counter(path)
    if stated is None:
        raise UserError("The release holds no token counts; leave --tokenizer out.")
    if tokenizer_digest(path) != stated:
        raise UserError(
            f"{path} is not the tokenizer of the release (sha256 {stated}); give that one, or leave it out."
        )
    return []


def _places(manifest: dict[str, Any], split: str) -> Places:
    """Where the rows of a split may have been made: on this release's world, or on one that it comes from."""
    own = (manifest["graph"], manifest["splits"][split]["world"])
    earlier = ((one["graph"], one["worlds"].get(split)) for one in manifest["lineage"])
    return frozenset((own, *earlier))


def _model(row: dict[str, Any]) -> str:
    try:
        return str(loads(row["provenance"])["model"])
    except (ValueError, LookupError, TypeError):
        return ""


def _rebuild(
    folder: Path, split: str, about: dict[str, Any], world: Path, patients: dict[str, str]
) -> Iterator[Failure]:
    """Writes the world of a split from its charts, and says where the charts are not what they must be."""
    seen: list[Failure] = []

    def charts() -> Iterator[tuple[str, str, str | None, str]]:
        for table in tables(folder, "charts", split, 4096):
            for row in table.to_pylist():
                if row["split"] != split and not seen:
                    seen.append(
                        Failure(f"a chart says that it belongs to {row['split']}", config="charts", split=split)
                    )
                yield row["type"], row["id"], row["patient"], row["raw"]

    try:
        write_world_from_charts(charts(), split, world)
    except DamagedShard as damaged:
        yield damaged.failure
        return
    except (UserError, ValueError, duckdb.Error) as error:
        problem = f"no world can be made of the charts: {str(error).splitlines()[0]}"
        yield Failure(problem, config="charts", split=split)
        return
    yield from seen
    opened = open_world(world)
    if opened.fingerprint != about["world"]:
        yield Failure(
            "the charts are not those of the manifest (their fingerprint differs)", config="charts", split=split
        )
    if len(opened.patients) != about["patients"]:
        problem = f"{len(opened.patients)} patients, the manifest says {about['patients']}"
        yield Failure(problem, config="charts", split=split)
    for patient in opened.patients:
        if patients.setdefault(patient, split) != split:
            yield Failure(f"a patient is in {patients[patient]} too", config="charts", split=split, id=patient)
    misplaced = opened.db.execute(
        f"""WITH known AS (SELECT id FROM resource WHERE type = 'Patient')
        SELECT type || '/' || id FROM ({columns_query("(SELECT type, id, patient, raw FROM resource)")})
        WHERE (patient IS NOT NULL AND patient NOT IN (FROM known))
            OR (CASE WHEN type = 'Patient' THEN id ELSE subject END IN (FROM known)
                AND patient IS DISTINCT FROM CASE WHEN type = 'Patient' THEN id ELSE subject END)
        ORDER BY ALL"""
    ).fetchall()
    for row in misplaced:
        yield Failure(
            "the chart is filed under another patient than its text names", config="charts", split=split, id=row[0]
        )


def _jobs(
    folder: Path, split: str, world: Path, places: Places, tokenizer: Path | None, failures: list[Failure]
) -> list[Job]:
    jobs = [Job(folder, split, world, places)]
    first = 0
    for path in shards_of(folder, "sft", split):
        try:
            file = open_shard(folder, path, "sft")
        except DamagedShard as damaged:
            failures.append(damaged.failure)
            continue
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            for start in range(0, rows, JOB_ROWS):
                stop = min(start + JOB_ROWS, rows)
                jobs.append(Job(folder, split, world, places, tokenizer, path, group, start, stop, first + start))
            first += rows
    return jobs


def _whole(manifest: dict[str, Any], done: list[Done], hashes: bool) -> Iterator[Failure]:
    """What only all rows together show: repetitions, counts, the sets of contents."""
    ids: set[str] = set()
    contents: set[str] = set()
    tasks: dict[str, str] = {}
    models: Counter[str] = Counter()
    for part in done:
        models.update(part.models)
        for offset, (id_, content, task) in enumerate(zip(part.ids, part.hashes, part.tasks, strict=True)):
            problem = "id occurs before" if id_ in ids else "content_hash occurs before" if content in contents else ""
            if tasks.setdefault(str(id_).partition("-")[0], task) != task:
                problem = problem or "another row tells its task otherwise"
            if problem:
                yield Failure(problem, config="sft", split=part.job.split, row=part.job.first + offset, id=id_)
            ids.add(id_)
            contents.add(content)
    if models != Counter(manifest["models"]):
        yield Failure("the models and the numbers of their rows are not the manifest's", config="sft")
    total = sum(len(part.ids) for part in done)
    if total != manifest["kept"]:
        yield Failure(f"{total} rows in all, the manifest says {manifest['kept']}", config="sft")
    for split, about in manifest["splits"].items():
        mine = [content for part in done if part.job.split == split for content in part.hashes]
        if len(mine) != about["rows"]:
            yield Failure(f"{len(mine)} rows, the manifest says {about['rows']}", config="sft", split=split)
        digest = hashlib.sha256("".join(f"{content}\n" for content in mine).encode()).hexdigest()
        if hashes and digest != manifest["row_sets"][split].get("episodes"):
            yield Failure("the rows are not the manifest's (their content hashes differ)", config="sft", split=split)
    counted: Counter[tuple[str, str, str]] = Counter()
    for part in done:
        counted.update(part.labels)
    stated = {
        (family, branch, records): row[records]
        for family, entry in manifest["families"].items()
        for branch, row in entry["branches"].items()
        for records in ("native", "overlaid")
    }
    for key in sorted(counted.keys() | stated.keys()):
        if counted[key] != stated.get(key, 0):
            problem = f"{'/'.join(key)}: {counted[key]} rows, the manifest says {stated.get(key, 0)}"
            yield Failure(problem, config="sft")


def _shared(folder: Path, options: dict[str, Any]) -> Iterator[Failure]:
    """Patients and scenarios of two splits, known by their contents whatever their ids; families and wordings that are to be
    asked in test alone, and are not."""
    families, wordings = bool(options.get("test_families")), bool(options.get("test_wordings"))
    try:
        for one in overlaps(folder, episodes=False, families=families, wordings=wordings):
            if one.what in ("family", "wording") and "test" not in one.splits:
                continue
            problem = (
                f"{' and '.join(one.splits)} share {one.number} {_MANY[one.what]} by content, one is {one.example}"
            )
            yield Failure(problem, config="charts" if one.what == "patient" else "sft")
    except UserError:
        return  # a shard that cannot be read is a failure already


_MANY = {"patient": "patients", "scenario": "scenarios", "family": "families", "wording": "wordings"}


def _dropped(folder: Path, manifest: dict[str, Any]) -> Iterator[Failure]:
    counted: Counter[str] = Counter()
    try:
        for split in manifest["splits"]:
            for table in tables(folder, "dropped", split, 4096):
                counted.update(table.column("reason").to_pylist())
    except DamagedShard as damaged:
        yield damaged.failure
        return
    counted.pop(NOTHING, None)
    if counted != Counter(manifest["dropped"]):
        yield Failure("the reasons and their counts are not the manifest's", config="dropped")


def _order(failure: Failure) -> tuple[bool, str, str, str, int, str]:
    """What is wrong with a shard comes first: counts, documents and traces that differ may follow from it."""
    row = -1 if failure.row is None else failure.row
    file = failure.file or ""
    return not file.endswith(".parquet"), file, failure.config or "", failure.split or "", row, failure.problem
