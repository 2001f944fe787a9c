"""Experts for when something was measured or done."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

EXPERTS = {
    "time_of_nth_result": Expert(
        types=("Observation",),
        code=(
            f"""
at = {{}}
for r in resources.get("Observation", []):
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and len(t) == 19 and q["t_from"] <= t < q["t_to"]:
        at.setdefault(t, []).append(r)
times = sorted(at)
print(len(times), times[:5], times[-2:])
place = {{"first": 0, "second": 1, "third": 2, "last": len(times) - 1}}[q["place"]]
if 0 <= place < len(times):
    answer("datetime", times[place], at[times[place]])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "nth_time_beyond": Expert(
        types=("Observation",),
        code=(
            f"""
at = {{}}
limit = float(q["threshold"])
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    t = when(r, {EFFECTIVE})
    if not has_code(r, q["code"]) or v.get("unit") != q["unit"] or "comparator" in v or "value" not in v:
        continue
    beyond = v["value"] > limit if q["side"] == "above" else v["value"] < limit
    if beyond and len(t) == 19 and q["t_from"] <= t < q["t_to"]:
        at.setdefault(t, []).append(r)
times = sorted(at)
print(len(times), times[:5], times[-2:])
place = {{"first": 0, "second": 1, "last": len(times) - 1}}[q["place"]]
if 0 <= place < len(times):
    answer("datetime", times[place], at[times[place]])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "time_of_extreme": Expert(
        types=("Observation",),
        code=(
            f"""
rows = []
for r in resources["Observation"]:
    v = r.get("valueQuantity") or {{}}
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "comparator" not in v and "value" in v:
        if len(t) == 19 and q["t_from"] <= t < q["t_to"]:
            rows.append((v["value"], t, r))
values = [row[0] for row in rows]
best = max(values) if q["extreme"] == "highest" else min(values)
winners = [row for row in rows if row[0] == best]
print(len(rows), "results;", best, [row[1] for row in winners])
answer("datetime", winners[0][1], [row[2] for row in winners])
""",
        ),
    ),
    "which_first": Expert(
        types=("Observation", "Procedure"),
        code=(
            f"""
results = [(when(r, {EFFECTIVE}), r) for r in resources["Observation"] if has_code(r, q["code"])]
done = [(when(r, "performedDateTime", "performedPeriod.start"), r) for r in resources["Procedure"]
    if has_code(r, q["procedure_code"])]
results = sorted([row for row in results if row[0]], key=lambda row: row[0])
done = sorted([row for row in done if row[0]], key=lambda row: row[0])
print("result", results[0][0], "procedure", done[0][0])
first = "result" if results[0][0][:10] < done[0][0][:10] else "procedure"
answer("choice", first, [results[0][1], done[0][1]])
""",
        ),
    ),
}
