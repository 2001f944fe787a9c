"""The learnability probe: does a release teach what it claims? A model made from nothing but its rows answers.

A tokenizer and a small decoder are made on the release, trained, and run as an agent on what training left out: other patients,
other wordings, other families. What they reach stands beside the floors. Nothing is downloaded; a family that a model of this
size learns from scratch is taught by its rows, while one that it does not learn may still teach a larger one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from fhirtasks.errors import UserError
from fhirtasks.evaluation.outcomes import Outcome
from fhirtasks.evaluation.sources import TaskSet, open_tasks
from fhirtasks.tasks.types import Task
from train.probe_agent import Agent, limits
from train.probe_data import Row, Wordings, by_patient, held_out_wordings, patient_of, read_rows, sampled
from train.probe_model import make_model
from train.probe_presets import Preset, Progress
from train.probe_report import Learning, ProbeReport, Scored, floors_on, score
from train.probe_run import Learned, Training, drill, learn
from train.probe_tokenizer import END, PAD, Encoded, encode, make_tokenizer, text_of

HELD_OUT_SPLITS: Final = ("validation", "test")
TOKENIZER_ROWS: Final = 2000
"""Rows that the tokenizer is learned from."""
DRILL_SHARE: Final = 0.1
"""Of the minutes, at most, for the drills."""
TEMPLATE: Final = (
    "{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>{% generation %}"
    "{{ message.content }}<|end|>{% endgeneration %}{% else %}<|user|>{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The chat template of the saved model: the very tokens of :func:`train.probe_tokenizer.encode`, for the text protocol."""


def probe(
    release: Path,
    preset: Preset,
    *,
    families: Sequence[str] = (),
    minutes: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    out: Path | None = None,
    progress: Progress = lambda _: None,
) -> ProbeReport:
    """Trains and measures. ``out`` keeps model, tokenizer and report. UserError for a release that cannot be probed."""
    started = time.monotonic()
    minutes = preset.minutes if minutes is None else minutes
    rows = read_rows(release)
    trained = _trained_families(rows, families or preset.families)
    mine = [row for row in rows if row.task.family in trained]
    wordings = Wordings([row.task for row in mine])
    kept_back = held_out_wordings([row.task for row in mine], wordings)
    mine = [row for row in mine if (row.task.family, wordings.of(row.task)) not in kept_back]
    tokenizer = make_tokenizer(
        [(patient_of(row.task), [text_of(one, row.task.protocol) for one in row.messages])
         for row in mine[:: max(1, len(mine) // TOKENIZER_ROWS)]]
    )  # fmt: skip
    episodes = [encode(tokenizer, row.task.family, row.messages, row.task.protocol) for row in mine]
    progress(f"{len(mine):,} rows of {len(trained)} families, {sum(len(one.tokens) for one in episodes):,} tokens")

    with ExitStack() as opened:
        sources = _sources(release, opened)
        asked = _questions(sources, trained, kept_back, wordings, preset.each)
        floors = floors_on([task for some in asked.values() for task in some], sources)
        start = make_model(preset.shape, tokenizer.get_vocab_size(), seed).to(device)
        seconds = 60 * minutes * DRILL_SHARE
        recalled = drill(start, tokenizer, preset.training, seed=seed, device=device, seconds=seconds)
        progress(f"drills: {recalled:.0%} of what is due is recalled")
        weights = {name: tensor.clone() for name, tensor in start.state_dict().items()}

        agent = Agent(start, tokenizer, device, preset.reading, *limits(episodes))

        def measure(kinds: Sequence[str], each: int | None = None) -> list[Scored]:
            start.eval()
            found = []
            for kind in kinds:
                tasks = asked[kind] if each is None else sampled(asked[kind], each)
                found += score(kind, _played(agent, tasks, sources), floors)
            start.train()
            return found

        marks: list[tuple[float, list[Scored]]] = []
        told = [0.0]

        def watch(_: float, tokens: int, loss: float) -> float:
            """A line every minute, figures at the marks; the seconds that figures took are no time of training."""
            since = (time.monotonic() - started) / 60
            if since < told[-1] + 1 and (len(marks) == len(preset.marks) or since < preset.marks[len(marks)]):
                return 0.0
            told.append(since)
            figures = ""
            if len(marks) < len(preset.marks) and since >= preset.marks[len(marks)]:
                marks.append((since, measure(["patients"], max(10, preset.each[0] // 5))))
                figures = f": {_brief(marks[-1][1])}"
            progress(f"{since:.1f} minutes, {tokens:,} tokens, loss {loss:.3f}{figures}")
            return time.monotonic() - started - 60 * since

        def budget(share: float) -> tuple[Training, float]:
            tokens = max(1, round(preset.training.tokens * share))
            return replace(preset.training, tokens=tokens), 60 * minutes * preset.training_share * share

        training, seconds = budget(1.0)
        learned = learn(start, episodes, training, seed=seed, device=device, seconds=seconds, watch=watch)
        progress(f"trained on {learned.tokens:,} tokens, loss {learned.loss:.3f}")
        scored = measure(("patients", "wordings", "families"))
        progress(f"{(time.monotonic() - started) / 60:.1f} minutes: {_brief(scored)}")
        trained_weights = {name: tensor.clone() for name, tensor in start.state_dict().items()}
        curve = []
        for share in preset.shares:
            few = by_patient(mine, share)
            start.load_state_dict(weights)
            training, seconds = budget(share)
            some = [encode(tokenizer, row.task.family, row.messages, row.task.protocol) for row in few]
            point = learn(start, some, training, seed=seed, device=device, seconds=seconds)
            curve.append(_learning(share, few, point, measure(("patients",), max(10, preset.each[0] // 3))))
            progress(f"{share:.1%} of the patients, {len(few):,} rows: {_brief(curve[-1].scored)}")
        curve.append(_learning(1.0, mine, learned, [one for one in scored if one.kind == "patients"]))
        start.load_state_dict(trained_weights)
    report = ProbeReport(
        release=_digest_of(release), seed=seed, device=device, shape=asdict(preset.shape), families=trained,
        rows=len(mine), patients=_patients(mine), vocabulary=tokenizer.get_vocab_size(),
        episode_tokens=_lengths(episodes), recalled=recalled, learned=asdict(learned), scored=scored, curve=curve,
        marks=marks, seconds=time.monotonic() - started,
    )  # fmt: skip
    if out is not None:
        _save(out, start, tokenizer, report)
    return report


def _learning(share: float, rows: Sequence[Row], learned: Learned, scored: list[Scored]) -> Learning:
    return Learning(share, _patients(rows), len(rows), learned.tokens, learned.loss, scored)


def _patients(rows: Sequence[Row]) -> int:
    """Patients whom the rows are about; a task about somebody whom the records do not have is about none."""
    return len({patient for row in rows for patient in row.task.patients})


def _trained_families(rows: Sequence[Row], wanted: Sequence[str]) -> tuple[str, ...]:
    there = {row.task.family for row in rows}
    return tuple(sorted(there & set(wanted))) or tuple(sorted(there))


def _sources(release: Path, opened: ExitStack) -> dict[str, TaskSet]:
    """The held-out splits. UserError where the release has none."""
    splits = [split for split in HELD_OUT_SPLITS if any((release / "rl").glob(f"{split}-*.parquet"))]
    if not splits:
        raise UserError(f"{release} has neither a validation nor a test split: build it from more patients.")
    return {split: opened.enter_context(open_tasks(release, split=split)) for split in splits}


def _questions(
    sources: dict[str, TaskSet], trained: Sequence[str], kept_back: set[tuple[str, str]], wordings: Wordings,
    each: tuple[int, int, int],
) -> dict[str, list[Task]]:  # fmt: skip
    """What is asked, by what was held out. All of it is about patients of whom training saw nothing."""
    tasks = [task for source in sources.values() for task in source.tasks]
    known = [task for task in tasks if task.family in trained]
    unheard = [task for task in known if (task.family, wordings.of(task)) in kept_back]
    heard = [task for task in known if (task.family, wordings.of(task)) not in kept_back]
    other = [task for task in tasks if task.family not in trained]
    kinds = {"patients": heard, "wordings": unheard, "families": other}
    return {kind: sampled(some, count) for (kind, some), count in zip(kinds.items(), each, strict=True)}


def _played(agent: Agent, tasks: Sequence[Task], sources: dict[str, TaskSet]) -> list[Outcome]:
    outcomes = []
    for split, source in sources.items():
        outcomes += agent.play([task for task in tasks if task.split == split], source)
    return outcomes


def _brief(scored: Sequence[Scored]) -> str:
    return ", ".join(f"{one.family} {one.passed}/{one.n}" for one in scored if not one.case)


def _lengths(episodes: Sequence[Encoded]) -> dict[str, dict[str, int]]:
    """Tokens of an episode by family: median and longest."""
    found: dict[str, list[int]] = {}
    for episode in episodes:
        found.setdefault(episode.family, []).append(len(episode.tokens))
    return {
        family: {"median": sorted(lengths)[len(lengths) // 2], "longest": max(lengths)}
        for family, lengths in sorted(found.items())
    }


def _digest_of(release: Path) -> str:
    import hashlib

    try:
        return hashlib.sha256((release / "manifest.json").read_bytes()).hexdigest()
    except FileNotFoundError:
        raise UserError(f"{release} has no manifest.json; give a release that fhirtasks build wrote.") from None


def _save(out: Path, model: Any, tokenizer: Any, report: ProbeReport) -> None:
    """Model and tokenizer as transformers loads them (for evaluate, sft and grpo), and ``probe.json``."""
    from transformers import PreTrainedTokenizerFast

    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.token_to_id(END)
    model.save_pretrained(out)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    fast.chat_template = TEMPLATE
    fast.save_pretrained(out)
    partial = out / f".probe.{os.getpid()}.json"
    partial.write_text(json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, out / "probe.json")
