"""Right answers and right orders without the reading that they need: each function gives raw texts, or None."""

from __future__ import annotations

from fhirtasks.fhir.dates import SECOND, instant, render
from fhirtasks.service.service import BASE
from graders.damage import LABS, Played, Raws, date_parameter
from graders.results import Result


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


def _finding(played: Played) -> list[str]:
    """The reads that found the patient."""
    return [raw for raw in played.gets if f"{BASE}Patient" in raw]
