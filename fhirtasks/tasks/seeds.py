"""Seeds and ids of tasks: hashes of what identifies a task, never sums of numbers."""

from __future__ import annotations

import hashlib
import random

import orjson


def task_seed(namespace: str, family: str, version: str, split: str, index: int, seed: int) -> str:
    """The seed of one task, 64 hex digits: sha256 over a canonical JSON list of everything that tells tasks apart."""
    return _digest("seed", namespace, family, version, split, index, seed)


def task_id(namespace: str, family: str, version: str, split: str, index: int, seed: int) -> str:
    """The opaque id of the same task (24 hex digits): it tells nothing of family, branch or split."""
    return _digest("id", namespace, family, version, split, index, seed)[:24]


def rng(seed_text: str) -> random.Random:
    """A generator that any process builds alike from the same text."""
    return random.Random(int.from_bytes(hashlib.sha256(seed_text.encode()).digest(), "big"))


def _digest(*parts: str | int) -> str:
    return hashlib.sha256(orjson.dumps(list(parts))).hexdigest()
