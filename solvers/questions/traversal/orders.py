"""Experts for what orders, results and panels lead to."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

EXPERTS = {
    "nth_drug_ordered": Expert(
        types=("MedicationRequest",),
        follow=DRUGS,
        code=(
            """
rows = []
for r in resources.get("MedicationRequest", []):
    t = when(r, "authoredOn")
    if q["t_from"] <= t < q["t_to"] and drug_of(r):
        rows.append((t, drug_of(r).lower(), r))
rows.sort(key=lambda row: row[0])
for t, drug, r in rows[:8]:
    print(t, drug)
print(len(rows), "orders")
place = {"first": 0, "second": 1, "last": len(rows) - 1}[q["place"]]
if 0 <= place < len(rows):
    answer("string", rows[place][1], [rows[place][2]])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "drugs_by_route": Expert(
        types=("MedicationRequest",),
        follow=DRUGS,
        code=(
            """
rows = []
for r in resources.get("MedicationRequest", []):
    route = ((r.get("dosageInstruction") or [{}])[0].get("route")) or {}
    name = (route.get("coding") or [{}])[0].get("code") or route.get("text")
    if name == q["route"] and q["t_from"] <= when(r, "authoredOn") < q["t_to"] and drug_of(r):
        rows.append(r)
for r in rows[:12]:
    print(when(r, "authoredOn"), drug_of(r))
answer("set", sorted({drug_of(r).lower() for r in rows}), rows)
""",
        ),
    ),
    "specimen_of_result": Expert(
        types=("Observation",),
        code=(
            f"""
rows = []
for r in resources.get("Observation", []):
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and ref_id(r, "specimen") and q["t_from"] <= t < q["t_to"]:
        rows.append((t, r))
rows.sort(key=lambda row: row[0])
best = rows[0][0] if q["place"] == "first" else rows[-1][0]
chosen = [r for t, r in rows if t == best]
print(best, len(chosen), "of", len(rows))
print("FETCH " + json.dumps(sorted({{r["specimen"]["reference"] for r in chosen}})))
""",
            f"""
rows = [(when(r, {EFFECTIVE}), r) for r in resources["Observation"] if has_code(r, q["code"]) and ref_id(r, "specimen")]
rows = sorted([row for row in rows if q["t_from"] <= row[0] < q["t_to"]], key=lambda row: row[0])
best = rows[0][0] if q["place"] == "first" else rows[-1][0]
chosen = [r for t, r in rows if t == best]
specimens = {{s["id"]: s for s in resources["Specimen"]}}
used = [specimens[ref_id(r, "specimen")] for r in chosen]
first = codings(used[0], "type")[0]
print(first)
answer("string", first.get("display") or (used[0]["type"].get("text")) or first.get("code"), used + chosen)
""",
        ),
    ),
    "panel_members": Expert(
        types=("DiagnosticReport", "Observation"),
        code=(
            f"""
reports = []
for r in resources["DiagnosticReport"]:
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and t and t[:10] <= q["before"]:
        reports.append((t, r))
reports.sort(key=lambda row: row[0])
t, panel = reports[-1]
ids = [x["reference"].split("/")[-1].split(":")[-1] for x in panel.get("result", [])]
found, used = {{}}, [panel]
for r in resources["Observation"]:
    v = r.get("valueQuantity") or {{}}
    if r["id"] in ids and "value" in v and codings(r):
        found[codings(r)[0]["code"]] = round(v["value"], 2)
        used.append(r)
print(t, len(ids), "members")
answer("map", found, used)
""",
        ),
    ),
}
