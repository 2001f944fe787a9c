"""Recorded transcripts of real models become rows: replayed from their raw texts, cleaned, judged, counted.

Nothing of a transcript is believed but what the model said: prompt and replies are those of the replay. What passes is a
row like an expert's; what does not is counted by kind, by file and by model, and listed in ``dropped``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import graders
from fhirtasks.episodes.text import WIRE
from fhirtasks.episodes.transcripts import Transcript, transcript
from fhirtasks.episodes.types import Episode
from fhirtasks.graph.connection import connect
from fhirtasks.graph.world import World
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.release.preference import natural_pairs, pairs
from fhirtasks.release.processes import open_world
from fhirtasks.release.rows import Trajectory, hash_of, provenance
from fhirtasks.synthesis.cleaning import CLEANINGS, Cleaned, clean
from fhirtasks.synthesis.failures import CUT_OFF, failed, unfinished
from fhirtasks.synthesis.jobs import (
    matcher_of,
    no_cycle_collection,
    read_columns,
    read_note,
    token_counter,
    write_partition,
)
from fhirtasks.synthesis.merge import Merged, Part
from fhirtasks.synthesis.partition import OVER_BUDGET, Drop, Made, forbidden, held_out, over_budget
from fhirtasks.synthesis.transcript_files import RolloutFile, lines_of
from fhirtasks.tasks.codec import task_from_json
from fhirtasks.tasks.play import raws_of, replay_task
from fhirtasks.tasks.types import Task, Verdict

MODEL_CHARACTERS = 96
UNKNOWN = "unknown"
"""The model of a transcript that does not say."""


@dataclass(frozen=True, slots=True)
class RolloutJob:
    """Replay the transcripts of one chunk; ``tasks`` is the file of :func:`write_tasks`, ``worlds`` are by split."""

    file: RolloutFile
    chunk: int
    tasks: Path
    worlds: Mapping[str, Path]
    graph: str
    out: Path
    holdouts: Holdouts | None
    tokenizer: Path | None
    max_tokens: int | None = None


@dataclass(slots=True)
class _Tally:
    """Counts of a chunk, by model; ``cleaned`` and ``other_replies`` count rows that pass."""

    transcripts: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    other_replies: Counter[str] = field(default_factory=Counter)
    cleaned: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    dropped: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


@dataclass(frozen=True, slots=True)
class _Played:
    """A transcript as the replay tells it; ``unfinished`` is why it came to no answer."""

    task: Task
    episode: Episode
    model: str
    cleaned: tuple[str, ...]
    other_replies: bool
    content: str
    unfinished: str = ""


def write_tasks(parts: Sequence[Part], merged: Merged, out: Path) -> None:
    """A DuckDB file with the text of every task that has a row, by its id."""
    import pyarrow as pa

    part_file = out.with_name(out.name + ".part")
    part_file.unlink(missing_ok=True)
    try:
        with connect(part_file) as db:
            db.execute("CREATE TABLE task (id VARCHAR, task VARCHAR)")
            for part in parts:
                skip = set(merged.skip[part.path.name, str(part.split)])
                rows, _ = read_columns(part.path, ("id", "task"))
                kept = [row for place, row in enumerate(rows) if place not in skip]
                texts = {id_.partition("-")[0]: task for id_, task in kept}
                batch = pa.table({"id": list(texts), "task": list(texts.values())})
                db.register("batch", batch)
                db.execute("INSERT INTO task SELECT id, task FROM batch")
                db.unregister("batch")
        part_file.replace(out)
    finally:
        part_file.unlink(missing_ok=True)


def replay_rollouts(job: RolloutJob) -> int:
    """Does a job; returns how many transcripts pass."""
    made, tally = Made(), _Tally()
    with no_cycle_collection():
        played = list(_played(job, made, tally))
        for split in sorted({one.task.split for one in played}):
            _judge(job, [one for one in played if one.task.split == split], made, tally)
    counts = {
        model: {
            "transcripts": number,
            "passed": tally.passed[model],
            "other_replies": tally.other_replies[model],
            "cleaned": dict(tally.cleaned[model]),
            "dropped": dict(tally.dropped[model]),
        }
        for model, number in tally.transcripts.items()
    }
    write_partition(made, job.out, counts=counts)
    return len(made.kept)


def account(jobs: Sequence[RolloutJob], merged: Merged) -> list[dict[str, Any]]:
    """The manifest's ``rollouts``: for each file and model what was read, kept, cleaned and dropped, by kind."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for job in jobs:
        for model, counts in read_note(job.out, "counts").items():
            entry = found.setdefault(
                (job.file.digest, model),
                {"file": job.file.digest, "model": model, "transcripts": 0, "kept": 0, "other_replies": 0,
                 "cleaned": {}, "dropped": {}},
            )  # fmt: skip
            repeated = merged.repeated[job.out.name, model]
            entry["transcripts"] += counts["transcripts"]
            entry["kept"] += counts["passed"] - repeated
            entry["other_replies"] += counts["other_replies"]
            dropped = Counter(entry["dropped"]) + Counter(counts["dropped"]) + Counter({"duplicate": repeated})
            entry["dropped"] = dict(sorted(dropped.items()))
            entry["cleaned"] = dict(sorted((Counter(entry["cleaned"]) + Counter(counts["cleaned"])).items()))
    return [found[key] for key in sorted(found)]


def _played(job: RolloutJob, made: Made, tally: _Tally) -> Iterator[_Played]:
    """The transcripts that show nothing held out. Those that come to no answer are dropped and counted already."""
    read: list[Transcript] = []
    for number, line in lines_of(job.file, job.chunk):
        try:
            read.append(transcript(number, line))
        except ValueError:
            tally.transcripts[UNKNOWN] += 1
            tally.dropped[UNKNOWN]["unreadable line"] += 1
            made.dropped.append(Drop("", "", "", "", "rollout: unreadable line"))
    tasks = _tasks(job.tasks, {one.id for one in read})
    matcher = None if job.holdouts is None else matcher_of(job.holdouts)
    for one in read:
        model = model_name(one.model)
        tally.transcripts[model] += 1
        task = tasks.get(one.id)
        if task is None:
            _drop(made, tally, model, None, "", "unknown task")
        elif not any(message.role == "assistant" for message in one.messages):
            _drop(made, tally, model, task, "", "no assistant message")
        else:
            found = _replayed(one, model, task, open_world(job.worlds[task.split]))
            kind = "cannot be replayed" if found is None else unfinished(found.episode, task)
            if found is None or kind:
                _drop(made, tally, model, task, "" if found is None else found.content, kind)
                if found is not None and kind != CUT_OFF:
                    yield replace(found, unfinished=kind)
            elif reason := held_out(matcher, task, found.episode):
                _drop(made, tally, model, task, found.content, reason)
            else:
                yield found


def _replayed(one: Transcript, model: str, task: Task, world: World) -> _Played | None:
    """The transcript's episode on its world, told again by the replay; None if it breaks something."""
    raws: list[str] = []
    names: set[str] = set()
    for message, reply in zip(one.messages, [*one.messages[1:], None], strict=True):
        if message.role != "assistant":
            continue
        # What its own run refused to read as an order was none: cleaned, it would become one.
        refused = reply is not None and reply.role != "assistant" and reply.content == WIRE["post_invalid"]
        (raw,) = raws_of([message], task.protocol)
        cleaned = Cleaned(raw) if refused or task.protocol != "text" else clean(raw, task.mode)
        raws.append(cleaned.text)
        names.update(cleaned.names)
    try:
        episode = replay_task(task, world, raws)
    except (ImportError, MemoryError):
        raise
    except Exception:  # anything may stand in a transcript, and none may end a build
        return None
    said = [message.content for message in one.messages if message.role != "assistant"]
    told = [message.content for message in episode.messages if message.role != "assistant"]
    return _Played(
        task,
        episode,
        model,
        tuple(name for name in CLEANINGS if name in names),
        said[: len(told)] != told,
        hash_of(task.protocol, episode.messages),
    )


def _judge(job: RolloutJob, played: list[_Played], made: Made, tally: _Tally) -> None:
    """Grades episodes of one split. What failed is rejected in the pair of a row of the same task."""
    count = None if job.tokenizer is None else token_counter(job.tokenizer)
    world = open_world(job.worlds[played[0].task.split])
    truths = graders.truths(list({one.task.id: one.task for one in played}.values()), world)
    kept: list[Trajectory] = []
    failures: defaultdict[str, list[tuple[Episode, Verdict]]] = defaultdict(list)
    for one in played:
        try:
            verdict = graders.grade(one.task, one.episode, world, truths[one.task.id])
        except (ImportError, MemoryError):
            raise
        except Exception:  # as above
            if not one.unfinished:
                _drop(made, tally, one.model, one.task, one.content, "cannot be graded")
            continue
        if one.unfinished or not verdict.passed:
            if not one.unfinished:
                _drop(made, tally, one.model, one.task, one.content, failed(verdict))
            failures[one.task.id].append((one.episode, verdict))
            continue
        tokens = count(one.episode) if count is not None else None
        if over_budget(tokens, job.max_tokens):
            _drop(made, tally, one.model, one.task, one.content, OVER_BUDGET)
            continue
        tally.passed[one.model] += 1
        tally.other_replies[one.model] += one.other_replies
        tally.cleaned[one.model].update(one.cleaned)
        origin = provenance(one.task, world.fingerprint, job.graph)
        origin |= {"model": one.model, "cleaned": ",".join(one.cleaned)}
        kept.append(Trajectory(one.task, one.episode, verdict, origin, one.content, tokens))
    matcher = None if job.holdouts is None else matcher_of(job.holdouts)
    made.kept += kept
    made.pairs |= pairs(kept, world, truths, forbidden(matcher))
    made.pairs |= natural_pairs(kept, failures, forbidden(matcher))


def model_name(said: str) -> str:
    """A model's name as a release shows it: one line, the last part of a path on somebody's disk."""
    name = " ".join("".join(sign if sign.isprintable() else " " for sign in said).split())
    if name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") > 1:
        name = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return name[:MODEL_CHARACTERS] or UNKNOWN


def _drop(made: Made, tally: _Tally, model: str, task: Task | None, content: str, kind: str) -> None:
    tally.dropped[model][kind] += 1
    where = ("", "", "") if task is None else (task.family, task.branch, task.split)
    made.dropped.append(Drop(content, *where, f"rollout: {kind}"))


def _tasks(path: Path, ids: set[str]) -> dict[str, Task]:
    with connect(path, read_only=True) as db:
        rows = db.execute(
            "SELECT id, task FROM task WHERE id IN (SELECT unnest(?::VARCHAR[]))", [sorted(ids)]
        ).fetchall()
    return {id_: task_from_json(text) for id_, text in rows}
