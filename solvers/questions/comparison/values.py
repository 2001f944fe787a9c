"""Experts for two values of one measurement."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

_PAIR = f"""
rows = []
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "comparator" not in v and "value" in v:
        if q["t_from"] <= t < q["t_to"]:
            rows.append((t, v["value"], r))
rows.sort(key=lambda row: row[0])
for t, value, r in rows[:10]:
    print(t, value, r["id"])
at = {{"first": 0, "second": 1, "third": 2, "last": len(rows) - 1}}
one, other = at[q["one"]], at[q["other"]]
both = 0 <= one < other < len(rows)
"""

EXPERTS = {
    "signed_change": Expert(
        types=("Observation",),
        code=(
            _PAIR
            + """
if both:
    answer("quantity", round(rows[other][1] - rows[one][1], 4), [rows[one][2], rows[other][2]], q["unit"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "is_greater": Expert(
        types=("Observation",),
        code=(
            _PAIR
            + """
answer("boolean", rows[other][1] > rows[one][1], [rows[one][2], rows[other][2]])
""",
        ),
    ),
    "direction": Expert(
        types=("Observation",),
        code=(
            _PAIR
            + """
a, b = rows[one][1], rows[other][1]
print(a, "->", b)
way = "unchanged" if abs(b - a) <= 0.05 * abs(a) else "rose" if b > a else "fell"
answer("choice", way, [rows[one][2], rows[other][2]])
""",
        ),
    ),
    "same_specimen_ratio": Expert(
        types=("Observation",),
        code=(
            f"""
def results(code):
    found = []
    for r in resources.get("Observation", []):
        v = r.get("valueQuantity") or {{}}
        if has_code(r, code) and v.get("value", 0) > 0 and "comparator" not in v and ref_id(r, "specimen"):
            found.append((ref_id(r, "specimen"), v["value"], v.get("unit"), when(r, {EFFECTIVE})[:10], r))
    return found

ones = [a for a in results(q["code_one"]) if a[3] == q["day"]]
others = results(q["code_two"])
print(len(ones), "of that day,", len(others), "to compare with")
pairs = [(a, b) for a in ones for b in others if a[0] == b[0] and a[2] == b[2]]
for a, b in pairs:
    print(a[0], a[1], b[1], a[2])
if pairs:
    a, b = pairs[0]
    answer("number", round(a[1] / b[1], 4), [a[4], b[4]])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
}
