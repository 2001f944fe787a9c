"""Experts for least, greatest, mean and total."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

_ROWS = f"""
rows = []
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "comparator" not in v and "value" in v:
        if q["t_from"] <= t < q["t_to"]:
            rows.append((t, v["value"], r))
rows.sort(key=lambda row: row[0])
for t, value, r in rows[:10]:
    print(t, value)
print(len(rows), "results")
"""

EXPERTS = {
    "aggregate_of_values": Expert(
        types=("Observation",),
        code=(
            _ROWS
            + """
values = [row[1] for row in rows]
if not values:
    answer("none", "no_matching_record", [])
else:
    found = {"maximum": max(values), "minimum": min(values), "mean": sum(values) / len(values)}[q["how"]]
    used = [row[2] for row in rows if q["how"] == "mean" or row[1] == found]
    answer("quantity", round(found, 3), used, q["unit"])
""",
        ),
    ),
    "monthly_means": Expert(
        types=("Observation",),
        code=(
            _ROWS
            + """
months = {}
for t, value, r in rows:
    months.setdefault(t[:7], []).append(value)
answer("map", {m: round(sum(months[m]) / len(months[m]), 3) for m in sorted(months)}, [row[2] for row in rows])
""",
        ),
    ),
    "share_abnormal": Expert(
        types=("Observation",),
        code=(
            """
rows = []
for r in resources["Observation"]:
    v = r.get("valueQuantity") or {}
    limits = (r.get("referenceRange") or [{}])[0]
    if has_code(r, q["code"]) and "value" in v and "comparator" not in v and "low" in limits and "high" in limits:
        rows.append((limits["low"]["value"] <= v["value"] <= limits["high"]["value"], r))
outside = len([row for row in rows if not row[0]])
print(outside, "of", len(rows), "outside")
answer("number", round(outside / len(rows), 4), [row[1] for row in rows])
""",
        ),
    ),
    "total_hours_in_class": Expert(
        types=("Encounter",),
        code=(
            """
from datetime import datetime

rows, seconds = [], 0
for e in resources["Encounter"]:
    start, end = when(e, "period.start"), when(e, "period.end")
    if (e.get("class") or {}).get("code") == q["class"] and len(start) == 19 and len(end) == 19:
        rows.append(e)
        seconds += (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
print(len(rows), "encounters", seconds, "seconds")
answer("duration", round(seconds / 3600, 2), rows, "hours")
""",
        ),
    ),
}
