"""Takes from a model's message what is no part of its action, where what was done stays the same.

Only markup goes: a block of reasoning before the action, tokens of the chat template, a tag or a code fence that holds the
action and nothing else, white space at the ends. Prose beside an action stays, and fails as it did when it was said: no
reader can tell an action that was meant from one that was mentioned, and the format is what the rows teach.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fhirtasks.episodes.text import parse, render
from fhirtasks.episodes.types import Invalid, Mode, ServerAction

CLEANINGS: Final = ("reasoning", "template token", "tag", "code fence", "white space")
"""The names of what can be cleaned, in the order that a row's provenance lists them."""

REASONING: Final = (
    *((f"<{name}>", f"</{name}>") for name in ("think", "thinking", "thought", "reasoning", "reflection", "analysis")),
    ("<scratchpad>", "</scratchpad>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
)
"""How model families open and close their reasoning."""

_BEFORE = ("<|start|>assistant", "<|channel|>final<|message|>", "<|im_start|>assistant")
_AFTER = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>", "<|return|>",
    "<end_of_turn>", "</s>",
)  # fmt: skip
_TAGS = (
    ("<answer>", "</answer>"),
    ("<action>", "</action>"),
    ("<response>", "</response>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
_LANGUAGE = re.compile(r"[A-Za-z0-9_+.-]*")
_PASSES = 8
"""How many layers of markup are taken off; nobody writes more."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A message as it is replayed, and the :data:`CLEANINGS` that made it of the raw one (none: it is the raw one)."""

    text: str
    names: tuple[str, ...] = ()


def clean(raw: str, dialect: Mode) -> Cleaned:
    """The message without markup, if exactly one well-formed action is left, and the one that the dialect read if it
    read one; else the message as it is."""
    text, found = raw.strip(), set()
    if text != raw:
        found.add("white space")
    for _ in range(_PASSES):
        before = text
        for name, take in _TAKE:
            shorter = take(text).strip()
            if shorter != text:
                text = shorter
                found.add(name)
        if text == before:
            break
    if not found or isinstance(parse(text, "clinical"), Invalid):
        return Cleaned(raw)
    if text.endswith(">") and "</" in text.splitlines()[-1]:  # a tag that lost its beginning, taken for part of a URL
        return Cleaned(raw)
    meant = parse(raw, dialect)
    if not isinstance(meant, Invalid) and not same_action(meant, parse(text, dialect)):
        return Cleaned(raw)
    return Cleaned(text, tuple(name for name in CLEANINGS if name in found))


def same_action(one: ServerAction, other: ServerAction) -> bool:
    """Whether two actions ask for the same, to the digit."""
    if isinstance(one, Invalid) or isinstance(other, Invalid):
        return one == other
    return render(one) == render(other)


def unfinished_reasoning(raw: str) -> bool:
    """Whether the message opens a block of reasoning and never closes it, as a reply that was cut off does."""
    text = raw.strip()
    return any(text.startswith(opened) and closed not in text for opened, closed in REASONING)


def _without_reasoning(text: str) -> str:
    """What follows the blocks of reasoning at the beginning; a template may have opened the first of them itself."""
    start = 0
    while (block := next((pair for pair in REASONING if text.startswith(pair[0], start)), None)) is not None:
        end = text.find(block[1], start + len(block[0]))
        if end < 0:
            return text
        start = end + len(block[1])
        while start < len(text) and text[start].isspace():
            start += 1
    if start == 0:
        ends = [place + len(closed) for _, closed in REASONING[:-1] if (place := text.find(closed)) >= 0]
        start = min(ends, default=0)
    return text[start:]


def _without_tokens(text: str) -> str:
    for token in _BEFORE:
        text = text.removeprefix(token).lstrip()
    end = len(text)
    while token := next((one for one in _AFTER if text.endswith(one, 0, end)), ""):
        end -= len(token)
        while end and text[end - 1].isspace():
            end -= 1
    return text[:end]


def _without_tag(text: str) -> str:
    for opened, closed in _TAGS:
        if text.startswith(opened) and text.endswith(closed):
            return text.removeprefix(opened).removesuffix(closed)
    return text


def _without_fence(text: str) -> str:
    """A fenced message, or the body of a POST, unfenced; the verb may stand as the fence's language."""
    if text.startswith("POST "):
        head, _, body = text.partition("\n")
        inner = _unfenced(body.strip())
        return text if inner is None else f"{head}\n{inner}"
    inner = _unfenced(text)
    return text if inner is None else inner


def _unfenced(text: str) -> str | None:
    """What stands in the fence that the text is; None if it is no fence."""
    for fence in ("```", "~~~", "`"):
        if text.startswith(fence) and text.endswith(fence) and len(text) > 2 * len(fence):
            inner = text[len(fence) : -len(fence)]
            first, newline, rest = inner.partition("\n")
            if fence in inner or (fence == "`" and newline):
                return None
            if first.strip() in ("GET", "POST") and newline:
                return f"{first.strip()} {rest.strip()}"
            return rest if newline and _LANGUAGE.fullmatch(first.strip()) else inner
    return None


_TAKE: Final = (
    ("reasoning", _without_reasoning),
    ("template token", _without_tokens),
    ("tag", _without_tag),
    ("code fence", _without_fence),
)
