"""What a world lets one ask: per family, questions with their truth, by branch, found in two SQL statements.

A question is kept if it is not ambiguous, if its answer is not one that half of its branch has, and, where it has an
answer, if taking its evidence away would change it. Where a patient has void records, or times without a day, it is asked again
without those and with each end of the month or year: another answer makes it ambiguous.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from fhirtasks.episodes.code import permitted
from fhirtasks.graph.views import HELD_BACK, VOID, views
from fhirtasks.graph.world import World
from fhirtasks.tasks.questions.truth import truths
from fhirtasks.tasks.questions.types import Asked, Question, Truth
from fhirtasks.tasks.seeds import rng
from fhirtasks.tasks.timeline import Moment, moments

MOST = 4_000
"""Questions of one family that are looked at in one world."""
SHARE = 0.25
"""The largest share of a branch that may have one and the same answer (where the answer is not the branch itself)."""
_NOTHING = frozenset((None, "0", "[]", "{}"))
_MINUTE = 60_000_000


def pool(question: Question, world: World) -> dict[str, list[tuple[Asked, Truth]]]:
    """Questions of the family by branch, in a fixed order."""
    key = (__name__, question.name, question.version)
    if key not in world.memo:
        world.memo[key] = _pool(question, world)
    found: dict[str, list[tuple[Asked, Truth]]] = world.memo[key]
    return found


def _pool(question: Question, world: World) -> dict[str, list[tuple[Asked, Truth]]]:
    asked = _candidates(question, world)
    known = _settled(question, asked, truths(question, asked, world), world)
    without = truths(question, asked, world, hidden={task: truth.evidence for task, truth in known.items()})
    by_branch: dict[str, list[tuple[Asked, Truth]]] = defaultdict(list)
    for one in asked:
        truth = known.get(one.task)
        if truth is None or truth.branch not in question.branches:
            continue
        if one.slots.get("t_from", "") > one.now[:19] and truth.reason != "future":
            continue
        if _coded_twice(one, world) or (truth.reason == "no_matching_record" and _held_back(one, world)):
            continue
        other = without.get(one.task)
        if truth.evidence and other is not None and _said(other) == _said(truth):
            continue
        if (
            not truth.evidence
            and question.answer not in ("boolean", "integer")
            and truth.value not in (None, "[]", "{}")
        ):
            continue
        by_branch[truth.branch].append((one, truth))
    varied = {branch: _varied(rows, question) for branch, rows in sorted(by_branch.items())}
    return _balanced(varied, question) if question.twins else varied


def _settled(question: Question, asked: Sequence[Asked], known: dict[str, Truth], world: World) -> dict[str, Truth]:
    """The truths that stay the same if void records are not counted, and wherever in its month or year a time without a day
    lies."""
    doubts = _doubts(world)
    whose = {one.task: permitted({"patient": one.patient, **one.slots}) for one in asked}
    doubtful = [one for one in asked if any(patient in doubts for patient in whose[one.task])]
    if not doubtful:
        return known
    void = {one.task: [ref for patient in whose[one.task] for ref in doubts.get(patient, ())] for one in doubtful}
    readings = (
        truths(question, doubtful, world, hidden=void),
        truths(question, doubtful, world, edge="first"),
        truths(question, doubtful, world, edge="last"),
    )
    unsettled = {
        one.task
        for one in doubtful
        if one.task in known and any(_said(known[one.task]) != _said(reading.get(one.task)) for reading in readings)
    }
    return {task: truth for task, truth in known.items() if task not in unsettled}


def _doubts(world: World) -> dict[str, list[str]]:
    """Patients with records that are void, which these are, and patients with times without a day."""
    key = (__name__, "doubts")
    if key not in world.memo:
        rows = views(world).execute(f"""SELECT patient, coalesce(list(ref ORDER BY ref) FILTER ({VOID}), []) FROM record
            WHERE patient IS NOT NULL AND ({VOID} OR length(effective) < 10
                OR length(json_extract_string(raw, '$.abatementDateTime')) < 10) GROUP BY patient""")
        world.memo[key] = dict(rows.fetchall())
    found: dict[str, list[str]] = world.memo[key]
    return found


def _held_back(one: Asked, world: World) -> bool:
    """Whether the patient has an Observation of a code that the question names whose value is held back: that nothing fits is
    then not all that can be said."""
    key = (__name__, "held back")
    if key not in world.memo:
        rows = views(world).execute(f"SELECT DISTINCT patient, code FROM observation WHERE {HELD_BACK}").fetchall()
        world.memo[key] = frozenset(rows)
    patients = permitted({"patient": one.patient, **one.slots})
    codes = [value for name, value in one.slots.items() if name.startswith("code")]
    return any((patient, code) in world.memo[key] for patient in patients for code in codes)


def _coded_twice(one: Asked, world: World) -> bool:
    """Whether a resource of the patient has a code that the question names beside a first one that is another: whether it is meant
    cannot be told."""
    key = (__name__, "coded twice")
    if key not in world.memo:
        rows = views(world).execute("""SELECT DISTINCT patient, code FROM (SELECT patient,
                regexp_extract(codes[1], '[^|]*$') AS first, regexp_extract(unnest(codes[2:]), '[^|]*$') AS code
                FROM record WHERE patient IS NOT NULL AND len(codes) > 1) WHERE code <> first""")
        world.memo[key] = frozenset(rows.fetchall())
    patients = permitted({"patient": one.patient, **one.slots})
    codes = [value for name, value in one.slots.items() if "code" in name]
    return any((patient, code) in world.memo[key] for patient in patients for code in codes)


def _said(truth: Truth | None) -> tuple[str | None, str, str] | None:
    return None if truth is None else (truth.value, truth.unit, truth.reason)


def _candidates(question: Question, world: World) -> list[Asked]:
    # md5 and not hash: the order must be the same with every version of the database.
    rows = views(world).execute(f"""SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY patient ORDER BY mixed) AS n
        FROM (SELECT *, md5(c::VARCHAR) AS mixed FROM ({question.candidates}) c WHERE patient IS NOT NULL))
        WHERE n <= {int(question.per_patient)} ORDER BY mixed LIMIT {MOST}""")
    names = [column[0] for column in rows.description or ()]
    asked = []
    for number, row in enumerate(rows.fetchall()):
        told: dict[str, Any] = dict(zip(names, row, strict=True))
        complete = all(value is not None for value in told.values())
        owners, since = tuple(told.pop("owners", None) or ()), told.pop("since", None)
        slots = {name: str(value) for name, value in told.items() if name not in ("patient", "mixed", "n")}
        whose = owners[:1] or permitted({"patient": told["patient"], **slots})
        now = _now(question, world, whose, told["mixed"], since) if complete else None
        if now is not None:
            asked.append(Asked(f"{question.name}-{number}", told["patient"], now.text, slots, owners))
    return asked


def _now(question: Question, world: World, patients: Sequence[str], mixed: str, after: int | None) -> Moment | None:
    """Some time in the six weeks after all that is known of the patients: nothing then tells of later events. Or, where it is
    given, in those ``after`` an instant in µs: what became known later is then not seen."""
    lasts = [last for patient in patients if (last := _last(world).get(patient)) is not None]
    known = [own[-1] for patient in patients if (own := moments(world, patient))]
    if not lasts or not known:
        return None
    last = max(*lasts, *(moment.instant for moment in known)) if after is None else after
    since = last // _MINUTE * _MINUTE
    return Moment(since, known[0].offset).later(rng(f"{question.name}/{mixed}").randrange(1, 42 * 24 * 60) * _MINUTE)


def _last(world: World) -> dict[str, int]:
    key = (__name__, "last")
    if key not in world.memo:
        rows = views(world).execute(
            "SELECT patient, max(available) FROM record WHERE patient IS NOT NULL GROUP BY patient"
        )
        world.memo[key] = {patient: last for patient, last in rows.fetchall() if last is not None}
    found: dict[str, int] = world.memo[key]
    return found


def _varied(rows: list[tuple[Asked, Truth]], question: Question) -> list[tuple[Asked, Truth]]:
    """The rows with no answer more frequent than :data:`SHARE` allows, unless the branch is that answer."""
    if question.answer in ("boolean", "choice") or {truth.value for _, truth in rows} <= _NOTHING:
        return rows
    most = max(2, int(SHARE * len(rows)))
    seen: Counter[str | None] = Counter()
    kept = []
    for one, truth in rows:
        seen[truth.value] += 1
        if seen[truth.value] <= most:
            kept.append((one, truth))
    return kept


def _balanced(
    by_branch: dict[str, list[tuple[Asked, Truth]]], question: Question
) -> dict[str, list[tuple[Asked, Truth]]]:
    """The rows of every branch less those that have no counterpart in each other one, by each of the question's ``twins``."""
    rows = {branch: by_branch.get(branch, []) for branch in question.branches}
    while True:
        size = sum(map(len, rows.values()))
        for names in question.twins:
            cells = {branch: Counter(_cell(one, names) for one, _ in found) for branch, found in rows.items()}
            for branch, found in rows.items():
                seen: Counter[tuple[str, ...]] = Counter()
                kept = []
                for one, truth in found:
                    cell = _cell(one, names)
                    seen[cell] += 1
                    if seen[cell] <= min(counts[cell] for counts in cells.values()):
                        kept.append((one, truth))
                rows[branch] = kept
        # What one pair of slots drops may be the counterpart by another: until nothing is dropped any more.
        if sum(map(len, rows.values())) == size:
            return rows


def _cell(one: Asked, names: Sequence[str]) -> tuple[str, ...]:
    told = {"patient": one.patient, **one.slots}
    return tuple(told[name] for name in names)
