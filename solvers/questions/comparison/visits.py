"""Experts for two visits set side by side, and for the visit with most of something."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

# ``held``: encounter id -> (item, resource); to be followed by what the two visits are compared in.
_TWO_VISITS = """
visits = []
for e in resources["Encounter"]:
    start = when(e, "period.start")
    if e["id"] in held and len(start) == 19:
        visits.append((start, e["id"]))
visits.sort()
for start, id in visits[:8]:
    print(start, len(held[id]), id)
at = {"first": 0, "second": 1, "last": len(visits) - 1, "second to last": len(visits) - 2}
one, other = held[visits[at[q["one"]]][1]], held[visits[at[q["other"]]][1]]
before, after = {item for item, r in one}, {item for item, r in other}
"""

EXPERTS = {
    "new_or_dropped_drugs": Expert(
        types=("Encounter", "MedicationRequest"),
        follow=DRUGS,
        code=(
            """
held = {}
for r in resources["MedicationRequest"]:
    if ref_id(r, "encounter") and drug_of(r):
        held.setdefault(ref_id(r, "encounter"), []).append((drug_of(r).lower(), r))
"""
            + _TWO_VISITS
            + """
found = sorted(after - before if q["kind"] == "new" else before - after)
print(len(before), "before,", len(after), "after,", len(found), q["kind"])
answer("set", found, [r for item, r in one + other if item in found])
""",
        ),
    ),
    "shared_diagnoses": Expert(
        types=("Encounter", "Condition"),
        code=(
            """
held = {}
for r in resources["Condition"]:
    if ref_id(r, "encounter") and codings(r) and codings(r)[0].get("code"):
        held.setdefault(ref_id(r, "encounter"), []).append((codings(r)[0]["code"], r))
"""
            + _TWO_VISITS
            + """
found = sorted(before & after)
print(len(before), "before,", len(after), "after,", len(found), "in both")
answer("set", found, [r for item, r in one + other if item in found])
""",
        ),
    ),
    "mean_last_against_first": Expert(
        types=("Encounter", "Observation"),
        code=(
            f"""
visits = []
for e in resources["Encounter"]:
    start, end = when(e, "period.start"), when(e, "period.end")
    if (e.get("class") or {{}}).get("code") == q["class"] and len(start) == 19 and len(end) == 19:
        visits.append((start, end))
visits.sort()

def within(start, end):
    found = []
    for r in resources.get("Observation", []):
        v = r.get("valueQuantity") or {{}}
        if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "comparator" not in v and "value" in v:
            t = when(r, {EFFECTIVE})
            if len(t) == 19 and start <= t < end:
                found.append((v["value"], r))
    return found

first, last = within(visits[0][0], visits[0][1]), within(visits[-1][0], visits[-1][1])
print(visits[0], [value for value, r in first][:10])
print(visits[-1], [value for value, r in last][:10])
if first and last:
    means = [sum([value for value, r in rows]) / len(rows) for rows in (first, last)]
    answer("quantity", round(means[1] - means[0], 2), [r for value, r in first + last], q["unit"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "visit_with_most": Expert(
        types=("Encounter", "MedicationRequest", "Procedure", "Condition"),
        code=(
            """
from datetime import datetime

rows = []
for e in resources["Encounter"]:
    start, end = when(e, "period.start"), when(e, "period.end")
    if (e.get("class") or {}).get("code") != q["class"] or len(start) != 19 or len(end) != 19:
        continue
    if q["most"] == "time from start to end":
        held = []
        number = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    else:
        held = [r for r in resources.get(q["most"][:-1], []) if ref_id(r, "encounter") == e["id"]]
        number = len(held)
    rows.append((number, start, e, held))
rows.sort(key=lambda row: -row[0])
for number, start, e, held in rows[:6]:
    print(number, start, e["id"])
answer("datetime", rows[0][1], [rows[0][2]] + rows[0][3])
""",
        ),
    ),
}
