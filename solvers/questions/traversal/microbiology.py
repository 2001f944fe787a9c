"""Experts for what grew in a culture, and what it resists."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

_NAME = """
def named(r):
    first = (codings(r) or [{}])[0]
    return first.get("display") or (r.get("code") or {}).get("text") or first.get("code")

def members(r):
    ids = [m["reference"].split("/")[-1].split(":")[-1] for m in r.get("hasMember", [])]
    return [known[i] for i in ids if i in known and named(known[i])]

known = {r["id"]: r for r in resources.get("Observation", [])}
"""

EXPERTS = {
    "organisms_in_culture": Expert(
        types=("Specimen", "Observation"),
        code=(
            _NAME
            + f"""
specimens = {{s["id"]: s for s in resources["Specimen"] if has_code(s, q["material"], "type")}}
rows = []
for r in resources["Observation"]:
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and ref_id(r, "specimen") in specimens and t:
        rows.append((t, r))
rows.sort(key=lambda row: row[0])
for t, r in rows[:8]:
    print(t, [named(m) for m in members(r)], r.get("valueString", "")[:40])
chosen = rows[{{"first": 0, "second": 1, "last": len(rows) - 1}}[q["place"]]][1]
grown = members(chosen)
answer("set", sorted({{named(m) for m in grown}}), grown + [chosen, specimens[ref_id(chosen, "specimen")]])
""",
        ),
    ),
    "resisted_antibiotics": Expert(
        types=("Observation",),
        code=(
            _NAME
            + f"""
rows = []
for r in resources["Observation"]:
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and r.get("hasMember") and t:
        rows.append((t, r))
rows.sort(key=lambda row: row[0])
chosen = rows[{{"first": 0, "second": 1, "last": len(rows) - 1}}[q["place"]]][1]
resisted = []
for m in members(chosen):
    value = codings(m, "valueCodeableConcept")[:1] + codings(m, "interpretation")[:1]
    print(named(m), [c.get("code") for c in value])
    if "R" in [c.get("code") for c in value]:
        resisted.append(m)
answer("set", sorted({{named(m) for m in resisted}}), [chosen] + resisted)
""",
        ),
    ),
}
