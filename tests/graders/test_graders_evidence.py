"""A right answer must have been read: what entails it and what does not, on a chart made by hand."""

from __future__ import annotations

import pytest
from graders_doubles import get, lab, task
from test_graders_clinical import ADA, adding, failed, judged, results

from fhirtasks.graph.world import World

NEXT = get("Observation?patient=pat-a&code=K&_count=20&_offset=20")
HIDE = tuple(f"Observation/k-{n:02}" for n in range(24))


@pytest.mark.parametrize(
    ("reads", "enough"),
    [
        ((), False),
        ((ADA,), False),
        ((results("K"),), False),
        ((ADA, results("K")), False),
        ((ADA, NEXT), False),
        ((ADA, results("K"), NEXT), True),
        ((ADA, NEXT, results("K")), True),
        ((results("K"), NEXT, ADA), True),
        ((ADA, results("K", "&_count=25")), True),
        ((ADA, results("K", "&_count=24")), False),
        ((ADA, results("K", "&_sort=-date&_count=1")), True),
        ((ADA, results("K", "&_sort=-date")), True),
        ((ADA, results("K", "&_sort=date")), False),
        ((ADA, results("K", "&_sort=-_id&_count=20")), False),
        ((ADA, results("K", "&date=ge2023-11-01")), True),
        ((ADA, results("K", "&date=ge2023-11-12T06:00:00Z&date=le2023-11-13T10:15:00Z")), True),
        ((ADA, results("K", "&date=ge2023-11-12T06:00:00Z&date=lt2023-11-13T10:15:00Z")), False),
        ((ADA, results("K", "&date=le2023-11-12")), False),
        ((ADA, results("K", "&_summary=count")), False),
        ((ADA, get("Observation/k-13-newest")), False),
        ((ADA, results("K", "&category=laboratory&_count=100")), True),
        ((ADA, results("K", "&category=vital-signs&_count=100")), False),
        ((ADA, get("Observation?subject=Patient/pat-a&code=http://loinc.org%7CK&_count=99")), True),
        ((get("Patient/pat-a"), results("K", "&_count=99")), True),
        ((get("Patient?_id=pat-b"), results("K", "&_count=99")), False),
        ((ADA, get("Observation?patient=pat-b&code=K")), False),
        ((ADA, get("Observation?code=K&_count=99")), True),
        ((ADA, get("Observation?patient=pat-a&_count=99")), True),
        ((get("Observation?patient.identifier=M100&code=K&_count=99"),), True),
    ],
)
def test_the_newest_of_twenty_five(chart: World, reads: tuple[str, ...], enough: bool) -> None:
    verdict = judged(chart, task("latest_lab"), *reads, "FINISH([3.1])")
    assert failed(verdict) == ([] if enough else ["evidence"])


@pytest.mark.parametrize(
    ("search", "enough"),
    [
        ("", True),
        ("&_sort=-date&_count=1", True),
        ("&_summary=count", False),
        ("&date=ge2023-11-12T10:15:00Z", True),
        ("&date=gt2023-11-12T10:15:00Z", False),
        ("&date=ge2023-11-12T10:15:01Z", False),
        ("&date=ge2023-11-01", True),
    ],
)
def test_an_absence_needs_the_whole_window(chart: World, search: str, enough: bool) -> None:
    one = task("latest_lab_in_window", scenario=adding(hide=("Observation/m-1",)))
    verdict = judged(chart, one, ADA, results("MG", search), "FINISH([-1])")
    # A count of all magnesium results says nothing of the window; one of the window says it all.
    assert failed(verdict) == ([] if enough else ["evidence"])
    counted = "&date=ge2023-11-12T10:15:00Z&date=le2023-11-13T10:15:00Z&_summary=count"
    assert judged(chart, one, ADA, results("MG", counted), "FINISH([-1])").passed


def test_an_absence_over_all_time_needs_all_time(chart: World) -> None:
    one = task("latest_lab", code="GLU", mrn="M400")
    patient = get("Patient?identifier=M400")
    for search, enough in (
        ("", True),
        ("&date=ge1970-02-28", True),
        ("&date=ge2020-01-01", False),
        ("&date=le2023-01-01", False),
    ):
        read = get(f"Observation?patient=pat-d&code=GLU{search}")
        assert failed(judged(chart, one, patient, read, "FINISH([-1])")) == ([] if enough else ["evidence"])


@pytest.mark.parametrize(
    ("reads", "enough"),
    [
        ((results("GLU"),), True),
        ((results("GLU", "&date=ge2023-11-12T10:15:00Z"),), True),
        ((results("GLU", "&date=ge2023-11-12T12:00:00Z"),), False),
        ((results("GLU", "&date=ge2023-11-12T10:15:00Z&date=le2023-11-13T09:00:00Z"),), False),
        ((results("GLU", "&_sort=-date&_count=3"),), False),
        ((results("GLU", "&_sort=-date&_count=4"),), True),
        (tuple(get(f"Observation/g-{n}") for n in (1, 2, 3)), False),
    ],
)
def test_a_mean_needs_every_result_and_both_ends(chart: World, reads: tuple[str, ...], enough: bool) -> None:
    verdict = judged(chart, task("mean_lab_in_window"), ADA, *reads, "FINISH([101.8])")
    assert failed(verdict) == ([] if enough else ["evidence"])


def test_a_tie_that_is_there_must_be_seen_whole(chart: World) -> None:
    tied = task("latest_lab", scenario=adding(lab("k-00-tie", "3.3", "2023-11-12T06:00:00Z")), tie="highest")
    assert failed(judged(chart, tied, ADA, results("K", "&_sort=-date&_count=1"), "FINISH([3.3])")) == ["evidence"]
    assert judged(chart, tied, ADA, results("K", "&_sort=-date&_count=2"), "FINISH([3.3])").passed


def test_a_future_result_on_top_hides_what_counts(chart: World) -> None:
    future = task("latest_lab", scenario=adding(lab("k-future", "5.5", "2023-11-20T00:00:00Z"), hide=HIDE))
    assert failed(judged(chart, future, ADA, results("K", "&_sort=-date&_count=1"), "FINISH([3.1])")) == ["evidence"]
    assert judged(chart, future, ADA, results("K"), "FINISH([3.1])").passed
    assert failed(judged(chart, future, ADA, results("K"), "FINISH([5.5])")) == ["answer"]


@pytest.mark.parametrize(
    ("read", "enough"),
    [
        ("Patient?name=Ada&birthdate=1970-02-28", True),
        ("Patient?family=Quill&given=Ada&birthdate=1970-02-28", True),
        ("Patient?birthdate=1970-02-28", True),
        ("Patient?birthdate=1970-02-28&_count=1", False),
        ("Patient?family=Quill", True),
        ("Patient?family=Quill&_count=1", False),
        ("Patient?_count=50", True),
        ("Patient/pat-a", False),
        ("Patient?identifier=M100", False),
        ("Patient?name=Ada&birthdate=1970-02-28&_summary=count", False),
    ],
)
def test_a_lookup_needs_everybody_of_that_name(chart: World, read: str, enough: bool) -> None:
    assert failed(judged(chart, task("patient_lookup"), get(read), 'FINISH(["M100"])')) == (
        [] if enough else ["evidence"]
    )


@pytest.mark.parametrize(
    ("read", "enough"),
    [
        ("Patient?name=Ada&birthdate=1970-02-27", True),
        ("Patient?birthdate=1970-02-27", True),
        ("Patient?family=Quill", True),
        ("Patient?family=Quill&_count=1", False),
        ("Patient?family=Quyll&birthdate=1970-02-27", False),
        ("Patient?birthdate=1970-02-28", False),
        ("Patient/nobody", False),
        ("Patient?name=Ada&birthdate=1970-02-27&_summary=count", True),
    ],
)
def test_nobody_needs_a_search_that_would_have_found_them(chart: World, read: str, enough: bool) -> None:
    one = task("patient_lookup", birthdate="1970-02-27")
    assert failed(judged(chart, one, get(read), 'FINISH(["Patient not found"])')) == ([] if enough else ["evidence"])


@pytest.mark.parametrize(
    ("read", "enough"),
    [("Patient?identifier=M100", True), ("Patient/pat-a", True), ("Patient?identifier=M200", False), ("metadata", False),
     ("Patient?identifier=M100&_summary=count", False), ("Observation?patient.identifier=M100", False)],
)  # fmt: skip
def test_an_age_needs_the_birth_date(chart: World, read: str, enough: bool) -> None:
    assert failed(judged(chart, task("patient_age"), get(read), "FINISH([53])")) == ([] if enough else ["evidence"])


def test_evidence_says_what_was_missed(chart: World) -> None:
    verdict = judged(chart, task("latest_lab"), ADA, results("K"), "FINISH([3.1])")
    assert "would look the same if" in verdict.checks[-1].detail
    assert verdict.checks[-1].name == "evidence"


@pytest.mark.parametrize(
    ("search", "enough"),
    [
        ("&_sort=-date&_count=2", True),
        ("&_sort=-date&_offset=1&_count=1", False),
        ("&_sort=date&_offset=2&_count=1", False),
    ],
)
def test_the_newest_that_was_left_out_may_be_newer(chart: World, search: str, enough: bool) -> None:
    """One result is dated after now: who skips the newest cannot know that it is."""
    future = task("latest_lab", code="A1C", scenario=adding(
        lab("b-2", "6.1", "2023-11-13T09:00:00Z", code="A1C"), lab("b-1", "6.2", "2023-11-20T00:00:00Z", code="A1C"),
        lab("b-3", "6.3", "2023-01-20T00:00:00Z", code="A1C")))  # fmt: skip
    assert failed(judged(chart, future, ADA, results("A1C", search), "FINISH([6.1])")) == (
        [] if enough else ["evidence"]
    )
