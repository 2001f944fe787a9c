"""What is taken off a model's message, and what is left on it: an action never changes, prose never becomes one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.episodes.text import parse, render
from fhirtasks.episodes.types import Finish, Get, Invalid, Mode, Post
from fhirtasks.synthesis.cleaning import REASONING, clean, same_action, unfinished_reasoning

BASE = "http://localhost:8080/fhir/"
GET = f"GET {BASE}Patient?name=x"
POST = f'POST {BASE}Observation\n{{"value": 1.10}}'

CASES: dict[str, tuple[str, str, str]] = {
    "plain": (GET, GET, ""),
    "think": (f"<think>GET or POST?\nFINISH([])</think>\n\n{GET}", GET, "reasoning"),
    "two blocks": (f"<think>a</think> <think>b</think>{GET}", GET, "reasoning"),
    "the template opened it": (f"so I look.\n</think>\n{GET}", GET, "reasoning"),
    "brackets": (f"[THINK]hm[/THINK]{POST}", POST, "reasoning"),
    "channels": (
        f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{POST}<|return|>",
        POST,
        "reasoning,template token",
    ),
    "stop token": (f"{POST}<|im_end|></s>", POST, "template token"),
    "tag": (f"<answer>{GET}</answer>", GET, "tag"),
    "fence": (f"```\n{GET}\n```", GET, "code fence"),
    "fence of a language": (f"```tool_code\n{POST}\n```", POST, "code fence"),
    "verb as the language": (f"```GET\n{GET[4:]}\n```", GET, "code fence"),
    "post as the language": (f"```POST\n{POST[5:]}\n```", POST, "code fence"),
    "inline": ("`FINISH([1])`", "FINISH([1])", "code fence"),
    "body in a fence": (f'POST {BASE}Observation\n```json\n{{"value": 1.10}}\n```', POST, "code fence"),
    "white space": (f"  {GET}\n\n", GET, "white space"),
    "all at once": (
        f"<think>x</think>\n```http\n{POST}\n```</s>\n",
        POST,
        "reasoning,template token,code fence,white space",
    ),
}

LEFT = {
    "prose before": f"I look for the patient.\n{GET}",
    "prose after": f"{GET}\nThis lists them.",
    "prose after a fence": f"```\n{GET}\n```\nThis lists them.",
    "two fences": f"```\n{GET}\n```\n```\nFINISH([])\n```",
    "no end of reasoning": f"<think>so\n{GET}",
    "reasoning and prose": f"<think>x</think>Here it is: {GET}",
    "another language": "<think>x</think>curl http://localhost",
    "lower case": "get http://localhost:8080/fhir/Patient",
    "nothing": "",
    "a token that was read as part of the address": f"{GET}<|im_end|>",
    "tags in an answer": 'FINISH(["</think>"])',
    "tags in a body": f'POST {BASE}Observation\n{{"note":[{{"text":"</think> ```x```"}}]}}',
}


@pytest.mark.parametrize("name", CASES)
def test_markup_goes_and_is_named(name: str) -> None:
    raw, text, names = CASES[name]
    found = clean(raw, "clinical")
    assert (found.text, ",".join(found.names)) == (text, names)
    assert clean(found.text, "clinical").names == ()


@pytest.mark.parametrize("name", LEFT)
def test_what_is_no_markup_stays(name: str) -> None:
    assert clean(LEFT[name], "clinical").text == LEFT[name]
    assert clean(LEFT[name], "clinical").names == ()


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
urls = st.text(st.characters(categories=("L", "N"), include_characters="/?&=%:<>`|"), min_size=1, max_size=20)
actions = st.one_of(
    st.builds(Get, urls), st.builds(Post, urls, values), st.builds(Finish, st.lists(values, max_size=3))
)
layers = st.sampled_from(
    [
        *(lambda text, one=one: f"{one[0]}\n{one[1]}\n{text}" for one in REASONING),
        lambda text: f"```\n{text}\n```",
        lambda text: f"```json\n{text}\n```",
        lambda text: f" {text}\n",
        lambda text: f"{text}<|im_end|>",
        lambda text: f"<action>{text}</action>",
    ]
)


@given(actions, st.lists(layers, max_size=3), st.sampled_from(["clinical", "compat"]))
def test_an_action_in_markup_stays_the_same_or_the_message_does(
    action: Get | Post | Finish, wraps: list[Any], dialect: Mode
) -> None:
    raw = render(action)
    for wrap in wraps:
        raw = wrap(raw)
    found = clean(raw, dialect)
    if found.names:
        assert same_action(parse(found.text, dialect), action) or same_action(
            parse(found.text, dialect), parse(raw, dialect)
        )
    else:
        assert found.text == raw


@given(texts | st.builds(str.__add__, texts, actions.map(render)), st.sampled_from(["clinical", "compat"]))
def test_what_was_read_is_read_again(raw: str, dialect: Mode) -> None:
    before = parse(raw, dialect)
    if not isinstance(before, Invalid):
        assert same_action(parse(clean(raw, dialect).text, dialect), before)


def test_long_markup_costs_no_time() -> None:
    for piece in ("<think></think>", "</s>", "```", "<answer>", "`", "<think>", " "):
        clean(piece * 200_000 + GET, "clinical")
        clean(GET + piece * 200_000, "clinical")


def test_reasoning_that_never_ends_is_known() -> None:
    assert unfinished_reasoning(f" <think>so {GET}") and unfinished_reasoning("[THINK]")
    assert not unfinished_reasoning(f"<think>so</think>{GET}") and not unfinished_reasoning(GET)
