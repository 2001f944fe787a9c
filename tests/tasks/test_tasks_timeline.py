"""``now`` lies on the patient's own timeline and is written as its records are."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from fhirtasks.graph.world import World
from fhirtasks.tasks import timeline
from fhirtasks.tasks.identity import patient_rows


@pytest.mark.parametrize("offset", ["Z", "+00:00", "-05:00", "+05:45", "+14:00"])
def test_a_moment_reads_back_as_written(offset: str) -> None:
    local = datetime(2180, 12, 31, 23, 59, 7)  # noqa: DTZ001
    moment = timeline.at(local, offset)
    assert moment.text == f"2180-12-31T23:59:07{offset}"
    assert moment.local.replace(tzinfo=None) == local
    parsed = datetime.fromisoformat(moment.text)
    assert (parsed - timeline.EPOCH) // timedelta(microseconds=1) == moment.instant


def test_now_follows_a_record_of_the_patient(world: World) -> None:
    draw = random.Random(4)
    for row in patient_rows(world)[:20]:
        times = world.db.execute("select date_lo, effective from resource where patient = $1 and date_lo > 0", [row.id])
        known = {instant: effective[-6:] for instant, effective in times.fetchall() if len(effective) > 10}
        assert {moment.instant for moment in timeline.moments(world, row.id)} == set(known)
        for _ in range(10):
            now = timeline.draw(world, row.id, draw)
            assert now is not None
            before = [time for time in known if 0 < now.instant - time <= 72 * 3_600_000_000]
            assert before
            assert now.offset in {known[time] for time in before}


def test_since(world: World) -> None:
    row = patient_rows(world)[0]
    known = timeline.moments(world, row.id)
    draw = random.Random(4)
    for _ in range(20):
        now = timeline.draw(world, row.id, draw, known[-1].instant)
        assert now is not None
        assert now.instant > known[-1].instant
    assert timeline.draw(world, row.id, draw, known[-1].instant + 1) is None


def test_patients_without_records_borrow_the_worlds_time(make_world: Any) -> None:
    shell = {"resourceType": "Patient", "id": "shell", "birthDate": "1980-01-01"}
    assert timeline.moments(make_world([shell]), "shell")[0].text == "2024-03-04T09:30:00+00:00"
    seen = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/other"},
        "effectiveDateTime": "2150-01-01T10:00:00-05:00",
    }
    other = shell | {"id": "other"}
    assert [one.text for one in timeline.moments(make_world([shell, other, seen]), "shell")] == [
        "2150-01-01T10:00:00-05:00"
    ]
