"""Paired proportions: against the published example, other routes to the same figures, and coverage by enumeration."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from evaluation_doubles import task
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.evaluation.outcomes import Outcome
from fhirtasks.evaluation.paired import Paired, PairedReport
from fhirtasks.tasks.types import Check, Verdict

Z = 1.959963984540054
counts = st.integers(0, 40)
tables = st.builds(Paired, counts, counts, counts, counts)


def test_the_published_example_comes_out() -> None:
    # Complete response before and after consolidation (Cavo 2012) as worked by the authors of Statistical Analysis of Contingency
    # Tables (Fagerland, Lydersen and Laake 2017, chapter 8): first minus second is -0.0621 (-0.1186 to -0.0046).
    found = Paired(both=59, gained=6, lost=16, neither=80)
    assert found.difference == pytest.approx(-0.0621, abs=5e-5)
    assert found.interval() == pytest.approx((-0.1186, -0.0046), abs=5e-5)
    assert found.p() == pytest.approx(
        2 * 110_056 / 2**22
    )  # 22 changed: 1 + 22 + 231 + 1540 + 7315 + 26334 + 74613 ways
    assert found.worse and not Paired(59, 16, 6, 80).worse


@given(tables)
def test_the_interval_is_that_of_another_route(found: Paired) -> None:
    if not found.n:
        assert (found.difference, found.interval(), found.p()) == (None, (-1.0, 1.0), 1.0)
        return
    before = [1] * found.both + [0] * found.gained + [1] * found.lost + [0] * found.neither
    after = [1] * found.both + [1] * found.gained + [0] * found.lost + [0] * found.neither
    phi = 0.0
    if len(set(before)) == len(set(after)) == 2:
        joint = found.n * sum(map(int.__mul__, before, after)) - sum(before) * sum(after)
        kept = max(joint - found.n / 2, 0) / joint if joint > 0 else 1.0
        phi = statistics.correlation(before, after) * kept
    (low_before, high_before), (low_after, high_after) = limits(before), limits(after)
    rate_before, rate_after = statistics.fmean(before), statistics.fmean(after)
    below = apart(rate_after - low_after, high_before - rate_before, phi)
    above = apart(high_after - rate_after, rate_before - low_before, phi)
    expected = (rate_after - rate_before - below, rate_after - rate_before + above)
    assert found.interval() == pytest.approx(expected, abs=1e-6)


def limits(values: list[int]) -> tuple[float, float]:
    """Where a score test at 5 % begins and ceases to reject, by halving."""
    rate, found = statistics.fmean(values), []
    for outer in (0.0, 1.0):
        rejected, kept = outer, rate
        for _ in range(60):
            middle = (rejected + kept) / 2
            if abs(rate - middle) > Z * math.sqrt(middle * (1 - middle) / len(values)):
                rejected = middle
            else:
                kept = middle
        found.append(kept)
    return found[0], found[1]


def apart(one: float, other: float, phi: float) -> float:
    """The third side of a triangle whose two sides enclose an angle of that cosine."""
    return abs(one - other * complex(phi, math.sqrt(max(0.0, 1 - phi * phi))))


@given(tables)
def test_models_swapped_swap_everything(found: Paired) -> None:
    swapped = Paired(found.both, found.lost, found.gained, found.neither)
    low, high = found.interval()
    assert swapped.interval() == pytest.approx((-high, -low), abs=1e-12)
    assert (swapped.base, swapped.trained, swapped.p()) == (found.trained, found.base, found.p())


@given(tables)
def test_the_interval_holds_the_difference_and_ends_at_one(found: Paired) -> None:
    low, high = found.interval()
    assert -1 <= low <= (found.difference or 0) <= high <= 1 and 0 < found.p() <= 1
    assert found.worse == (high < 0) and not (found.worse and found.lost <= found.gained)


@given(counts, counts)
def test_without_a_change_there_is_no_difference(both: int, neither: int) -> None:
    found = Paired(both, 0, 0, neither)
    low, high = found.interval()
    assert found.p() == 1.0 and not found.worse and low < 0 < high
    assert low == pytest.approx(-high, abs=1e-12) and found.difference in (0, None)


@pytest.mark.parametrize("changed", range(11))
def test_the_p_counts_every_way_of_tossing_a_coin(changed: int) -> None:
    tosses = [sum(toss) for toss in itertools.product((0, 1), repeat=changed)]
    for gained in range(changed + 1):
        distance = abs(2 * gained - changed)
        as_far = sum(abs(2 * heads - changed) >= distance for heads in tosses)
        assert Paired(3, gained, changed - gained, 5).p() == pytest.approx(as_far / len(tosses))


def test_the_p_of_many_changes_is_no_overflow() -> None:
    assert Paired(0, 3000, 3000, 0).p() == 1.0 and 0 <= Paired(0, 6000, 10, 0).p() < 1e-300


def test_the_interval_covers_what_is_true() -> None:
    """The chance that the interval holds the true difference, over every table of 20 tasks, at 24 true states."""
    n = 20
    cells = [(a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
    intervals = {cell: Paired(*cell).interval() for cell in cells}
    ways = {cell: math.factorial(n) / math.prod(map(math.factorial, cell)) for cell in cells}
    covered = []
    for both, gained, lost in itertools.product((0.1, 0.3, 0.5), (0.05, 0.15, 0.25, 0.35), (0.02, 0.1)):
        chances = (both, gained, lost, 1 - both - gained - lost)
        truth = gained - lost
        covered.append(
            sum(
                ways[cell] * math.prod(chance**count for chance, count in zip(chances, cell, strict=True))
                for cell, (low, high) in intervals.items()
                if low <= truth <= high
            )
        )
    assert len(covered) == 24 and min(covered) > 0.92 and 0.945 < statistics.fmean(covered) < 0.975


def outcome(id: str, family: str, passed: bool | None) -> Outcome:
    verdict = None if passed is None else Verdict.of([Check("answer", passed)])
    return Outcome(task(id, family), None, verdict, "" if verdict else "down")


def test_who_was_not_asked_is_in_no_rate_and_counted() -> None:
    states = [(True, True), (False, True), (True, False), (False, False), (None, True), (True, None), (None, None)]
    before = [outcome(str(number), "latest_lab", state) for number, (state, _) in enumerate(states)]
    after = [outcome(str(number), "latest_lab", state) for number, (_, state) in enumerate(states)]
    report = PairedReport.of(
        "start", "trained", before, after
    )  # two of four: 0.15 to 0.85, and 0.35 times the root of two
    assert report.total == Paired(1, 1, 1, 1, infrastructure=3) == report.families["latest_lab"]
    assert report.total.as_json() == {
        "n": 4, "base": 0.5, "trained": 0.5, "difference": 0.0, "low": -0.4949,
        "high": 0.4949, "gained": 1, "lost": 1, "p": 1.0, "infrastructure_errors": 3,
    }  # fmt: skip
    assert "not asked of one or both (infrastructure): 3" in report.as_text()


def test_families_that_became_worse_are_named_in_a_sentence() -> None:
    worse = [("latest_lab", True, False)] * 9
    better = [("mean_lab", False, True)] * 9
    unsure = [("patient_age", True, False), ("patient_age", True, True)]
    unasked = [("referral", None, True)]
    rows = [*worse, *better, *unsure, *unasked]
    before = [outcome(str(number), family, state) for number, (family, state, _) in enumerate(rows)]
    after = [outcome(str(number), family, state) for number, (family, _, state) in enumerate(rows)]
    report = PairedReport.of("[start]", "trained", before, after)
    assert report.as_json()["worse"] == ["latest_lab"]
    lines = report.as_text().splitlines()
    assert lines[0] == "[start] → trained, the same tasks"
    assert lines[-1] == "Worse after training, the whole interval below 0: latest_lab."
    row = next(line for line in lines if "mean_lab" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "mean_lab", "9", "0.0%", "100.0%", "+100.0", "+57.7 to +100.0", "9", "0", "0.004",
    ]  # fmt: skip
    assert next(line for line in lines if "referral" in line).count(" - ") == 7
