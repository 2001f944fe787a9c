"""Models to start from: a folder or a Hub name, whole or an adapter, which is merged first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fhirtasks.errors import UserError
from train.record import RUN, write_run

ADAPTER: Final = "adapter_config.json"


def load_tokenizer(model: str) -> Any:
    """The tokenizer of a model, padding at the left. UserError where there is none, or none with a chat template."""
    from transformers import AutoTokenizer

    if ("/" not in model or model.startswith((".", "/"))) and not Path(model).is_dir():
        raise UserError(f"There is no model folder {model}; give a folder or a Hub name.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    except (OSError, ValueError) as error:
        raise UserError(f"The tokenizer of {model} cannot be loaded: {str(error).splitlines()[0]}") from None
    if not tokenizer.chat_template:
        raise UserError(f"The tokenizer of {model} has no chat template; take an instruction-tuned model.")
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise UserError(f"The tokenizer of {model} has neither a pad_token nor an eos_token; name one in its settings.")
    return tokenizer


@contextmanager
def loading(model: str) -> Iterator[None]:
    """What is done in it loads this model. UserError where it lacks its weights, or they cannot be read."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UserError(f"The model {model} cannot be loaded: {str(error).splitlines()[0]}") from None


def check_out(out: Path) -> None:
    """UserError where a file stands in the way of a run's folder."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder.")


def merged(adapter: Path) -> Any:
    """The model that an adapter's folder makes: its base, found by the name in it, with the adapter merged in."""
    from peft import AutoPeftModelForCausalLM

    try:
        return AutoPeftModelForCausalLM.from_pretrained(str(adapter)).merge_and_unload()
    except (OSError, ValueError) as error:
        base = json.loads((adapter / ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
        raise UserError(
            f"{adapter} is an adapter of {base}, which cannot be loaded: {str(error).splitlines()[0]}"
        ) from None


def adapter_config(rank: int, alpha: int | None = None, dropout: float = 0.0) -> Any:
    """The LoRA adapter that training puts on every linear layer; ``alpha`` is twice the rank unless given.

    The head is left out: TRL multiplies by its weight directly, so an adapter on it would never be trained.
    """
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def start_from(model: str, out: Path, *, write: bool = True) -> str:
    """The model to load for a start from ``model``: itself, or where it is an adapter its merged model, written to ``out``.

    With ``write`` False (a process that is not the first of its machine) the merged model is only named.
    """
    folder = Path(model)
    if not (folder / ADAPTER).is_file():
        return model
    if write:
        merged(folder).save_pretrained(out)
        load_tokenizer(model).save_pretrained(out)
    return str(out)


def merge(adapter: Path, out: Path) -> Path:
    """Writes the model that an adapter makes with its base, and its tokenizer; the run's record goes with it.

    UserError for a folder that is no adapter.
    """
    if not (adapter / ADAPTER).is_file():
        raise UserError(f"{adapter} is no adapter: it has no {ADAPTER}; a whole model needs no merging.")
    start_from(str(adapter), out)
    if (adapter / RUN).is_file():
        write_run(out, json.loads((adapter / RUN).read_text(encoding="utf-8")) | {"merged": True})
    return out
