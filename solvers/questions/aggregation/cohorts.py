"""Experts for questions about several patients, whose records they fetch together."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

_ONSET = """
starts = {e["id"]: e for e in resources.get("Encounter", [])}

def onset(c):
    own = when(c, "onsetDateTime", "onsetPeriod.start", "recordedDate")
    return own or when(starts.get(ref_id(c, "encounter"), {}), "period.start")
"""

# A drug has many orders: its name is found once.
_DRUG = """
names = {}

def drug(r):
    ref = (r.get("medicationReference") or {}).get("reference") or ""
    if not ref or ref[0] == "#":
        return drug_of(r).lower()
    if ref not in names:
        names[ref] = drug_of(r).lower()
    return names[ref]
"""

EXPERTS = {
    "cohort_with_diagnosis": Expert(
        types=("Condition",),
        code=(
            """
rows = [r for r in resources.get("Condition", []) if has_code(r, q["code"])]
for r in rows[:15]:
    print(ref_id(r, "subject"), when(r, "onsetDateTime", "recordedDate"), r["id"])
answer("set", sorted({ref_id(r, "subject") for r in rows}), rows)
""",
        ),
    ),
    "cohort_count_ordered": Expert(
        types=("MedicationRequest",),
        follow=DRUGS,
        code=(
            _DRUG
            + """
from collections import Counter

rows = [r for r in resources.get("MedicationRequest", []) if drug(r) == q["drug"]]
orders = Counter([ref_id(r, "subject") for r in rows])
for patient in sorted(orders):
    print(patient, orders[patient], "orders")
answer("integer", len(orders), rows)
""",
        ),
    ),
    "cohort_top_diagnoses": Expert(
        types=("Condition",),
        code=(
            """
people, rows = {}, {}
for r in resources["Condition"]:
    if codings(r):
        code = codings(r)[0]["code"]
        people.setdefault(code, set()).add(ref_id(r, "subject"))
        rows.setdefault(code, []).append(r)
counts = sorted([(len(people[code]), code) for code in people], reverse=True)
for n, code in counts[:8]:
    print(n, code, codings(rows[code][0])[0].get("display"))
least = counts[min(int(q["k"]), len(counts)) - 1][0]
top = sorted([code for n, code in counts if n >= least])
answer("set", top, [r for code in top for r in rows[code]])
""",
        ),
    ),
    "cohort_order_after_diagnosis": Expert(
        types=("Condition", "Encounter", "MedicationRequest"),
        follow=DRUGS,
        code=(
            _ONSET
            + _DRUG
            + """
from datetime import date, timedelta

orders = {}
for r in resources.get("MedicationRequest", []):
    t = when(r, "authoredOn")
    if drug(r) == q["drug"] and len(t) >= 10:
        orders.setdefault(ref_id(r, "subject"), []).append((t, r))
found, used = set(), []
for c in resources.get("Condition", []):
    begun = onset(c)
    if not has_code(c, q["code"]) or len(begun) < 10:
        continue
    until = (date.fromisoformat(begun[:10]) + timedelta(days=int(q["days"]))).isoformat()
    for t, r in orders.get(ref_id(c, "subject"), []):
        if begun <= t and t[:10] <= until:
            print(ref_id(c, "subject"), begun, t)
            found.add(ref_id(c, "subject"))
            used += [c, r]
answer("set", sorted(found), used)
""",
        ),
    ),
    "percentile_among_same_age": Expert(
        types=("Patient", "Observation"),
        code=(
            f"""
people = {{p["id"]: p for p in resources["Patient"] if len(p.get("birthDate", "")) == 10}}
last = {{}}
for r in resources["Observation"]:
    v = r.get("valueQuantity") or {{}}
    t, patient = when(r, {EFFECTIVE}), ref_id(r, "subject")
    if has_code(r, q["code"]) and v.get("unit") == q["unit"] and "value" in v and "comparator" not in v and len(t) >= 10:
        if patient in people and (patient not in last or t > last[patient][0]):
            last[patient] = (t, v["value"], r)

def age(patient):
    t, born = last[patient][0], people[patient]["birthDate"]
    return int(t[:4]) - int(born[:4]) - (1 if t[5:10] < born[5:] else 0)

for patient in sorted(last):
    print(patient, last[patient][0], last[patient][1], age(patient), "years")
me = q["patient"]
peers = [p for p in last if abs(age(p) - age(me)) <= int(q["years"])]
low = [p for p in peers if last[p][1] <= last[me][1]]
print(len(low), "of", len(peers), "peers")
answer("number", round(100 * len(low) / len(peers), 2), [last[p][2] for p in peers] + [people[p] for p in peers])
""",
        ),
    ),
    "cohort_survival": Expert(
        types=("Condition", "Encounter", "Patient"),
        code=(
            _ONSET
            + """
first = {}
for c in resources["Condition"]:
    day = onset(c)[:10]
    patient = ref_id(c, "subject")
    if has_code(c, q["code"]) and len(day) == 10 and (patient not in first or day < first[patient][0]):
        first[patient] = (day, c)
alive, used = 0, []
for p in resources["Patient"]:
    if p["id"] in first:
        day, c = first[p["id"]]
        month = int(day[:4]) * 12 + int(day[5:7]) - 1 + int(q["months"])
        mark = f"{month // 12:04d}-{month % 12 + 1:02d}-{day[8:]}"
        died = when(p, "deceasedDateTime")[:10]
        print(p["id"], day, mark, died or "alive")
        if mark <= now[:10]:
            used += [p, c]
            alive += 1 if not died or died > mark else 0
share = alive / len([r for r in used if r["resourceType"] == "Patient"])
answer("number", round(share, 4), used)
""",
        ),
    ),
}
