"""Experts for stays inside a visit: they find the visit, its stays, then what was measured or given in them."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

_ENCOUNTERS = """
visits, stays = [], []
for e in resources.get("Encounter", []):
    within = ref_id(e, "partOf")
    if not within:
        visits.append(e)
    elif (e.get("class") or {}).get("code") == q["stay_class"]:
        stays.append((within, when(e, "period.start"), when(e, "period.end"), e))
print(len(visits), "visits,", len(stays), "stays")
"""

EXPERTS = {
    "peak_in_stay": Expert(
        types=("Encounter", "Observation"),
        code=(
            _ENCOUNTERS
            + f"""
visits = sorted([e for e in visits if when(e, "period.start")], key=lambda e: when(e, "period.start"))
visit = visits[0] if q["place"] == "first" else visits[-1]
inside = [s for s in stays if s[0] == visit["id"]]
print(visit["id"], when(visit, "period.start"), [(s[1], s[2]) for s in inside])
rows = []
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "comparator" not in v and "value" in v:
        for within, start, end, e in inside:
            if start <= t < end:
                rows.append((v["value"], t, r, e))
rows.sort(key=lambda row: row[0])
for value, t, r, e in rows[-5:]:
    print(value, t, r["id"])
if not inside:
    answer("none", "false_premise", [])
elif not rows:
    answer("none", "no_matching_record", [])
else:
    used = [visit]
    for value, t, r, e in rows:
        if value == rows[-1][0]:
            used += [r, e]
    answer("quantity", rows[-1][0], used, q["unit"])
""",
        ),
    ),
    "amount_given_in_stay": Expert(
        types=("Encounter", "MedicationAdministration"),
        follow=(("MedicationAdministration", "medicationReference"), ("Medication", "ingredient.itemReference")),
        code=(
            _ENCOUNTERS
            + """
stays = sorted([s for s in stays if s[1]], key=lambda s: s[1])
within, start, end, stay = stays[0] if q["place"] == "first" else stays[-1]
print(stay["id"], start, end)
rows = []
for r in resources.get("MedicationAdministration", []):
    if ref_id(r, "context") != stay["id"] or r.get("status") in ("not-done", "entered-in-error"):
        continue
    dose = (r.get("dosage") or {}).get("dose") or {}
    if dose.get("unit") == q["unit"] and "value" in dose and drug_of(r).lower() == q["drug"]:
        rows.append((when(r, "effectiveDateTime", "effectivePeriod.start"), dose["value"], r))
rows.sort(key=lambda row: row[0])
for t, value, r in rows[:8]:
    print(t, value, q["unit"])
print(len(rows), "administrations")
if rows:
    answer("quantity", round(sum([row[1] for row in rows]), 2), [stay] + [row[2] for row in rows], q["unit"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "discharge_after_longest_stay": Expert(
        types=("Condition", "Encounter"),
        code=(
            "from datetime import datetime\n"
            + _ENCOUNTERS
            + """
named = {}
for c in resources.get("Condition", []):
    if has_code(c, q["code"]):
        named.setdefault(ref_id(c, "encounter"), []).append(c)
by_id = {e["id"]: e for e in visits}
rows = []
for within, start, end, e in stays:
    if within in named and within in by_id and len(start) == 19 and len(end) == 19:
        seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
        rows.append((seconds, within, e))
rows.sort(key=lambda row: row[0])
for seconds, within, e in rows[-5:]:
    print(round(seconds / 3600, 1), "hours in visit", within)
if rows:
    seconds, within, e = rows[-1]
    place = (by_id[within].get("hospitalization") or {}).get("dischargeDisposition") or {}
    print(place)
    answer("code", place["coding"][0]["code"], [e, by_id[within]] + named[within])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
}
