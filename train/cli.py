"""``fhirtasks train …``: a thin layer over the trainers, one module per command.

Nothing heavy is imported before a command runs, so that ``fhirtasks --help`` stays quick and works without the extra.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from fhirtasks.errors import UserError
from fhirtasks.printing import show

app = typer.Typer(
    name="train",
    help="Train models on a release (needs the extra: pip install 'fhirtasks[train]').",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]


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


@app.command()
def grpo(
    dataset: Annotated[str, typer.Argument(help="A release: its folder, or ORG/NAME on the Hub.")],
    model: Annotated[str, typer.Option(help="The model to start from: a folder (also an adapter's) or a Hub name.")],
    out: Annotated[Path, typer.Option("--out", help="The folder for the trained model.")],
    revision: Annotated[str | None, typer.Option(help="The dataset's tag on the Hub; main without it.")] = None,
    split: Annotated[str, typer.Option(help="The split to train on.")] = "train",
    family: Annotated[list[str] | None, typer.Option("--families", help="A family to take; repeat for more.")] = None,
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
    learning_rate: Annotated[float, typer.Option(help="Constant.")] = 1e-6,
    beta: Annotated[float, typer.Option(help="Weight of the KL term towards the start.", min=0.0)] = 0.0,
    temperature: Annotated[float, typer.Option(help="Of sampling.", min=0.0)] = 1.0,
    thinking: Annotated[bool, typer.Option("--thinking", help="Let the chat template open a reasoning block.")] = False,
    lora: Annotated[int | None, typer.Option(help="Train a LoRA adapter of this rank.", min=1)] = None,
    vllm: Annotated[str, typer.Option(help="How to generate: off, colocate or server.")] = "off",
    vllm_server: Annotated[str | None, typer.Option(help="The URL of trl vllm-serve.")] = None,
    vllm_memory: Annotated[float, typer.Option(help="Share of a GPU for vLLM when colocated.", min=0.0, max=1.0)] = 0.3,
    save_steps: Annotated[int | None, typer.Option(help="A checkpoint every so many steps.", min=1)] = None,
    report_to: Annotated[str, typer.Option(help="auto (trackio where installed), none or trackio.")] = "auto",
    stop_on_alarm: Annotated[bool, typer.Option("--stop-on-alarm", help="End at the first known failure.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same run on the same machine.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Reinforcement learning (GRPO) in the environment; several processes by accelerate launch -m fhirtasks train grpo."""
    needs_extra()
    from fhirtasks.environments.reward import WEIGHTS
    from train.grpo import GrpoOptions, summary, train_grpo

    options = GrpoOptions(
        dataset=dataset, model=model, out=out, revision=revision, split=split, families=tuple(family or ()),
        curriculum=curriculum, weights=numbers(reward, "--reward") or dict(WEIGHTS), steps=steps, prompts=prompts,
        generations=generations, batch=batch, max_completion_length=max_completion_length, learning_rate=learning_rate,
        beta=beta, temperature=temperature, thinking=thinking, lora=lora, vllm=vllm,  # type: ignore[arg-type]
        vllm_server=vllm_server, vllm_memory=vllm_memory, save_steps=save_steps, report_to=report_to,  # type: ignore[arg-type]
        stop_on_alarm=stop_on_alarm, seed=seed,
    )  # fmt: skip
    run = train_grpo(options)
    if int(os.environ.get("RANK", "0")) == 0:  # of several processes one speaks
        show(run, as_json, summary)


@app.command()
def probe(
    release: Annotated[Path, typer.Argument(help="The release's folder.")],
    preset: Annotated[str, typer.Option(help="cpu (two cores, half an hour) or gpu (one H200, eight minutes).")] = "cpu",
    family: Annotated[
        list[str] | None,
        typer.Option("--families", help="A family to train on; repeat for more. The others are held out."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the model, its tokenizer and probe.json here.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Limit of the whole run.", min=0.01)] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same model on the same machine.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Make a small model on a release alone and see what it can do: does the release teach what it claims?"""
    lacking = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if lacking:
        raise UserError(f"The probe needs {', '.join(lacking)}: pip install torch transformers.")
    from fhirtasks.printing import progress
    from train.probe import probe as run
    from train.probe_presets import device_of, preset_named
    from train.probe_report import as_text

    chosen = preset_named(preset)
    report = run(
        release, chosen, families=tuple(family or ()), minutes=minutes, seed=seed,
        device=device_of(preset, progress), out=out, progress=progress,
    )  # fmt: skip
    show(report.as_json(), as_json, as_text)
