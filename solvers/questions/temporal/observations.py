"""Experts for the temporal questions."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

EXPERTS = {
    "nth_value": Expert(
        types=("Observation",),
        code=(
            f"""
rows = []
for r in resources["Observation"]:
    v = r.get("valueQuantity") or {{}}
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "comparator" not in v and "value" in v:
        if q["t_from"] <= t < q["t_to"]:
            rows.append((t, v["value"], r))
rows.sort(key=lambda row: row[0])
for t, value, r in rows[:12]:
    print(t, value, q["unit"], r["id"])
place = {{"first": 0, "second": 1, "third": 2, "last": len(rows) - 1}}[q["place"]]
if 0 <= place < len(rows):
    answer("quantity", rows[place][1], [rows[place][2]], q["unit"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
}
