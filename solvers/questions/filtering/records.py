"""Experts for whether something was ever recorded."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, Expert

_EVER = """
rows = []
for r in resources.get("{type}", []):
    t = when(r, {times})
    if has_code(r, q["code"], "{concept}") and q["t_from"] <= t < q["t_to"]:
        rows.append((t, r))
rows.sort(key=lambda row: row[0])
for t, r in rows[:12]:
    print(t, r["id"])
answer("boolean", len(rows) > 0, [r for t, r in rows])
"""


EXPERTS = {
    "ever_diagnosed": Expert(
        types=("Condition", "Encounter"),
        code=(
            """
starts = {e["id"]: when(e, "period.start") for e in resources.get("Encounter", [])}
rows = []
for r in resources.get("Condition", []):
    t = when(r, "onsetDateTime", "onsetPeriod.start", "recordedDate") or starts.get(ref_id(r, "encounter"), "")
    if has_code(r, q["code"]) and q["t_from"] <= t < q["t_to"]:
        rows.append((t, r))
rows.sort(key=lambda row: row[0])
for t, r in rows[:12]:
    print(t, r["id"])
answer("boolean", len(rows) > 0, [r for t, r in rows])
""",
        ),
    ),
    "procedure_in_window": Expert(
        types=("Procedure",),
        code=(_EVER.format(type="Procedure", concept="code", times='"performedDateTime", "performedPeriod.start"'),),
    ),
    "drugs_ordered": Expert(
        types=("MedicationRequest",),
        follow=DRUGS,
        code=(
            """
wanted = {q["drug_one"].lower(), q["drug_two"].lower()}
rows = []
for r in resources.get("MedicationRequest", []):
    if q["t_from"] <= when(r, "authoredOn") < q["t_to"] and drug_of(r).lower() in wanted:
        rows.append(r)
for r in rows[:12]:
    print(when(r, "authoredOn"), drug_of(r), r["id"])
answer("boolean", len(rows) > 0, rows)
""",
        ),
    ),
    "vaccinated": Expert(
        types=("Immunization",),
        code=(
            """
rows = []
for r in resources.get("Immunization", []):
    t = when(r, "occurrenceDateTime")
    if has_code(r, q["code"], "vaccineCode") and r.get("status") == "completed" and q["t_from"] <= t < q["t_to"]:
        rows.append((t, r))
rows.sort(key=lambda row: row[0])
for t, r in rows[:12]:
    print(t, r["id"])
answer("list", [t[:10] for t, r in rows], [r for t, r in rows])
""",
        ),
    ),
    "visited_emergency": Expert(
        types=("Encounter",),
        code=(
            """
rows = []
for r in resources.get("Encounter", []):
    t = when(r, "period.start")
    if (r.get("class") or {}).get("code") == q["class"] and q["t_from"] <= t < q["t_to"]:
        rows.append((t, r))
rows.sort(key=lambda row: row[0])
for t, r in rows[:12]:
    print(t, r["id"])
answer("boolean", len(rows) > 0, [r for t, r in rows])
""",
        ),
    ),
}
