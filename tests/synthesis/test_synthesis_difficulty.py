"""``build --difficulty``: families get the share of rows that a file gives them, and the release remembers it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhirtasks.cli import app
from fhirtasks.errors import UserError
from fhirtasks.release.card import command
from fhirtasks.release.manifest import read_manifest
from fhirtasks.synthesis.build import BuildConfig, _families
from fhirtasks.synthesis.difficulty import read_weights, rows_of
from fhirtasks.synthesis.extend import defaults


def write(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_the_diagnostics_file_and_a_plain_one_say_the_same(tmp_path: Path) -> None:
    told = {"k": 12, "families": {"b": {"verdict": "rl", "weight": 1.0}, "a": {"verdict": "solved", "weight": 0.25}}}
    found = read_weights(write(tmp_path / "one.json", told))
    assert found == read_weights(write(tmp_path / "two.json", {"b": 1, "a": 0.25})) == {"a": 0.25, "b": 1.0}
    assert list(found) == ["a", "b"]
    assert [rows_of({"a": weight}, "a", 10) for weight in (0, 0.01, 0.25, 0.5, 2)] == [0, 1, 3, 5, 20]
    assert rows_of(found, "c", 10) == 10


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "is not JSON"),
        ([], "names no families"),
        ({"families": {}}, "names no families"),
        ({"a": -1}, "the weight of a is -1"),
        ({"a": True}, "the weight of a is True"),
        ({"families": {"a": {"verdict": "rl"}}}, "the weight of a is None"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, value: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_weights(write(tmp_path / "f.json", value))
    with pytest.raises(UserError, match="There is no file"):
        read_weights(tmp_path / "nowhere.json")


def test_families_of_weight_0_are_not_made(tmp_path: Path) -> None:
    both = ("patient_age", "patient_lookup")
    config = BuildConfig(tmp_path, families=both, difficulty=(("patient_age", 0.0), ("another", 1.0)))
    assert [family.name for family in _families(config, None)] == ["patient_lookup"]
    with pytest.raises(UserError, match="every family the weight 0"):
        _families(BuildConfig(tmp_path, families=both[:1], difficulty=(("patient_age", 0.0),)), None)
    with pytest.raises(UserError, match="none of the families"):
        _families(BuildConfig(tmp_path, families=both, difficulty=(("another", 1.0),)), None)


def test_a_build_scales_its_families_and_remembers(tmp_path: Path) -> None:
    weights = write(tmp_path / "w.json", {"patient_age": {"verdict": "solved", "weight": 0.5}})
    out = tmp_path / "out"
    words = ["build", "--patients", "16", "--seed", "7", "--per-family", "12", "--difficulty", str(weights)]
    words += ["--families", "patient_age", "--families", "patient_lookup", "--out", str(out), "--json"]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    families = json.loads(run.stdout)["families"]
    asked = {name: sum(branch["quota"] for branch in one["branches"].values()) for name, one in families.items()}
    assert asked == {"patient_age": 6, "patient_lookup": 12}
    options = read_manifest(out)["options"]
    assert options["difficulty"] == {"patient_age": "0.5"} and "--difficulty WEIGHTS" in command(options)
    assert defaults(out)["difficulty"] == {"patient_age": "0.5"} and defaults(None)["difficulty"] == {}
