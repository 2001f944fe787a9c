"""Experts for the filtering questions."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

EXPERTS = {
    "value_ever_beyond": Expert(
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
    print(t, value, r["id"])
limit = float(q["threshold"])
beyond = [r for t, value, r in rows if (value > limit if q["side"] == "above" else value < limit)]
print(len(rows), "results,", len(beyond), q["side"], limit)
answer("boolean", len(beyond) > 0, beyond)
""",
        ),
    ),
}
