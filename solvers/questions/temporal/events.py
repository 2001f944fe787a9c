"""Experts for what followed an event, how long a result took, where the patient was."""

from __future__ import annotations

from solvers.questions.analyst import DRUGS, EFFECTIVE, Expert

_RESULT = f"""
rows = []
for r in resources.get("Observation", []):
    t = when(r, {EFFECTIVE})
    if has_code(r, q["code"]) and len(t) == 19 and q["t_from"] <= t < q["t_to"] and len(when(r, "issued")) == 19:
        rows.append((t, when(r, "issued"), r))
rows.sort(key=lambda row: row[0])
place = 0 if q["place"] == "first" else len(rows) - 1
"""

EXPERTS = {
    "within_days_after": Expert(
        types=("Procedure", "MedicationRequest"),
        follow=DRUGS,
        code=(
            """
from datetime import date, timedelta

events = []
for p in resources["Procedure"]:
    t = when(p, "performedDateTime", "performedPeriod.start")
    if len(t) >= 10 and codings(p):
        events.append((t[:10], codings(p)[0].get("code"), p))
since = min([day for day, code, p in events if code == q["code"]])
until = (date.fromisoformat(since) + timedelta(days=int(q["days"]))).isoformat()
used = [p for day, code, p in events if code == q["code"] and day == since]
print("from", since, "to", until)
if q["what"] == "drugs":
    events = []
    for r in resources.get("MedicationRequest", []):
        t = when(r, "authoredOn")
        if len(t) >= 10 and drug_of(r):
            events.append((t[:10], drug_of(r).lower(), r))
found = [row for row in events if since < row[0] <= until and row[1] and row[1] != q["code"]]
for day, item, r in sorted(found, key=lambda row: row[0])[:12]:
    print(day, item)
answer("set", sorted({row[1] for row in found}), used + [row[2] for row in found])
""",
        ),
    ),
    "time_to_result": Expert(
        types=("Observation",),
        code=(
            _RESULT
            + """
print(len(rows), "results")
if rows:
    t, issued, r = rows[place]
    print("taken", t, "issued", issued)
    print("FETCH " + json.dumps([r["specimen"]["reference"]] if ref_id(r, "specimen") else []))
""",
            "from datetime import datetime\n"
            + _RESULT
            + """
if rows:
    t, issued, r = rows[place]
    used = [r]
    for s in resources.get("Specimen", []):
        collected = when(s, "collection.collectedDateTime", "collection.collectedPeriod.start")
        if s["id"] == ref_id(r, "specimen") and len(collected) == 19:
            t = collected
            used.append(s)
    print("collected", t, "issued", issued)
    seconds = (datetime.fromisoformat(issued) - datetime.fromisoformat(t)).total_seconds()
    answer("duration", round(seconds / (3600 if q["scale"] == "hours" else 60), 2), used, q["scale"])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "ward_at": Expert(
        types=("Encounter",),
        follow=(("Encounter", "location.location"),),
        code=(
            """
names = {}
for x in resources.get("Location", []):
    names[x["id"]] = x.get("name")
    for i in x.get("identifier", []):
        names[i.get("system", "") + "|" + i.get("value", "")] = x.get("name")
found = []
for e in resources.get("Encounter", []):
    for entry in e.get("location", []):
        start, end = when(entry, "period.start"), when(entry, "period.end")
        place = entry.get("location") or {}
        ref = place.get("reference") or ""
        key = ref.split("identifier=")[-1] if "?" in ref else ref.split("/")[-1].split(":")[-1]
        name = names.get(key) or place.get("display")
        if len(start) == 19 and len(end) == 19 and start <= q["moment"] < end and name:
            found.append((name, e))
            print(start, end, name)
if found:
    answer("string", found[0][0], [e for name, e in found])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
}
