"""Rows of a dataset on the Hub, streamed through ``datasets`` (which honours ``HF_ENDPOINT`` and ``HF_TOKEN``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fhirtasks.errors import UserError

PREFIX: Final = "hub:"
_ID: Final = re.compile(r"(?:hub:)?([\w.-]+/[\w.-]+)(?:@([^:\s]+))?(?::([^:\s]+))?(?::([^:\s]+))?")
_FILE: Final = re.compile(r"\.(?:json|jsonl|ndjson|csv|tsv|txt|xml|md|parquet|arrow|gz|zst|zip)$")


def is_hub(source: str | Path) -> bool:
    """True for ``hub:org/name…``, and for a string ``org/name…`` where no such file or folder exists."""
    text = str(source)
    if text.startswith(PREFIX):
        return True
    if isinstance(source, Path) or Path(text).exists():
        return False
    match = _ID.fullmatch(text)
    return match is not None and not text.startswith(".") and not _FILE.search(match[1])


def parse(source: str) -> tuple[str, str | None, str | None, str | None]:
    """(repository, revision, config, split) of ``hub:org/name[@revision][:config[:split]]``. UserError for another form."""
    match = _ID.fullmatch(source)
    if match is None:
        raise UserError(
            f"{source!r} names no Hub dataset; write hub:org/name, hub:org/name@tag or hub:org/name:config:split."
        )
    return match[1], match[2], match[3], match[4]


def hub_rows(source: str) -> Iterator[Any]:
    """Every row of every config and split, or of those that the source names."""
    repository, revision, config, split = parse(source)
    try:
        import datasets

        configs = [config] if config else datasets.get_dataset_config_names(repository, revision=revision)
        for name in configs:
            splits = [split] if split else datasets.get_dataset_split_names(repository, name, revision=revision)
            for part in splits:
                yield from datasets.load_dataset(repository, name, split=part, revision=revision, streaming=True)
    except UserError:
        raise
    except Exception as error:  # datasets lets errors of many libraries through
        raise unreachable(source, error) from None


def unreachable(source: str, error: Exception) -> UserError:
    """What to say of a dataset that the Hub does not give."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    why = reason[:200].rstrip(".")
    here = " is no file or folder here, and" if "/" in source and PREFIX not in source and is_hub(source) else ""
    return UserError(
        f"{source}{here} cannot be read from the Hub ({why}); check its name and revision, and HF_TOKEN if it is private."
    )
