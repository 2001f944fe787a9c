"""Imports run one way, experts know nothing they should not, and importing the library is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room may import the rooms before it, and itself. population and service stand beside each other, as do the experts and judges.
LAYERS = [
    {"fhirtasks.errors"},
    {"fhirtasks.plugins", "fhirtasks.printing", "fhirtasks.processes"},
    {"fhirtasks.fhir"},
    {"fhirtasks.graph"},
    {"fhirtasks.population", "fhirtasks.service", "fhirtasks.sandbox"},
    {"fhirtasks.episodes"},
    {"fhirtasks.tasks"},
    {"solvers", "graders"},
    {"fhirtasks.benchmarks"},
    {"fhirtasks.planting"},
    {"fhirtasks.leakage"},
    {"fhirtasks.release"},
    {"fhirtasks.synthesis"},
    {"fhirtasks.evaluation", "fhirtasks.rewards"},
    {"fhirtasks.environments"},
    {"train"},
    {"fhirtasks.cli"},
    {"fhirtasks.__main__"},
]
ORDER = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
HEAVY = {"torch", "transformers", "gymnasium", "trl", "accelerate", "peft"}


def modules() -> list[Path]:
    return sorted(path for top in ("fhirtasks", "solvers", "graders", "train") for path in (ROOT / top).rglob("*.py"))


def room_of(module: str) -> str | None:
    """The room that a dotted name belongs to; None for other people's modules."""
    parts = module.split(".")
    if parts[0] in ("solvers", "graders", "train"):
        return parts[0]
    if parts[0] == "fhirtasks":
        return ".".join(parts[:2]) if len(parts) > 1 else None
    return None


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}:{node.lineno}: absolute imports only"
            if node.module == "fhirtasks":
                yield from ((f"fhirtasks.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_run_one_way(path: Path) -> None:
    own = room_of(dotted(path))
    if own is None:
        return
    for name, line in imports(path):
        other = room_of(name)
        if other is None or other in (own, "fhirtasks.__version__"):
            continue
        assert other in ORDER, f"{path}:{line}: {other} has no place in the order of rooms"
        lazy_entry = (own, other) in {("fhirtasks.tasks", "solvers"), ("fhirtasks.tasks", "graders")}
        assert ORDER[other] < ORDER[own] and not lazy_entry, f"{path}:{line}: {own} may not import {other}"


@pytest.mark.parametrize("path", sorted((ROOT / "solvers").glob("*.py")), ids=dotted)
def test_experts_cannot_cheat(path: Path) -> None:
    allowed = ("fhirtasks.fhir", "fhirtasks.episodes.types", "fhirtasks.errors", "fhirtasks.plugins", "solvers")
    for name, line in imports(path):
        if room_of(name) is not None:
            assert name.startswith(allowed), f"{path}:{line}: an expert may not import {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "graders").glob("*.py")), ids=dotted)
def test_judges_know_no_expert(path: Path) -> None:
    for name, line in imports(path):
        assert room_of(name) != "solvers", f"{path}:{line}: a grader may not import {name}"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_heavy_libraries_only_where_they_are_used(path: Path) -> None:
    own = room_of(dotted(path))
    if own == "train":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    local = {inner for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            if name.split(".")[0] in HEAVY:
                inside = own in ("fhirtasks.evaluation", "fhirtasks.environments") and node in local
                gym = dotted(path) == "fhirtasks.environments.gym" and name.split(".")[0] == "gymnasium"
                assert inside or gym, f"{path}:{node.lineno}: {name} belongs to train"


def test_importing_the_library_is_quick_and_light() -> None:
    """Seconds depend on the machine; what is loaded does not."""
    heavy = "{'duckdb', 'torch', 'datasets', 'polars', 'pyarrow', 'typer'}"
    code = f"import sys, fhirtasks; print(len([name for name in sys.modules if name.split('.')[0] in {heavy}]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "0"


def test_the_command_ignores_modules_in_the_users_folder(tmp_path: Path) -> None:
    for name in ("train.py", "solvers.py", "graders.py", "fhirtasks.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module was imported')\n")
    command = Path(sys.executable).with_name("fhirtasks")
    run = subprocess.run([command, "families", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("[{")
