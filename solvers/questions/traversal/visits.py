"""Experts for what a visit leads to."""

from __future__ import annotations

from solvers.questions.analyst import Expert

_VISIT = """
visits = []
for e in resources["Encounter"]:
    if (e.get("class") or {}).get("code") == q["class"] and when(e, "period.start") == q["start"]:
        visits.append(e)
visit = visits[0]
print(visit["id"], len(visits), "encounter")
"""

EXPERTS = {
    "icu_stays_within": Expert(
        types=("Encounter",),
        code=(
            _VISIT
            + """
inside = [e for e in resources["Encounter"] if ref_id(e, "partOf") == visit["id"]]
acute = [e for e in inside if (e.get("class") or {}).get("code") == "ACUTE"]
for e in inside:
    print((e.get("class") or {}).get("code"), when(e, "period.start"))
answer("integer", len(acute), acute)
""",
        ),
    ),
    "wards_of_visit": Expert(
        types=("Encounter",),
        follow=(("Encounter", "location.location"),),
        code=(
            _VISIT
            + """
names = {x["id"]: x.get("name") for x in resources.get("Location", [])}
tokens = {}
for x in resources.get("Location", []):
    for i in x.get("identifier", []):
        tokens[i.get("system", "") + "|" + i.get("value", "")] = x.get("name")
found = []
for entry in visit.get("location", []):
    place = entry.get("location") or {}
    ref = place.get("reference") or ""
    name = names.get(ref.split("/")[-1].split(":")[-1]) if "?" not in ref else tokens.get(ref.split("identifier=")[-1])
    found.append(name or place.get("display"))
    print(when(entry, "period.start"), found[-1])
answer("list", found, [visit])
""",
        ),
    ),
    "diagnoses_of_visit": Expert(
        types=("Encounter", "Condition"),
        code=(
            _VISIT
            + """
rows = [c for c in resources.get("Condition", []) if ref_id(c, "encounter") == visit["id"] and codings(c)]
for c in rows[:15]:
    print(codings(c)[0])
answer("set", sorted({codings(c)[0]["code"] for c in rows}), rows)
""",
        ),
    ),
    "who_saw_patient": Expert(
        types=("Encounter",),
        code=(
            _VISIT
            + """
individual = visit["participant"][0]["individual"]
print(individual)
print("FETCH " + json.dumps([individual["reference"]]))
""",
            _VISIT
            + """
person = resources["Practitioner"][0]
name = person["name"][0]
print(name)
answer("string", " ".join((name.get("given") or [])[:1] + [name["family"]]), [visit, person])
""",
        ),
    ),
    "billed_for_visit": Expert(
        types=("Encounter", "Claim"),
        code=(
            _VISIT
            + """
rows = []
for c in resources.get("Claim", []):
    first = ((c.get("item") or [{}])[0].get("encounter") or [{}])[0].get("reference") or ""
    total = c.get("total") or {}
    if first.split("/")[-1].split(":")[-1] == visit["id"] and "value" in total:
        rows.append((total["value"], total.get("currency"), c))
for value, currency, c in rows:
    print(value, currency, c["id"])
if rows:
    answer("quantity", round(sum([row[0] for row in rows]), 2), [row[2] for row in rows], rows[0][1])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
}
