"""The kinds of failure by which rollouts are counted."""

from __future__ import annotations

import re

from fhirtasks.episodes import code
from fhirtasks.episodes.environment import ROUNDS
from fhirtasks.episodes.text import parse
from fhirtasks.episodes.types import Episode, Invalid
from fhirtasks.synthesis.cleaning import unfinished_reasoning
from fhirtasks.tasks.types import Task, Verdict

CUT_OFF = "no answer"
"""The kind of a transcript that just ends: nothing in it is the model's mistake."""


def unfinished(episode: Episode, task: Task) -> str:
    """Why an episode came to no answer; empty if it did."""
    if episode.status == "completed":
        return ""
    if episode.status == "task limit reached":
        limit = code.ROUNDS if task.protocol == "code" else ROUNDS[task.mode]
        return "round limit" if sum(not turn.follows for turn in episode.turns) >= limit else CUT_OFF
    raw = episode.turns[-1].raw
    if not raw.strip():
        return "empty message"
    if unfinished_reasoning(raw):
        return "unfinished reasoning"
    begun = re.match(r"(GET|POST|FINISH)\b", raw.strip())
    alone = parse(raw.strip().split("\n")[0], "clinical")
    return "malformed action" if begun and isinstance(alone, Invalid) else "prose for format"


def failed(verdict: Verdict) -> str:
    """The kind of failure that a verdict tells of, by its first check that did not pass."""
    check = next(check for check in verdict.checks if not check.passed)
    if check.name in ("answer_shape", "answer"):
        return "wrong answer"
    if check.name == "evidence":
        return "unread evidence"
    if check.name == "writes_count":
        counted = re.fullmatch(r"expected (.*), found (.*)", check.detail, re.DOTALL)
        return "write missing" if counted and _number(counted[2]) < _number(counted[1]) else "write extra"
    return "write wrong" if check.name.startswith("write_") else f"graded: {check.name}"


def _number(text: str) -> int:
    """How many resources a part of a grader's clause counts: a number in compat mode, else a list of types."""
    digits = re.match(r"\d+", text)
    if digits:
        return int(digits[0])
    return 0 if text == "no write" else text.count(",") + 1
