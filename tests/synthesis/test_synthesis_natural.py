"""What a model did wrong is rejected in favour of what it did right in the same task, and stays so in later releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthesis_support import BASE, rows, told, write_lines

from fhirtasks.release.preference import MODEL, has_pair
from fhirtasks.release.verify import verify
from fhirtasks.synthesis.build import BuildConfig, build

LOOK = "GET http://localhost:8080/fhir/Patient?_count=1"


def right(row: dict[str, Any], text: str = LOOK) -> dict[str, Any]:
    """The transcript of an expert's row that looks at something else first."""
    look = [{"role": "assistant", "content": text}, {"role": "user", "content": "x"}]
    return {"id": row["id"], "messages": [row["messages"][0], *look, *row["messages"][1:]]}


@pytest.fixture(scope="module")
def release(base: Path, graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    one, other, third = rows(base)[:3]
    said = [
        right(one),
        told(one, lambda text: f"Well:\n{text}"),
        {"id": one["id"], "messages": one["messages"][:2]},  # cut off: no mistake
        told(other, lambda text: "FINISH([-77])" if text.startswith("FINISH") else text),
        right(other),
        right(other, f"{LOOK}0"),
        told(third, lambda text: f"Well:\n{text}"),  # nobody did it right but the expert
    ]
    folder = tmp_path_factory.mktemp("natural")
    file = write_lines(folder / "said.jsonl", said)
    assert build(BuildConfig(folder / "ds", graph, **BASE, rollouts=(file,))).complete
    return folder / "ds"


def natural(release: Path) -> list[dict[str, Any]]:
    return [row for row in rows(release, "preference") if row["mutant"] == MODEL]


def test_a_model_that_was_right_and_wrong_makes_a_pair(release: Path, base: Path) -> None:
    one, other = rows(base)[:2]
    found = {row["id"].partition("-")[0]: row for row in natural(release)}
    assert set(found) == {one["id"], other["id"]} and len(natural(release)) == 2
    assert found[one["id"]]["rejected"][0]["content"].startswith("Well:\nGET")
    assert found[other["id"]]["rejected"][-1]["content"] == "FINISH([-77])"
    for row in found.values():
        assert row["chosen"][0]["content"].startswith(LOOK) and len(row["prompt"]) == 1
    others = [row["content_hash"] for row in rows(release, "preference") if row["mutant"] != MODEL]
    assert all(has_pair(content) for content in others)
    assert verify(release).failures == []


def test_a_release_that_goes_on_keeps_it(release: Path, graph: Path, tmp_path: Path) -> None:
    out = tmp_path / "next"
    assert build(BuildConfig(out, graph, **BASE, extend=release)).complete
    assert natural(out) == natural(release)
    assert verify(out).failures == []
