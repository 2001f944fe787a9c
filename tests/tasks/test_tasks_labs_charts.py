"""What a chart shows at a time does not depend on how it is found."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.tasks.labs_charts import Chart, Result, Timeline

TIMELINE = Timeline((0,), ("Z",), 0, (None,) * 53)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=8), st.integers(-1, 13))
def test_a_chart_shows_what_is_available_in_its_order(times: list[tuple[int, int]], now: int) -> None:
    results = tuple(
        Result(time, str(place), time + 1, "", Decimal(1), time + delay, True)
        for place, (time, delay) in enumerate(sorted(times))
    )
    seen = Chart("p", TIMELINE, results).seen(now)
    assert list(seen) == [one for one in results if one.available <= now]
