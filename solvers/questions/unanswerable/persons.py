"""Experts for a patient whom the server may not know, and for a person who may not be the patient."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

_DAY = f"""
days = {{}}
for r in resources.get("Observation", []):
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and len(t) >= 10:
        days.setdefault(t[:10], []).append(r)
print(len(days), "days with the code:", sorted(days)[:4], "to", sorted(days)[-4:])
day = (min if q["place"] == "first" else max)(days or [""])
"""

EXPERTS = {
    "day_for_patient_id": Expert(types=("Observation",), code=(f'{_DAY}answer("date", day, days[day])\n',)),
    "day_for_named_person": Expert(
        types=("Patient", "Observation"),
        code=(
            f"""
patient = resources["Patient"][0]
first = (patient.get("name") or [{{}}])[0]
name = " ".join(first.get("given", []) + [first.get("family", "")])
print(name, patient.get("birthDate"), "against", q["name"], q["born"])
{_DAY.strip()}
if name != q["name"] or patient.get("birthDate") != q["born"]:
    answer("none", "not_permitted", [patient])
else:
    answer("date", day, [patient] + days[day])
""",
        ),
    ),
}
