"""``fhirtasks train …``: a thin layer over the trainers, one module per command.

Nothing heavy is imported before a command runs, so that ``fhirtasks --help`` stays quick and works without the extra.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from fhirtasks.errors import UserError
from fhirtasks.printing import show

app = typer.Typer(
    name="train",
    help="Train models on a release. Needs the extra: pip install 'fhirtasks[train]'.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)

Dataset = Annotated[str, typer.Argument(help="A release: its folder, or ORG/NAME on the Hub.")]
Tag = Annotated[str | None, typer.Option(help="The dataset's tag on the Hub; main without it.")]
Split = Annotated[str, typer.Option(help="The split to take: train, validation or test.")]
Families = Annotated[list[str] | None, typer.Option(help="A family to take; repeat for more.")]
Start = Annotated[str, typer.Option(help="The model to start from: a folder (also an adapter's) or a Hub name.")]
Out = Annotated[Path, typer.Option(help="The folder for the trained model or adapter.")]
Lora = Annotated[int | None, typer.Option(help="Train a LoRA adapter of this rank.", min=1)]
Thinking = Annotated[bool, typer.Option("--thinking", help="Let the chat template open a reasoning block.")]
Temperature = Annotated[float, typer.Option(help="Of sampling.", min=0.0)]
Turns = Annotated[bool, typer.Option("--turns", help="One row per assistant turn, not whole episodes.")]
SaveSteps = Annotated[int | None, typer.Option(help="A checkpoint every so many steps (sft: else per epoch).", min=1)]
Merge = Annotated[bool, typer.Option("--merge", help="Also write the merged model, to OUT/merged.")]
Push = Annotated[str | None, typer.Option(help="ORG/NAME: also upload the model to the Hub, private.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT.")]
ReportTo = Annotated[str, typer.Option(help="auto (trackio where installed), none or trackio.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result on the same machine.", min=0)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]


@app.callback()
def root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def needs_extra() -> None:
    """UserError where the libraries that train are not installed."""
    lacking = [name for name in ("torch", "transformers", "trl", "peft", "accelerate") if find_spec(name) is None]
    if lacking:
        raise UserError(f"Training needs {', '.join(lacking)}: pip install 'fhirtasks[train]'.")


def numbers(given: list[str] | None, option: str) -> dict[str, float]:
    """``NAME=NUMBER`` pairs of a repeated option. UserError for another form."""
    found = {}
    for one in given or ():
        name, equals, number = one.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise UserError(f"{option} is {one!r}; it takes NAME=NUMBER.")
    return found


@app.command(epilog="Example: fhirtasks train grpo ds --model sft-model --out rl-model")
def grpo(
    dataset: Dataset, model: Start, out: Out, tag: Tag = None, split: Split = "train", families: Families = None,
    curriculum: Annotated[Path | None, typer.Option(help="What train passk wrote: which families, how much.")] = None,
    reward: Annotated[
        list[str] | None, typer.Option("--reward", help="NAME=WEIGHT of a reward component; default outcome=1.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps.", min=1)] = 100,
    prompts: Annotated[int, typer.Option(help="Tasks per step.", min=1)] = 8,
    generations: Annotated[int, typer.Option(help="Rollouts per task, a group.", min=1)] = 8,
    batch: Annotated[int, typer.Option(help="Rollouts per process in one backward pass.", min=1)] = 8,
    max_completion_length: Annotated[
        int, typer.Option(help="Tokens of a whole episode after its prompt, observations included.", min=1)
    ] = 4096,
    max_message_length: Annotated[
        int | None, typer.Option(help="Tokens of one message, longer ones are cut off; as much as is left without it.", min=1)
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Constant.", min=0.0, max=1.0)] = 1e-6,
    beta: Annotated[float, typer.Option(help="Weight of the KL term towards the start.", min=0.0)] = 0.0,
    temperature: Temperature = 1.0, thinking: Thinking = False, lora: Lora = None,
    vllm: Annotated[str, typer.Option(help="How to generate: off, colocate or server.")] = "off",
    vllm_server: Annotated[str | None, typer.Option(help="The URL of trl vllm-serve.")] = None,
    vllm_memory: Annotated[float, typer.Option(help="Share of a GPU for vLLM when colocated.", min=0.0, max=1.0)] = 0.3,
    stop_on_alarm: Annotated[bool, typer.Option("--stop-on-alarm", help="End at the first known failure.")] = False,
    save_steps: SaveSteps = None, resume: Resume = False, merge: Merge = False, push: Push = None,
    report_to: ReportTo = "auto", seed: Seed = 0, as_json: Json = False,
) -> None:  # fmt: skip
    """Reinforcement learning (GRPO) in the environment. Several processes by accelerate launch -m fhirtasks train grpo."""
    needs_extra()
    from fhirtasks.environments.reward import WEIGHTS
    from train.grpo import GrpoOptions, summary, train_grpo

    options = GrpoOptions(
        dataset=dataset, model=model, out=out, revision=tag, split=split, families=tuple(families or ()),
        curriculum=curriculum, weights=numbers(reward, "--reward") or dict(WEIGHTS), steps=steps, prompts=prompts,
        generations=generations, batch=batch, max_completion_length=max_completion_length,
        max_message_length=max_message_length, learning_rate=learning_rate,
        beta=beta, temperature=temperature, thinking=thinking, lora=lora, merge=merge, push=push, resume=resume,
        vllm=vllm, vllm_server=vllm_server, vllm_memory=vllm_memory, save_steps=save_steps,  # type: ignore[arg-type]
        report_to=report_to, stop_on_alarm=stop_on_alarm, seed=seed,  # type: ignore[arg-type]
    )  # fmt: skip
    with redirect_stdout(sys.stderr):  # transformers prints a line per logged step
        run = train_grpo(options)
    if int(os.environ.get("RANK", "0")) == 0:  # of several processes one speaks
        show(run, as_json, summary)


@app.command(epilog="Example: fhirtasks train sft ds --model Qwen/Qwen3-8B --lora 64 --out sft-model")
def sft(
    dataset: Dataset, model: Start, out: Out, tag: Tag = None, split: Split = "train", families: Families = None,
    preset: Annotated[str | None, typer.Option(help="A published recipe: medagentbench (QLoRA).")] = None, turns: Turns = False,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of a row (8192); longer ones are cut at a turn and counted.", min=1)
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Times that every row is seen (1).", min=0.0)] = None,
    steps: Annotated[int | None, typer.Option(help="End after so many optimizer steps.", min=1)] = None,
    rows: Annotated[int | None, typer.Option(help="Rows per optimizer step, over all processes (8).", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Rows per process in one backward pass (1).", min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its highest (2e-5).", min=0.0, max=1.0)] = None,
    lora: Lora = None,
    lora_alpha: Annotated[int | None, typer.Option(help="Its alpha; twice the rank unless given.", min=1)] = None,
    lora_dropout: Annotated[float | None, typer.Option(help="Its dropout (0).", min=0.0, max=1.0)] = None,
    nf4: Annotated[bool | None, typer.Option("--nf4/--no-nf4", help="Keep the base in four bits (QLoRA).")] = None,
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="Let the chat template open a reasoning block.")
    ] = None,
    save_steps: SaveSteps = None, resume: Resume = False, merge: Merge = False, push: Push = None,
    report_to: ReportTo = "auto", seed: Seed = 0, as_json: Json = False,
) -> None:  # fmt: skip
    """Supervised fine-tuning on demonstrations. Several processes by accelerate launch -m fhirtasks train sft."""
    needs_extra()
    from train.sft import summary, train_sft, with_preset

    options = with_preset(
        preset, dataset=dataset, model=model, out=out, revision=tag, split=split, families=tuple(families or ()),
        turns=turns, max_length=max_length, epochs=epochs, steps=steps, rows=rows, batch=batch,
        learning_rate=learning_rate, lora=lora, lora_alpha=lora_alpha, lora_dropout=lora_dropout, nf4=nf4,
        thinking=thinking, merge=merge, push=push, resume=resume, save_steps=save_steps, report_to=report_to, seed=seed,
    )  # fmt: skip
    with redirect_stdout(sys.stderr):  # transformers prints a line per logged step
        run = train_sft(options)
    if int(os.environ.get("RANK", "0")) == 0:  # of several processes one speaks
        show(run, as_json, summary)


@app.command(epilog="Example: fhirtasks train merge adapter --out model")
def merge(
    adapter: Annotated[Path, typer.Argument(help="An adapter's folder, as train sft --lora writes it.")],
    out: Annotated[Path, typer.Option(help="The folder for the whole model.")],
    as_json: Json = False,
) -> None:
    """Merge an adapter into its base."""
    needs_extra()
    from train.models import merge as run

    show({"model": str(run(adapter, out))}, as_json, lambda value: f"merged: {value['model']}")


@app.command()
def config(
    name: Annotated[str, typer.Argument(help="cpu, one_gpu, ddp, fsdp2 or zero3.")],
    as_json: Json = False,
) -> None:
    """Print where an Accelerate configuration lies. Use it so: accelerate launch --config_file "$(fhirtasks train config ddp)" …"""
    there = {path.stem: path for path in sorted((Path(__file__).parent / "accelerate").glob("*.yaml"))}
    if name not in there:
        raise UserError(f"There is no configuration {name!r}; there are: {', '.join(there)}.")
    show({"path": str(there[name])}, as_json, lambda value: str(value["path"]))


@app.command(epilog="Example: fhirtasks train check ds --model Qwen/Qwen3-8B")
def check(
    dataset: Dataset,
    model: Annotated[
        str, typer.Option("--model", "--tokenizer", help="A folder or Hub name of the tokenizer and chat template.")
    ],
    tag: Tag = None, split: Split = "train", families: Families = None,
    turns: Turns = False, thinking: Thinking = False,
    max_length: Annotated[int | None, typer.Option(help="Say what this length would cut.", min=1)] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Compare what a model sees in training and in use. Exits with 1 if they differ."""
    needs_extra()
    from train.check import as_text
    from train.check import check as run

    report = run(
        dataset, model, revision=tag, split=split, families=tuple(families or ()), turns=turns, max_length=max_length,
        thinking=thinking,
    )  # fmt: skip
    show(report.as_json(), as_json, lambda _: as_text(report))
    if not report.good:
        raise typer.Exit(1)


@app.command(epilog="Example: fhirtasks train passk ds --model sft-model --out curriculum.json")
def passk(
    dataset: Dataset,
    model: Annotated[str | None, typer.Option(help="The model: a folder, a Hub name, or a name at --endpoint.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="An OpenAI-compatible base URL.")] = None,
    rollouts: Annotated[
        Path | None, typer.Option(help="JSONL of transcripts, several per task, in place of a model.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the curriculum here.")] = None,
    tag: Tag = None, split: Split = "train", families: Families = None,
    samples: Annotated[int, typer.Option(help="Attempts at each task.", min=1)] = 12,
    k: Annotated[int | None, typer.Option("-k", help="The k of pass@k; the attempts unless given.", min=1)] = None,
    limit: Annotated[int | None, typer.Option(help="Tasks per family.", min=1)] = 20,
    batch: Annotated[int, typer.Option(help="Conversations at a time.", min=1)] = 12,
    guessable: Annotated[
        bool, typer.Option("--guessable", help="Hold answers that can be guessed to EHRMIND's reliable pass@12.")
    ] = False,
    temperature: Temperature = 1.0, seed: Seed = 0, as_json: Json = False,
) -> None:  # fmt: skip
    """pass@k per family: what wants SFT first, RL, or is solved. By difficulty too, where a family has it."""
    if (rollouts is None) == (model is None):
        raise UserError("Give --model to sample its attempts, or --rollouts with attempts that were recorded.")
    from fhirtasks.evaluation.models import InfrastructureError, endpoint_speaker, local_speaker
    from train.attempts import PasskOptions, diagnose
    from train.passk import as_text

    speaker = None
    if endpoint is not None:
        speaker = endpoint_speaker(endpoint, model, batch=batch, temperature=temperature)
    elif model is not None:
        speaker = local_speaker(model, batch=batch, temperature=temperature, seed=seed)
    options = PasskOptions(
        dataset, revision=tag, split=split, families=tuple(families or ()), samples=samples, k=k, limit=limit,
        rollouts=rollouts, guessable=guessable,
    )  # fmt: skip
    try:
        found = diagnose(options, speaker)
    except InfrastructureError as error:
        raise UserError(f"The model could not be asked ({error}); see to the server and run again.") from None
    value = {"dataset": dataset, "model": model, "samples": samples if rollouts is None else None, **found}
    if out is not None:
        out.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(value, as_json, as_text)


@app.command(epilog="Example: fhirtasks train probe ds --minutes 10")
def probe(
    release: Annotated[Path, typer.Argument(help="The release's folder.")],
    preset: Annotated[
        str, typer.Option(help="cpu (two cores, half an hour) or gpu (one H200, eight minutes).")
    ] = "cpu",
    families: Annotated[
        list[str] | None, typer.Option(help="A family to train on; repeat for more. The others are held out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the model, its tokenizer and probe.json here.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Limit of the whole run.", min=0.01)] = None,
    seed: Seed = 0, as_json: Json = False,
) -> None:  # fmt: skip
    """Make a small model on a release alone and see what it can do. Does the release teach what it claims?"""
    lacking = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if lacking:
        raise UserError(f"The probe needs {', '.join(lacking)}: pip install torch transformers.")
    from fhirtasks.printing import progress
    from train.probe import probe as run
    from train.probe_presets import device_of, preset_named
    from train.probe_report import as_text

    chosen = preset_named(preset)
    report = run(
        release, chosen, families=tuple(families or ()), minutes=minutes, seed=seed,
        device=device_of(preset, progress), out=out, progress=progress,
    )  # fmt: skip
    show(report.as_json(), as_json, as_text)
