"""Tiny records for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines (JSON text, or values) to a file of the test's folder and gives its path."""

    def to_file(name: str, *lines: Any, end: str = "\n") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + end
        path.write_text(text, encoding="utf-8")
        return path

    return to_file
