"""How long episodes are: characters and tokens of their messages, and the marks that a manifest states."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from fhirtasks.errors import UserError


def quantiles(values: Iterable[int]) -> dict[str, int]:
    """Median (the lower of two), 95th percentile and longest; zeros for no values."""
    ordered = sorted(values) or [0]
    last = len(ordered) - 1
    return {"median": ordered[last // 2], "p95": ordered[round(last * 0.95)], "longest": ordered[-1]}


def token_counter(path: Path) -> Callable[[Sequence[str]], int]:
    """Counts the tokens of texts, without a chat template's own. UserError if there is no tokenizer.

    ``path`` is a tokenizer.json or the folder that has it.
    """
    return _counter(_file(path), tokenizer_digest(path))


@lru_cache(maxsize=1)
def _counter(file: Path, digest: str) -> Callable[[Sequence[str]], int]:
    """The counter of the file as it is now: ``digest`` tells it from what lay there before."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UserError("--tokenizer needs the package tokenizers: pip install tokenizers.") from None
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"{file} is no tokenizer ({error}): give a tokenizer.json or the folder that has it.") from None

    def count(texts: Sequence[str]) -> int:
        return sum(len(one.ids) for one in tokenizer.encode_batch(list(texts), add_special_tokens=False))

    return count


def tokenizer_digest(path: Path) -> str:
    """What a manifest calls a tokenizer: sha256 of its file, in hex. UserError if it cannot be read."""
    try:
        return hashlib.sha256(_file(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(
            f"{path} is no tokenizer ({error.strerror}): give a tokenizer.json or the folder that has it."
        ) from None


def _file(path: Path) -> Path:
    return path / "tokenizer.json" if path.is_dir() else path
