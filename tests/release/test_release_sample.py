"""A sample whose rows are not measured is the one that would be taken if all of them fitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirtasks.release.sample import sample


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 20, 10_000])
def test_what_is_not_measured_is_what_fits(release: Path, limit: int, even: bool) -> None:
    def taken(budget: int | None, columns: tuple[str, ...] | None = None) -> list[dict[str, object]]:
        return sample(
            release, "rl", ["train"], by=("branch",), limit=limit, budget=budget, depth=12, even=even, columns=columns
        )

    rows = taken(None)
    assert rows == taken(10**12) and 0 < len(rows) <= limit
    named = ("family", "branch", "task", "row")
    assert taken(None, ("task",)) == [{name: row[name] for name in named} for row in rows]
