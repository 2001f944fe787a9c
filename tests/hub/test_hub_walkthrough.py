"""docs/publishing.md is run as written: its commands give what it shows (… stands for anything), its Python runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_double import HubDouble

DOC = Path(__file__).resolve().parents[2] / "docs" / "publishing.md"


def steps(text: str) -> list[tuple[str, list[str]]]:
    """(command, lines shown) of every console block, (program, []) of every Python block, in order."""
    found: list[tuple[str, list[str]]] = []
    for language, block in re.findall(r"^```(console|python)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        if language == "python":
            found.append((block, []))
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line, []))
            else:
                found[-1][1].append(line)
    return found


@pytest.mark.proof
def test_the_walk_through_runs_as_written(hub: HubDouble, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {**os.environ, "PATH": path, "PYTHONPATH": str(DOC.parents[1])}
    todo = steps(DOC.read_text(encoding="utf-8"))
    assert sum(command.startswith("$ ") for command, _ in todo) >= 9
    for command, shown in todo:
        words = ["bash", "-c", f"({command[2:]}) 2>&1"] if command.startswith("$ ") else [sys.executable, "-c", command]
        done = subprocess.run(words, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
        refused = any(line.startswith("fhirtasks: ") for line in shown)
        assert done.returncode == (2 if refused else 0), f"{command}\n{done.stdout}{done.stderr}"
        lines = done.stdout.splitlines()
        for line in shown:
            pattern = ".*".join(re.escape(part) for part in line.split("…"))
            assert any(re.fullmatch(pattern, one) for one in lines), f"{command}\nshows no {line!r} but\n{done.stdout}"
    assert list(hub.repos["clinic/wards"].tags) == ["v1.0.0", "v1.1.0"]
