"""Runs policies over a release's tasks or a public benchmark and judges every episode, the floors beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import solvers
from fhirtasks.episodes.tools import wire
from fhirtasks.episodes.transcripts import printable
from fhirtasks.episodes.types import Episode
from fhirtasks.errors import UserError
from fhirtasks.evaluation.grade import read_transcripts
from fhirtasks.evaluation.models import Cut, check_local, endpoint_policy, local_speaker
from fhirtasks.evaluation.outcomes import Outcome
from fhirtasks.evaluation.paired import PairedReport
from fhirtasks.evaluation.playing import Prompting, ask_in_batches, ask_policy, play_again, play_solver
from fhirtasks.evaluation.report import EvaluationReport
from fhirtasks.evaluation.sources import TaskSet, open_tasks, release_name
from fhirtasks.fhir.jsontext import dumps
from fhirtasks.sandbox import forkserver
from fhirtasks.tasks.floors import FLOORS, floor
from fhirtasks.tasks.play import Sandbox, raws_of
from fhirtasks.tasks.types import Task

BATCH: Final = 8
"""Conversations that a model is asked about at a time."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """What to evaluate. ``limit`` is per family; ``out`` records the transcripts of the one policy asked for; ``sandbox``
    runs the Python of the ``code`` protocol.

    A model is asked about ``batch`` tasks at a time. With ``resume`` what ``out`` holds of an earlier run, also of one that was
    broken off, is judged anew and not asked again. ``base`` is what the model is compared with on the same tasks: another model,
    loaded or asked in the same way, or a file of transcripts that ``out`` recorded, which are judged anew and not asked for.
    """

    tasks: Path
    policies: tuple[str, ...] = ("expert",)
    graph: Path | None = None
    split: str | None = None
    prompt_template: Path | None = None
    functions: Path | None = None
    endpoint: str | None = None
    model: str | None = None
    limit: int | None = None
    out: Path | None = None
    sandbox: Sandbox = "embedded"
    batch: int = BATCH
    max_tokens: int | None = None
    resume: bool = False
    base: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where tasks are run: what was asked for there, its tasks, and what the base said there if that was recorded."""

    config: EvaluationConfig
    source: TaskSet
    tasks: Sequence[Task]
    said: Mapping[str, Sequence[str]]


Ask: TypeAlias = Callable[[Sequence[Task], TaskSet], Iterator[Outcome]]
"""Asks one model about tasks, in order."""


def evaluate(config: EvaluationConfig, progress: Progress | None = None) -> EvaluationReport:
    """Runs the policies asked for and every floor. UserError for anything that the user has to put right."""
    return evaluate_all([config], progress)[0]


def evaluate_all(configs: Sequence[EvaluationConfig], progress: Progress | None = None) -> list[EvaluationReport]:
    """The same policies in several places: the configurations differ in ``tasks``, ``out`` and ``base``.

    All places are opened before anything is asked, and a model is loaded once: the base first, let go before the trained one.
    """
    config = configs[0]
    policies = tuple(dict.fromkeys(config.policies))
    for one in configs:
        _check(one, policies)
    prompting = Prompting(_text(config.prompt_template), _functions(config.functions), config.sandbox)
    with ExitStack() as opened:
        places = [
            _place(one, policies, prompting, opened.enter_context(open_tasks(one.tasks, one.graph, one.split)))
            for one in configs
        ]
        before = None if config.base is None else _run("base", places, prompting, progress)
        found = {name: _run(name, places, prompting, progress) for name in dict.fromkeys((*policies, *FLOORS))}
    reports = []
    for number, place in enumerate(places):
        outcomes = {name: every[number] for name, every in found.items()}
        if place.config.out is not None:
            who = config.model if policies[0] == "model" else policies[0]
            write_transcripts(place.config.out, outcomes[policies[0]], who or "")
            begun(place.config.out).unlink(missing_ok=True)
        paired = None
        if before is not None:
            paired = PairedReport.of(place.config.base or "", config.model or "", before[number], outcomes["model"])
        reports.append(EvaluationReport(policies, outcomes, place.source.benchmark, config.sandbox, paired))
    return reports


def _place(config: EvaluationConfig, policies: tuple[str, ...], prompting: Prompting, source: TaskSet) -> Place:
    if source.benchmark == "fhir_agentbench" and "expert" in policies:
        raise UserError(
            "No expert answers a benchmark's free questions: give --policy model, or a floor such as do-nothing."
        )
    if source.benchmark == "medagentbench" and "model" in policies and prompting.template is None:
        raise UserError(
            "A benchmark's score depends on its prompt: give its files by --prompt-template and --functions."
        )
    _resumed(config)  # refused here, before anything is asked
    tasks = _limited(source.tasks, config.limit)
    return Place(config, source, tasks, _said_by_base(config, tasks))


def _said_by_base(config: EvaluationConfig, tasks: Sequence[Task]) -> dict[str, list[str]]:
    """What a base's file recorded for each of the tasks; nothing where the base is a model. UserError for a task it lacks."""
    if not _recorded(config.base):
        return {}
    said = _said(Path(config.base or ""), tasks)
    lacking = [task.id for task in tasks if task.id not in said]
    if lacking:
        raise UserError(
            f"{config.base} has no transcript of {len(lacking):,} of the {len(tasks):,} tasks of {config.tasks} (such as "
            f"{lacking[0]}): evaluate the base on the same tasks with --out, and with --resume where some could not be asked."
        )
    return said


def write_transcripts(out: Path, outcomes: Sequence[Outcome], who: str) -> None:
    """One JSON line per episode: id, model and messages, assistant text raw, and ``cut`` where a message was cut off.

    The file appears whole or not at all.
    """
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            for outcome in outcomes:
                if outcome.episode is not None:
                    file.write(_line(outcome.episode, who, outcome.cut))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def _run(name: str, places: Sequence[Place], prompting: Prompting, progress: Progress | None) -> list[list[Outcome]]:
    """Every place's outcomes under one policy, or under the base. A model is loaded here and let go at the end."""
    runs = _runs(name, places[0].config, prompting)
    found = []
    for place in places:
        told = name if len(places) == 1 else f"{release_name(place.config.tasks)}, {name}"
        found.append(_collected(runs(place), told, len(place.tasks), progress))
    return found


def _runs(name: str, config: EvaluationConfig, prompting: Prompting) -> Callable[[Place], Iterator[Outcome]]:
    if name == "expert":
        return lambda place: play_solver(place.tasks, place.source, lambda task: solvers.solver(task.family), prompting)
    if name == "base" and _recorded(config.base):
        return lambda place: (play_again(task, place.source, place.said[task.id], prompting) for task in place.tasks)
    if name == "base":
        base = _model(config.base or "", config, prompting)
        return lambda place: base(place.tasks, place.source)
    if name == "model":
        ask = _model(config.model or "", config, prompting)
        return lambda place: _asked(place, ask, prompting)

    def play_floor(place: Place) -> Iterator[Outcome]:
        solver = floor(name, place.tasks)
        return play_solver(place.tasks, place.source, lambda _: solver, prompting)

    return play_floor


def _model(model: str, config: EvaluationConfig, prompting: Prompting) -> Ask:
    if config.endpoint is not None:
        policy = endpoint_policy(config.endpoint, model, max_tokens=config.max_tokens)
        return lambda tasks, source: ask_policy(tasks, source, policy, prompting, config.batch)
    speaker = local_speaker(model, batch=config.batch, max_tokens=config.max_tokens)
    return lambda tasks, source: ask_in_batches(tasks, source, speaker, prompting)


def _recorded(base: str | None) -> bool:
    """Whether a base is a file of transcripts, and no model."""
    return base is not None and Path(base).is_file()


def _said(path: Path, tasks: Sequence[Task]) -> dict[str, list[str]]:
    """What a file of transcripts has of these tasks: the raw assistant texts by task, the last one :class:`Cut` where one was."""
    protocols = {task.id: task.protocol for task in tasks}
    recorded = [one for one in read_transcripts(path) if one.id in protocols]
    said = {one.id: raws_of(one.messages, protocols[one.id]) for one in recorded}
    for one in recorded:
        if one.cut and said[one.id]:
            said[one.id][-1] = Cut(said[one.id][-1])
    return said


def begun(out: Path) -> Path:
    """Where the transcripts of a run stand until it is done, so that one that is broken off can go on."""
    return out.with_name(f"{out.name}.begun")


def _asked(place: Place, ask: Ask, prompting: Prompting) -> Iterator[Outcome]:
    """Every task by the model, in order; with ``resume`` what was asked before is played again from what was said."""
    config, source, tasks = place.config, place.source, place.tasks
    before: dict[str, list[str]] = {}
    for path in _resumed(config):
        before |= _said(path, tasks)
    runs = ask([task for task in tasks if task.id not in before], source)
    with (
        begun(config.out).open("a" if config.resume else "w", encoding="utf-8") if config.out else nullcontext() as file
    ):
        for task in tasks:
            if task.id in before:
                yield play_again(task, source, before[task.id], prompting)
                continue
            outcome = next(runs)
            if file is not None and outcome.episode is not None:
                file.write(_line(outcome.episode, config.model or "", outcome.cut))
                file.flush()
            yield outcome


def _mend(path: Path) -> None:
    """Takes away the last line where it was broken off in the middle."""
    if path.is_file():
        text = path.read_bytes()
        path.write_bytes(text[: text.rfind(b"\n") + 1])


def _resumed(config: EvaluationConfig) -> list[Path]:
    """The files with ``resume`` that hold what was asked before. UserError where that was another model."""
    if not config.resume or config.out is None:
        return []
    _mend(begun(config.out))
    found = [path for path in (config.out, begun(config.out)) if path.is_file() and path.stat().st_size]
    for path in found:
        for one in read_transcripts(path):
            if one.model not in ("", printable(config.model or "")):
                raise UserError(
                    f"{path} holds what the model {one.model} said: go on with that one by --resume, or give --out another file."
                )
    return found


def _line(episode: Episode, who: str, cut: bool) -> str:
    told = {"id": episode.task_id, "model": who, "messages": wire(episode.messages)}
    return dumps({**told, "cut": True} if cut else told) + "\n"


def _collected(runs: Iterator[Outcome], name: str, total: int, progress: Progress | None) -> list[Outcome]:
    found = []
    for outcome in runs:
        found.append(outcome)
        if progress is not None and (len(found) % 50 == 0 or len(found) == total):
            progress(f"{name}: {len(found):,} of {total:,} tasks, {sum(one.passed for one in found):,} passed")
    return found


def _limited(tasks: Sequence[Task], limit: int | None) -> list[Task]:
    """The first ``limit`` tasks of every family, in their order."""
    seen: dict[str, int] = {}
    chosen = []
    for task in tasks:
        seen[task.family] = seen.get(task.family, 0) + 1
        if limit is None or seen[task.family] <= limit:
            chosen.append(task)
    return chosen


def _check(config: EvaluationConfig, policies: tuple[str, ...]) -> None:
    known = ("expert", *FLOORS, "model")
    for name in policies:
        if name not in known:
            raise UserError(f"There is no policy {name!r}; there are: {', '.join(known)}.")
    if not policies:
        raise UserError(f"Name a policy to evaluate: {', '.join(known)}.")
    if "model" in policies and config.model is None:
        raise UserError("--policy model needs --model: a local model, or the model's name at --endpoint.")
    if "model" not in policies and (config.model or config.endpoint):
        raise UserError("--model and --endpoint are for --policy model.")
    if config.base is not None:
        _check_base(config, policies)
    if config.resume and (config.out is None or "model" not in policies):
        raise UserError("--resume goes on with the --out file of --policy model; give both.")
    if config.sandbox == "cpython":
        forkserver.own(os.getpid())  # refused here, before anything is asked
    if config.out is not None:
        if len(policies) > 1:
            raise UserError("--out records the transcripts of one policy; ask for one at a time.")
        if config.out.is_dir():
            raise UserError(f"{config.out} is a folder; give --out a file to write.")
        if not config.out.parent.is_dir():
            raise UserError(f"The folder {config.out.parent} does not exist; create it first.")
        kept = begun(config.out)
        if "model" in policies and not config.resume and kept.is_file() and kept.stat().st_size:
            raise UserError(
                f"{kept} holds what a run that was broken off has asked: go on with it by --resume, or remove it to begin anew."
            )


def _check_base(config: EvaluationConfig, policies: tuple[str, ...]) -> None:
    """Looks at both models before one of them is asked for hours."""
    base = config.base or ""
    if "model" not in policies:
        raise UserError("--base is what a model is compared with; give --policy model and --model besides.")
    if base.endswith(".jsonl") and not _recorded(base):
        raise UserError(f"There is no file {base}; give --base transcripts that evaluate --out recorded, or a model.")
    if config.out is not None and config.out.resolve() == Path(base).resolve():
        raise UserError(f"--out would write over --base, {base}; give --out another file.")
    if config.endpoint is None:
        for model in (config.model or "", *([] if _recorded(base) else [base])):
            check_local(model)


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no file {path}; give the benchmark's prompt or tool list.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text.") from error


def _functions(path: Path | None) -> str | None:
    """The tool list as the benchmark's harness prints it: loaded and dumped again."""
    text = _text(path)
    if text is None:
        return None
    try:
        return json.dumps(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); give the benchmark's tool list.") from error
