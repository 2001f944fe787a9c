"""How the labs families are worded: eight different prompts each, put together from sentences with the same slots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fhirtasks.episodes.types import Mode

_DATA: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("labs_wordings.json").read_text(encoding="utf-8"))

WORDINGS = 8
"""Prompts per family; the number is drawn without regard to the branch."""

_PARTS: dict[str, tuple[str, ...]] = {
    "latest_lab_in_window": ("future", "tie", "value"),
    "mean_lab_in_window": ("future",),
    "latest_lab": ("future", "tie", "value"),
    "magnesium_replacement": ("future", "tie", "order", "infusion", "level"),
    "potassium_replacement": ("future", "tie", "order", "dose", "level"),
    "a1c_reorder": ("future", "tie", "order", "request"),
}
"""The shared sentences that follow a family's own rules."""


def instructions(family: str) -> tuple[str, ...]:
    """The instructions of a family with their places open, by number."""
    return tuple(own["instruction"] for own in _DATA["families"][family])


def wording(family: str, number: int, mode: Mode, values: Mapping[str, str]) -> tuple[str, str]:
    """Instruction and context number ``number`` (below :data:`WORDINGS`) of a family, filled in.

    ``values``: the slots, ``now``, and as ``patient`` the noun phrase that names the patient.
    """
    own, shared = _DATA["families"][family][number], _DATA["shared"]
    sentences = [shared["now"][number], own["rules"]]
    for name in _PARTS[family]:
        texts = shared[name][mode] if isinstance(shared[name], dict) else shared[name]
        sentences.append(texts[number])
    context = " ".join(sentence.format_map(values) for sentence in sentences if sentence)
    return _capital(own["instruction"].format_map(values)), context


def _capital(sentence: str) -> str:
    # A name that starts a sentence stays as it is: it is a slot.
    return "T" + sentence[1:] if sentence.startswith("the patient ") else sentence
