"""``fhirtasks train passk``: what a model can do in k tries, and so what each family needs first.

A model that never succeeds in k tries has nothing that reinforcement could raise: it lacks what only demonstrations give. One
that succeeds sometimes has. EHRMIND (Lin, Wu, Sun 2025, arXiv 2505.24105) found that pass@12 of the starting model predicts what
reinforcement learning gains (R² 0.91). The estimator is Chen et al.'s (2021, arXiv 2107.03374).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final

from fhirtasks.tasks.types import Task
from train.curriculum import Standing, Verdict


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The rule of :func:`verdict`, as data. Shares are of attempts (``solved``, ``valid``) or of tasks (the others).

    ``solved``: right from here on. ``signal``: groups whose rewards differ, below which a step of GRPO teaches little (Shao et al.
    2024, arXiv 2402.03300: a group of equal rewards has no advantage). ``reached``: chance-corrected pass@k below which there is
    nothing to raise. ``valid``: episodes in the protocol's form, below which the form comes first. ``thinned``: the share of a
    solved family's rows that stays, against forgetting.
    """

    solved: float = 0.9
    signal: float = 0.1
    reached: float = 0.1
    valid: float = 0.5
    thinned: float = 0.25


THRESHOLDS: Final = Thresholds()

RELIABLE: Final[tuple[tuple[int, int], ...]] = ((3, 6), (7, 3), (21, 2))
"""EHRMIND's rule for answers that can be guessed: at most so many possible answers -> so many of :data:`OF` attempts must be
right (matching has 3 answers, diagnosis and severity 7, risk scores 21). With more possible answers one right attempt will do."""
OF: Final = 12
SPREAD: Final = 0.8
"""And the entropy of the answers must stay below this share of that of guessing, ln(possible answers)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One episode of a task: passed, in the protocol's form from beginning to end, cut off, and what was answered."""

    passed: bool
    valid: bool
    truncated: bool
    answer: str


@dataclass(frozen=True, slots=True)
class Tried:
    """A task and its attempts. ``floor`` is True where a policy that does not read passes it."""

    task_id: str
    family: str
    difficulty: str
    attempts: tuple[Attempt, ...]
    floor: bool = False

    @property
    def right(self) -> int:
        return sum(one.passed for one in self.attempts)


@dataclass(frozen=True, slots=True)
class Figures:
    """A family, or a difficulty of it. ``corrected`` is pass@k over what guessing reaches in k tries; ``chance`` is one guess.

    ``signal`` is the share of tasks that were right sometimes; ``reliable`` that of tasks right by EHRMIND's rule for answers
    that can be guessed.
    """

    tasks: int
    attempts: int
    k: int
    rate: float
    pass_at_k: float
    chance: float
    corrected: float
    reliable: float
    signal: float
    valid: float
    truncated: float


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that k attempts, drawn from n of which c were right, hold a right one: 1 − C(n−c, k) / C(n, k).

    ValueError unless 0 ≤ c ≤ n and 1 ≤ k ≤ n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"{c} right of {n} attempts cannot tell pass@{k}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def figures(tried: Sequence[Tried], k: int, answers: int) -> Figures:
    """The figures of tasks with at least k attempts each. ``answers`` is how many different right answers their family has."""
    attempts = [one for task in tried for one in task.attempts]
    chance = fmean(task.floor for task in tried)
    found = fmean(pass_at_k(len(task.attempts), task.right, k) for task in tried)
    guessed = 1.0 - (1.0 - chance) ** k
    return Figures(
        tasks=len(tried), attempts=len(attempts), k=k, rate=fmean(one.passed for one in attempts), pass_at_k=found,
        chance=chance, corrected=(found - guessed) / (1.0 - guessed) if guessed < 1.0 else 0.0,
        reliable=fmean(reliable(task.attempts, answers) for task in tried),
        signal=fmean(0 < task.right < len(task.attempts) for task in tried),
        valid=fmean(one.valid for one in attempts), truncated=fmean(one.truncated for one in attempts),
    )  # fmt: skip


def reliable(attempts: Sequence[Attempt], answers: int) -> bool:
    """Whether a task is right by EHRMIND's rule: often enough for so many possible answers, and not by scattering them."""
    right = sum(one.passed for one in attempts)
    for most, least in RELIABLE:
        if answers <= most:
            scattered = entropy([one.answer for one in attempts]) >= SPREAD * math.log(most)
            return right * OF >= least * len(attempts) and not scattered
    return right > 0


def entropy(values: Iterable[str]) -> float:
    """The entropy of values as they are spread, in nats."""
    counts = Counter(values)
    total = sum(counts.values())
    return sum(-n / total * math.log(n / total) for n in counts.values())


def verdict(found: Figures, *, guessable: bool = False, rule: Thresholds = THRESHOLDS) -> Verdict:
    """What a family needs: the rule, in one place.

    ``solved`` where attempts are right almost always. ``sft`` where they seldom have the form, where k tries reach little beyond
    guessing (with ``guessable``: little by EHRMIND's rule), or where tasks are either always right or never. Else ``rl``.
    """
    if found.rate >= rule.solved:
        return "solved"
    reached = min(found.corrected, found.reliable) if guessable else found.corrected
    if found.valid < rule.valid or reached < rule.reached or found.signal < rule.signal:
        return "sft"
    return "rl"


def weight(what: Verdict, rule: Thresholds = THRESHOLDS) -> float:
    """The share of a family's rows to go on with. A family that waits for SFT keeps its demonstrations; RL leaves it out."""
    return rule.thinned if what == "solved" else 1.0


def report(tried: Sequence[Tried], k: int, answers: Mapping[str, int], *, guessable: bool = False) -> dict[str, Any]:
    """Family -> verdict, weight, figures, and figures by difficulty: what ``train grpo --curriculum`` reads, and more."""
    families: dict[str, Any] = {}
    for name in sorted({task.family for task in tried}):
        mine = [task for task in tried if task.family == name]
        found = figures(mine, k, answers[name])
        what = verdict(found, guessable=guessable)
        levels = {
            level: asdict(figures([task for task in mine if task.difficulty == level], k, answers[name]))
            for level in sorted({task.difficulty for task in mine})
        }
        standing = Standing(what, weight(what))
        families[name] = {**asdict(standing), "figures": asdict(found), "difficulty": levels}
    return {"k": k, "guessable": guessable, "thresholds": asdict(THRESHOLDS), "families": families}


def as_text(value: Mapping[str, Any]) -> str:
    """The report as a table for the terminal."""
    k = value["k"]
    columns = f"{'rate':>8}{f'pass@{k}':>9}{'corrected':>11}{'signal':>8}{'valid':>7}{'cut':>6}"
    lines = [f"{'family':<30}{'difficulty':<12}{'tasks':>6}{columns}  needs"]
    needs = {"sft": "SFT first", "rl": "RL", "solved": "solved"}
    for name, family in value["families"].items():
        lines.append(_line(name, "", family["figures"]) + f"  {needs[family['verdict']]}")
        if len(family["difficulty"]) > 1:
            lines += [_line("", level, found) for level, found in family["difficulty"].items()]
    return "\n".join(lines)


def _line(name: str, level: str, found: Mapping[str, Any]) -> str:
    return (
        f"{name:<30}{level:<12}{found['tasks']:>6}{found['rate']:>8.1%}{found['pass_at_k']:>9.1%}"
        f"{found['corrected']:>11.1%}{found['signal']:>8.1%}{found['valid']:>7.0%}{found['truncated']:>6.0%}"
    )


def difficulty_of(task: Task) -> str:
    """How hard a task is, in one word: by the pages that its results fill, else by the kinds of record that it crosses."""
    if "pages" in task.difficulty:
        return "one page" if task.difficulty["pages"] == 1 else "more pages"
    if "hops" in task.difficulty:
        return f"{task.difficulty['hops']} hops"
    return "all"


def possible_answers(tasks: Iterable[Task]) -> dict[str, int]:
    """Family -> how many different right answers its tasks have."""
    found: dict[str, set[str]] = {}
    for task in tasks:
        found.setdefault(task.family, set()).add(json.dumps(_answer(task.gold), sort_keys=True, default=str))
    return {family: len(answers) for family, answers in found.items()}


def _answer(gold: Any) -> Any:
    """The right answer without what it rests on."""
    return {name: value for name, value in gold.items() if name != "evidence"} if isinstance(gold, dict) else gold
