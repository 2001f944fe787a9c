"""Experts for first days in windows, past and to come, and for the latest day of a type."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

_DAY = f"""{EFFECTIVE}, "performedDateTime", "performedPeriod.start", "occurrenceDateTime", "onsetDateTime",
        "onsetPeriod.start", "recordedDate\""""

_FIRST = f"""
name = "vaccineCode" if q["type"] == "Immunization" else "code"
rows = []
for r in resources.get(q["type"], []):
    t = when(r, {_DAY})
    if has_code(r, q["code"], name) and len(t) >= 10 and q["t_from"] <= t < q["t_to"]:
        rows.append((t[:10], r))
rows.sort(key=lambda row: row[0])
for day, r in rows[:8]:
    print(day, codings(r, name)[0].get("display"))
print(len(rows), "in the window, now is", now)
if rows:
    answer("date", rows[0][0], [r for day, r in rows if day == rows[0][0]])
else:
    answer("none", "future" if q["t_from"] > now[:19] else "no_matching_record", [])
"""

_LATEST = """
times = ["effectiveDateTime", "effectiveInstant", "effectivePeriod.start", "performedDateTime", "performedPeriod.start",
         "occurrenceDateTime", "onsetDateTime", "onsetPeriod.start", "whenHandedOver", "whenPrepared", "authoredOn", "started",
         "collection.collectedDateTime", "collection.collectedPeriod.start", "receivedTime", "period.start", "recordedDate",
         "dateAsserted"]
days = {}
for r in resources[q["type"]]:
    t = when(r, *times)
    if len(t) >= 10:
        days.setdefault(t[:10], []).append(r)
last = max(days)
print(len(days), "days, the last", last, "with", len(days[last]))
answer("date", last, days[last])
"""

_WINDOW = Expert(types=("{type}",), code=(_FIRST,))

EXPERTS = {
    "first_day_in_window": _WINDOW,
    "first_day_past_or_future": _WINDOW,
    "latest_day_of_type": Expert(types=("{type}",), code=(_LATEST,), may_lack=True),
}
