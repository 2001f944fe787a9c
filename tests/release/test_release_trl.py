"""Rows go into TRL's SFT, DPO and SDFT trainers as they are, and in SFT only assistant tokens carry loss.

A tiny model made here; no network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

pytestmark = pytest.mark.train
pytest.importorskip("trl", reason="needs the train extra")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Byte-level BPE with Qwen3's chat template, which TRL knows and replaces by the one that marks assistant tokens."""
    import trl
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        ["GET http Observation FINISH"] * 4,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text(encoding="utf-8")
    return made


def load(release: Path, tmp_path: Path, config: str, split: str, rows: int) -> Any:
    loaded = datasets.load_dataset(str(release), config, split=split, cache_dir=str(tmp_path / "cache"))
    return loaded.select(range(rows))


def tiny_model(tokenizer: Any) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=65536,
    )  # fmt: skip
    return Qwen3ForCausalLM(shape)


def on_cpu(tmp_path: Path) -> dict[str, Any]:
    return {
        "output_dir": str(tmp_path / "out"), "max_steps": 2, "per_device_train_batch_size": 1, "report_to": [],
        "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "disable_tqdm": True,
    }  # fmt: skip


def trained_tokens(release: Path, tmp_path: Path, tokenizer: Any, config: str, **options: Any) -> tuple[Any, Any]:
    """Trains two steps on four rows, as they are; returns the rows and the trainer's prepared data."""
    from trl import SFTConfig, SFTTrainer

    rows = load(release, tmp_path, config, "validation", 4)
    arguments = SFTConfig(max_length=None, **on_cpu(tmp_path), **options)
    trainer = SFTTrainer(tiny_model(tokenizer), args=arguments, train_dataset=rows, processing_class=tokenizer)
    result = trainer.train()
    assert result.training_loss > 0
    return rows, trainer.train_dataset


def learned(prepared: Any, tokenizer: Any) -> list[str]:
    """What carries loss in each prepared row, the runs of it joined by a bar."""
    texts = []
    for row in prepared:
        masks = row.get("labels") or row.get("assistant_masks") or row.get("completion_mask")
        runs: list[list[int]] = []
        before = False
        for token, mask in zip(row["input_ids"], masks, strict=True):
            on = mask not in (0, -100) if "labels" not in row else mask != -100
            if on and not before:
                runs.append([])
            if on:
                runs[-1].append(token)
            before = on
        texts.append("|".join(tokenizer.decode(run) for run in runs))
    return texts


def plain(text: str) -> str:
    return text.replace("<think>\n\n</think>\n\n", "").replace("<|im_end|>", "").replace("\n|", "|").rstrip("\n")


def test_episodes_train_with_loss_on_assistant_tokens_only(release: Path, tmp_path: Path, tokenizer: Any) -> None:
    rows, prepared = trained_tokens(release, tmp_path, tokenizer, "sft", assistant_only_loss=True)
    assert len(prepared) == len(rows)
    for row, text in zip(rows, learned(prepared, tokenizer), strict=True):
        said = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        assert plain(text) == "|".join(said)


def test_turns_train_with_loss_on_the_completion(release: Path, tmp_path: Path, tokenizer: Any) -> None:
    rows, prepared = trained_tokens(release, tmp_path, tokenizer, "sft_turns")
    for row, text in zip(rows, learned(prepared, tokenizer), strict=True):
        assert plain(text) == row["completion"][0]["content"]


def test_pairs_train_with_dpo(release: Path, tmp_path: Path, tokenizer: Any) -> None:
    from trl import DPOConfig, DPOTrainer

    rows = load(release, tmp_path, "preference", "train", 3)
    arguments = DPOConfig(max_length=None, logging_steps=1, **on_cpu(tmp_path))
    policy, start = tiny_model(tokenizer), tiny_model(tokenizer)
    trainer = DPOTrainer(policy, start, args=arguments, train_dataset=rows, processing_class=tokenizer)
    assert trainer.train().training_loss > 0
    for row, prepared in zip(rows, trainer.train_dataset, strict=True):
        for side in ("chosen", "rejected"):
            text = tokenizer.decode(prepared[f"{side}_ids"])
            assert text.replace("<think>\n\n</think>\n\n", "").startswith(row[side][0]["content"]), text[:200]
        assert row["prompt"][-1]["content"] in tokenizer.decode(prepared["prompt_ids"])


def test_pairs_of_native_calls_train_with_dpo(tmp_path: Path, tokenizer: Any) -> None:
    """TRL renders ``tool_calls`` on both sides and the schemas in the prompt."""
    from trl import DPOConfig, DPOTrainer

    from fhirtasks.synthesis.build import BuildConfig, build

    build(BuildConfig(tmp_path / "ds", patients=20, families=("active_conditions",), protocol="code", per_family=24))
    rows = load(tmp_path / "ds", tmp_path, "preference", "train", 2)
    arguments = DPOConfig(max_length=None, logging_steps=1, **on_cpu(tmp_path) | {"max_steps": 1})
    policy, start = tiny_model(tokenizer), tiny_model(tokenizer)
    trainer = DPOTrainer(policy, start, args=arguments, train_dataset=rows, processing_class=tokenizer)
    assert trainer.train().training_loss > 0
    for row, prepared in zip(rows, trainer.train_dataset, strict=True):
        assert '"name": "submit_answer"' in tokenizer.decode(prepared["prompt_ids"])
        for side in ("chosen", "rejected"):
            calls = row[side][0]["tool_calls"] or []
            text = tokenizer.decode(prepared[f"{side}_ids"])
            assert all(f'<tool_call>\n{{"name": "{call["function"]["name"]}"' in text for call in calls)


def test_privileged_texts_train_with_self_distillation(release: Path, tmp_path: Path, tokenizer: Any) -> None:
    from trl.experimental.sdft import SDFTConfig, SDFTTrainer

    rows = load(release, tmp_path, "privileged", "train", 3)
    arguments = SDFTConfig(
        max_prompt_length=None, max_completion_length=8, num_generations=1, teacher_model_kind="ema", **on_cpu(tmp_path)
    )
    tiny_model(tokenizer).save_pretrained(tmp_path / "model")  # the teacher is loaded from where the student was
    trainer = SDFTTrainer(str(tmp_path / "model"), args=arguments, train_dataset=rows, processing_class=tokenizer)
    seen: list[Any] = []
    built = trainer.teacher_context_builder._compose_teacher_prompt
    trainer.teacher_context_builder._compose_teacher_prompt = lambda *given: seen.append(built(*given)) or seen[-1]
    trainer.train()
    texts = {row["prompt"][-1]["content"] + "\n\n" + row["privileged_context"] for row in rows}
    assert seen and {prompt[-1]["content"] for prompt in seen} <= texts
