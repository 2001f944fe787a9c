"""The matchers measured from outside: leaks that a room which knows nothing of them planted, and clean texts likewise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.benchmarks.holdouts import read_heldout
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Match, Matcher
from fhirtasks.leakage.selftest import measure
from tests.benchmarks.bench_leakage import case, write_benchmarks

BUNDLE = (
    '{"resourceType":"Bundle","type":"searchset","total":1,"entry":[{"fullUrl":"http://localhost:8080/fhir/Observation/8f1d",'
    '"resource":{"resourceType":"Observation","id":"8f1d","status":"final","code":{"coding":[{"system":"http://loinc.org",'
    '"code":"19123-9"}]},"subject":{"reference":"Patient/77aa"},"effectiveDateTime":"2017-11-19T06:06:00-05:00",'
    '"valueQuantity":{"value":1.8,"unit":"mg/dL"}}}]}'
)


def rows(number: int) -> list[list[tuple[str, str]]]:
    """Rows as a release has them, none of which says anything of the items."""
    rng = Random(3)
    return [
        [
            ("id", f"{rng.getrandbits(40):x}"),
            (
                "messages[0].content",
                f"Context: it is 2017-11-19T13:35:00-05:00. {case(rng)}\nQuestion: what is to be done?",
            ),
            (
                "messages[1].content",
                f"GET http://localhost:8080/fhir/Observation?patient={rng.getrandbits(64):x}&_count=20",
            ),
            ("messages[2].content", f"Here is the response: {BUNDLE}"),
            ("messages[3].content", f"FINISH([{rng.randint(1, 90)}])"),
            ("task", '{"slots":{"mrn":"D0344729","window_hours":"24"},"seed":"00ff"}'),
        ]
        for _ in range(number)
    ]


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[HeldOut]:
    folder = tmp_path_factory.mktemp("held")
    return [item for path in write_benchmarks(folder / "made") for item in read_heldout(path)]


def test_every_planted_leak_is_found_and_nothing_clean(items: list[HeldOut]) -> None:
    test = measure(Matcher(Holdouts.of(items)), items, rows(12), each=12, clean=2_000)
    assert test.total.planted >= 1_000 and len(test.disguises) >= 20 and len(test.positions) == 6
    assert test.missed == [], f"{test.total.planted - test.total.found} of {test.total.planted}"
    assert test.alarms <= test.clean / 1_000, test.alarmed


def test_a_matcher_that_finds_nothing_measures_nothing(items: list[HeldOut]) -> None:
    test = measure(Matcher(Holdouts()), items, rows(3), each=1, clean=20)
    assert test.total.found == 0 and test.total.recall == 0 and not test.good and len(test.missed) == 20
    assert all(tally.found == 0 < tally.planted for tally in test.disguises.values())


def test_a_matcher_that_finds_everything_is_no_good_either(items: list[HeldOut]) -> None:
    class Credulous:
        def find(self, texts: Sequence[str]) -> list[Match]:
            return [Match("identifier", "x", 0, 0, 1, "", True)]

    test = measure(Credulous(), items, rows(3), each=1, clean=30)
    assert test.total.recall == 1 and test.alarms == test.clean == 30 and not test.good and len(test.alarmed) == 20


def test_the_same_rows_and_items_give_the_same_figures(items: list[HeldOut]) -> None:
    matcher = Matcher(Holdouts.of(items))
    once, again = (measure(matcher, items, rows(4), each=1, clean=30).as_json() for _ in range(2))
    assert once == again


@pytest.mark.shared
def test_the_public_benchmark_planted(shared: Path) -> None:
    items = list(read_heldout(shared / "medagentbench" / "test_data_v2.json"))
    test = measure(Matcher(Holdouts.of(items)), items, rows(12), each=10, clean=1_000)
    assert test.missed == [], f"{test.total.planted - test.total.found} of {test.total.planted}"
    assert test.alarms <= test.clean / 1_000, test.alarmed
