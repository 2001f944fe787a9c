"""Writes a benchmark as a sealed file that its owner can give away."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fhirtasks.benchmarks.holdouts import read_heldout, read_sealed
from fhirtasks.errors import UserError
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.keyed import seal


def read_key(path: Path | None) -> bytes | None:
    """The secret in a file, white space around it left out; None without a file. UserError for one too short to be secret."""
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise UserError(f"Cannot read the key {path}: {error.strerror}; check the path.") from None
    if len(key) < 16:
        raise UserError(
            f"The key in {path} has {len(key)} bytes; make one of 16 or more, for example with openssl rand."
        )
    return key


def write_sealed(sources: Sequence[str | Path], out: Path, key: bytes | None = None) -> dict[str, Any]:
    """Seals what the sources hold out into the file ``out``; the same sources and key give the same bytes.

    Returns what was sealed: ``file``, ``items`` (counts by kind), ``digest``, ``keyed``. UserError if a source cannot be
    read, is sealed already, or ``out`` is a file that is no sealed one.
    """
    for source in sources:
        if read_sealed(source) is not None:
            raise UserError(f"{source} is sealed already; give the benchmark itself.")
    if out.exists() and read_sealed(out) is None:
        raise UserError(f"{out} exists and is no sealed file; give another name for it.")
    holdouts = Holdouts.of(item for source in sources for item in read_heldout(source))
    text = json.dumps(seal(holdouts, key), indent=1) + "\n"
    waiting = out.with_name(f".{out.name}.part")
    try:
        waiting.write_text(text, encoding="utf-8")
        os.replace(waiting, out)
    except OSError as error:
        waiting.unlink(missing_ok=True)
        raise UserError(f"Cannot write {out}: {error.strerror}; check the path and its permissions.") from None
    return {"file": str(out), "items": holdouts.counts, "digest": holdouts.digest, "keyed": key is not None}
