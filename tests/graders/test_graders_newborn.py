"""On the day of birth nothing is supposed to have been measured after now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fhirtasks.fhir.dates import instant
from graders.labs import _deciding_times


@pytest.mark.parametrize("birthdate", ["2020-10-20", "1980-01-02", None])
def test_no_result_is_supposed_after_now(birthdate: str | None) -> None:
    now = instant("2020-10-20T23:50:03+00:00")
    chart: Any = SimpleNamespace(
        now=now,
        low=None,
        latest=lambda: None,
        person=SimpleNamespace(birthdate=birthdate),
        task=SimpleNamespace(family="potassium_replacement"),
    )
    times = _deciding_times(chart)
    assert now in times and max(times) == now
