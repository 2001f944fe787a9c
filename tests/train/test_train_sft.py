"""SFT on a tiny model, without a network: what carries loss, what is cut, what is saved, and that a run goes on where it ended."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.small_releases import release

pytestmark = pytest.mark.train
pytest.importorskip("trl", reason="needs the train extra")

from train_support import make_model, spoken  # noqa: E402

from fhirtasks.environments.spec import FhirSpec  # noqa: E402
from fhirtasks.errors import UserError  # noqa: E402
from train.models import merge  # noqa: E402
from train.rendering import IGNORED, Encoded, read_conversations  # noqa: E402
from train.sft import (  # noqa: E402
    PRESETS,
    SftOptions,
    encode,
    fit,
    make_trainer,
    summary,
    told,
    train_sft,
    with_preset,
)

Models = Callable[[str], Path]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A model folder per protocol, its tokenizer learned from that protocol's release."""
    made: dict[str, Path] = {}

    def folder(protocol: str) -> Path:
        if protocol not in made:
            texts = spoken(FhirSpec(release(protocol)))
            made[protocol] = make_model(tmp_path_factory.mktemp("model") / protocol, texts)
        return made[protocol]

    return folder


def options(protocol: str, model: Path, out: Path, **more: Any) -> SftOptions:
    given: dict[str, Any] = {
        "dataset": str(release(protocol)), "model": str(model), "out": out, "steps": 2, "rows": 2, "batch": 2,
        "learning_rate": 1e-3, "max_length": 16384, "report_to": "none", **more,
    }  # fmt: skip
    return SftOptions(**given)


def encoded(protocol: str, model: Path, *, turns: bool = False) -> tuple[list[Encoded], Any, Any]:
    """The release's rows as they are trained, the tokenizer and the rendering."""
    from train.models import load_tokenizer

    tokenizer = load_tokenizer(str(model))
    rows = read_conversations(release(protocol), "train", (), turns=turns)
    found, rendering = encode(rows, tokenizer, options(protocol, model, Path("unused"), turns=turns))
    return found, tokenizer, rendering


@pytest.mark.parametrize("protocol", ["text", "tools", "code"])
def test_masks_cover_exactly_what_the_assistant_says(protocol: str, models: Models) -> None:
    """Worked out again from the rendered text alone: what stands between an opened assistant turn and its end of turn."""
    rows, tokenizer, rendering = encoded(protocol, models(protocol))
    assert rendering.template is not None, "Qwen3's own template renders earlier turns otherwise"
    for row in rows:
        text = tokenizer.apply_chat_template(
            list(row.row.messages), tools=list(row.row.tools) or None, tokenize=False, chat_template=rendering.template
        )
        said = re.findall(r"<\|im_start\|>assistant\n<think>\n\n</think>\n\n(.*?<\|im_end\|>)", text, re.DOTALL)
        assert len(said) == len(row.spans) == sum(one["role"] == "assistant" for one in row.row.messages)
        assert [tokenizer.decode(row.ids[start:end]) for start, end in row.spans] == said
        assert tokenizer.decode([one for one in row.labels if one != IGNORED]) == "".join(said)
        assert list(row.ids) == tokenizer(text)["input_ids"], "nothing is added and nothing is cut"


@pytest.mark.parametrize("protocol", ["text", "tools"])
def test_masks_are_those_of_trl_without_what_a_server_writes(protocol: str, models: Models) -> None:
    rows, tokenizer, rendering = encoded(protocol, models(protocol))
    block, line = (tokenizer(text)["input_ids"] for text in ("<think>\n\n</think>\n\n", "\n"))
    for row in rows:
        theirs = tokenizer.apply_chat_template(
            list(row.row.messages), tools=list(row.row.tools) or None, chat_template=rendering.template, tokenize=True,
            return_dict=True, return_assistant_tokens_mask=True,
        )  # fmt: skip
        assert list(row.ids) == theirs["input_ids"]
        mine = [label != IGNORED for label in row.labels]
        for start, end in row.spans:
            opened = slice(start - len(block), start)
            assert list(row.ids[opened]) == block and list(row.ids[end : end + 1]) == line
            assert all(mine[start:end]) and not any(mine[opened]) and not mine[end]
            mine[opened], mine[end] = [True] * len(block), True
        assert mine == [bool(one) for one in theirs["assistant_masks"]]


@pytest.mark.parametrize("protocol", ["text", "tools"])
def test_a_row_per_turn_is_what_a_server_shows_and_says_what_the_episode_says(protocol: str, models: Models) -> None:
    rows, tokenizer, _ = encoded(protocol, models(protocol))
    turns, _, rendering = encoded(protocol, models(protocol), turns=True)
    assert rendering.template is None, "a row per turn needs no other template"
    assert len(turns) == sum(len(row.spans) for row in rows)
    spans = [row.ids[start:end] for row in rows for start, end in row.spans]
    for turn, said in zip(turns, spans, strict=True):
        ((start, end),) = turn.spans
        (place,) = turn.row.turns
        shown = tokenizer.apply_chat_template(
            list(turn.row.messages[:place]), tools=list(turn.row.tools) or None, tokenize=True, return_dict=False,
            add_generation_prompt=True, enable_thinking=False,
        )  # fmt: skip
        assert list(turn.ids[:start]) == shown and end == len(turn.ids)
        assert turn.ids[start:end] == said


def test_nothing_is_cut_silently_nor_within_a_turn(models: Models) -> None:
    rows, _, _ = encoded("text", models("text"))
    whole = fit(rows, 10**6)
    assert (whole.whole, whole.cut, whole.left_out, whole.turns_left_out) == (len(rows), 0, 0, 0)
    assert told(whole).endswith("nothing is cut") and whole.longest == max(len(row.ids) for row in rows)
    ends = sorted(row.spans[0][1] for row in rows)
    longest = ends[len(ends) // 2]
    some = fit(rows, longest)
    assert some.cut > 0 and some.left_out > 0
    assert some.whole + some.cut + some.left_out == len(rows)
    assert some.turns + some.turns_left_out == sum(len(row.spans) for row in rows)
    for row in some.rows:
        origin = next(one for one in rows if one.row is row.row)
        assert len(row.ids) <= longest
        assert row.ids == origin.ids[: len(row.ids)] and row.spans == origin.spans[: len(row.spans)]
        assert row.labels == origin.labels[: len(row.ids)]
        assert len(row.spans) == len(origin.spans) or row.ids[-1] in (origin.ids[end - 1] for _, end in origin.spans)
    assert f"{some.turns_left_out:,} turns in all" in told(some)
    with pytest.raises(UserError, match="No turn fits into --max-length 10: the longest row has"):
        fit(rows, 10)


@pytest.mark.parametrize("protocol", ["text", "tools"])
def test_the_whole_model_moves_and_leaves_a_record_and_its_template(
    protocol: str, models: Models, tmp_path: Path
) -> None:
    from safetensors.torch import load_file
    from transformers import AutoTokenizer
    from trl import get_training_chat_template

    run = train_sft(options(protocol, models(protocol), tmp_path / "out", rows=1, batch=1))
    before, after = (load_file(folder / "model.safetensors") for folder in (models(protocol), tmp_path / "out"))
    assert before.keys() == after.keys()
    assert all(not before[name].equal(after[name]) for name in before)
    assert run == json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert run["steps"] == 2 and run["data"]["turns_left_out"] == 0 and run["template"] == "training"
    assert run["data"]["trained"] < run["data"]["tokens"] and run["results"]["loss"] > 0
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert run["dataset"]["manifest"] in card and run["dataset"]["worlds"]["train"] in card
    assert "serve it with that one" in summary(run)
    saved = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert saved.chat_template == get_training_chat_template(AutoTokenizer.from_pretrained(models(protocol)))
    assert get_training_chat_template(saved) is None, "what was trained with needs no other to go on from"
    assert saved.response_template, "GRPO can read its tool calls"


def test_an_adapter_is_saved_and_merges_to_the_same_logits(models: Models, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    chosen = options(
        "text", models("text"), tmp_path / "out", lora=4, lora_dropout=0.05, turns=True, learning_rate=0.05
    )
    trainer, _, _ = make_trainer(chosen, release("text"))
    assert trainer.model.peft_config["default"].lora_alpha == 8
    trainer.train()
    trainer.save_model(str(chosen.out))
    assert (chosen.out / "adapter_config.json").is_file() and not (chosen.out / "model.safetensors").exists()
    whole = AutoModelForCausalLM.from_pretrained(merge(chosen.out, tmp_path / "merged"))
    start = AutoModelForCausalLM.from_pretrained(models("text"))
    ids = torch.arange(40).unsqueeze(0)
    with torch.no_grad():
        mine, theirs, before = (model.eval()(input_ids=ids).logits for model in (trainer.model, whole, start))
    assert torch.allclose(mine, theirs, atol=1e-5)
    assert not torch.allclose(mine, before, atol=1e-3)
    with pytest.raises(UserError, match="is no adapter"):
        merge(models("text"), tmp_path / "again")


def test_a_run_that_was_broken_off_goes_on_to_the_same_model(models: Models, tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import TrainerCallback

    class Breaks(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = True

    straight = options("text", models("text"), tmp_path / "one", steps=4, save_steps=2)
    train_sft(straight)
    broken = replace(straight, out=tmp_path / "two")
    from train import sft
    from train.resume import train_from

    trainer, fitted, _ = make_trainer(broken, release("text"))
    trainer.add_callback(Breaks())
    train_from(trainer, sft._begin(broken, fitted, write=True))
    assert trainer.state.global_step == 2
    shutil.copytree(
        broken.out / "checkpoint-2", broken.out / "checkpoint-3", ignore=lambda *_: ["trainer_state.json", "whole"]
    )
    with pytest.raises(UserError, match="go on by --resume"):
        train_sft(broken)
    with pytest.raises(UserError, match="began with another --learning-rate"):
        train_sft(replace(broken, resume=True, learning_rate=1e-4))
    with pytest.raises(UserError, match="began with other rows"):
        train_sft(replace(broken, resume=True, families=("patient_lookup",)))
    run = train_sft(replace(broken, resume=True))
    assert run["steps"] == 4 and not (broken.out / "checkpoint-3").exists(), "a kill cut that one off"
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(one[name].equal(two[name]) for name in one)
    assert train_sft(replace(broken, resume=True)) == run, "a run that has ended makes no more steps"
    with pytest.raises(UserError, match="holds no checkpoint"):
        train_sft(replace(broken, out=tmp_path / "three", resume=True))


def test_the_preset_is_the_published_recipe_and_what_is_given_stands(tmp_path: Path) -> None:
    found = with_preset("medagentbench", dataset="d", model="m", out=tmp_path, epochs=None, max_length=4096)
    assert (found.nf4, found.lora, found.lora_alpha, found.lora_dropout) == (True, 64, 128, 0.05)
    assert (found.epochs, found.thinking, found.max_length, found.preset) == (3.0, False, 4096, "medagentbench")
    assert with_preset(None, dataset="d", model="m", out=tmp_path) == SftOptions("d", "m", tmp_path)
    with pytest.raises(UserError, match=f"there are: {', '.join(PRESETS)}"):
        with_preset("other", dataset="d", model="m", out=tmp_path)
    from train.models import adapter_config
    from train.sft import _four_bits

    adapter = adapter_config(64, 128, 0.05)
    assert (adapter.r, adapter.lora_alpha, adapter.lora_dropout, adapter.target_modules) == (
        64,
        128,
        0.05,
        "all-linear",
    )
    bits = _four_bits()
    assert bits.load_in_4bit and bits.bnb_4bit_quant_type == "nf4"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"batch": 3}, "choose --rows and --batch"),
        ({"nf4": True}, "give --lora with it"),
        ({"merge": True}, "--merge is for adapters"),
        ({"report_to": "paper"}, "it takes auto, none, trackio"),
        ({"model": "./nowhere"}, "There is no model folder"),
        ({"families": ("patient_age",)}, "has no sft rows of the family 'patient_age'"),
        ({"split": "exam"}, "in the split 'exam'"),
    ],
)
def test_misuse_is_said(models: Models, tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        train_sft(replace(options("text", models("text"), tmp_path), **more))


def test_a_template_that_forgets_can_be_trained_by_turns_alone(models: Models, tmp_path: Path) -> None:
    """A template that TRL does not know and that renders earlier turns otherwise."""
    from transformers import AutoTokenizer

    folder = tmp_path / "model"
    tokenizer = AutoTokenizer.from_pretrained(models("text"))
    tokenizer.chat_template = FORGETFUL
    tokenizer.save_pretrained(folder)
    rows = read_conversations(release("text"), "train", (), turns=False)
    with pytest.raises(UserError, match=r"train one row per turn \(--turns\)"):
        encode(rows, tokenizer, options("text", folder, tmp_path))
    turns = read_conversations(release("text"), "train", (), turns=True)
    found, rendering = encode(turns, tokenizer, options("text", folder, tmp_path, turns=True))
    assert len(found) == len(turns) and rendering.template is None


FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think></think>{% endif %}"
)


def test_a_push_takes_the_model_and_nothing_of_the_run_alone(
    hub: list[tuple[str, dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    from train.push import push_model

    assert push_model(tmp_path, "org/model") == "https://hub.example/commit/1"
    (_, created), (_, sent) = hub[1:]
    assert created == {"name": "org/model", "repo_type": "model", "private": True, "exist_ok": True}
    assert sent["repo_id"] == "org/model" and sent["folder_path"] == tmp_path
    assert {"checkpoint-*/*", "rollouts.jsonl"} <= set(sent["ignore_patterns"])
    with pytest.raises(UserError, match=r"did not take it as org/refused \(503 Service Unavailable\)"):
        push_model(tmp_path, "org/refused")
    with pytest.raises(UserError, match="it takes ORG/NAME"):
        push_model(tmp_path, "model")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(UserError, match="no token"):
        push_model(tmp_path, "org/model")


def test_accelerate_reads_every_configuration_that_ships() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    folder = Path(__file__).resolve().parents[2] / "train" / "accelerate"
    kinds = {path.stem: load_config_from_file(str(path)) for path in folder.glob("*.yaml")}
    assert {name: str(one.distributed_type).removeprefix("DistributedType.") for name, one in kinds.items()} == {
        "cpu": "NO", "one_gpu": "NO", "ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero3": "DEEPSPEED",
    }  # fmt: skip
    assert kinds["cpu"].use_cpu and not kinds["ddp"].use_cpu
    assert kinds["fsdp2"].fsdp_config["fsdp_version"] == 2
    assert kinds["zero3"].deepspeed_config["zero_stage"] == 3


def test_reinforcement_goes_on_from_what_was_trained_with_the_very_tokens(models: Models, tmp_path: Path) -> None:
    """The saved template is the model's own now: GRPO's prompts and replies are those of the SFT rows, tool calls included."""
    from train_support import Scripted, as_sampled, expert

    from train.grpo import GrpoOptions
    from train.grpo import make_trainer as grpo_trainer
    from train.models import load_tokenizer

    train_sft(options("tools", models("tools"), tmp_path / "sft", steps=1, rows=1, batch=1))
    spec = FhirSpec(release("tools"))
    chosen = GrpoOptions(
        dataset=str(release("tools")), model=str(tmp_path / "sft"), out=tmp_path / "rl", steps=1, prompts=1,
        generations=2, batch=2, max_completion_length=16384, report_to="none",
    )  # fmt: skip
    trainer = grpo_trainer(chosen, spec, spec.train_dataset)
    scripted = Scripted(trainer, lambda task_id, _: [as_sampled(raw, "tools") for raw in expert(spec, task_id)])
    trainer.train()
    assert trainer.history[0]["accuracy"] == 1.0
    rows = read_conversations(release("tools"), "train", (), turns=False)
    trained, rendering = encode(
        rows, load_tokenizer(str(tmp_path / "sft")), options("tools", tmp_path / "sft", tmp_path)
    )
    assert rendering.template is None
    longest = max(scripted.contexts, key=len)
    assert any(list(row.ids[: len(longest)]) == longest and len(row.ids) > len(longest) for row in trained)
