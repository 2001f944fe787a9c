"""Experts for two drugs that were ordered, or in force, together."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, Expert

EXPERTS = {
    "ordered_together": Expert(
        types=("MedicationRequest",),
        follow=DRUGS,
        code=(
            """
one, two = q["drug_one"].lower(), q["drug_two"].lower()
groups = {}
for r in resources["MedicationRequest"]:
    t, drug = when(r, "authoredOn"), drug_of(r).lower()
    group = t[:10] if q["scope"] == "day" else ref_id(r, "encounter")
    if drug in (one, two) and len(t) == 19 and group:
        groups.setdefault(group, []).append((t, drug, r))
found = []
for group in groups:
    first = [min([t for t, drug, r in groups[group] if drug == name] or [""]) for name in (one, two)]
    if all(first):
        found.append((max(first), [r for t, drug, r in groups[group]]))
found.sort(key=lambda row: row[0])
print(len(groups), "with either,", len(found), "with both:", [t for t, rows in found[:6]])
place = {"first": 0, "second": 1, "last": len(found) - 1}[q["place"]]
if 0 <= place < len(found):
    answer("datetime", found[place][0], found[place][1])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "days_both_in_force": Expert(
        types=("MedicationRequest",),
        follow=DRUGS,
        code=(
            """
from datetime import date, timedelta

def days_of(name):
    days, rows = set(), []
    for r in resources["MedicationRequest"]:
        start = when(r, "dispenseRequest.validityPeriod.start")
        end = when(r, "dispenseRequest.validityPeriod.end")
        if drug_of(r).lower() != name.lower() or len(start) < 10 or len(end) < 10:
            continue
        rows.append(r)
        day, last = date.fromisoformat(start[:10]), date.fromisoformat(end[:10])
        while day <= last:
            days.add(day.isoformat())
            day = day + timedelta(days=1)
    return days, rows

one, rows_one = days_of(q["drug_one"])
two, rows_two = days_of(q["drug_two"])
both = sorted(one & two)
print(len(rows_one), "and", len(rows_two), "orders;", len(one), "and", len(two), "days; both:", both[:5])
answer("duration", len(both), rows_one + rows_two, "days")
""",
        ),
    ),
}
