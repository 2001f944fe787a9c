"""Experts for how things stand."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

EXPERTS = {
    "patient_attribute": Expert(
        types=("Patient",),
        code=(
            """
p = resources["Patient"][0]
spoken = [c.get("language", {}) for c in p.get("communication", [])]
marital = codings(p, "maritalStatus")
languages = [c.get("code") for language in spoken for c in language.get("coding", [])[:1]]
found = {
    "gender": p.get("gender"),
    "birthDate": p.get("birthDate"),
    "maritalStatus code": marital[0].get("code") if marital else None,
    "language code": languages[0] if languages else None,
    "deceasedDateTime": p.get("deceasedDateTime"),
}
print(found)
value = found[q["attribute"]]
if value is None:
    answer("none", "not_recorded", [])
else:
    answer("string", value, [p])
""",
        ),
    ),
    "active_conditions": Expert(
        types=("Condition",),
        code=(
            """
rows = []
for r in resources.get("Condition", []):
    begin = when(r, "onsetDateTime", "onsetPeriod.start", "recordedDate")
    end = when(r, "abatementDateTime")
    if begin and begin < q["day"] and (not end or end >= q["day"]) and codings(r):
        rows.append((begin, end, codings(r)[0]["code"], r))
for begin, end, code, r in sorted(rows, key=lambda row: row[0])[:15]:
    print(begin, end or "-", code)
answer("set", sorted({row[2] for row in rows}), [row[3] for row in rows])
""",
        ),
    ),
    "allergies_by_criticality": Expert(
        types=("AllergyIntolerance",),
        code=(
            """
rows = []
for r in resources.get("AllergyIntolerance", []):
    active = has_code(r, "active", "clinicalStatus")
    print(r.get("criticality"), active, codings(r)[:1])
    if active and r.get("criticality") == q["criticality"] and codings(r):
        rows.append(r)
answer("set", sorted({codings(r)[0]["code"] for r in rows}), rows)
""",
        ),
    ),
    "labs_outside_range": Expert(
        types=("Observation",),
        code=(
            f"""
rows = []
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    limits = (r.get("referenceRange") or [{{}}])[0]
    t = when(r, {EFFECTIVE})
    if "value" not in v or "comparator" in v or not q["t_from"] <= t < q["t_to"] or not codings(r):
        continue
    low, high = (limits.get(side, {{}}).get("value") for side in ("low", "high"))
    if (low is not None and v["value"] < low) or (high is not None and v["value"] > high):
        rows.append((codings(r)[0]["code"], v["value"], low, high, r))
for code, value, low, high, r in rows[:15]:
    print(code, value, "range", low, high)
answer("set", sorted({{row[0] for row in rows}}), [row[4] for row in rows])
""",
        ),
    ),
    "latest_survey": Expert(
        types=("Observation",),
        code=(
            f"""
def text_of(r):
    concept = r.get("valueCodeableConcept") or {{}}
    first = (concept.get("coding") or [{{}}])[0]
    flag = r.get("valueBoolean")
    return (r.get("valueString") or concept.get("text") or first.get("display") or first.get("code") or r.get("valueDateTime")
        or (None if flag is None else str(flag).lower()))

rows = []
for r in resources.get("Observation", []):
    if has_code(r, q["code"]) and text_of(r) is not None and when(r, {EFFECTIVE}):
        rows.append((when(r, {EFFECTIVE}), text_of(r), r))
rows.sort(key=lambda row: row[0])
for t, text, r in rows[-8:]:
    print(t, text[:60])
if rows:
    newest = [r for t, text, r in rows if t == rows[-1][0]]
    answer("string", rows[-1][1], newest)
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "orders_by_status": Expert(
        types=("MedicationRequest",),
        follow=DRUGS,
        code=(
            """
rows = [r for r in resources.get("MedicationRequest", []) if r.get("status") == q["status"]]
rows = [r for r in rows if q["t_from"] <= when(r, "authoredOn") < q["t_to"] and drug_of(r)]
for r in rows[:15]:
    print(when(r, "authoredOn"), drug_of(r))
answer("set", sorted({drug_of(r).lower() for r in rows}), rows)
""",
        ),
    ),
    "all_in_range": Expert(
        types=("Observation",),
        code=(
            f"""
rows = []
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    limits = (r.get("referenceRange") or [{{}}])[0]
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and "value" in v and "comparator" not in v and q["t_from"] <= t < q["t_to"]:
        if "low" in limits and "high" in limits:
            fine = limits["low"]["value"] <= v["value"] <= limits["high"]["value"]
            rows.append((t, v["value"], fine, r))
for t, value, fine, r in sorted(rows, key=lambda row: row[0])[:15]:
    print(t, value, "in range" if fine else "OUT")
outside = [row[3] for row in rows if not row[2]]
answer("boolean", not outside, outside or [row[3] for row in rows])
""",
        ),
    ),
}
