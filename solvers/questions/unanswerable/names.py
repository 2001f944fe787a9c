"""The expert for names that may stand for several things."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

EXPERTS = {
    "last_day_by_name": Expert(
        types=("Observation", "MedicationRequest"),
        follow=DRUGS,
        code=(
            f"""
def fits(display):
    rest = display.lower()[len(q["name"]):][:1]
    return display.lower().startswith(q["name"].lower()) and not rest.isalnum()

rows = []
for r in resources.get("Observation", []):
    first = (codings(r) or [{{}}])[0]
    shown = first.get("display") or (r.get("code") or {{}}).get("text") or ""
    if first.get("code") and fits(shown):
        rows.append((when(r, {EFFECTIVE}), first.get("system", "") + "|" + first["code"], r))
for r in resources.get("MedicationRequest", []):
    if fits(drug_of(r)):
        rows.append((when(r, "authoredOn"), "drug|" + drug_of(r).lower(), r))
rows = [row for row in rows if len(row[0]) >= 10 and q["t_from"] <= row[0] < q["t_to"]]
things = sorted({{row[1] for row in rows}})
print(len(rows), "entries,", len(things), "things:", things[:10])
if len(things) > 1:
    answer("none", "ambiguous", [row[2] for row in rows])
else:
    last = max(row[0][:10] for row in rows)
    answer("date", last, [row[2] for row in rows if row[0][:10] == last])
""",
        ),
    ),
}
