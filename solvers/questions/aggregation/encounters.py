"""Experts for the aggregation questions."""

from __future__ import annotations

from solvers.questions.analyst import Expert

EXPERTS = {
    "count_encounters": Expert(
        types=("Encounter",),
        code=(
            """
rows = []
for r in resources.get("Encounter", []):
    t = when(r, "period.start")
    if (r.get("class") or {}).get("code") == q["class"] and q["t_from"] <= t < q["t_to"]:
        rows.append((t, r))
rows.sort(key=lambda row: row[0])
for t, r in rows[:12]:
    print(t, r["id"])
answer("integer", len(rows), [r for t, r in rows])
""",
        ),
    ),
}
