"""Right answers and right orders without the reading that they need: each function gives raw texts, or None."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from fhirtasks.fhir.dates import SECOND, instant, render
from fhirtasks.service.service import BASE
from graders.damage import LABS, Played, Raws, date_parameter
from graders.results import Result

PAGE = 20
"""Entries of a page, unless ``_count`` says otherwise."""


def _newest(played: Played) -> Result | None:
    return max(played.results(played.patient_id), key=lambda one: one.time or 0, default=None)


def never_read(played: Played) -> Raws | None:
    return played.reading(())


def read_elsewhere(played: Played) -> Raws | None:
    """The same reads, sent to another server."""
    return played.reading([raw.replace(BASE, "http://ehr.example.org/fhir/") for raw in played.gets])


def read_other_patient(played: Played) -> Raws | None:
    """The record of somebody else, found and read in the same way."""
    other = played.other
    if other is None:
        return None
    reads = [f"GET {BASE}Patient?_id={other.id}"]
    if played.task.family in LABS:
        reads.append(played.results_url(patient=other.id))
    return played.reading(reads)


def read_no_results(played: Played) -> Raws | None:
    """The patient was found, and nothing more."""
    if played.task.family not in LABS:
        return None
    return played.reading([raw for raw in played.gets if f"{BASE}Patient" in raw])


def read_no_patient(played: Played) -> Raws | None:
    """The results were read by a resource id that nothing had shown."""
    if played.task.family not in LABS:
        return None
    return played.reading([raw for raw in played.gets if f"{BASE}Patient" not in raw])


def read_other_code(played: Played) -> Raws | None:
    if played.task.family not in LABS:
        return None
    return played.reading([*_finding(played), played.results_url(code=f"{played.code}9")])


def read_narrow_window(played: Played) -> Raws | None:
    """Only what is newer than the result that decides; for an absence, only the last minute."""
    if played.task.family not in LABS:
        return None
    now, newest = instant(played.task.now), _newest(played)
    since = (
        now - 60 * SECOND if played.answer == [-1] or newest is None or newest.time is None else newest.time + SECOND
    )
    window = date_parameter("ge", render(since, played.task.now))
    return played.reading([*_finding(played), played.results_url(window)])


def read_first_page_only(played: Played) -> Raws | None:
    """One entry of a list that has more."""
    if played.task.family in LABS:
        if len(played.results(played.patient_id)) < 2:
            return None
        return played.reading([*_finding(played), played.results_url("_count=1")])
    ids = played.world.patients
    return played.reading([f"GET {BASE}Patient?_count=1"]) if len(ids) > 1 and ids[0] != played.patient_id else None


def read_only_counts(played: Played) -> Raws | None:
    """The number of matches without the matches; it tells nothing but an absence."""
    if played.answer and played.answer[0] in (-1, "Patient not found"):
        return None
    searches = [raw for raw in played.gets if "_offset=" not in raw]
    if not any("?" in raw for raw in searches):
        return None
    return played.reading([f"{raw}&_summary=count" for raw in searches])


def read_after_writing(played: Played) -> Raws | None:
    """The right order first, then the look at the chart that it should have rested on."""
    if not played.posts:
        return None
    return (*played.post_raws, *played.gets, played.raws[-1])


def value_of_first_page(played: Played) -> Raws | None:
    """The answer that the first page of a search without order gives, where there are more pages."""
    slots = played.task.slots
    if played.task.family not in LABS or played.task.kind != "query" or played.answer in ([], [-1]):
        return None
    now, window = instant(played.task.now), slots.get("window_hours")
    start = None if window is None else now - int(Decimal(window) * 3600) * SECOND
    results = played.results(played.patient_id, *([] if start is None else [start]))
    page = [one for one in results[:PAGE] if one.value is not None]
    if len(results) <= PAGE or not page:
        return None
    if "decimals" in slots:
        mean = sum((Decimal(one.value or 0) for one in page), Decimal(0)) / len(page)
        value = mean.quantize(Decimal(1).scaleb(-int(slots["decimals"])), ROUND_HALF_UP)
    else:
        value = Decimal(max(page, key=lambda one: one.time or 0).value or 0)
    if abs(value - Decimal(str(played.answer[0]))) <= Decimal("0.1"):  # the public grader's tolerance for means
        return None
    dates = [date_parameter("le", played.task.now)]
    if start is not None:
        dates.insert(0, date_parameter("ge", render(start, played.task.now)))
    return (*_finding(played), played.results_url(*dates), *played.finish([value])[-1:])


def _finding(played: Played) -> list[str]:
    """The reads that found the patient."""
    return [raw for raw in played.gets if f"{BASE}Patient" in raw]
