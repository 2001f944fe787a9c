"""Local models as policies: in batches as alone, and their tool calls read as they were written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.small_releases import release

pytestmark = pytest.mark.train
pytest.importorskip("trl", reason="needs the train extra")

from train_support import as_sampled, expert, make_model, spoken  # noqa: E402

from fhirtasks.environments.spec import FhirSpec  # noqa: E402
from fhirtasks.episodes.types import Message  # noqa: E402
from fhirtasks.errors import UserError  # noqa: E402
from fhirtasks.evaluation import models as local  # noqa: E402
from fhirtasks.evaluation.models import Cut, local_speaker  # noqa: E402
from fhirtasks.evaluation.run import EvaluationConfig, evaluate  # noqa: E402
from train.grpo import GrpoOptions, train_grpo  # noqa: E402
from train.sft import SftOptions, train_sft  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "tools", spoken(FhirSpec(release("tools"))))


def test_several_conversations_at_once_are_answered_as_each_alone(model: Path) -> None:
    spec = FhirSpec(release("tools"))
    public = spec.tasks[0].public()
    asked = [(public, [Message("user", text)]) for text in ("Hello", "What is the latest potassium of this patient?")]
    speaker = local_speaker(str(model), batch=2, max_tokens=6)
    together = speaker(asked)
    assert together == [speaker([one])[0] for one in asked]
    assert all(isinstance(raw, Cut) and json.loads(raw)["tool_calls"] == [] for raw in together)
    sampled = [
        local_speaker(str(model), batch=2, temperature=1.0, max_tokens=6, seed=seed)(asked) for seed in (1, 1, 2)
    ]
    assert sampled[0] == sampled[1] != sampled[2]


@pytest.mark.parametrize("reads", [True, False], ids=["by the tokenizer", "by the form"])
def test_calls_are_read_as_they_were_written(model: Path, reads: bool) -> None:
    from transformers import AutoTokenizer
    from trl.chat_template_utils import add_response_schema

    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    if reads:
        tokenizer = add_response_schema(tokenizer)
    spec = FhirSpec(release("tools"))
    stop = tokenizer.eos_token_id
    for task in spec.tasks[:4]:
        for raw in expert(spec, task.id):
            ids = tokenizer(as_sampled(raw, "tools"))["input_ids"]
            said = local._local(tokenizer, [*ids, stop, tokenizer.pad_token_id], {stop}, task.public())
            assert json.loads(said) == json.loads(raw) and not isinstance(said, Cut)
            assert isinstance(local._local(tokenizer, ids, {stop}, task.public()), Cut)
    broken = tokenizer('<tool_call>\n{"name": "finish", "arg\n</tool_call>')["input_ids"]
    said = json.loads(local._local(tokenizer, [*broken, stop], {stop}, spec.tasks[0].public()))
    assert said["tool_calls"] == [] and "finish" in said["content"]


def test_a_model_is_evaluated_in_the_tools_protocol(model: Path) -> None:
    report = evaluate(EvaluationConfig(release("tools"), ("model",), model=str(model), limit=2, batch=3, max_tokens=4))
    shown = report.as_json()
    assert shown["total"]["passed"] == 0 and shown["total"]["n"] == shown["cut_off"] > 2
    assert "a message was cut off at its longest length" in report.as_text()


def test_a_model_is_its_own_equal(model: Path) -> None:
    config = EvaluationConfig(
        release("tools"), ("model",), model=str(model), base=str(model), limit=2, batch=3, max_tokens=4
    )
    total = evaluate(config).as_json()["paired"]["total"]
    assert total["n"] > 2 and total["gained"] == total["lost"] == total["infrastructure_errors"] == 0


def test_a_conversation_beyond_a_models_positions_fails_and_holds_nobody_up(tmp_path: Path) -> None:
    spec = FhirSpec(release("tools"))
    short = make_model(tmp_path, spoken(spec), max_position_embeddings=64)
    public = spec.tasks[0].public()
    asked = [(public, [Message("user", text)]) for text in ("word " * 200, "Hello")]
    long, other = local_speaker(str(short), batch=2, max_tokens=3)(asked)
    assert json.loads(long) == {"content": "", "tool_calls": []} and isinstance(long, Cut)
    # The tools alone fill 64 positions; with plain text there is room.
    text = FhirSpec(release("text")).tasks[0].public()
    long, other = local_speaker(str(short), batch=2, max_tokens=3)([(text, one) for _, one in asked])
    assert (long, isinstance(long, Cut)) == ("", True) and other


def _cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _without_ends(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    kept = {name: value for name, value in settings.items() if name not in ("pad_token", "eos_token")}
    (folder / "tokenizer_config.json").write_text(json.dumps(kept), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut_off, "cannot be loaded: "),
        (_without_weights, "cannot be loaded: "),
        (_without_ends, "neither a pad_token nor an eos_token"),
    ],
)
def test_a_damaged_model_is_refused_in_a_sentence(
    model: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    broken = shutil.copytree(model, tmp_path / "broken")
    damage(broken)
    told = {"dataset": str(release("tools")), "model": str(broken), "report_to": "none"}
    for train in (
        lambda: local_speaker(str(broken)),
        lambda: train_sft(SftOptions(**told, out=tmp_path / "sft", steps=1)),
        lambda: train_grpo(GrpoOptions(**told, out=tmp_path / "rl", steps=1, prompts=1, generations=2, batch=2)),
    ):
        with pytest.raises(UserError, match=message):
            train()
    (tmp_path / "file").touch()
    for options, run in ((SftOptions, train_sft), (GrpoOptions, train_grpo)):
        with pytest.raises(UserError, match="file is a file; give --out a folder"):
            run(options(**told, out=tmp_path / "file"))  # type: ignore[operator]
