"""Expert for the balance of fluids."""

from __future__ import annotations

from solvers.questions.analyst import EFFECTIVE, Expert

EXPERTS = {
    "intake_minus_output": Expert(
        types=("MedicationAdministration", "Observation"),
        code=(
            f"""
given, passed = [], []
for r in resources.get("MedicationAdministration", []):
    dose = (r.get("dosage") or {{}}).get("dose") or {{}}
    if dose.get("unit", "").lower() == "ml" and "value" in dose and q["t_from"] <= when(r, {EFFECTIVE}) < q["t_to"]:
        given.append((dose["value"], r))
for r in resources.get("Observation", []):
    v = r.get("valueQuantity") or {{}}
    kinds = [c.get("code") for category in r.get("category", []) for c in category.get("coding", [])]
    if q["category"] in kinds and v.get("unit", "").lower() == "ml" and "value" in v and "comparator" not in v:
        if q["t_from"] <= when(r, {EFFECTIVE}) < q["t_to"]:
            passed.append((v["value"], r))
total = sum([value for value, r in given]) - sum([value for value, r in passed])
print(len(given), "given,", len(passed), "passed, balance", total)
if given or passed:
    answer("quantity", round(total, 2), [r for value, r in given + passed], q["unit"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
}
