"""Experts for results that are found through something else."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

_RESULTS = f"""
rows = []
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "comparator" not in v and "value" in v:
        t = when(r, {EFFECTIVE})
        if t:
            rows.append((t, v["value"], r))
rows.sort(key=lambda row: row[0])
print(len(rows), "results")
"""

EXPERTS = {
    "first_result_after_procedure": Expert(
        types=("Procedure", "Observation"),
        code=(
            "from datetime import datetime, timedelta\n"
            + _RESULTS
            + """
done = [(when(p, "performedDateTime", "performedPeriod.start"), p) for p in resources.get("Procedure", [])
    if has_code(p, q["procedure_code"])]
done = sorted([row for row in done if row[0]], key=lambda row: row[0])
start = done[0][0] if q["place"] == "first" else done[-1][0]
end = (datetime.fromisoformat(start) + timedelta(days=int(q["days"]))).isoformat()[:19]
print(len(done), "procedures;", start, "to", end)
later = [row for row in rows if start < row[0] <= end]
for t, value, r in later[:4]:
    print(t, value, r["id"])
if later:
    used = [p for t, p in done if t == start]
    answer("quantity", later[0][1], used + [later[0][2]], q["unit"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "change_around_first_order": Expert(
        types=("MedicationRequest", "Observation"),
        follow=DRUGS,
        code=(
            _RESULTS
            + """
orders = []
for m in resources["MedicationRequest"]:
    if drug_of(m).lower() == q["drug"] and when(m, "authoredOn"):
        orders.append((when(m, "authoredOn"), m))
orders.sort(key=lambda row: row[0])
start = orders[0][0]
before = [row for row in rows if row[0] < start]
after = [row for row in rows if row[0] > start]
print("ordered", start, "before", before[-1][:2] if before else None, "after", after[0][:2] if after else None)
if before and after:
    used = [before[-1][2], after[0][2]] + [m for t, m in orders if t == start]
    answer("quantity", round(after[0][1] - before[-1][1], 4), used, q["unit"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "ward_at_peak": Expert(
        types=("Observation", "Encounter"),
        follow=(("Encounter", "location.location"),),
        code=(
            _RESULTS
            + """
rows = sorted([row for row in rows if q["t_from"] <= row[0] < q["t_to"]], key=lambda row: row[1])
names = {x["id"]: x.get("name") for x in resources.get("Location", [])}
tokens = {}
for x in resources.get("Location", []):
    for i in x.get("identifier", []):
        tokens[i.get("system", "") + "|" + i.get("value", "")] = x.get("name")
found, used = [], []
if rows:
    t, value, peak = rows[-1]
    used.append(peak)
    print(value, q["unit"], "at", t)
    for e in resources.get("Encounter", []):
        if e["id"] != ref_id(peak, "encounter"):
            continue
        used.append(e)
        for entry in e.get("location", []):
            place = entry.get("location") or {}
            ref = place.get("reference") or ""
            own = tokens.get(ref.split("identifier=")[-1]) if "?" in ref else names.get(ref.split("/")[-1].split(":")[-1])
            name, start, end = own or place.get("display"), when(entry, "period.start"), when(entry, "period.end")
            print(start, end, name)
            if name and start <= t and (not end or t < end):
                found.append(name)
if found:
    answer("string", found[0], used)
else:
    answer("none", "not_recorded" if rows else "no_matching_record", [])
""",
        ),
    ),
    "behind_latest_abnormal": Expert(
        types=("Observation", "Specimen", "DiagnosticReport"),
        code=(
            f"""
rows = []
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    limits = (r.get("referenceRange") or [{{}}])[0]
    t = when(r, {EFFECTIVE})
    if not has_code(r, q["code"]) or "value" not in v or "comparator" in v or not q["t_from"] <= t < q["t_to"]:
        continue
    low, high = (limits.get("low") or {{}}).get("value"), (limits.get("high") or {{}}).get("value")
    if (low is not None and v["value"] < low) or (high is not None and v["value"] > high):
        rows.append((t, v["value"], r))
rows.sort(key=lambda row: row[0])
for t, value, r in rows[-4:]:
    print(t, value, r["id"])
if not rows:
    answer("none", "no_matching_record", [])
else:
    t, value, latest = rows[-1]
    used = [latest]
    found = {{"value": value, "specimen": None, "collected": None, "panel": None}}
    for s in resources.get("Specimen", []):
        if s["id"] == ref_id(latest, "specimen"):
            kind = (codings(s, "type") or [{{}}])[0]
            found["specimen"] = kind.get("display") or (s.get("type") or {{}}).get("text") or kind.get("code")
            found["collected"] = when(s, "collection.collectedDateTime", "collection.collectedPeriod.start")
            used.append(s)
    for d in resources.get("DiagnosticReport", []):
        listed = [x.get("reference", "").split("/")[-1].split(":")[-1] for x in d.get("result", [])]
        if latest["id"] in listed:
            kind = (codings(d) or [{{}}])[0]
            found["panel"] = kind.get("display") or (d.get("code") or {{}}).get("text") or kind.get("code")
            used.append(d)
    answer("record", found, used)
""",
        ),
    ),
}
