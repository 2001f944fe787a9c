"""The learnability probe: its tokenizer cuts ids alike everywhere, its loss is the assistant's, its agent really acts."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.small_releases import release

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from fhirtasks.episodes.types import Protocol  # noqa: E402
from fhirtasks.errors import UserError  # noqa: E402
from fhirtasks.evaluation.sources import open_tasks  # noqa: E402
from train.cli import app  # noqa: E402
from train.probe import probe  # noqa: E402
from train.probe_agent import Agent, limits  # noqa: E402
from train.probe_data import (  # noqa: E402
    Row,
    Wordings,
    batches,
    by_patient,
    drills,
    held_out_wordings,
    patient_of,
    read_rows,
    tensors,
)
from train.probe_model import Shape, make_model  # noqa: E402
from train.probe_presets import PRESETS, Preset, preset_named  # noqa: E402
from train.probe_report import ProbeReport, Scored, as_text, wilson  # noqa: E402
from train.probe_run import Training, drill, learn  # noqa: E402
from train.probe_tokenizer import SPECIAL, Encoded, encode, make_tokenizer, text_of  # noqa: E402

UUID = "9fd54bc3-3d30-41ad-a9e3-2d2fb6e946e3"
TINY = Training(12_000, batch=1024, longest=700, drill_tokens=8_000)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_rows(release("text"))


@pytest.fixture(scope="module")
def tokenizer(rows: list[Row]) -> Any:
    return make_tokenizer([(patient_of(row.task), [text_of(one, "text") for one in row.messages]) for row in rows])


@pytest.fixture(scope="module")
def episodes(rows: list[Row], tokenizer: Any) -> list[Encoded]:
    return [encode(tokenizer, row.task.family, row.messages, "text") for row in rows]


def pieces(tokenizer: Any, text: str) -> list[str]:
    return [tokenizer.decode([token]) for token in tokenizer.encode(text).ids]


def test_ids_numbers_and_names_are_cut_alike_wherever_they_stand(tokenizer: Any) -> None:
    pairs = ["9f", "d5", "4b", "c3", "-3d", "30", "-41", "ad", "-a9", "e3", "-2d", "2f", "b6", "e9", "46", "e3"]
    for text in (UUID, f"GET http://localhost:8080/fhir/Observation?patient={UUID}&code=1", f'{{"id":"{UUID}"}}'):
        found = pieces(tokenizer, text)
        start = found.index("9f")
        assert found[start : start + 16] == pairs
    for text in ("born 1954-01-23, in", "birthdate=1954-01-23", '"birthDate":"1954-01-23"'):
        found = pieces(tokenizer, text)
        start = found.index("19")
        assert found[start : start + 6] == ["19", "54", "-", "01", "-", "23"]
    assert pieces(tokenizer, "T13%3A58")[-4:] == ["T", "13", "%3A", "58"] and pieces(tokenizer, "T13:58")[-1] == "58"
    after_space, after_quote = pieces(tokenizer, "of Alfreda Q"), pieces(tokenizer, '"Alfreda"')
    assert after_space[after_space.index(" ") + 1 : -2] == after_quote[1:-1]


def test_every_pair_of_digits_is_one_token(tokenizer: Any) -> None:
    for pair in [f"{number:02x}" for number in range(256)] + [f"{number:02d}" for number in range(100)]:
        assert len(tokenizer.encode(pair).ids) == 1, pair
    assert all(tokenizer.token_to_id(f"-{number:02x}") is not None for number in range(256))


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_text_comes_back_from_its_tokens(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_what_a_release_says_comes_back_from_its_tokens(tokenizer: Any, rows: list[Row]) -> None:
    for row in rows:
        for message in row.messages:
            assert tokenizer.decode(tokenizer.encode(message.content).ids, skip_special_tokens=False) == message.content


def test_the_loss_is_on_the_assistants_tokens_and_nothing_else(
    tokenizer: Any, rows: list[Row], episodes: list[Encoded]
) -> None:
    end = tokenizer.token_to_id(SPECIAL[3])
    for row, episode in zip(rows, episodes, strict=True):
        said = [message.content for message in row.messages if message.role == "assistant"]
        own = [token for token, mine in zip(episode.tokens, episode.said, strict=True) if mine]
        assert own.count(end) == len(said) == len(episode.ends)
        assert tokenizer.decode(own, skip_special_tokens=False) == "".join(text + SPECIAL[3] for text in said)
        assert episode.ends[-1] == len(episode.tokens) and all(episode.said[place - 1] for place in episode.ends)
    ids, said = tensors([(episodes[0], episodes[0].ends[-1]), (episodes[1], episodes[1].ends[0])])
    assert ids[0].tolist()[: len(episodes[0].tokens)] == list(episodes[0].tokens)
    assert said.sum().item() == sum(episodes[0].said) + sum(episodes[1].said[: episodes[1].ends[0]])
    assert not said[1, episodes[1].ends[0] :].any()


def test_episodes_are_cut_between_turns_and_batches_hold_all_that_fit(episodes: list[Encoded]) -> None:
    shortest = min(episode.ends[0] for episode in episodes)
    limit = min(len(episode.tokens) for episode in episodes) - 1
    assert all(episode.within(shortest - 1) == 0 for episode in episodes)
    seen = []
    source = batches(episodes, 1000, lambda: limit, random.Random(0))
    fitting = [episode for episode in episodes if episode.within(limit)]
    while len(seen) < len(fitting):
        batch = next(source)
        assert len(batch) == 1 or len(batch) * max(end for _, end in batch) <= 1000
        assert all(end in episode.ends and end <= limit for episode, end in batch)
        seen += [episode for episode, _ in batch]
    assert sorted(one.tokens for one in seen) == sorted(one.tokens for one in fitting)


def test_an_episode_does_not_see_what_it_is_batched_with(tokenizer: Any, episodes: list[Encoded]) -> None:
    """Padding stands behind and attention looks back: the states are those of the episode alone."""
    model = make_model(Shape(128, 2, 128), tokenizer.get_vocab_size(), 0).eval()
    first, second = sorted(episodes, key=lambda one: len(one.tokens))[:: len(episodes) - 1]
    with torch.no_grad():
        ids, _ = tensors([(first, len(first.tokens)), (second, len(second.tokens))])
        together = model.model(input_ids=ids, use_cache=False).last_hidden_state[0, : len(first.tokens)]
        alone = model.model(input_ids=torch.tensor([first.tokens]), use_cache=False).last_hidden_state[0]
    assert torch.allclose(together, alone, atol=1e-4)


def test_drills_ask_for_what_was_shown(tokenizer: Any) -> None:
    exercises = drills(tokenizer, random.Random(1))
    for _ in range(20):
        ids, due = next(exercises)
        assert len(ids) == len(due) == 160 and any(due) and max(ids) < tokenizer.get_vocab_size()
        for place in (place for place, wanted in enumerate(due) if wanted):
            before = set(pairwise(ids[:place]))
            assert (ids[place - 1], ids[place]) in before, "a token is due only where the same two stood before"


def test_the_model_starts_leaning_towards_copying_and_drills_settle_it(tokenizer: Any) -> None:
    """Of a uniform guess over the vocabulary one in three thousand would be right."""
    model = make_model(Shape(), tokenizer.get_vocab_size(), 0)
    at_start = drill(model, tokenizer, replace(TINY, drill_tokens=1), seed=0, device="cpu")
    wide = make_model(Shape(512, 3, 512), tokenizer.get_vocab_size(), 0)
    assert drill(wide, tokenizer, replace(TINY, drill_tokens=1), seed=0, device="cpu") > 0.05
    later = drill(model, tokenizer, replace(TINY, drill_tokens=50_000), seed=0, device="cpu")
    assert at_start > 0.05 and later > 0.6


def test_wordings_are_told_apart_whatever_the_values(rows: list[Row]) -> None:
    tasks = [row.task for row in rows if row.task.family == "patient_lookup"]
    wordings = Wordings(tasks)
    for task in tasks:
        other = replace(
            task, context=task.context.replace(task.now, "1999-01-01T00:00:00Z"), now="1999-01-01T00:00:00Z"
        )
        assert wordings.of(other) == wordings.of(task)
        assert not any(value in wordings.of(task) for value in (task.now, task.slots["birthdate"]))
    held = held_out_wordings(tasks, wordings)
    known = {wordings.of(task) for task in tasks}
    assert (len(held) == max(1, len(known) // 8)) if len(known) >= 4 else not held


def test_smaller_shares_of_the_patients_are_parts_of_greater_ones(rows: list[Row]) -> None:
    few, more, all_rows = (by_patient(rows, share) for share in (0.2, 0.6, 1.0))
    assert 0 < len(few) < len(more) < len(all_rows) == len(rows)
    assert {row.task.id for row in few} < {row.task.id for row in more}
    assert not {patient_of(row.task) for row in few} & {patient_of(row.task) for row in rows if row not in few}


def test_the_loss_falls_and_the_same_seed_gives_the_same_weights(tokenizer: Any, episodes: list[Encoded]) -> None:
    made = []
    for _ in range(2):
        model = make_model(Shape(), tokenizer.get_vocab_size(), 7)
        learned = learn(model, episodes, TINY, seed=7, device="cpu")
        assert learned.paced_by == "tokens" and learned.tokens >= TINY.tokens
        assert learned.loss < learned.first_loss
        made.append(model.state_dict())
    assert all(tensor.equal(made[1][name]) for name, tensor in made[0].items())


def test_minutes_end_a_run_too(tokenizer: Any, episodes: list[Encoded]) -> None:
    model = make_model(Shape(128, 2, 128), tokenizer.get_vocab_size(), 0)
    learned = learn(model, episodes, replace(TINY, tokens=10**9), seed=0, device="cpu", seconds=1)
    assert learned.paced_by == "minutes" and learned.steps > 0


def test_greedy_messages_are_those_of_the_model_without_a_cache(tokenizer: Any, episodes: list[Encoded]) -> None:
    """Batched, padded on the left, with a cache: the same tokens as one forward pass per token."""
    model = make_model(Shape(), tokenizer.get_vocab_size(), 3)
    learn(model, episodes, replace(TINY, tokens=6_000), seed=3, device="cpu")
    model.eval()
    marks = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    contexts = [list(episode.tokens[: 40 + 17 * place]) for place, episode in enumerate(episodes[:3])]
    said = Agent(model, tokenizer, "cpu", 1000, 40, 1000).say(contexts)
    for context, tokens in zip(contexts, said, strict=True):
        assert marks["<|end|>"] not in tokens and len(tokens) <= 40
        known = [*context, marks["<|assistant|>"]]
        for token in [*tokens, *([marks["<|end|>"]] * (len(tokens) < 40))][:12]:
            with torch.no_grad():
                assert model(input_ids=torch.tensor([known])).logits[0, -1].argmax().item() == token
            known.append(token)


@pytest.mark.parametrize("protocol", ["text", "tools", "code"])
def test_the_agent_acts_in_the_environment_and_is_judged(
    protocol: Protocol, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the experts' messages put in its mouth it passes every task, and what it read is what training shows."""
    rows = read_rows(release(protocol))
    whole = [encode(tokenizer, row.task.family, row.messages, protocol).tokens for row in rows]
    mine, end = tokenizer.token_to_id(SPECIAL[2]), tokenizer.token_to_id(SPECIAL[3])

    def scripted(_: Agent, contexts: list[list[int]]) -> list[list[int]]:
        said = []
        for context in contexts:
            known = (*context, mine)
            tokens = next(tokens for tokens in whole if tokens[: len(known)] == known)
            said.append(list(tokens[len(known) : tokens.index(end, len(known))]))
        return said

    monkeypatch.setattr(Agent, "say", scripted)
    message, conversation = limits([encode(tokenizer, row.task.family, row.messages, protocol) for row in rows])
    agent = Agent(None, tokenizer, "cpu", 4000, message, conversation)
    with open_tasks(release(protocol), split="train") as source:
        outcomes = agent.play(source.tasks, source)
    assert len(outcomes) == len(rows) and all(outcome.passed for outcome in outcomes)


def test_wilsons_interval() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(15, 20) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    for n in (1, 7, 60):
        for passed in range(n + 1):
            low, high = wilson(passed, n)
            assert 0 <= low <= passed / n <= high + 1e-12 <= 1 + 1e-9


def test_taught_means_that_the_lower_end_is_above_the_best_floor() -> None:
    def scored(passed: int, floor_passed: int) -> Scored:
        return Scored("latest_lab", "patients", "", 60, passed, "constant", floor_passed, {})

    assert scored(10, 3).taught and not scored(10, 6).taught and not scored(0, 0).taught


SMALL = Preset(Shape(128, 2, 128), replace(TINY, tokens=6_000), 10.0, each=(4, 2, 2), shares=(0.4,))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ProbeReport, Path, list[str]]:
    out, said = tmp_path_factory.mktemp("probe") / "out", []
    preset = replace(SMALL, marks=(0.0,))
    families = ("record_blood_pressure",)
    return probe(release("text"), preset, families=families, out=out, progress=said.append), out, said


def test_a_probe_goes_through_every_stage(run: tuple[ProbeReport, Path, list[str]]) -> None:
    report, out, said = run
    told = report.as_json()
    assert json.loads((out / "probe.json").read_text()) == told
    assert told["families"] == ["record_blood_pressure"]
    kinds = {(one["held_out"], one["family"]) for one in told["scores"]}
    assert {("patients", "record_blood_pressure"), ("families", "patient_lookup")} <= kinds
    for one in told["scores"]:
        assert one["low"] <= one["rate"] <= one["high"] and 0 <= one["floor_rate"] <= 1
        assert sum(branch["n"] for branch in one["branches"].values()) == one["n"]
    few, all_rows = told["curve"]
    assert few["patients"] < all_rows["patients"] and few["rows"] < all_rows["rows"] == told["rows"]
    assert told["training"]["steps"] > 0 and told["training"]["paced_by"] == "tokens"
    assert len(told["marks"]) == 1 and any("minutes" in line for line in said)
    text = as_text(told)
    assert "record_blood_pressure" in text and "learning curve" in text and "best floor" in text


def test_the_saved_model_says_what_the_probe_said(run: tuple[ProbeReport, Path, list[str]], rows: list[Row]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, out, _ = run
    model, fast = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    chat = [{"role": one.role, "content": one.content} for one in rows[0].messages]
    ids = fast.apply_chat_template(chat, tokenize=True, return_dict=False)
    assert tuple(ids) == encode(fast.backend_tokenizer, "", rows[0].messages, "text").tokens
    prompt = fast.apply_chat_template(chat[:1], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :].tolist()
    agent = Agent(model, fast.backend_tokenizer, "cpu", 1000, 40, 1000)
    mine = agent.say([prompt["input_ids"][0, :-1].tolist()])[0]
    end = fast.convert_tokens_to_ids(SPECIAL[3])
    assert said[: len(mine)] == mine[: len(said)] and (len(mine) >= 8 or said[len(mine)] == end)


def test_the_gpu_preset_takes_the_same_path_on_a_cpu() -> None:
    """Its code is the CPU's but for the device: a budget of nothing, a model of its depth."""
    preset = replace(
        preset_named("gpu"), shape=Shape(128, 6, 128), training=replace(TINY, tokens=3_000, drill_tokens=3_000),
        each=(2, 1, 1), marks=(0.0,), shares=(0.5,),
    )  # fmt: skip
    told = probe(release("text"), preset, minutes=5).as_json()
    assert told["families"] == ["patient_lookup", "record_blood_pressure"]
    assert not [one for one in told["scores"] if one["held_out"] == "families"] and len(told["marks"]) == 1


def test_what_cannot_be_probed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sft rows"):
        probe(tmp_path, SMALL)
    with pytest.raises(UserError, match="cpu or gpu"):
        preset_named("tpu")


def test_the_command_prints_tables_or_one_json_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "cpu", replace(SMALL, shares=()))
    ran = CliRunner().invoke(app, ["probe", str(release("text")), "--families", "patient_lookup", "--json"])
    assert ran.exit_code == 0
    told = json.loads(ran.stdout)
    assert told["families"] == ["patient_lookup"] and told["seed"] == 0 and told["curve"][0]["share"] == 1.0
    with pytest.raises(UserError, match="cpu or gpu"):
        CliRunner().invoke(app, ["probe", str(release("text")), "--preset", "tpu"], catch_exceptions=False)


@pytest.mark.proof
def test_the_cpu_preset_learns_a_paged_lookup_a_window_and_a_condition_in_half_an_hour(tmp_path: Path) -> None:
    """The whole preset on a release made for it; some half an hour on two idle cores."""
    from fhirtasks.synthesis.build import BuildConfig, build

    preset = PRESETS["cpu"]
    families = (*preset.families, "potassium_replacement")
    build(BuildConfig(tmp_path / "release", patients=900, families=families, per_family=3000, seed=1))
    report = probe(tmp_path / "release", preset, progress=print)
    print(as_text(report.as_json()))
    assert report.seconds < 30 * 60
    taught = {(one.family, one.case) for one in report.scored if one.kind == "patients" and one.taught}
    assert ("latest_lab", "several pages") in taught
    assert ("latest_lab_in_window", "") in taught
    assert {("magnesium_replacement", "order due"), ("magnesium_replacement", "nothing due")} <= taught
