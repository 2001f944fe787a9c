"""The text protocol: every quirk of the benchmark's harness, and where our strict dialect differs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.episodes.text import WIRE, parse, prompt, render, result_of
from fhirtasks.episodes.types import Action, Finish, Get, Invalid, Post, PublicTask
from fhirtasks.errors import UserError

BASE = "http://localhost:8080/fhir/"
OBS = f"{BASE}Observation"


def task(mode: str = "clinical", **changes: object) -> PublicTask:
    values: dict[str, object] = {
        "id": "t1", "family": "latest_lab", "protocol": "text", "mode": mode, "now": "2024-01-01T00:00:00+00:00",
        "instruction": "What is it?", "context": "It is now.", "slots": {}, "base": BASE,
    }  # fmt: skip
    return PublicTask(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("GET http://h/x?a=1", Get("http://h/x?a=1")),
        ("  \n GET http://h/x?a=1 \n", Get("http://h/x?a=1")),
        ("```tool_code\nGET http://h/x\n```", Get("http://h/x")),
        ("```GET http://h/x```", Get("http://h/x")),
        ("GEThttp://h/x", Get("http://h/x")),
        ("GET http://h/x\nI will look.", Get("http://h/x\nI will look.")),
        ("GET", Get("")),
        ("G```ET http://h/x", Get("http://h/x")),
        ('POST http://h/x\n{"a": 1.10}', Post("http://h/x", {"a": Decimal("1.10")})),
        ('POST http://h/x\n{\n  "a": [1,\n 2]\n}\n', Post("http://h/x", {"a": [1, 2]})),
        ("POST http://h/x\n[1]", Post("http://h/x", [1])),
        ("POST http://h/x\n7", Post("http://h/x", 7)),
        ('```\nPOST http://h/x\n{"a":1}\n```', Post("http://h/x", {"a": 1})),
        ('POST http://h/x\n```\n{"a":1}\n```', Post("http://h/x", {"a": 1})),
        ("FINISH([1, 2])", Finish([1, 2])),
        ("FINISH([1])  \n", Finish([1])),
        ("FINISH([1]", Finish(None)),
        ("FINISH()", Finish(None)),
        ('FINISH({"a":1})', Finish({"a": 1})),
        ("FINISH(nonsense)", Finish(None)),
    ],
)
def test_compat_reads_a_message_as_the_harness_does(raw: str, expected: Action) -> None:
    assert parse(raw, "compat") == expected


@pytest.mark.parametrize(
    "raw",
    [
        'POST http://h/x {"a": 1}',
        'POST http://h/x\n{"a": 1}\nDone.',
        'POST http://h/x\n```json\n{"a": 1}\n```',
        "POST http://h/x",
        "POST",
        "POST http://h/x\n" + "[" * 100_000,
    ],
)
def test_compat_a_post_without_json_is_answered_and_goes_on(raw: str) -> None:
    action = parse(raw, "compat")
    assert isinstance(action, Invalid) and not action.ends


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "I will GET it",
        "<think>hm</think>GET http://h/x",
        "get http://h/x",
        "FINISH [1]",
        "finish([1])",
        "Finish([1])",
        "post x\n{}",
    ],
)
def test_compat_anything_else_ends_the_episode(raw: str) -> None:
    action = parse(raw, "compat")
    assert isinstance(action, Invalid) and action.ends


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        ("FINISH([1])", "[1]"),
        ("FINISH([1]", "[1"),
        ("FINISH([1]) ok", "[1]) o"),
        ("FINISH()", ""),
        ("FINISH(", ""),
        ("```\nFINISH([1])\n```", "[1]"),
        ("FINISH([-1]).", "[-1])"),
    ],
)
def test_compat_cuts_the_result_blindly(raw: str, result: str) -> None:
    assert isinstance(parse(raw, "compat"), Finish)
    assert result_of(raw, "compat") == result


def test_compat_accepts_what_pythons_json_accepts() -> None:
    action = parse("POST http://h/x\n[NaN, Infinity, 1e99999999999999999999, 1e-99999999999999999999]", "compat")
    assert isinstance(action, Post) and action.body[1:] == [float("inf"), float("inf"), 0]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("GET http://h/x?a=1", Get("http://h/x?a=1")),
        ("GET http://h/x?a=1 \r\n\n", Get("http://h/x?a=1")),
        ('POST http://h/x\n{"a": 1.10}\n', Post("http://h/x", {"a": Decimal("1.10")})),
        ('POST http://h/x \r\n{"a":\r\n 1}', Post("http://h/x", {"a": 1})),
        ('FINISH([1.0, "a)"])\n', Finish([Decimal("1.0"), "a)"])),
        ("FINISH( [ ] )", Finish([])),
        ("FINISH([\n1\n])", Finish([1])),
        ("FINISH([1E300])", Finish([Decimal("1E+300")])),
        ("FINISH([" + "[],{}," * 99 + "1])", Finish([[], {}] * 99 + [1])),
    ],
)
def test_clinical_takes_the_text_as_it_is(raw: str, expected: Action) -> None:
    assert parse(raw, "clinical") == expected


@pytest.mark.parametrize(
    "raw",
    [
        "", " GET http://h/x", "\nGET http://h/x", "GET", "GET  http://h/x", "GEThttp://h/x", "GET http://h/x please",
        "GET http://h/x\nGET http://h/y", "```\nGET http://h/x\n```", "get http://h/x", "<think></think>GET http://h/x",
        "POST http://h/x", 'POST http://h/x {"a":1}', "FINISH([1]", "FINISH()", "FINISH(1)", 'FINISH("a")',
        "FINISH({})", "FINISH([1]) done", "FINISH([NaN])", "FINISH([1],[2])", "FINISH([1] )x",
        "FINISH([1e99999999999999999999])", "FINISH([0.1e-301])", "FINISH(" + "[" * 101 + "]" * 101 + ")",
        "Sure: FINISH([1])", "FINISH(" + "[" * 100_000 + ")",
    ],
)  # fmt: skip
def test_clinical_refuses_and_ends(raw: str) -> None:
    action = parse(raw, "clinical")
    assert isinstance(action, Invalid) and action.ends and action.reason


@pytest.mark.parametrize(
    "raw",
    [
        "POST http://h/x\nnot json",
        "POST http://h/x\n[1e999]",
        "POST http://h/x\n{}\n{}",
        "POST http://h/x\n",
        "POST http://h/x\n[NaN]",
    ],
)
def test_clinical_a_post_without_json_is_answered_and_goes_on(raw: str) -> None:
    action = parse(raw, "clinical")
    assert isinstance(action, Invalid) and not action.ends


# Text without surrogates (no UTF-8) and without the fence that compat deletes.
TEXT = st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: "```" not in text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
URLS = st.text("abcXYZ019-._~:/?[]@!$&'()*+,;=%|", min_size=1, max_size=30).map(lambda tail: BASE + tail)
ACTIONS = st.builds(Get, URLS) | st.builds(Post, URLS, JSON) | st.builds(Finish, st.lists(JSON, max_size=4))


@pytest.mark.parametrize("dialect", ["compat", "clinical"])
@given(action=ACTIONS)
def test_what_is_rendered_is_parsed_back(dialect: str, action: Get | Post | Finish) -> None:
    raw = render(action)
    assert parse(raw, dialect) == action  # type: ignore[arg-type]
    if isinstance(action, Finish):
        assert raw == f"FINISH({result_of(raw, dialect)})"  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", ["compat", "clinical"])
@given(
    raw=st.text(max_size=60)
    | st.sampled_from(["GET ", "POST x\n", "FINISH("]).flatmap(lambda head: st.text(max_size=30).map(head.__add__))
)
def test_no_text_makes_parsing_raise(dialect: str, raw: str) -> None:
    parse(raw, dialect)  # type: ignore[arg-type]


def test_numbers_keep_their_digits() -> None:
    assert render(Finish([Decimal("1.10"), Decimal("0.0000001"), 2])) == "FINISH([1.10,1E-7,2])"
    assert render(Post(OBS, {"v": Decimal("5.00")})) == f'POST {OBS}\n{{"v":5.00}}'


@pytest.mark.parametrize("mode", ["clinical", "compat"])
def test_the_prompt_ends_with_context_and_question(mode: str) -> None:
    text = prompt(task(mode))
    assert text.splitlines()[-2:] == ["Context: It is now.", "Question: What is it?"]
    assert BASE in text and "<base>" not in text and "<dialect>" not in text
    assert len(text) < 4500


def test_braces_and_markers_in_a_task_are_left_alone() -> None:
    text = prompt(task(context="{x} <base> <dialect>", instruction="{functions}"))
    assert text.endswith("\nContext: {x} <base> <dialect>\nQuestion: {functions}")


def test_a_users_template_is_rendered_as_str_format_does() -> None:
    text = prompt(
        task("compat"), template="A {api_base}|{functions}|{{}}|{context}|{question}\n", functions='[{"a": 1}]'
    )
    assert text == f'A {BASE}|[{{"a": 1}}]|{{}}|It is now.|What is it?\n'


@pytest.mark.parametrize("template", ["{other}", "{", "{0}", "{}", "{context.nothing}"])
def test_a_template_that_cannot_be_filled_is_the_users_error(template: str) -> None:
    with pytest.raises(UserError, match="api_base"):
        prompt(task("compat"), template=template)


def test_wire_sentences_are_the_benchmarks() -> None:
    """The grader looks for this part in the history; a changed sentence would silently fail every write."""
    assert WIRE["post_ok"].startswith("POST request accepted and executed successfully. Please call FINISH if")
    assert WIRE["get_ok"].startswith("Here is the response from the GET request:\n{body}. Please call FINISH if")
    assert WIRE["post_invalid"] == "Invalid POST request"
    assert WIRE["rounds"] == {"compat": 8, "clinical": 20}
