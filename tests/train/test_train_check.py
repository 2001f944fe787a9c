"""``train check`` sees whether training and use show a model the same tokens, and says where they first differ."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.small_releases import release

pytestmark = pytest.mark.train
pytest.importorskip("trl", reason="needs the train extra")

from train_support import make_model, spoken  # noqa: E402

from fhirtasks.environments.spec import FhirSpec  # noqa: E402
from train.check import check, mistaken, says  # noqa: E402
from train.cli import app  # noqa: E402
from train.rendering import Rendering, read_conversations  # noqa: E402

END = "<|im_end|>"
KEEPS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with Qwen3's own template, which drops the reasoning blocks of earlier turns."""
    return make_model(tmp_path_factory.mktemp("model") / "qwen3", spoken(FhirSpec(release("text"))))


def tokenizer_with(folder: Path, template: str, out: Path, **more: Any) -> Path:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, **more)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(out)
    return out


def ran(*words: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["check", *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_drift_is_found_at_its_first_token_and_turns_have_none(hybrid: Path) -> None:
    code, found = ran(str(release("text")), "--model", str(hybrid))
    assert code == 1 and not found["good"] and found["drifting"] == found["rows"]
    drift = found["first_drift"]
    assert drift["turn"] == 1, "a turn that another follows is rendered without the block that a server opens it with"
    assert "<think>" in drift["inference"] and "<think>" not in drift["training"]
    assert "--turns" in found["remedy"] and "training template" in found["remedy"]
    assert 0 < found["trained"] < found["tokens"] and (found["unmasked"], found["unstopped"]) == (0, 0)
    code, found = ran(str(release("text")), "--model", str(hybrid), "--turns")
    assert (code, found["good"], found["drifting"], found["remedy"]) == (0, True, 0, "")
    report = CliRunner().invoke(app, ["check", str(release("text")), "--tokenizer", str(hybrid)])
    assert report.exit_code == 1 and f"first difference: row {drift['id']}, message 1" in report.stdout


@pytest.mark.parametrize("template", ["qwen3_training", "qwen3_instruct_2507"])
def test_templates_that_keep_what_was_said_are_good(hybrid: Path, template: str, tmp_path: Path) -> None:
    import trl

    stored = Path(trl.__file__).parent / "chat_templates" / f"{template}.jinja"
    for protocol in ("text", "tools"):
        folder = tokenizer_with(hybrid, stored.read_text(encoding="utf-8"), tmp_path / protocol)
        code, found = ran(str(release(protocol)), "--model", str(folder), "--max-length", "100")
        assert (code, found["drifting"], found["unmasked"], found["unstopped"]) == (0, 0, 0, 0)
        assert found["turns"] > found["rows"] and 0 < found["trained"] < found["tokens"]
        assert found["lengths"]["median"] <= found["lengths"]["p95"] <= found["lengths"]["longest"]
        assert found["over"] == {
            "max_length": 100, "whole": 0, "cut": 0, "left_out": found["rows"], "turns_left_out": found["turns"],
        }  # fmt: skip


def test_a_template_that_prints_the_day_renders_the_same_on_every_day(hybrid: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    template = "{{ strftime_now('%d %b %Y %H:%M:%S.%f') }}" + KEEPS
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_with(hybrid, template, tmp_path / "dated"))
    row = read_conversations(release("text"), "train", (), turns=False)[0]
    found = [Rendering(tokenizer).encode(row) for _ in range(2)]
    assert found[0] == found[1] and found[0].drift is None
    assert "01 Jan 2026" in tokenizer.decode(found[0].ids[:40])


def test_a_model_that_is_never_trained_to_stop_is_seen(hybrid: Path, tmp_path: Path) -> None:
    folder = tokenizer_with(hybrid, KEEPS, tmp_path, eos_token="<|endoftext|>")
    code, found = ran(str(release("text")), "--model", str(folder))
    assert code == 1 and found["unstopped"] == found["turns"] and "no token that stops" in found["remedy"]


def test_loss_on_other_tokens_than_the_assistants_is_seen(hybrid: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(hybrid)
    tokenizer.chat_template = KEEPS
    (row, *_) = read_conversations(release("text"), "train", (), turns=False)
    encoded = Rendering(tokenizer).encode(row)
    assert len(encoded.spans) > 1 and not mistaken(encoded, tokenizer)
    (start, end), *others = encoded.spans
    for span in ((start - 4, end), (start, end + 9), (start + 1, end), (start, start)):
        (wrong,) = mistaken(replace(encoded, spans=(span, *others)), tokenizer)
        assert wrong["id"] == row.id and wrong["turn"] == row.turns[0]
    shouting = replace(encoded, row=replace(row, messages=tuple({**one, "content": "X"} for one in row.messages)))
    assert len(mistaken(shouting, tokenizer)) == len(row.turns)


def test_a_turn_says_its_calls_and_all_their_texts() -> None:
    call = {"function": {"name": "fhir_search", "arguments": {"query": 'a="b"', "elements": ["é"]}}}
    message = {"role": "assistant", "content": "Look.", "tool_calls": [call]}
    assert says(
        'Look.\n<tool_call>{"name": "fhir_search", "arguments": {"query": "a=\\"b\\"", "elements": ["é"]}}', message
    )
    assert says('<think>\n\n</think>\n\nLook. fhir_search(query=a="b", elements=\\u00e9)', message)
    assert not says('Look. fhir_search(query=a="b")', message)
    assert not says('fhir_search(query=a="b", elements=é)', message)
    assert says("Done.", {"role": "assistant", "content": "Done."})
    assert not says("Done. Next: user", {"role": "assistant", "content": "Done."})


def test_checking_reads_the_split_and_families_asked_for(hybrid: Path) -> None:
    whole = check(str(release("text")), str(hybrid), turns=True)
    one = check(str(release("text")), str(hybrid), turns=True, families=("patient_lookup",))
    assert 0 < one.rows < whole.rows and one.good
