"""Rows as tokens: what a model is trained on is what it is shown, and has to say, when it is served.

A turn's prefix is the conversation so far, rendered with the generation prompt, as a server renders it; what counts for the loss
is everything after it up to and with the token that ends the turn. No mark in a template is needed for that, so any chat
template will do, and a reasoning block that the generation prompt writes itself is never trained.

A whole episode can be trained at once only if every turn's prefix is the beginning of its tokens. Templates that drop the
reasoning blocks of earlier turns (Qwen3's) break that: TRL has training templates for them, and a trained model must then be
served with the one it was trained on. One row per turn never needs another template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from fhirtasks.episodes.tools import wire
from fhirtasks.errors import UserError
from fhirtasks.release.read import DamagedShard, tables
from fhirtasks.release.rows import message_of

IGNORED: Final = -100
"""The label of a token that carries no loss."""
TODAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The day that a template is given which prints today's: else tokens, and so whether a run may go on, would change overnight."""
_CLOCK = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
_SHOWN: Final = 12
"""Tokens that are shown on either side of a difference."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row: its messages as chat templates take them, the tools offered, and which messages are trained (their places)."""

    id: str
    family: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]
    turns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """Where training and inference first show a turn different tokens: the message's place, the token's, both texts there."""

    id: str
    turn: int
    token: int
    inference: str
    training: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as tokens. ``spans`` are [start, end) of what each turn says, its end of turn included.

    ``stopped`` is False for a turn whose span holds no token that ends a turn. Spans of a row with ``drift`` are those before it.
    """

    row: Conversation
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    stopped: tuple[bool, ...]
    drift: Drift | None = None

    @property
    def labels(self) -> list[int]:
        """The tokens that carry loss, :data:`IGNORED` elsewhere."""
        found = [IGNORED] * len(self.ids)
        for start, end in self.spans:
            found[start:end] = self.ids[start:end]
        return found

    def within(self, longest: int) -> Encoded | None:
        """The row up to the end of its last turn that fits into so many tokens; None if not even the first does."""
        fits = list(takewhile(lambda span: span[1] <= longest, self.spans))
        if not fits:
            return None
        if len(fits) == len(self.spans) and len(self.ids) <= longest:
            return self
        kept = len(fits)
        return replace(self, ids=self.ids[: fits[-1][1]], spans=tuple(fits), stopped=self.stopped[:kept])


class Rendering:
    """A tokenizer with a chat template (None: its own), as a server has it. ``thinking`` lets the model open a reasoning block.

    ``stops`` are the tokens that end a turn; those of the tokenizer if none are given.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        template: str | None = None,
        thinking: bool = False,
        stops: frozenset[int] = frozenset(),
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.thinking = thinking
        self.stops = stops or frozenset({tokenizer.eos_token_id} - {None})
        self._options: dict[str, Any] = {"enable_thinking": thinking}
        shown = tokenizer.chat_template if template is None else template
        if template is not None or (isinstance(shown, str) and "strftime_now" in shown):
            self._options["chat_template"] = _on_one_day(shown)

    def encode(self, row: Conversation) -> Encoded:
        """The row's tokens and spans. UserError if the template cannot render it."""
        last = row.turns[-1]
        whole_text = self._text(row, last + 1, more=False)
        if len(row.turns) == 1:
            return self._turn(row, whole_text)
        whole = self._ids(whole_text)
        spans: list[tuple[int, int]] = []
        stopped: list[bool] = []
        for place in row.turns:
            prefix = self._ids(self._text(row, place, more=True))
            after = whole if place == last else self._ids(self._text(row, place + 1, more=False))
            for shown in (prefix, after):
                if whole[: len(shown)] != shown:
                    drift = self._drift(row, place, shown, whole)
                    return Encoded(row, tuple(whole), tuple(spans), tuple(stopped), drift)
            end, stops = self._end(whole, len(prefix), len(after))
            spans.append((len(prefix), end))
            stopped.append(stops)
        return Encoded(row, tuple(whole), tuple(spans), tuple(stopped))

    def _turn(self, row: Conversation, whole_text: str) -> Encoded:
        """One turn: the tokens of its prefix as a server makes them, and those of what it says, made apart from them."""
        (place,) = row.turns
        prefix_text = self._text(row, place, more=True)
        prefix = self._ids(prefix_text)
        if not whole_text.startswith(prefix_text):
            whole = self._ids(whole_text)
            return Encoded(row, tuple(whole), (), (), self._drift(row, place, prefix, whole))
        ids = prefix + self._ids(whole_text[len(prefix_text) :])
        end, stops = self._end(ids, len(prefix), len(ids))
        return Encoded(row, tuple(ids[:end]), ((len(prefix), end),), (stops,))

    def _end(self, ids: Sequence[int], start: int, end: int) -> tuple[int, bool]:
        """Where a turn's last stop token ends, and whether there is one: a template's white space after it is the reply's."""
        for place in range(end - 1, start - 1, -1):
            if ids[place] in self.stops:
                return place + 1, True
        return end, False

    def _drift(self, row: Conversation, turn: int, shown: Sequence[int], trained: Sequence[int]) -> Drift:
        token = next((at for at, (a, b) in enumerate(zip(shown, trained, strict=False)) if a != b), len(trained))
        around = slice(max(0, token - _SHOWN), token + _SHOWN)
        return Drift(row.id, turn, token, *(self.tokenizer.decode(ids[around]) for ids in (shown, trained)))

    def _text(self, row: Conversation, messages: int, *, more: bool) -> str:
        from jinja2 import TemplateError

        try:
            found: str = self.tokenizer.apply_chat_template(
                list(row.messages[:messages]), tools=list(row.tools) or None, tokenize=False,
                add_generation_prompt=more, **self._options,
            )  # fmt: skip
        except (TemplateError, TypeError, ValueError) as error:
            raise UserError(
                f"The chat template cannot render the row {row.id} ({error}); take another model."
            ) from None
        return found

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found


def _on_one_day(template: str) -> str:
    """The template with :data:`TODAY` where it asks what day it is."""
    return _CLOCK.sub(lambda found: json.dumps(TODAY.strftime(found[2]), ensure_ascii=False), template)


def read_conversations(folder: Path, split: str, families: Sequence[str], *, turns: bool) -> list[Conversation]:
    """The rows of ``sft`` (or with ``turns`` of ``sft_turns``), of these families (none: all), in the release's order.

    UserError if there is none, or the release cannot be read.
    """
    config = "sft_turns" if turns else "sft"
    columns = ("prompt", "completion") if turns else ("messages",)
    found: list[Conversation] = []
    try:
        for table in tables(folder, config, split, 1024, ("id", "family", "tools", *columns)):
            for row in table.to_pylist():
                if not families or row["family"] in families:
                    found.append(_conversation(row, columns))
    except (DamagedShard, ValueError, TypeError) as error:
        raise UserError(f"{folder} cannot be read as a release ({error}); give a folder of fhirtasks build.") from None
    lacking = sorted(set(families) - {one.family for one in found})
    if lacking or not found:
        what = f"of the family {lacking[0]!r}" if lacking else f"in the split {split!r}"
        raise UserError(f"{folder} has no {config} rows {what}; take what the release has.")
    return found


def _conversation(row: dict[str, Any], columns: Sequence[str]) -> Conversation:
    parts = [wire(message_of(message) for message in row[column]) for column in columns]
    messages = tuple(message for part in parts for message in part)
    first = len(parts[0]) if len(parts) > 1 else 0
    places = tuple(at for at, message in enumerate(messages) if at >= first and message["role"] == "assistant")
    return Conversation(row["id"], row["family"], messages, tuple(json.loads(row["tools"] or "[]")), places)


def renderings(tokenizer: Any, *, thinking: bool, stops: frozenset[int]) -> Iterator[Rendering]:
    """The ways to train whole episodes, best first: the tokenizer's own template, then TRL's training template for it."""
    yield Rendering(tokenizer, thinking=thinking, stops=stops)
    from trl import get_training_chat_template

    try:
        template = get_training_chat_template(tokenizer)
    except ValueError:
        return  # a template that TRL does not know
    if template is not None and template != tokenizer.chat_template:
        yield Rendering(tokenizer, template=template, thinking=thinking, stops=stops)


def stop_tokens(tokenizer: Any, model: str) -> frozenset[int]:
    """The tokens at which generation stops: the tokenizer's, and those of the model's generation settings where it has any."""
    from transformers import GenerationConfig

    try:
        told = GenerationConfig.from_pretrained(model).eos_token_id
    except (OSError, ValueError):
        told = None
    more = told if isinstance(told, list) else [told]
    return frozenset(token for token in (tokenizer.eos_token_id, *more) if token is not None)
