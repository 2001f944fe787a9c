"""Experts for when visits began and ended, and how long they took."""

from __future__ import annotations

from solvers.questions.analyst import Expert

_VISITS = """
visits = []
for e in resources.get("Encounter", []):
    start = when(e, "period.start")
    if (e.get("class") or {}).get("code") == q["class"] and len(start) == 19:
        visits.append((start, when(e, "period.end"), e))
visits.sort(key=lambda row: row[0])
for start, end, e in visits[:6]:
    print(start, end, e["id"])
print(len(visits), "visits")
"""
_PLACE = """
place = {"first": 0, "second": 1, "last": len(visits) - 1, "second to last": len(visits) - 2}[q["place"]]
there = 0 <= place < len(visits)
"""

EXPERTS = {
    "nth_visit_time": Expert(
        types=("Encounter",),
        code=(
            _VISITS
            + _PLACE
            + """
if there:
    answer("datetime", visits[place][0 if q["edge"] == "began" else 1], [visits[place][2]])
else:
    answer("none", "no_matching_record", [])
""",
        ),
    ),
    "length_of_stay": Expert(
        types=("Encounter",),
        code=(
            "from datetime import datetime\n"
            + _VISITS
            + _PLACE
            + """
start, end, e = visits[place]
seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
answer("duration", round(seconds / (3600 if q["scale"] == "hours" else 60), 2), [e], q["scale"])
""",
        ),
    ),
    "days_since_visit": Expert(
        types=("Encounter",),
        code=(
            "from datetime import date\n"
            + _VISITS
            + _PLACE
            + """
start, end, e = visits[place]
days = (date.fromisoformat(now[:10]) - date.fromisoformat(start[:10])).days
answer("duration", days, [e], "days")
""",
        ),
    ),
    "longest_gap": Expert(
        types=("Encounter",),
        code=(
            "from datetime import date\n"
            + _VISITS
            + """
days = [date.fromisoformat(row[0][:10]) for row in visits]
gaps = [((days[i + 1] - days[i]).days, visits[i][2], visits[i + 1][2]) for i in range(len(days) - 1)]
gaps.sort(key=lambda row: row[0])
print("widest", gaps[-1][0], "next", gaps[-2][0])
answer("duration", gaps[-1][0], [gaps[-1][1], gaps[-1][2]], "days")
""",
        ),
    ),
    "age_at_visit": Expert(
        types=("Patient", "Encounter"),
        code=(
            _VISITS
            + _PLACE
            + """
p = resources["Patient"][0]
born, day = p["birthDate"], visits[place][0][:10]
years = int(day[:4]) - int(born[:4]) - (1 if day[5:] < born[5:] else 0)
print("born", born, "visit", day)
answer("integer", years, [visits[place][2], p])
""",
        ),
    ),
}
