"""The experts of the labs domain: they search by code and time, follow further pages, and order by the prompt."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import quote

from fhirtasks.episodes.types import Answer, Get, Observation, Post, PublicTask, Solver
from fhirtasks.fhir.dates import BEGINNING, instant, parse_range
from fhirtasks.fhir.jsontext import Json
from solvers.finding import bundle, find_patient, literal, next_link, resources, search_url

Result = dict[str, Json]
Steps = Generator[Get | Post, Observation, Answer]


def latest(task: PublicTask) -> Steps:
    """``[value]`` of the newest result in the window (without one: ever), ``[-1]`` if there is none."""
    patient = yield from find_patient(task)
    result = None if patient is None else (yield from _newest(task, patient))
    return [_value(result)]


def mean(task: PublicTask) -> Steps:
    """``[mean]`` of every result in the window, rounded half up, ``[-1]`` if there is none."""
    patient = yield from find_patient(task)
    values: list[Decimal] = []
    url = None if patient is None else _url(task, patient)
    while url:
        page = bundle((yield Get(url)))
        values += [Decimal(_value(result)) for result in resources(page, "Observation")]
        url = next_link(page)
    if not values:
        return [-1]
    return [_rounded(sum(values, Decimal(0)) / len(values), int(task.slots["decimals"]))]


def magnesium(task: PublicTask) -> Steps:
    """The newest magnesium in the window; if low, one infusion by severity."""
    slots = task.slots
    patient = yield from find_patient(task)
    result = None if patient is None else (yield from _newest(task, patient))
    if patient is None or result is None:
        return [-1]
    value = Decimal(_value(result))
    if value <= Decimal(slots["low_at_or_below"]):
        below = [tier for tier in ("severe", "moderate") if value < Decimal(slots[f"{tier}_below"])]
        tier = below[0] if below else "mild"
        dose = _quantity(slots[f"{tier}_dose"], slots["dose_unit"])
        hours = _quantity(slots[f"{tier}_hours"], "h")
        rate = (
            {"rateQuantity": hours}
            if task.mode == "compat"
            else {"rateRatio": {"numerator": dose, "denominator": hours}}
        )
        yield _medication(task, patient, {"doseQuantity": dose, **rate})
    return [_value(result)]


def potassium(task: PublicTask) -> Steps:
    """The newest potassium; if low, oral replacement in proportion, then the repeat level."""
    slots = task.slots
    patient = yield from find_patient(task)
    result = None if patient is None else (yield from _newest(task, patient))
    if patient is None or result is None:
        return [-1]
    missing = Decimal(slots["threshold"]) - Decimal(_value(result))
    if missing > 0:
        dose = _rounded(missing / Decimal(slots["step"]) * Decimal(slots["step_dose"]), 1)
        yield _medication(task, patient, {"doseQuantity": _quantity(str(dose), slots["dose_unit"])})
        yield _service(task, patient, {"occurrenceDateTime": slots["recheck_time"]})
    return [_value(result)]


def a1c(task: PublicTask) -> Steps:
    """``[value, time]`` of the newest A1C; a new one is ordered if it is too old (or absent, if the prompt says so)."""
    patient = yield from find_patient(task)
    if patient is None:
        return [-1]
    result = yield from _newest(task, patient)
    if result is None:
        due = task.slots["when_absent"] == "order the test"
    else:
        due = _time(result) < instant(task.slots["stale_before"])
    if due:
        yield _service(task, patient, {})
    return [-1] if result is None else [_value(result), _written(result)]


def _url(task: PublicTask, patient: str) -> str:
    """Results of the code, newest first: from the window's start (if there is one) to now; compat knows no end."""
    url = search_url(task, "Observation", {"patient": patient, "code": literal(task.slots["code"])})
    if "window_hours" in task.slots:
        start = datetime.fromisoformat(task.now) - timedelta(hours=int(task.slots["window_hours"]))
        url += f"&date=ge{quote(start.isoformat(), safe='')}"
    if task.mode == "clinical":
        url += f"&date=le{quote(task.now, safe='')}"
    return f"{url}&_sort=-date"


def _newest(task: PublicTask, patient: str) -> Generator[Get, Observation, Result | None]:
    """The result to report. Newest first, so reading stops at the first older one, on whatever page that is."""
    url: str | None = _url(task, patient)
    newest: list[Result] = []
    while url:
        page = bundle((yield Get(url)))
        for result in resources(page, "Observation"):
            if newest and _time(result) < _time(newest[0]):
                return _chosen(task, newest)
            newest.append(result)
        url = next_link(page)
    return _chosen(task, newest) if newest else None


def _chosen(task: PublicTask, newest: list[Result]) -> Result:
    if task.slots["tie"] == "first":
        return newest[0]
    pick = max if task.slots["tie"] == "highest" else min
    return pick(newest, key=lambda result: Decimal(_value(result)))


def _written(result: Result) -> str:
    """The time as the chart writes it; of a period its start."""
    period = result.get("effectivePeriod", {})
    return str(result.get("effectiveDateTime") or result.get("effectiveInstant") or period.get("start", ""))


def _time(result: Result) -> int:
    """The time in µs; of a date its first moment. What has none is older than everything."""
    span = parse_range(_written(result))
    return BEGINNING if span is None else span[0]


def _value(result: Result | None) -> Json:
    """The number as the chart writes it, -1 for no result."""
    return -1 if result is None else result["valueQuantity"]["value"]


def _rounded(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def _quantity(value: str, unit: str) -> Json:
    number = Decimal(value)
    return {"value": int(number) if number == number.to_integral_value() else number, "unit": unit}


def _medication(task: PublicTask, patient: str, dose: Json) -> Post:
    slots = task.slots
    coding = {"system": slots["medication_system"], "code": slots["medication_code"]}
    route = slots["route"] if task.mode == "compat" else {"text": slots["route"]}
    return Post(
        f"{task.base}MedicationRequest",
        {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"coding": [coding]},
            "subject": {"reference": f"Patient/{patient}"},
            "authoredOn": task.now,
            "dosageInstruction": [{"route": route, "doseAndRate": [dose]}],
        },
    )


def _service(task: PublicTask, patient: str, more: dict[str, Json]) -> Post:
    urgent = {"priority": "stat"} if task.mode == "compat" else {}
    coding = {"system": task.slots["order_system"], "code": task.slots["order_code"]}
    return Post(
        f"{task.base}ServiceRequest",
        {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            **urgent,
            "code": {"coding": [coding]},
            "subject": {"reference": f"Patient/{patient}"},
            **more,
            "authoredOn": task.now,
        },
    )


SOLVERS: dict[str, Solver] = {
    "latest_lab_in_window": latest,
    "mean_lab_in_window": mean,
    "latest_lab": latest,
    "magnesium_replacement": magnesium,
    "potassium_replacement": potassium,
    "a1c_reorder": a1c,
}
