"""What is asked of a build, in the words that its manifest keeps: no path, no worker count, nothing of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.release.lengths import tokenizer_digest
from fhirtasks.synthesis.config import PATIENTS, BuildConfig
from fhirtasks.synthesis.earlier import Release
from fhirtasks.synthesis.plan import held_out
from fhirtasks.tasks.types import Family


def options(
    config: BuildConfig,
    families: tuple[Family, ...],
    holdouts: Holdouts | None,
    extended: Release | None = None,
    rollouts: Sequence[str] = (),
) -> dict[str, Any]:
    """The options that decide the bytes, inputs by their digests: no path, no worker count."""
    earlier: dict[str, Any] = {} if extended is None else extended.manifest["options"]
    population = earlier.get("population")
    if config.graph is not None:
        population = None
    elif extended is None or config.patients is not None:
        population = {"patients": config.patients or PATIENTS, "seed": config.seed}
    return {
        "extend": None if extended is None else extended.digest,
        "families": earlier.get("families", {}) | {family.name: family.version for family in families},
        "holdouts": None if holdouts is None else holdouts.digest,
        "mode": config.mode,
        "per_family": config.per_family,
        "policy": None if holdouts is None else holdouts.policy.digest,
        "population": population,
        "protocol": config.protocol,
        "rollouts": list(rollouts),
        "seed": config.seed,
        "tokenizer": None if config.tokenizer is None else tokenizer_digest(config.tokenizer),
        **({"difficulty": _weights(config, families)} if config.difficulty else {}),
        **({"test_families": list(held_out(config, families))} if config.test_families else {}),
        **({"test_wordings": True} if config.test_wordings else {}),
        **({} if config.max_tokens is None else {"max_tokens": config.max_tokens}),
    }


def _weights(config: BuildConfig, families: Sequence[Family]) -> dict[str, str]:
    """The weights of these families as text, since canonical JSON holds no fractions."""
    names = {family.name for family in families}
    return {name: repr(weight) for name, weight in config.difficulty if name in names}
