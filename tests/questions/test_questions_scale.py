"""What can be asked of many patients grows as the patients do, not as their pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fhirtasks.graph.views import views
from fhirtasks.graph.world import World
from fhirtasks.tasks.questions import QUESTIONS

CODES = {"cohort_order_after_diagnosis", "first_result_after_procedure"}
"""These compare each code with each code, of which there are no more with more patients."""


def test_no_question_compares_every_patient_with_every_other(population: World) -> None:
    loops = {one.name for one in QUESTIONS if "BLOCKWISE_NL_JOIN" in steps(population, one.candidates)}
    assert loops == CODES


def test_a_comparison_of_all_pairs_would_be_seen(population: World) -> None:
    pairs = "SELECT a.id FROM condition a JOIN condition b ON a.patient = b.patient OR md5(a.id)[1] = md5(b.code)[1]"
    assert "BLOCKWISE_NL_JOIN" in steps(population, pairs)


def steps(world: World, query: str) -> set[str]:
    """The operators of the query's plan."""
    ((_, plan),) = views(world).execute(f"EXPLAIN (FORMAT json) {query}").fetchall()

    def walk(nodes: list[dict[str, Any]]) -> Iterator[str]:
        for node in nodes:
            yield node["name"].strip()
            yield from walk(node.get("children", []))

    return set(walk(json.loads(plan)))
