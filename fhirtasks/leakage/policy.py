"""What counts as a leak, as data: per matcher whether it decides alone, and its thresholds.

The default stands in ``policy.json``; a file of one's own states only what differs. What each threshold means:

| matcher | threshold | meaning |
|---|---|---|
| identifier | shortest | letters and digits that an identifier needs to be looked for |
| | shortest_number | digits that one of digits only needs where no word such as "MRN" stands before it |
| person | gap | words that may stand between a given and a family name (JSON puts eight) |
| phone | digits | digits that a telephone number needs |
| address | letters | letters and digits that a street line needs |
| parameters | bits | how much a tuple and its answer must tell: 10 bits per value that one item alone has |
| | window | words of running text in which all values of a tuple must stand |
| chart | values | values, a time of day among them, that a resource needs to be known without ids and references |
| exact, normalised | words | words from which on a held-out text is one by itself |
| ngram | containment | share of a held-out text's telling grams, weighed by rarity, that a row must have |
| | grams | telling grams that a row must have in any case |
| | shared | held-out texts, different ones, from which on a phrase is a template and tells nothing |
| | words | words from which on a text that names its patient tells by its other words too |
| near_duplicate | jaccard | Jaccard index of telling three-word shingles |
| | shingles | telling shingles that both sides need |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from fhirtasks.errors import UserError
from fhirtasks.fhir.jsontext import content_hash

_DEFAULT: Final = Path(__file__).with_name("policy.json")
_SHARES: Final = frozenset(("containment", "jaccard"))
"""Thresholds between 0 and 1; the others are whole numbers from 1."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One matcher's rule: ``decides`` if what it finds is a leak by itself, else it is only reported."""

    matcher: str
    decides: bool
    thresholds: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of all matchers, in a fixed order."""

    rules: tuple[Rule, ...]

    @staticmethod
    def default() -> Policy:
        """The policy of ``policy.json``."""
        return read_policy(None)

    def decides(self, matcher: str) -> bool:
        """Whether what this matcher finds is a leak by itself."""
        return self._rule(matcher).decides

    def at(self, matcher: str, threshold: str) -> float:
        """The value of a threshold."""
        return dict(self._rule(matcher).thresholds)[threshold]

    def whole(self, matcher: str, threshold: str) -> int:
        """The value of a threshold that counts."""
        return int(self.at(matcher, threshold))

    def as_json(self) -> dict[str, Any]:
        """The policy as a policy file has it; numbers that count are integers, shares are texts of theirs.

        Canonical JSON holds no fractions, so a share is written as a string; :func:`read_policy` takes both.
        """
        return {
            rule.matcher: {"decides": rule.decides}
            | {name: str(value) if name in _SHARES else int(value) for name, value in rule.thresholds}
            for rule in self.rules
        }

    @property
    def digest(self) -> str:
        """sha256 of :meth:`as_json`."""
        return content_hash(self.as_json())

    def _rule(self, matcher: str) -> Rule:
        return next(rule for rule in self.rules if rule.matcher == matcher)


def read_policy(path: Path | None) -> Policy:
    """The policy of a file, over the default; the default for None. UserError names the member that is wrong."""
    return _default() if path is None else policy_of(_read(path), str(path))


def policy_of(stated: Any, where: str = "The policy") -> Policy:
    """The policy that a JSON value states, over the default. UserError names the member that is wrong."""
    known: dict[str, dict[str, Any]] = orjson.loads(_DEFAULT.read_bytes())
    if not isinstance(stated, dict):
        raise UserError(f"{where} is no JSON object; give {{matcher: {{threshold: value}}}}.")
    for matcher, rule in stated.items():
        if matcher not in known:
            raise UserError(f"{where}: there is no matcher {matcher!r}; there are {', '.join(known)}.")
        if not isinstance(rule, dict):
            raise UserError(f"{where}: {matcher} is no JSON object; give {{threshold: value}}.")
        for name, value in rule.items():
            if name not in known[matcher]:
                names = ", ".join(known[matcher])
                raise UserError(f"{where}: {matcher} has no threshold {name!r}; it has {names}.")
            known[matcher][name] = _checked(name, value, f"{where}: {matcher}.{name}")
    return Policy(
        tuple(
            Rule(matcher, rule.pop("decides"), tuple(sorted((name, float(value)) for name, value in rule.items())))
            for matcher, rule in known.items()
        )
    )


@cache
def _default() -> Policy:
    return policy_of({})


def _checked(name: str, value: Any, where: str) -> Any:
    if name == "decides":
        if not isinstance(value, bool):
            raise UserError(f"{where} is {value!r}; it takes true or false.")
        return value
    if name in _SHARES:
        try:
            share = float(value)
        except (TypeError, ValueError):
            share = -1.0
        if isinstance(value, bool) or not 0 < share <= 1:
            raise UserError(f"{where} is {value!r}; it takes a number above 0 and up to 1.")
        return share
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{where} is {value!r}; it takes a whole number from 1.")
    return value


def _read(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"Cannot read the policy {path}: {error.strerror}; check the path.") from None
    except orjson.JSONDecodeError as error:
        raise UserError(f"The policy {path} is not JSON ({error}); give {{matcher: {{threshold: value}}}}.") from None
