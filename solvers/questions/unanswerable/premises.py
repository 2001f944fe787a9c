"""Experts for visits that the question counts, and for wishes of which some ask for a day."""

from __future__ import annotations

import re
from collections.abc import Generator

from fhirtasks.episodes.types import Call, Observation, PublicTask, Solver
from fhirtasks.fhir.jsontext import Json
from solvers.questions.analyst import DRUGS, Expert, none, solver

_ORDERS = """
days = {}
for r in resources.get("MedicationRequest", []):
    t = when(r, "authoredOn")
    if drug_of(r).lower() == q["drug"].lower() and len(t) >= 10:
        days.setdefault(t[:10], []).append(r)
print(len(days), "days with an order:", sorted(days)[:4], "to", sorted(days)[-4:])
"""

EXPERTS = {
    "start_of_counted_visit": Expert(
        types=("Encounter",),
        code=(
            """
visits = [r for r in resources.get("Encounter", []) if (r.get("class") or {}).get("code") == q["class"]]
visits.sort(key=lambda r: when(r, "period.start"))
print(len(visits), "encounters of class", q["class"], [when(r, "period.start") for r in visits[-6:]])
place = int(q["times"])
if place > len(visits):
    answer("none", "false_premise", [])
else:
    answer("datetime", when(visits[place - 1], "period.start"), [visits[place - 1]])
""",
        ),
    ),
}

_FIRST, _LAST = (
    solver(
        Expert(
            types=("MedicationRequest",),
            follow=DRUGS,
            code=(f'{_ORDERS}answer("date", {pick}(days), days[{pick}(days)])\n',),
        )
    )
    for pick in ("min", "max")
)
_ASKED = (
    (re.compile(r"was first ordered; I decide|find out for me the day of its first order"), _FIRST),
    (re.compile(r"was last ordered; I decide|was the last order of it written|was ordered most recently"), _LAST),
)
"""Sentences that ask for a day that the record has. Whatever else is wished for, it cannot give."""


def day_or_advice(task: PublicTask) -> Generator[Call, Observation, dict[str, Json]]:
    """Looks whether the wish is one for a day; if not, a look at the record is all there is to do."""
    for sentence, find in _ASKED:
        if sentence.search(task.slots["request"]):
            answer = yield from find(task)
            assert isinstance(answer, dict)
            return answer
    yield Call("coverage", {"patient": task.slots["patient"]})
    return none("out_of_scope")


SOLVERS: dict[str, Solver] = {"day_or_advice": day_or_advice}
