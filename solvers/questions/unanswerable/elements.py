"""Experts for elements that a resource may lack, and for values that may be held back."""

from __future__ import annotations

from solvers.questions.analyst import Expert

EXPERTS = {
    "element_of_resource": Expert(
        types=("{type}",),
        code=(
            """
def told(r):
    if q["type"] == "Encounter":
        return "the encounter that began at " + when(r, "period.start")
    if q["type"] == "Condition":
        return "the condition with the code " + (codings(r) or [{}])[0].get("code", "")
    return "the patient"

chosen = [r for r in resources[q["type"]] if told(r) == q["subject"]]
value = chosen[0]
for name in q["element"].split("."):
    value = value.get(name) if isinstance(value, dict) else None
    value = value[0] if isinstance(value, list) and value else value
print(len(chosen), sorted(chosen[0]))
if value is None:
    answer("none", "not_recorded", chosen)
else:
    answer("string", str(value), chosen)
""",
        ),
    ),
    "value_at_time": Expert(
        types=("Observation",),
        code=(
            """
chosen = []
for r in resources["Observation"]:
    if has_code(r, q["code"]) and when(r, "effectiveDateTime", "effectivePeriod.start", "effectiveInstant") == q["time"]:
        chosen.append(r)
r = chosen[0]
coded = r.get("valueCodeableConcept") or {}
first = (coded.get("coding") or [{}])[0]
quantity = r.get("valueQuantity") or {}
held_back = "dataAbsentReason" in r or first.get("system", "").endswith(("v3-NullFlavor", "data-absent-reason"))
print(len(chosen), {k: v for k, v in r.items() if k.startswith("value") or k == "dataAbsentReason"})
if held_back:
    answer("none", "masked", chosen)
elif "value" in quantity:
    answer("string", str(quantity["value"]), chosen)
else:
    told = [r.get("valueString"), coded.get("text"), first.get("display"), first.get("code"), r.get("valueDateTime")]
    answer("string", [text for text in told if text is not None][0], chosen)
""",
        ),
    ),
}
