"""The real experts, floors and judges on a benchmark-shaped file, and a local model as a policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluation_doubles import NOW

from fhirtasks.episodes.types import Message
from fhirtasks.evaluation import models
from fhirtasks.evaluation.grade import grade_file
from fhirtasks.evaluation.run import EvaluationConfig, evaluate

NAMES = ["Ann Moe", "Bo Ray", "Cy Lund"]
QUESTIONS = {
    "task2": "How old is the patient {mrn}?",
    "task3": 'Patient {mrn} has "118/77 mmHg". Write it down.',
    "task4": "Newest magnesium of {mrn}, last 24 hours?",
    "task5": "Replace magnesium of {mrn} if it is low.",
    "task6": "Mean CBG of {mrn}, last 24 hours?",
    "task7": "Newest CBG of {mrn}?",
    "task8": 'Refer {mrn} to orthopedics and write "Knee, left: swollen."',
    "task9": "Replace potassium of {mrn} if it is low.",
    "task10": "Newest HbA1C of {mrn}? Order one if it is old.",
}


def rows() -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for number, name in enumerate(NAMES, 1):
        mrn, birthdate = f"S000000{number}", f"19{40 + number}-02-0{number}"
        text = f"MRN of the patient with name {name} and DOB of {birthdate}?"
        found.append({"id": f"task1_{number}", "instruction": text, "context": "", "sol": [mrn], "eval_MRN": mrn})
        for key, question in QUESTIONS.items():
            found.append(
                {
                    "id": f"{key}_{number}",
                    "instruction": question.format(mrn=mrn),
                    "context": f"It's {NOW} now.",
                    "eval_MRN": mrn,
                }
            )
    text = "MRN of the patient with name Di Orr and DOB of 1950-01-01?"
    found.append({"id": "task1_4", "instruction": text, "context": "", "sol": ["Patient not found"]})
    return found


def checked(tasks: Path, folder: Path, expected: int) -> None:
    from fhirtasks.population.populate import populate

    graph = folder / "dry.duckdb"
    populate(graph, patients=1, seed=3, patients_from=tasks)
    out = folder / "episodes.jsonl"
    shown = evaluate(EvaluationConfig(tasks, graph=graph, out=out)).as_json()
    assert shown["errors"] == {} and shown["failed_checks"] == {}
    assert (shown["total"]["n"], shown["total"]["passed"]) == (expected, expected)
    # A prompt that shows the record number lets a policy write without reading; clinical tasks do not.
    floor = shown["policies"]["never-read"]["families"]
    assert floor["record_blood_pressure"]["rate"] == floor["referral_order"]["rate"] == 1
    assert shown["floors"]["do-nothing"]["rate"] < 0.5
    results = grade_file(tasks, out, graph, None)
    assert len(results) == expected and all(row["passed"] for row in results)


def test_the_expert_solves_a_benchmark_file_on_dry_run_charts(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.json"
    tasks.write_text(json.dumps(rows()), encoding="utf-8")
    checked(tasks, tmp_path, 31)


@pytest.mark.shared
def test_the_expert_solves_the_three_hundred(shared: Path, tmp_path: Path) -> None:
    checked(shared / "medagentbench" / "test_data_v2.json", tmp_path, 300)


@pytest.mark.train
def test_a_local_model_speaks_greedily_through_its_chat_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate([*symbols, "<end>"])}
    backend = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        eos_token_id=None, pad_token_id=vocabulary["<end>"],
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr(models, "MAX_TOKENS", 6)
    policy = models.local_policy(str(tmp_path))
    from test_evaluation_policies import public

    said = policy(public(mrn="S1"), [Message("user", "Hello")])
    assert 0 < len(said) <= 6
    assert said == policy(public(mrn="S1"), [Message("user", "Hello")])
