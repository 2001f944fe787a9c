"""Runs the command and builds releases with it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("fhirtasks")


@dataclass(frozen=True)
class Release:
    folder: Path
    report: dict[str, Any]


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)


def build(folder: Path, *arguments: object) -> Release:
    run = command("build", "--out", folder, "--json", *arguments)
    assert run.returncode == 0, run.stderr[-3000:] + run.stdout[-2000:]
    return Release(folder, json.loads(run.stdout))
