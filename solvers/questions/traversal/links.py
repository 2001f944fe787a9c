"""Experts for who did what, what was given, why it was ordered and what a plan is about."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, Expert

_VISIT = """
visits = []
for e in resources["Encounter"]:
    if (e.get("class") or {}).get("code") == q["class"] and when(e, "period.start") == q["start"]:
        visits.append(e)
visit = visits[0]
print(visit["id"], len(visits), "encounter")
"""
_DONE = """
def performer(p):
    actor = ((p.get("performer") or [{}])[0].get("actor")) or {}
    individual = ((visit.get("participant") or [{}])[0].get("individual")) or {}
    return actor.get("reference") or individual.get("reference") or ""

done = [p for p in resources.get("Procedure", []) if ref_id(p, "encounter") == visit["id"] and codings(p)]
"""

EXPERTS = {
    "procedures_and_performers": Expert(
        types=("Encounter", "Procedure"),
        code=(
            _VISIT
            + _DONE
            + """
for p in done[:12]:
    print(codings(p)[0].get("display"), performer(p))
print("FETCH " + json.dumps(sorted({performer(p) for p in done})))
""",
            _VISIT
            + _DONE
            + """
people = {}
for w in resources["Practitioner"]:
    name = w["name"][0]
    people[w["id"]] = " ".join((name.get("given") or [])[:1] + [name["family"]])
    for i in w.get("identifier", [])[:1]:
        people[i.get("system", "") + "|" + i.get("value", "")] = people[w["id"]]
found = {}
for p in done:
    ref = performer(p)
    key = ref.split("?identifier=")[-1] if "?" in ref else ref.split("/")[-1].split(":")[-1]
    names = found.setdefault(codings(p)[0]["code"], [])
    if people[key] not in names:
        names.append(people[key])
answer("map", {code: sorted(found[code]) for code in sorted(found)}, done + [visit])
""",
        ),
    ),
    "ordered_never_given": Expert(
        types=("Encounter", "MedicationRequest", "MedicationAdministration"),
        follow=DRUGS,
        code=(
            _VISIT
            + """
given = {}
for a in resources.get("MedicationAdministration", []):
    given.setdefault(ref_id(a, "request"), a)
orders = {}
for r in resources.get("MedicationRequest", []):
    if ref_id(r, "encounter") == visit["id"] and drug_of(r):
        orders.setdefault(drug_of(r).lower(), []).append(r)
never = sorted([drug for drug in orders if not [r for r in orders[drug] if r["id"] in given]])
print(len(orders), "drugs ordered,", len(never), "never given")
for drug in never:
    print(drug, len(orders[drug]))
answer("set", never, [r for drug in never for r in orders[drug]])
""",
        ),
    ),
    "reason_of_order": Expert(
        types=("MedicationRequest", "Condition"),
        follow=DRUGS,
        code=(
            """
known = {c["id"]: c for c in resources.get("Condition", [])}
rows = []
for r in resources["MedicationRequest"]:
    reason = ((r.get("reasonReference") or [{}])[0].get("reference") or "").split("/")[-1].split(":")[-1]
    if drug_of(r).lower() == q["drug"] and when(r, "authoredOn")[:10] == q["day"] and reason in known:
        rows.append((r, known[reason]))
for r, c in rows:
    print(when(r, "authoredOn"), drug_of(r), codings(c)[0])
answer("code", codings(rows[0][1])[0]["code"], [one for row in rows for one in row])
""",
        ),
    ),
    "care_plan_addresses": Expert(
        types=("CarePlan", "Condition", "Goal"),
        code=(
            """
plans = []
for p in resources["CarePlan"]:
    if p.get("status") == "active" and q["code"] in [c.get("code") for c in codings(p, "category")[:1]]:
        plans.append(p)
refs = [x.get("reference") or "" for p in plans for x in p.get("goal" if q["what"] == "goals" else "addresses", [])]
ids = [ref.split("/")[-1].split(":")[-1] for ref in refs]
print(len(plans), "plans", len(ids), "references")
if q["what"] == "goals":
    rows = [g for g in resources.get("Goal", []) if g["id"] in ids and (g.get("description") or {}).get("text")]
    names = {g["description"]["text"] for g in rows}
else:
    rows = [c for c in resources.get("Condition", []) if c["id"] in ids and codings(c)]
    names = {codings(c)[0]["code"] for c in rows}
answer("set", sorted(names), rows + plans)
""",
        ),
    ),
}
