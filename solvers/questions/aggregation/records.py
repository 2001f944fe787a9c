"""Experts for how many and how much."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

EXPERTS = {
    "count_distinct_drugs": Expert(
        types=("MedicationRequest",),
        follow=DRUGS,
        code=(
            """
rows = []
for r in resources.get("MedicationRequest", []):
    if q["t_from"] <= when(r, "authoredOn") < q["t_to"] and drug_of(r):
        rows.append(r)
names = sorted({drug_of(r).lower() for r in rows})
print(len(rows), "orders")
for name in names[:20]:
    print(name)
answer("integer", len(names), rows)
""",
        ),
    ),
    "count_results": Expert(
        types=("Observation",),
        code=(
            f"""
rows = []
for r in resources.get("Observation", []):
    if has_code(r, q["code"]) and q["t_from"] <= when(r, {EFFECTIVE}) < q["t_to"]:
        rows.append(r)
for r in rows[:8]:
    print(when(r, {EFFECTIVE}), r["id"])
answer("integer", len(rows), rows)
""",
        ),
    ),
    "total_output": Expert(
        types=("Observation",),
        code=(
            f"""
rows = []
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "comparator" not in v and "value" in v:
        if q["t_from"] <= t < q["t_to"]:
            rows.append((t, v["value"], r))
for t, value, r in rows[:12]:
    print(t, value)
if rows:
    answer("quantity", round(sum([row[1] for row in rows]), 2), [row[2] for row in rows], q["unit"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "most_frequent_diagnosis": Expert(
        types=("Condition",),
        code=(
            """
from collections import Counter

rows = [r for r in resources["Condition"] if codings(r)]
counts = Counter([codings(r)[0]["code"] for r in rows])
print(counts.most_common(5))
most = max(counts.values())
top = sorted([code for code in counts if counts[code] == most])
answer("set", top, [r for r in rows if codings(r)[0]["code"] in top])
""",
        ),
    ),
    "procedures_at_least": Expert(
        types=("Procedure",),
        code=(
            """
from collections import Counter

rows = [r for r in resources.get("Procedure", []) if codings(r)]
counts = Counter([codings(r)[0]["code"] for r in rows])
print(counts.most_common(8))
kept = sorted([code for code in counts if counts[code] >= int(q["times"])])
answer("set", kept, [r for r in rows if codings(r)[0]["code"] in kept])
""",
        ),
    ),
}
