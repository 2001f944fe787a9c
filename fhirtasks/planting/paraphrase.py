"""Light paraphrase: a few words of a text exchanged, added or left out; what makes the case stays as it was."""

from __future__ import annotations

import re
from random import Random
from typing import Final

_SWAPS: Final = (
    (r"\bWhat[’']s\b", "What is"), (r"\bpatient\b", "person"), (r"\bmost recent\b", "latest"), (r"\blast\b", "previous"),
    (r"\bCheck\b", "Look up"), (r"\bOrder\b", "Request"), (r"\border\b", "request"), (r"\bshould be\b", "must be"),
    (r"\bhelp me\b", "please"), (r"\baverage\b", "mean"), (r"\bwithin\b", "during"), (r"\band\b", "and also"),
    (r"\bwas\b", "had been"), (r"\bhistory of\b", "past"), (r"\bpresents?\b", "comes in"), (r"\bwith\b", "having"),
    (r"\bman\b", "gentleman"), (r"\bwoman\b", "lady"), (r"\bdenies\b", "reports no"),
)  # fmt: skip
_OPENINGS: Final = ("Please: ", "Hi, ", "One more: ", "For my records, ", "")
_FILLERS: Final = ("then", "also", "too", "now")


def paraphrase(text: str, rng: Random) -> str:
    """About one word in ten is other than in the text, none of those with digits or in quotes."""
    budget = max(1, len(text.split()) // 12)
    for pattern, other in rng.sample(_SWAPS, len(_SWAPS)):
        changed = re.sub(pattern, other, text, count=1)
        if changed != text and budget > 0:
            text, budget = changed, budget - 1
    words = text.split(" ")
    for _ in range(max(0, min(budget, 2))):
        words.insert(rng.randrange(len(words) + 1), rng.choice(_FILLERS))
    return rng.choice(_OPENINGS) + " ".join(words)
