"""``fhirtasks train check``: whether a tokenizer and its chat template train what will be asked, before anything is trained.

Every row is rendered as ``train sft`` renders it and compared, turn by turn, with what a server that has the same tokenizer shows
the model: the same tokens before each turn, loss on exactly what the assistant says, a token trained that stops generation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fhirtasks.environments.source import folder_of
from fhirtasks.errors import UserError
from fhirtasks.evaluation.models import without_thinking
from train.rendering import Conversation, Encoded, Rendering, read_conversations, renderings, stop_tokens

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. ``drifting`` rows have a turn whose tokens differ, ``unmasked`` turns whose loss is not on what is said.

    Everything but ``drifting`` is of the rows as ``train sft`` renders them: where the tokenizer's own template drifts, with TRL's
    training template, and where there is none, of the rows that do not drift.
    ``lengths`` are quantiles of tokens of rows; ``over`` says what ``--max-length`` would cut, empty without it. ``remedy`` is
    empty where all is well.
    """

    rows: int
    turns: int
    tokens: int
    trained: int
    drifting: int
    unmasked: int
    unstopped: int
    first_drift: Mapping[str, Any] | None
    first_unmasked: Mapping[str, Any] | None
    lengths: Mapping[str, int]
    over: Mapping[str, int]
    remedy: str

    @property
    def good(self) -> bool:
        """Whether training and inference agree."""
        return not (self.drifting or self.unmasked or self.unstopped)

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return {"good": self.good, **asdict(self)}


def check(
    dataset: str,
    model: str,
    *,
    revision: str | None = None,
    split: str = "train",
    families: Sequence[str] = (),
    turns: bool = False,
    max_length: int | None = None,
    thinking: bool = False,
) -> Report:
    """Looks at every row with the tokenizer of a model's folder or Hub name. UserError for what cannot be read."""
    from train.models import load_tokenizer

    folder: Path = folder_of(dataset, revision)
    tokenizer = load_tokenizer(model)
    rows = read_conversations(folder, split, families, turns=turns)
    rendering = Rendering(tokenizer, thinking=thinking, stops=stop_tokens(tokenizer, model))
    encoded = [rendering.encode(row) for row in rows]
    drifting = [row.drift for row in encoded if row.drift is not None]
    trained = _otherwise(rows, tokenizer, rendering) if drifting and not turns else None
    keeps = trained is not None
    trained = [row for row in encoded if row.drift is None] if trained is None else trained
    wrong = [found for row in trained for found in mistaken(row, tokenizer)]
    unstopped = sum(not stops for row in trained for stops in row.stopped)
    return Report(
        rows=len(rows), turns=sum(len(row.turns) for row in rows), tokens=sum(len(row.ids) for row in trained),
        trained=sum(end - start for row in trained for start, end in row.spans), drifting=len(drifting),
        unmasked=len(wrong), unstopped=unstopped, first_drift=asdict(drifting[0]) if drifting else None,
        first_unmasked=wrong[0] if wrong else None, lengths=_quantiles([len(row.ids) for row in trained or encoded]),
        over={} if max_length is None or not trained else _over(trained, max_length),
        remedy=_remedy(bool(drifting), bool(wrong), bool(unstopped), turns, keeps),
    )  # fmt: skip


def mistaken(row: Encoded, tokenizer: Any) -> list[dict[str, Any]]:
    """The turns whose trained tokens, read back, are not what the row's message says and nothing else."""
    found = []
    for (start, end), place in zip(row.spans, row.row.turns, strict=False):
        message = row.row.messages[place]
        text = tokenizer.decode(row.ids[start:end], skip_special_tokens=True)
        if not says(text, message):
            found.append({"id": row.row.id, "turn": place, "trained": text, "message": json.dumps(message)})
    return found


def says(text: str, message: Mapping[str, Any]) -> bool:
    """Whether a rendered turn says the message: its content whole and, where there are calls, each one's name and texts too."""
    said = without_thinking(text).strip()
    content = str(message["content"]).strip()
    calls = [call["function"] for call in message.get("tool_calls", ())]
    if not calls:
        return said == content
    texts = [str(value) for call in calls for value in _texts(call["arguments"])]
    escaped = [{one, json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1]} for one in texts]
    named = [call["name"] for call in calls]
    return said.startswith(content) and all(
        any(form in said for form in forms) for forms in [*escaped, *({n} for n in named)]
    )


def as_text(report: Report) -> str:
    """The report for the terminal."""
    lengths = ", ".join(f"{name} {value:,}" for name, value in report.lengths.items())
    lines = [
        f"{report.rows:,} rows, {report.turns:,} turns, {report.tokens:,} tokens, {report.trained:,} of them with loss",
        f"tokens of a row: {lengths}",
        f"the same tokens in training and in use: {'yes' if not report.drifting else f'no, {report.drifting:,} rows differ'}",
        f"loss on exactly what the assistant says: {'yes' if not report.unmasked else f'no, {report.unmasked:,} turns differ'}",
        f"a token that stops generation is trained: {'yes' if not report.unstopped else f'no, {report.unstopped:,} turns lack it'}",
    ]
    if report.over:
        over = report.over
        lines.append(
            f"with --max-length {over['max_length']:,}: {over['whole']:,} rows whole, {over['cut']:,} cut at the end of a turn, "
            f"{over['left_out']:,} left out, {over['turns_left_out']:,} turns not trained"
        )
    if report.first_drift is not None:
        drift = report.first_drift
        lines += [
            f"first difference: row {drift['id']}, message {drift['turn']}, token {drift['token']:,}",
            f"  in use:      {drift['inference']!r}",
            f"  in training: {drift['training']!r}",
        ]
    if report.first_unmasked is not None:
        wrong = report.first_unmasked
        lines += [
            f"first turn with loss elsewhere: row {wrong['id']}, message {wrong['turn']}",
            f"  with loss: {wrong['trained']!r}",
            f"  message:   {wrong['message']}",
        ]
    return "\n".join([*lines, report.remedy or "good: what is trained is what will be asked"])


def _otherwise(rows: Sequence[Conversation], tokenizer: Any, rendering: Rendering) -> list[Encoded] | None:
    """The rows as ``train sft`` renders them where the tokenizer's own template will not do; None where nothing does."""
    for other in renderings(tokenizer, thinking=rendering.thinking, stops=rendering.stops):
        if other.template is not None:
            found = [other.encode(row) for row in rows]
            if all(row.drift is None for row in found):
                return found
    return None


def _remedy(drift: bool, wrong: bool, unstopped: bool, turns: bool, keeps: bool) -> str:
    if unstopped:
        return "The template ends a turn with no token that stops generation: take another model or another template."
    if wrong:
        return "Loss would be taken on other tokens than the assistant's: take another model or another template."
    if not drift:
        return ""
    if turns:
        return "The template renders a turn otherwise once it is said: take another model or another template."
    remedy = "The template renders earlier turns otherwise than they were said. Train one row per turn (--turns)"
    return remedy + (
        ", or whole episodes: train sft then takes TRL's training template and saves it with the model, which must be served "
        "with that one."
        if keeps
        else "."
    )


def _texts(value: Any) -> list[Any]:
    """The texts of a call's arguments, lists opened."""
    if isinstance(value, Mapping):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value]


def _quantiles(lengths: Sequence[int]) -> dict[str, int]:
    """The smallest length that so many percent of the rows do not exceed."""
    ranked = sorted(lengths)
    names = {0.5: "median", 1.0: "longest"}
    return {names.get(q, f"p{100 * q:.0f}"): ranked[max(0, -int(-q * len(ranked) // 1) - 1)] for q in QUANTILES}


def _over(rows: Sequence[Encoded], longest: int) -> dict[str, int]:
    from train.sft import fit

    try:
        fitted = fit(rows, longest)
    except UserError:
        missed = sum(len(row.spans) for row in rows)
        return {"max_length": longest, "whole": 0, "cut": 0, "left_out": len(rows), "turns_left_out": missed}
    return {
        "max_length": longest, "whole": fitted.whole, "cut": fitted.cut, "left_out": fitted.left_out,
        "turns_left_out": fitted.turns_left_out,
    }  # fmt: skip
