"""The ``fhirtasks`` command: a thin layer that parses arguments, calls one room, and prints.

Results go to stdout (with ``--json`` exactly one JSON value), progress and errors to stderr. Exit codes: 0 good, 1 the thing
checked is not good, 2 misuse or bad input.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from fhirtasks import __version__
from fhirtasks.errors import UserError
from fhirtasks.printing import (
    audit_text,
    build_text,
    clear,
    families_text,
    grade_text,
    load_text,
    progress,
    pull_text,
    push_text,
    seal_text,
    show,
    verify_text,
)
from train.cli import app as train_app

app = typer.Typer(
    name="fhirtasks",
    help="Verified demonstrations and deterministic environments for clinical agents, made from FHIR R4 records.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(train_app)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_STOPPED = 130
"""Exit code after Ctrl-C, as shells have it; typer turns the interrupt into it."""
_FAULT = 2
"""Exit code after a fault of ours: never 1, which is a verdict."""
_INTERRUPTED = "Query interrupted"
"""What DuckDB makes of a Ctrl-C while it works: a RuntimeError with this text."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Graph = Annotated[Path, typer.Option("--graph", help="The graph, a DuckDB file.")]
Seed = Annotated[int, typer.Option(help="Same seed, same bytes.", min=-(2**63), max=2**63 - 1)]
OptionalGraph = Annotated[Path | None, typer.Option("--graph", help="The graph, a DuckDB file.")]


@app.command(epilog="Example: fhirtasks load path/to/folder --graph g.duckdb --license ODbL-1.0")
def load(
    sources: Annotated[
        list[str], typer.Argument(help="NDJSON(.gz), Bundles, folders, zip/tar, or a server's base URL.")
    ],
    graph: Graph,
    licence: Annotated[str | None, typer.Option("--license", help="The sources' licence, an SPDX name.")] = None,
    origin: Annotated[str | None, typer.Option("--origin", help="Where the sources come from; kept with them.")] = None,
    real_patients: Annotated[
        bool, typer.Option("--real-patients", help="The records are of real people, de-identified or not.")
    ] = False,
    on_conflict: Annotated[str, typer.Option(help="Different bodies under one id: keep all, or error.")] = "keep",
    as_json: Json = False,
) -> None:
    """Load FHIR R4 records into a graph. Loading again, in any order, changes nothing."""
    from fhirtasks.graph.load import load as load_graph
    from fhirtasks.release.licences import remarks

    if on_conflict not in ("keep", "error"):
        raise UserError(f"--on-conflict is {on_conflict!r}; it takes keep or error.")
    report = load_graph(
        sources,
        graph,
        licence=licence,
        origin=origin,
        real_patients=real_patients,
        on_conflict="error" if on_conflict == "error" else "keep",
        progress=progress,
    )
    show({**report.as_json(), "notes": remarks(report.sources)}, as_json, load_text)


@app.command(epilog="Example: fhirtasks populate --graph g.duckdb --patients 50")
def populate(
    graph: Graph,
    patients: Annotated[int | None, typer.Option(help="How many synthetic patients (200).", min=1)] = None,
    seed: Seed = 0,
    patients_from: Annotated[
        Path | None, typer.Option(help="A task file: make charts for the patients it mentions, for dry runs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add embedded synthetic patients to a graph."""
    from fhirtasks.population.populate import populate as populate_graph

    if patients is not None and patients_from is not None:
        raise UserError("--patients and --patients-from exclude each other; a task file says which patients it needs.")
    number = 200 if patients is None else patients
    report = populate_graph(graph, patients=number, seed=seed, patients_from=patients_from, progress=progress)
    show(report.as_json(), as_json, load_text)


@app.command(epilog="Example: fhirtasks families --json")
def families(as_json: Json = False) -> None:
    """List every family: domain, kind, modes, protocols, branches."""
    from fhirtasks.tasks.registry import families as all_families

    rows = [
        {
            "name": family.name,
            "domain": family.domain,
            "kind": family.kind,
            "modes": list(family.modes),
            "protocols": list(family.protocols),
            "branches": [branch.name for branch in family.branches],
        }
        for family in all_families()
    ]
    show(rows, as_json, families_text)


@app.command(epilog="Example: fhirtasks build --graph g.duckdb --holdout benchmark.json --out ds")
def build(
    out: Annotated[Path, typer.Option("--out", help="The release folder to write.")],
    graph: OptionalGraph = None,
    patients: Annotated[
        int | None, typer.Option(help="Without --graph: embedded patients to make (200).", min=1)
    ] = None,
    family: Annotated[list[str] | None, typer.Option("--families", help="Name or glob; repeat for more.")] = None,
    mode: Annotated[
        str | None, typer.Option(help="clinical (default), or compat (a public benchmark's rules).")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="How the agent speaks: text (default), tools or code.")] = None,
    per_family: Annotated[int | None, typer.Option(help="Trajectories per family (240).", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same bytes (0).", min=-(2**63), max=2**63 - 1)] = None,
    holdout: Annotated[
        list[Path] | None,
        typer.Option("--holdout", help="A benchmark's file to keep out, or a folder of them; repeat for more."),
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="What counts as a leak, a JSON file over the default.")] = None,
    extend: Annotated[
        Path | None,
        typer.Option(help="A release to go on from: its rows are kept, its options and charts are the defaults."),
    ] = None,
    rollouts: Annotated[
        list[Path] | None, typer.Option(help="JSONL of a model's transcripts of these tasks; repeat for more.")
    ] = None,
    test_families: Annotated[
        list[str] | None, typer.Option("--test-families", help="Name or glob: asked in test alone; repeat for more.")
    ] = None,
    test_wordings: Annotated[
        bool | None, typer.Option("--test-wordings/--no-test-wordings", help="Test has wordings of its own.")
    ] = None,
    difficulty: Annotated[
        Path | None, typer.Option(help="JSON of families and weights, as train passk writes: scales --per-family.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; the bytes do not depend on it.", min=1)] = 1,
    tokenizer: Annotated[Path | None, typer.Option(help="A tokenizer folder, for token counts.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Leave out episodes of more tokens, by --tokenizer.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a release: sample, solve, replay, grade, filter, write. Run again to resume."""
    from fhirtasks.synthesis.build import BuildConfig
    from fhirtasks.synthesis.build import build as build_release
    from fhirtasks.synthesis.difficulty import read_weights
    from fhirtasks.synthesis.extend import defaults
    from fhirtasks.tasks.registry import spoken_by

    given = defaults(extend)
    mode = mode or given["mode"]
    if mode not in ("clinical", "compat"):
        raise UserError(f"--mode is {mode!r}; it takes clinical or compat.")
    spoken = spoken_by(tuple(family or ()), protocol or given.get("protocol"))
    if spoken != "text" and mode == "compat":
        raise UserError(f"--mode compat has no rules for the protocol {spoken}; leave out --mode, or --protocol.")
    if graph is not None and patients is not None:
        raise UserError("--graph and --patients exclude each other; give the graph, or the number of patients to make.")
    config = BuildConfig(
        out=out,
        graph=graph,
        patients=patients,
        families=tuple(family or ()),
        mode="compat" if mode == "compat" else "clinical",
        per_family=given["per_family"] if per_family is None else per_family,
        seed=given["seed"] if seed is None else seed,
        holdouts=tuple(holdout or ()),
        policy=policy,
        workers=workers,
        tokenizer=tokenizer,
        max_tokens=max_tokens,
        extend=extend,
        rollouts=tuple(rollouts or ()),
        test_families=tuple(given["test_families"] if test_families is None else test_families),
        test_wordings=given["test_wordings"] if test_wordings is None else test_wordings,
        protocol=spoken,
        difficulty=tuple((name, float(weight)) for name, weight in given["difficulty"].items())
        if difficulty is None
        else tuple(read_weights(difficulty).items()),
    )
    report = build_release(config, progress=progress)
    show(report.as_json(), as_json, build_text)
    if not report.complete:
        raise typer.Exit(1)


@app.command(epilog="Example: fhirtasks merge one other --out both")
def merge(
    releases: Annotated[list[Path], typer.Argument(help="Release folders; of equal rows the first stays.")],
    out: Annotated[Path, typer.Option("--out", help="The release folder to write.")],
    holdout: Annotated[
        list[Path] | None,
        typer.Option("--holdout", help="A benchmark's file to keep out, or a folder of them; repeat for more."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; the bytes do not depend on it.", min=1)] = 1,
    as_json: Json = False,
) -> None:
    """Make one release of several. Every row is replayed and graded on the united charts. Run again to resume."""
    from fhirtasks.synthesis.combine import MergeConfig, combine

    config = MergeConfig(out, tuple(releases), tuple(holdout or ()), workers)
    show(combine(config, progress=progress).as_json(), as_json, build_text)


@app.command(epilog="Example: fhirtasks verify ds")
def verify(
    folder: Annotated[Path, typer.Argument(help="A release folder.")],
    no_hashes: Annotated[bool, typer.Option("--no-hashes", help="Do not compare the manifest's hashes.")] = False,
    tokenizer: Annotated[Path | None, typer.Option(help="The release's tokenizer, to count its tokens again.")] = None,
    as_json: Json = False,
) -> None:
    """Replay and grade again every row of a release. Needs the folder alone; exits with 1 if anything differs."""
    from fhirtasks.release.verify import verify as verify_release

    report = verify_release(
        folder, hashes=not no_hashes, tokenizer=tokenizer, progress=progress, workers=os.cpu_count() or 1
    )
    show(report.as_json(), as_json, verify_text)
    if report.failures:
        raise typer.Exit(1)


@app.command(epilog="Example: fhirtasks grade --tasks ds episodes.jsonl")
def grade(
    episodes: Annotated[Path, typer.Argument(help="JSONL: a task id and its messages, raw, per line.")],
    tasks: Annotated[Path, typer.Option(help="A release folder, or a benchmark's task file.")],
    graph: OptionalGraph = None,
    mode: Annotated[str | None, typer.Option(help="Judge by clinical or compat rules; default the task's own.")] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible base URL: a model's opinion in a column; it decides nothing."),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The model's name at --judge.")] = None,
    as_json: Json = False,
) -> None:
    """Judge recorded transcripts, ours or anyone's."""
    from fhirtasks.evaluation.grade import grade_file
    from fhirtasks.evaluation.judge import endpoint_judge

    if judge is None and judge_model is not None:
        raise UserError("--judge-model needs --judge, the base URL of an OpenAI-compatible server.")
    asked = None if judge is None else endpoint_judge(judge, judge_model)
    show(grade_file(tasks, episodes, graph, mode, asked), as_json, grade_text)


@app.command(epilog="Example: fhirtasks audit ds --holdout benchmark.json")
def audit(
    dataset: Annotated[str, typer.Argument(help="A folder, a file, or org/name[@revision] on the Hub.")],
    holdout: Annotated[
        list[str], typer.Option("--holdout", help="A benchmark's file, or hub:org/name; repeat for more.")
    ],
    policy: Annotated[Path | None, typer.Option(help="What counts as a leak, a JSON file.")] = None,
    key: Annotated[Path | None, typer.Option(help="The key of sealed holdouts, a file.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; what is found does not depend on it. Default: all cores.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Search any dataset for what benchmarks hold out. Reads every text; exits with 1 if a leak is found."""
    from fhirtasks.leakage.audit import audit as audit_dataset
    from fhirtasks.leakage.sealing import read_key

    cores = os.cpu_count() or 1
    report = audit_dataset(dataset, holdout, policy, key=read_key(key), workers=workers or cores, progress=progress)
    show(report.as_json(), as_json, audit_text)
    if not report.clean:
        raise typer.Exit(1)


@app.command(epilog="Example: fhirtasks seal benchmark.json --out sealed.json")
def seal(
    holdout: Annotated[list[str], typer.Argument(help="A benchmark's files, or hub:org/name.")],
    out: Annotated[Path, typer.Option("--out", help="The sealed file to write.")],
    key: Annotated[Path | None, typer.Option(help="A secret that auditors get too, a file.")] = None,
    as_json: Json = False,
) -> None:
    """Turn a benchmark into hashes that its owner can give away. Audits find it and nobody reads it."""
    from fhirtasks.leakage.sealing import read_key, write_sealed

    show(write_sealed(holdout, out, read_key(key)), as_json, seal_text)


@app.command(epilog="Example: fhirtasks diff ORG/NAME@v1.0.0 v2")
def diff(
    before: Annotated[str, typer.Argument(help="A release: its folder, or ORG/NAME@TAG on the Hub.")],
    after: Annotated[str, typer.Argument(help="A later one.")],
    regrade: Annotated[
        bool, typer.Option("--regrade", help="Replay and grade again what left, with this version's code.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what changed between two releases. Also why rows left, and whether the step is major, minor or patch."""
    from fhirtasks.release.changelog import describe
    from fhirtasks.release.diff import diff as compare
    from fhirtasks.release.places import release_at
    from fhirtasks.release.versioning import classify

    with release_at(before, progress) as one, release_at(after, progress) as other:
        found = compare(one, other, regrade=regrade, workers=os.cpu_count() or 1, progress=progress)
    change = classify(found)
    show({**change.as_json(), **found.as_json()}, as_json, lambda _: describe(found, change).rstrip())


@app.command(epilog="Example: fhirtasks push ds ORG/NAME --tag v1.0.0 --dry-run")
def push(
    folder: Annotated[Path, typer.Argument(help="A release folder.")],
    repository: Annotated[str, typer.Argument(help="The dataset on the Hub, ORG/NAME; made if need be.")],
    tag: Annotated[str, typer.Option("--tag", help="The version, v and three numbers: v1.2.0.")],
    public: Annotated[bool, typer.Option("--public", help="Make it public, or push to a public one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at everything, change nothing.")] = False,
    message: Annotated[str | None, typer.Option("--message", help="The commit's title.")] = None,
    acknowledge: Annotated[
        str | None, typer.Option("--acknowledge", help="Who decided, and why, that real patients' records may go out.")
    ] = None,
    holdout: Annotated[
        list[str] | None, typer.Option("--holdout", help="Audit against this too, as audit does; repeat for more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish a release as a version on the Hub. One commit, then the tag; a dry run exits with 1 if a check fails."""
    from fhirtasks.release.push import push as publish

    report = publish(
        folder, repository, tag, public=public, dry_run=dry_run, message=message, acknowledge=acknowledge,
        holdouts=tuple(holdout or ()), progress=progress,
    )  # fmt: skip
    show(report.as_json(), as_json, push_text)
    if not report.ready:
        raise typer.Exit(1)


@app.command(epilog="Example: fhirtasks pull ORG/NAME --tag v1.0.0 --out copy")
def pull(
    repository: Annotated[str, typer.Argument(help="The dataset on the Hub, ORG/NAME.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    tag: Annotated[str | None, typer.Option("--tag", help="The version; main without it.")] = None,
    as_json: Json = False,
) -> None:
    """Download a version of a release and compare every hash. The folder appears whole or not at all."""
    from fhirtasks.release.pull import pull as download

    show(download(repository, out, tag=tag, progress=progress).as_json(), as_json, pull_text)


@app.command(epilog="Example: fhirtasks serve --graph g.duckdb --port 8080")
def serve(
    graph: Graph,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    style: Annotated[str, typer.Option(help="compact, or hapi (as the benchmark's server prints).")] = "compact",
    as_json: Json = False,
) -> None:
    """Serve a graph as a FHIR server over HTTP. What is posted lives until it stops."""
    from fhirtasks.service.http import serve as serve_graph

    if style not in ("compact", "hapi"):
        raise UserError(f"--style is {style!r}; it takes compact or hapi.")

    def announce(base: str) -> None:
        show({"base": base}, as_json, lambda value: f"Serving {graph} at {value['base']}")
        sys.stdout.flush()

    serve_graph(graph, host=host, port=port, style="hapi" if style == "hapi" else "compact", announce=announce)


@app.command(epilog="Example: fhirtasks evaluate --tasks ds --policy expert --limit 5")
def evaluate(
    tasks: Annotated[
        list[Path], typer.Option(help="A release folder, or a benchmark's task file; repeat to compare releases.")
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="expert (default), model, or a floor: do-nothing, never-read, constant, echo, call-everything; repeat for more."
        ),
    ] = None,
    graph: OptionalGraph = None,
    split: Annotated[str | None, typer.Option(help="Only this split of a release: train, validation or test.")] = None,
    prompt_template: Annotated[Path | None, typer.Option(help="The benchmark's prompt text, your file.")] = None,
    functions: Annotated[Path | None, typer.Option(help="The benchmark's tool list, your file.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="An OpenAI-compatible base URL, for --policy model.")] = None,
    model: Annotated[str | None, typer.Option(help="Model name at the endpoint, or a local model folder.")] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Compare --model with this on the same tasks: a model, named as --model is, or transcripts that a run of its "
            "own recorded by --out."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many tasks per family.", min=1)] = None,
    sandbox: Annotated[str, typer.Option(help="What runs code tasks' Python: embedded, or cpython.")] = "embedded",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Record the transcripts (the base's never) in this JSONL file; with several --tasks a folder, a file for each.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Tasks that a model is asked at a time.", min=1)] = 8,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens of one message of the model (2048).", min=1)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what --out holds of an earlier run.")] = False,
    as_json: Json = False,
) -> None:
    """Run policies over tasks and print what passed, with floors. Tasks are a release's or a public benchmark's.

    With --base the model's rates stand beside its base's, paired; with several --tasks there is a table across releases.
    """
    from fhirtasks.evaluation.across import evaluate_across
    from fhirtasks.evaluation.run import EvaluationConfig
    from fhirtasks.evaluation.run import evaluate as run

    if sandbox not in ("embedded", "cpython"):
        raise UserError(f"--sandbox is {sandbox!r}; it takes embedded or cpython.")
    config = EvaluationConfig(
        tasks=tasks[0], policies=tuple(policy or ("expert",)), graph=graph, split=split, prompt_template=prompt_template,
        functions=functions, endpoint=endpoint, model=model, limit=limit, out=out, batch=batch, resume=resume, base=base,
        max_tokens=max_tokens,
        sandbox="cpython" if sandbox == "cpython" else "embedded",
    )  # fmt: skip
    report = run(config, progress) if len(tasks) == 1 else evaluate_across(config, tasks, progress)
    show(report.as_json(), as_json, lambda _: report.as_text())


@app.callback(
    invoke_without_command=True,
    epilog="Exit codes: 0 good, 1 the thing checked is not good, 2 misuse or bad input, 130 stopped by Ctrl-C.",
)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Verified demonstrations and deterministic environments for clinical agents, made from FHIR R4 records."""
    if version:
        typer.echo(f"fhirtasks {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> NoReturn:
    """Entry point of the ``fhirtasks`` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = _STOPPED
    except Exception as error:
        sentence = _sentence(error)
        if sentence is not None:
            _fail(sentence)
        if str(error) != _INTERRUPTED:
            traceback.print_exc()
            raise SystemExit(_FAULT) from None
        code = _STOPPED
    if code == _STOPPED:
        _say("stopped; run the same command again to go on.")
    raise SystemExit(code if isinstance(code, int) else 0)


def _sentence(error: Exception) -> str | None:
    """What to tell the person at the keyboard; None for an error that is a fault of ours."""
    if isinstance(error, UserError):
        return str(error)
    if hasattr(error, "format_message"):  # typer's own: an unknown option, a value out of range
        where = getattr(getattr(error, "ctx", None), "command_path", "fhirtasks")
        return f"{error.format_message().rstrip('.')}; see {where} --help."
    # DuckDB and Arrow tell of a full disk in their own exceptions, by the system's words.
    if getattr(error, "errno", None) in _FULL or any(os.strerror(code) in str(error) for code in _FULL):
        return "the disk is full; free some space and run the same command again."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}; check the path and its permissions."
    return None


def _fail(message: str) -> NoReturn:
    _say(" ".join(line.strip() for line in message.splitlines()))
    raise SystemExit(2)


def _say(message: str) -> None:
    clear()
    print(f"fhirtasks: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
