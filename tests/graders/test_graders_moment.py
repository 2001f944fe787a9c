"""A result of the very moment of ``now`` decides, and nothing later can: no counterfactual time is left to try."""

from __future__ import annotations

import pytest
from graders_doubles import NOW, lab, task
from test_graders_clinical import ADA, adding, failed, judged, results

from fhirtasks.graph.world import World


@pytest.mark.parametrize(
    "search", ["", "&date=ge2023-11-12T10:15:00Z&date=le2023-11-13T10:15:00Z", "&date=ge2023-11-13"]
)
def test_the_newest_result_may_be_of_now(chart: World, search: str) -> None:
    one = task("latest_lab_in_window", scenario=adding(lab("m-now", "2.3", NOW, code="MG", unit="mg/dL")))
    assert failed(judged(chart, one, ADA, results("MG", search), "FINISH([2.3])")) == []
