"""The results that labs' truths rest on: one SQL query for any number of cases, scenarios included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from fhirtasks.graph.scenario import Scenario
from fhirtasks.graph.world import World
from graders import overlay

FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Case:
    """Which results are asked for: of one patient, of one bare code, timed from ``low`` to ``high`` (µs, both
    inclusive).

    With ``newest`` only those of the latest time that counts; with ``plain`` only those with a number that were not
    voided
    (``entered-in-error``, ``cancelled``): https://hl7.org/fhir/R4/valueset-observation-status.html.
    """

    key: str
    patient: str
    code: str
    now: int
    scenario: Scenario
    low: int = -FOREVER
    high: int = FOREVER
    newest: bool = True
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """One result: ``time`` in µs and ``effective`` as written, ``value`` its digits as written."""

    id: str
    time: int | None
    effective: str | None
    value: str | None
    raw: str


@dataclass(slots=True)
class Found:
    """``counted``: what was asked for, in id order. ``others``: ids of the patient's other results of the code, by time."""

    counted: list[Result] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


TEXTS = 16_384
"""Texts of results that are kept for the next cases: a patient is asked about again and again."""

# The texts of the world's results are not asked for here: most results are only counted.
_QUERY = """
WITH task AS MATERIALIZED (
    SELECT unnest($key::INTEGER[]) AS key, unnest($patient::VARCHAR[]) AS patient,
        unnest($tokens::VARCHAR[][]) AS tokens, unnest($now::BIGINT[]) AS now, unnest($low::BIGINT[]) AS low,
        unnest($high::BIGINT[]) AS high,
        unnest($newest::BOOLEAN[]) AS newest, unnest($plain::BOOLEAN[]) AS plain
), hidden AS MATERIALIZED (
    SELECT unnest($hidden_key::INTEGER[]) AS key, unnest($hidden_id::VARCHAR[]) AS id
), added AS MATERIALIZED (
    SELECT unnest($added_key::INTEGER[]) AS key, unnest($added_id::VARCHAR[]) AS id,
        unnest($added_status::VARCHAR[]) AS status, unnest($added_time::BIGINT[]) AS date_lo,
        unnest($added_effective::VARCHAR[]) AS effective,
        unnest($added_value::VARCHAR[]) AS value, unnest($added_raw::VARCHAR[]) AS raw
), coded AS (
    SELECT id, patient, unnest(list_distinct(codes)) AS token, status, date_lo, effective, value, NULL AS raw,
        {available} AS available
    FROM resource
    WHERE type = 'Observation' AND patient IN (SELECT patient FROM task) AND list_has_any(codes, $all_tokens)
), native AS (
    SELECT {once} task.*, r.id, r.status, r.date_lo, r.effective, r.value, r.raw
    FROM (SELECT *, unnest(tokens) AS token FROM task) task
    JOIN coded r ON r.patient = task.patient AND r.token = task.token
    WHERE r.available IS NULL OR r.available <= task.now
), listed AS (
    SELECT * EXCLUDE (token) FROM native ANTI JOIN hidden ON hidden.key = native.key AND hidden.id = native.id
    UNION ALL
    SELECT task.*, a.id, a.status, a.date_lo, a.effective, a.value, a.raw FROM task JOIN added a ON a.key = task.key
), judged AS (
    SELECT *, NOT plain OR (date_lo BETWEEN low AND high AND value IS NOT NULL
        AND status IS DISTINCT FROM 'entered-in-error' AND status IS DISTINCT FROM 'cancelled') AS counts FROM listed
), newest AS (
    SELECT key, max(date_lo) FILTER (counts) AS time FROM judged GROUP BY key
), ranked AS MATERIALIZED (
    SELECT judged.*, counts AND (NOT judged.newest OR date_lo = newest.time) AS chosen FROM judged JOIN newest USING (key)
)
SELECT key, id, date_lo, effective, value, CASE WHEN plain THEN raw ELSE '' END, NULL FROM ranked WHERE chosen
UNION ALL
SELECT key, NULL, NULL, NULL, NULL, NULL, list(id ORDER BY date_lo NULLS FIRST, id) FROM ranked WHERE NOT chosen GROUP BY key
ORDER BY key, id
"""


def tokens(world: World) -> dict[str, list[str]]:
    """Bare code -> the ``system|code`` tokens that Observations of the world have it by."""
    key = ("graders.results", "tokens")
    found: dict[str, list[str]] | None = world.memo.get(key)
    if found is None:
        found = world.memo[key] = {}
        rows = world.db.execute(
            "SELECT DISTINCT unnest(codes) AS token FROM resource WHERE type = 'Observation' ORDER BY token"
        ).fetchall()
        for (token,) in rows:
            found.setdefault(token.rpartition("|")[2], []).append(token)
    return found


def select(cases: Sequence[Case], world: World) -> dict[str, Found]:
    """What each case finds, by its key."""
    found = {case.key: Found() for case in cases}
    if not cases:
        return found
    known = tokens(world)
    hidden = [(n, id) for n, case in enumerate(cases) for id in sorted(overlay.gone(case.scenario, "Observation"))]
    added = [(n, one) for n, case in enumerate(cases) for one in _of(case)]
    values = {
        "key": list(range(len(cases))),
        "patient": [case.patient for case in cases],
        "tokens": [known.get(case.code, []) for case in cases],
        "all_tokens": sorted({token for case in cases for token in known.get(case.code, [])}),
        "now": [case.now for case in cases],
        "low": [case.low for case in cases],
        "high": [case.high for case in cases],
        "newest": [case.newest for case in cases],
        "plain": [case.plain for case in cases],
        "hidden_key": [n for n, _ in hidden],
        "hidden_id": [id for _, id in hidden],
        "added_key": [n for n, _ in added],
        "added_id": [one.id for _, one in added],
        "added_status": [one.status for _, one in added],
        "added_time": [one.date_lo for _, one in added],
        "added_effective": [one.effective for _, one in added],
        "added_value": [one.value for _, one in added],
        "added_raw": [one.raw for _, one in added],
    }
    # A result whose codings share a bare code counts once; where each code has one system, there is none such.
    once = "DISTINCT ON (task.key, r.id)" if any(len(known.get(case.code, ())) > 1 for case in cases) else ""
    available = "available" if world.has_available else "NULL::BIGINT"
    rows = world.db.execute(_QUERY.format(available=available, once=once), values).fetchall()
    texts = _texts({id for _, id, _, _, _, raw, others in rows if others is None and raw is None}, world)
    for n, id, time, effective, value, raw, others in rows:
        if others is None:
            found[cases[n].key].counted.append(Result(id, time, effective, value, texts[id] if raw is None else raw))
        else:
            found[cases[n].key].others = others
    return found


def _texts(ids: Set[str], world: World) -> dict[str, str]:
    """The JSON texts of these results of the world, by id."""
    known: dict[str, str] = world.memo.setdefault(("graders.results", "texts"), {})
    lacking = sorted(ids - known.keys())
    if lacking:
        if len(known) + len(lacking) > TEXTS:
            known = world.memo["graders.results", "texts"] = {id: known[id] for id in ids & known.keys()}
        rows = world.db.execute(
            "SELECT id, raw FROM resource WHERE type = 'Observation' AND id IN (SELECT unnest(?::VARCHAR[]))", [lacking]
        )
        known.update(rows.fetchall())
    return known


def _of(case: Case) -> Iterable[overlay.Added]:
    """The scenario's own results of the case's patient and code."""
    return (
        one
        for one in overlay.added(case.scenario, "Observation")
        if one.patient == case.patient and any(token.rpartition("|")[2] == case.code for token in one.codes)
    )
