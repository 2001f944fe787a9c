"""Experts for records that are linked with each other."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

_TARGET = """
def target(reference):
    return (reference or "").split("/")[-1].split(":")[-1]

def found_by(reference, kind):
    token = reference.split("?identifier=")[-1] if "?identifier=" in reference else None
    for x in resources.get(kind, []):
        tokens = [i.get("system", "") + "|" + i.get("value", "") for i in x.get("identifier", [])]
        if token in tokens if token else x["id"] == target(reference):
            return x
    return None
"""

EXPERTS = {
    "resisted_drug_ordered": Expert(
        types=("Observation", "MedicationRequest"),
        follow=DRUGS,
        code=(
            f"""
by_id = {{r["id"]: r for r in resources["Observation"]}}

def members(r):
    found = [by_id.get(m.get("reference", "").split("/")[-1].split(":")[-1]) for m in r.get("hasMember", [])]
    return [m for m in found if m]

grown = []
for test in resources["Observation"]:
    for organism in members(test):
        if has_code(organism, q["code"]) and ref_id(test, "encounter"):
            grown.append((when(organism, {EFFECTIVE}), organism, test))
grown.sort(key=lambda row: row[0])
start = grown[0][0] if q["place"] == "first" else grown[-1][0]
chosen = [row for row in grown if row[0] == start]
visit = ref_id(chosen[0][2], "encounter")
resisted, used = [], []
for t, organism, test in chosen:
    used += [organism, test]
    for s in members(organism):
        coded = [c.get("code") for c in codings(s, "valueCodeableConcept") + codings(s, "interpretation")]
        if "R" in coded:
            resisted.append((codings(s)[0]["display"].lower(), s))
print(start, visit, "resisted:", sorted({{row[0] for row in resisted}}))
hits = []
for m in resources.get("MedicationRequest", []):
    t = when(m, "authoredOn")
    timely = t and (q["span"] == "before or after" or (t < start) == (q["span"] == "before"))
    if ref_id(m, "encounter") == visit and timely:
        for drug, s in resisted:
            if all([part.strip() in drug_of(m).lower() for part in drug.split("/")]):
                hits.append((drug, m))
for drug, m in hits[:6]:
    print(when(m, "authoredOn"), drug, "<-", drug_of(m))
answer("boolean", len(hits) > 0, used[:6] + [m for drug, m in hits[:4]])
""",
        ),
    ),
    "routes_in_visit_of_diagnosis": Expert(
        types=("Condition", "MedicationRequest"),
        follow=DRUGS,
        code=(
            """
named = [c for c in resources["Condition"] if has_code(c, q["code"]) and ref_id(c, "encounter")]
visit = ref_id(named[0], "encounter")
print(len(named), "conditions, encounter", visit)
routes, used = {}, []
for m in resources.get("MedicationRequest", []):
    route = (m.get("dosageInstruction") or [{}])[0].get("route") or {}
    name = (route.get("coding") or [{}])[0].get("code") or route.get("text")
    if ref_id(m, "encounter") == visit and m.get("status") == q["status"] and name and drug_of(m):
        routes.setdefault(drug_of(m).lower(), set()).add(name)
        used.append(m)
found = {drug: sorted(routes[drug]) for drug in sorted(routes)}
print(len(used), "orders,", len(found), "drugs")
if found:
    answer("map", found, named + used)
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "busiest_practitioner": Expert(
        types=("Encounter",),
        follow=(("Encounter", "participant.individual"), ("Encounter", "serviceProvider")),
        code=(
            _TARGET
            + """
met = {}
for e in resources.get("Encounter", []):
    first = ((e.get("participant") or [{}])[0].get("individual") or {}).get("reference") or ""
    person = found_by(first, "Practitioner") if first else None
    if person and q["t_from"] <= when(e, "period.start") < q["t_to"]:
        met.setdefault(person["id"], (person, []))[1].append(e)
rows = sorted(met.values(), key=lambda row: len(row[1]))
for person, seen in rows[-4:]:
    print(len(seen), person["name"][0].get("family"))
if not rows:
    answer("none", "no_matching_record", [])
else:
    person, seen = rows[-1]
    name = person["name"][0]
    seen.sort(key=lambda e: when(e, "period.start"))
    house = found_by(seen[-1]["serviceProvider"]["reference"], "Organization")
    found = {"practitioner": " ".join((name.get("given") or [])[:1] + [name["family"]]), "encounters": len(seen),
        "organization": house["name"]}
    answer("record", found, [person, house] + seen[-5:])
""",
        ),
    ),
    "conditions_without_order": Expert(
        types=("Condition", "MedicationRequest"),
        code=(
            """
citing = {}
for m in resources.get("MedicationRequest", []):
    if m.get("status") == "active":
        for reason in m.get("reasonReference", []):
            citing.setdefault(reason.get("reference", "").split("/")[-1].split(":")[-1], []).append(m)
left, orders = [], []
for c in resources["Condition"]:
    state = (codings(c, "clinicalStatus") or [{}])[0].get("code")
    t = when(c, "onsetDateTime", "recordedDate", "onsetPeriod.start")
    if state != "active" or not q["t_from"] <= t < q["t_to"] or not codings(c):
        continue
    print(t, codings(c)[0].get("code"), "cited by", len(citing.get(c["id"], [])))
    if c["id"] in citing:
        orders += citing[c["id"]]
    else:
        left.append(c)
answer("set", sorted({codings(c)[0]["code"] for c in left}), left or orders)
""",
        ),
    ),
}
