"""GRPO on a tiny model, without a network: environments play, rewards vary, parameters move, tokens are those of SFT rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.small_releases import release

pytestmark = pytest.mark.train
pytest.importorskip("trl", reason="needs the train extra")

from train_support import Scripted, as_sampled, expert, idle, make_model, spoken  # noqa: E402

from fhirtasks.environments.spec import FhirSpec  # noqa: E402
from fhirtasks.errors import UserError  # noqa: E402
from train.grpo import GrpoOptions, make_trainer, train_grpo  # noqa: E402

QUIET = {"report_to": "none"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model folder per protocol, its tokenizer learned from that protocol's release."""
    made: dict[str, Path] = {}

    def folder(protocol: str) -> Path:
        if protocol not in made:
            made[protocol] = make_model(
                tmp_path_factory.mktemp("model") / protocol, spoken(FhirSpec(release(protocol)))
            )
        return made[protocol]

    return folder


def options(protocol: str, model: Path, out: Path, **more: Any) -> GrpoOptions:
    given: dict[str, Any] = {
        "dataset": str(release(protocol)), "model": str(model), "out": out, "steps": 2, "prompts": 1, "generations": 2,
        "batch": 2, "max_completion_length": 8192, "learning_rate": 1e-3, "report_to": "none", **more,
    }  # fmt: skip
    return GrpoOptions(**given)


def trained(chosen: GrpoOptions, script: Callable[[FhirSpec, str, int], Sequence[str]] | None) -> tuple[Any, FhirSpec]:
    """A trainer after its steps, its model's messages scripted."""
    spec = FhirSpec(chosen.dataset, weights=chosen.weights)
    trainer = make_trainer(chosen, spec, spec.train_dataset)
    if script is not None:
        scripted = Scripted(trainer, lambda task_id, number: script(spec, task_id, number))
        trainer.scripted = scripted
    trainer.batches = []
    generate = trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda inputs: (
        trainer.batches.append(generate(inputs)) or trainer.batches[-1]
    )
    trainer.before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    return trainer, spec


def expert_then_idle(spec: FhirSpec, task_id: str, number: int) -> list[str]:
    raws = expert(spec, task_id) if number % 2 == 0 else idle(spec, task_id)
    return [as_sampled(raw, spec.protocol) for raw in raws]


@pytest.fixture(scope="module", params=["text", "tools", "code"])
def run(request: pytest.FixtureRequest, models: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, FhirSpec]:
    protocol = request.param
    out = tmp_path_factory.mktemp("run") / protocol
    return trained(options(protocol, models(protocol), out, steps=2 if protocol == "tools" else 1), expert_then_idle)


def test_parameters_move_and_rewards_vary_within_groups(run: tuple[Any, FhirSpec]) -> None:
    trainer, spec = run
    moved = [name for name, value in trainer.model.named_parameters() if not value.equal(trainer.before[name])]
    assert len(moved) == len(trainer.before)
    assert trainer.state.global_step == len(trainer.history) == trainer.args.max_steps
    for figures in trainer.history:
        assert (figures["reward"], figures["accuracy"], figures["zero_variance"]) == (0.5, 0.5, 0.0)
        assert figures["varies/outcome"] == figures["varies/partial"] == 1.0
        assert (figures["ceiling"], figures["floor"], figures["inactive"]) == (1.0, 0.0, 0.5)
        assert figures["grad_norm"] > 0 and figures["entropy"] > 0 and figures["length/clipped"] == 0.0
        assert figures["calls/all"] >= 0.5 and (figures["errors"] == 0.0 or spec.protocol == "code")
    names = {"text": "GET", "tools": "fhir_search", "code": "execute_python"}
    assert trainer.history[0][f"calls/{names[spec.protocol]}"] > 0


def test_tokens_are_those_of_the_sft_row_and_only_the_models_own_carry_loss(run: tuple[Any, FhirSpec]) -> None:
    """The expert's rollout as GRPO has it, against the row of the SFT data rendered as TRL's SFT renders it."""
    from trl import get_training_chat_template

    trainer, spec = run
    tokenizer = trainer._tokenizer
    rows = {row["id"]: row for path in (spec.folder / "sft").glob("train-*") for row in pq.read_table(path).to_pylist()}
    compared = 0
    for batch in trainer.batches:
        for index in range(len(batch["prompt_ids"])):
            prompt = batch["prompt_ids"][index][batch["prompt_mask"][index].bool()].tolist()
            kept = batch["completion_mask"][index].bool()
            completion, mask = batch["completion_ids"][index][kept].tolist(), batch["tool_mask"][index][kept].tolist()
            task_id = next(
                row["task_id"] for row in spec.train_dataset if row["prompt"][0]["content"] in tokenizer.decode(prompt)
            )
            row = rows[task_id]
            messages = [_plain(message) for message in row["messages"]]
            tools = json.loads(row["tools"] or "[]") or None
            serving = tokenizer.apply_chat_template(
                messages[:1],
                tools=tools,
                add_generation_prompt=True,
                enable_thinking=False,
                tokenize=True,
                return_dict=False,
            )
            assert prompt == serving, "the prompt of training is that of serving"
            runs = _runs(completion, mask)
            said = [tokenizer.decode(ids) for ids, own in runs if own]
            if len(said) == 1:
                continue  # the one that does nothing
            sft = tokenizer.apply_chat_template(
                messages,
                tools=tools,
                chat_template=get_training_chat_template(tokenizer),
                tokenize=True,
                return_dict=False,
            )
            assert prompt + completion == sft[: len(prompt) + len(completion)]
            assert tokenizer.decode(sft[len(prompt) + len(completion) :]).strip() == "", (
                "nothing is trained after the end"
            )
            wanted = [_said(one, spec.protocol) for one in messages if one["role"] == "assistant"]
            assert said == [text + "<|im_end|>" for text in wanted], (
                "the environment's tokens are masked, the model's are not"
            )
            shown = "".join(tokenizer.decode(ids) for ids, own in runs if not own)
            assert all(one["content"] in shown for one in messages[1:] if one["role"] != "assistant")
            compared += 1
    assert compared == len(trainer.history)


def test_rollouts_are_transcripts_that_a_build_takes(run: tuple[Any, FhirSpec], tmp_path: Path) -> None:
    from fhirtasks.evaluation.grade import grade_file

    trainer, spec = run
    lines = (Path(trainer.args.output_dir) / "rollouts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 * len(trainer.history)
    for passed in (True, False):
        some = [line for line in lines if json.loads(line)["rollout"]["passed"] == passed]
        assert len(some) == len(trainer.history)
        (tmp_path / "some.jsonl").write_text("\n".join(some), encoding="utf-8")
        assert [one["passed"] for one in grade_file(spec.folder, tmp_path / "some.jsonl", None, None)] == [
            passed
        ] * len(some)


def test_replies_to_what_is_no_tool_are_ours_and_nothing_follows_the_end(models: Any, tmp_path: Path) -> None:
    def script(spec: FhirSpec, task_id: str, number: int) -> list[str]:
        wrong = '<tool_call>\n{"name": "fhir_delete", "arguments": {"id": "1"}}\n</tool_call>'
        end = as_sampled(idle(spec, task_id)[0], "tools")
        return [wrong, end, "and then I go on"] if number == 0 else [end, "and then I go on"]

    trainer, _ = trained(options("tools", models("tools"), tmp_path, steps=1), script)
    (batch,) = trainer.batches
    texts = [trainer._tokenizer.decode(ids) for ids in batch["completion_ids"]]
    assert any("there is no tool 'fhir_delete'; call one of fhir_create" in text for text in texts)
    assert not any("go on" in text or "ended" in text for text in texts)
    assert trainer.history[0]["errors"] == 1.0


def test_observations_that_do_not_fit_end_the_rollout(models: Any, tmp_path: Path) -> None:
    chosen = options("text", models("text"), tmp_path, steps=1, max_completion_length=40)
    trainer, _ = trained(chosen, expert_then_idle)
    (batch,) = trainer.batches
    assert batch["completion_ids"].shape[1] <= 40
    assert trainer.history[0]["ceiling"] == 0.0 and trainer.history[0]["accuracy"] == 0.0
    with pytest.raises(UserError, match="--max-completion-length is 40 and the experts' episodes have"):
        train_grpo(replace(chosen, out=tmp_path / "new"))
    with pytest.raises(UserError, match="holds a run already"):
        train_grpo(chosen)


def test_a_model_samples_saves_and_tells_what_it_was_trained_on(models: Any, tmp_path: Path) -> None:
    """Nothing scripted: the model's own (hopeless) messages, an adapter, and all that a run leaves."""
    import torch
    from transformers import AutoModelForCausalLM

    chosen = options(
        "text", models("text"), tmp_path / "out", steps=1, lora=4, max_completion_length=6000, max_message_length=8,
        weights={"outcome": 1.0, "partial": 0.5}, seed=3,
    )  # fmt: skip
    from train import grpo

    spec = FhirSpec(chosen.dataset, weights=chosen.weights)
    trainer = make_trainer(chosen, spec, spec.train_dataset)
    trainer.train()
    with torch.no_grad():  # groups of hopeless messages have no gradient, and a fresh adapter changes nothing
        for name, value in trainer.model.named_parameters():
            if "lora_B" in name:
                value.normal_()
    trainer.save_model(str(chosen.out))
    run = grpo._run(chosen, spec, trainer)
    assert run["dataset"]["worlds"]["train"] and len(run["dataset"]["manifest"]) == 64
    assert (chosen.out / "adapter_config.json").is_file()
    assert trainer.history[0]["turns"] == 1.0 and trainer.history[0]["length/mean"] <= 8

    from train.models import merged, start_from

    _assert_same_logits(trainer, merged(chosen.out))
    folder = start_from(str(chosen.out), tmp_path / "merged")
    _assert_same_logits(trainer, AutoModelForCausalLM.from_pretrained(folder))


def _assert_same_logits(trainer: Any, other: Any) -> None:
    import torch

    with torch.no_grad():
        ids = torch.arange(40).unsqueeze(0)
        mine = trainer.model.eval()(input_ids=ids).logits
        theirs = other.eval()(input_ids=ids).logits
    assert torch.allclose(mine, theirs, atol=1e-5)


def test_the_command_leaves_model_run_card_and_panels(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import grpo

    curriculum = tmp_path / "curriculum.json"
    curriculum.write_text(json.dumps({"families": {"patient_lookup": {"verdict": "sft", "weight": 1.0}}}))
    made = grpo.make_trainer

    def scripted(chosen: GrpoOptions, spec: FhirSpec, rows: Any, **more: Any) -> Any:
        assert set(rows["family"]) == {"record_blood_pressure"}, "what waits for SFT is left out"
        trainer = made(chosen, spec, rows, **more)
        Scripted(trainer, lambda task_id, number: expert_then_idle(spec, task_id, number))
        return trainer

    monkeypatch.setattr(grpo, "make_trainer", scripted)
    out = tmp_path / "out"
    chosen = options("text", models("text"), out, curriculum=curriculum, steps=1)
    run = train_grpo(chosen)
    assert run == json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert run["options"]["learning_rate"] == 1e-3 and run["results"]["accuracy"] == 0.5
    card = (out / "README.md").read_text(encoding="utf-8")
    assert run["dataset"]["manifest"] in card and '"learning_rate": 0.001' in card
    (panel,) = (json.loads(line) for line in (out / "panel.jsonl").read_text(encoding="utf-8").splitlines())
    assert panel["step"] == 1 and math.isclose(panel["reward"], 0.5)
    assert "accuracy 0.500 (ceiling 1.000)" in grpo.summary(run)
    assert (out / "model.safetensors").is_file() and (out / "tokenizer_config.json").is_file()


def test_an_adapter_is_merged_and_pushed(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: list[tuple[str, dict[str, Any]]]
) -> None:
    from fnmatch import fnmatch

    from transformers import AutoModelForCausalLM

    from train import grpo

    made = grpo.make_trainer
    trainers: list[Any] = []

    def scripted(chosen: GrpoOptions, spec: FhirSpec, rows: Any, **more: Any) -> Any:
        trainers.append(made(chosen, spec, rows, **more))
        Scripted(trainers[-1], lambda task_id, number: expert_then_idle(spec, task_id, number))
        return trainers[-1]

    monkeypatch.setattr(grpo, "make_trainer", scripted)
    out = tmp_path / "out"
    train_grpo(options("text", models("text"), out, steps=1, lora=4, save_steps=1, merge=True, push="org/agent"))
    (_, created), (_, sent) = hub[1:]
    assert created["name"] == sent["repo_id"] == "org/agent" and created["private"] and sent["folder_path"] == out
    files = [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()]
    uploaded = {name for name in files if not any(fnmatch(name, one) for one in sent["ignore_patterns"])}
    assert {"adapter_model.safetensors", "merged/model.safetensors", "run.json", "README.md"} <= uploaded
    assert not any("checkpoint" in name or "rollouts" in name or "started" in name for name in uploaded)
    assert any("checkpoint-1" in name for name in files) and "started.json" in files
    _assert_same_logits(trainers[0], AutoModelForCausalLM.from_pretrained(out / "merged"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"generations": 1}, "--generations is at least 2"),
        ({"batch": 3}, "choose --batch"),
        ({"merge": True}, "--merge is for adapters"),
        ({"vllm": "fast"}, "it takes off, colocate, server"),
        ({"vllm_server": "http://x"}, "--vllm-server is the URL"),
        ({"report_to": "paper"}, "it takes auto, none, trackio"),
        ({"model": "./nowhere"}, "There is no model folder"),
    ],
)
def test_misuse_is_said(models: Any, tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        train_grpo(replace(options("text", models("text"), tmp_path), **more))


def test_a_chat_template_that_cannot_be_trained_is_said(models: Any, tmp_path: Path) -> None:
    import shutil

    strange = (
        "{% for m in messages %}{{ loop.revindex }}<|im_start|>{{ m.role }} {{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}"
        "<|im_end|>{% endfor %}"
    )
    for protocol in ("text", "tools"):
        folder = Path(shutil.copytree(models(protocol), tmp_path / protocol))
        (folder / "chat_template.jinja").write_text(strange, encoding="utf-8")
        with pytest.raises(UserError, match="TRL does not know the chat template"):
            train_grpo(options(protocol, folder, tmp_path / "out"))


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message of a row as chat templates take it: Arrow gives the Json feature as text and null for what is absent."""
    found = {"role": message["role"], "content": message["content"]}
    if message.get("tool_calls"):
        found["tool_calls"] = [json.loads(call) if isinstance(call, str) else call for call in message["tool_calls"]]
    if message.get("name"):
        found["name"] = message["name"]
    return found


def _said(message: dict[str, Any], protocol: str) -> str:
    calls = [call["function"] for call in message.get("tool_calls", [])]
    return (
        as_sampled(json.dumps({"content": message["content"], "tool_calls": calls}), protocol)
        if calls
        else message["content"]
    )


def _runs(ids: Sequence[int], mask: Sequence[int]) -> list[tuple[list[int], bool]]:
    runs: list[tuple[list[int], bool]] = []
    for token, own in zip(ids, mask, strict=True):
        if not runs or runs[-1][1] != bool(own):
            runs.append(([], bool(own)))
        runs[-1][0].append(token)
    return runs
