"""Two visits set side by side: their drugs, diagnoses and values; which visit had most of something."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_PAIRS = "(VALUES ('first', 'second'), ('first', 'last'), ('second', 'last'), ('second to last', 'last')) p(one, other)"


def _place(slot: str) -> str:
    """Whether the visit, which has places ``up`` and ``down``, is the one that the slot names."""
    return f"""CASE a.slots['{slot}'] WHEN 'first' THEN v.up = 1 WHEN 'second' THEN v.up = 2 WHEN 'last' THEN v.down = 1
        ELSE v.down = 2 END"""


def _two_visits(held: str) -> str:
    """``item`` (task, item, in_one, in_other, refs) of the two visits among those that hold something.

    ``held`` gives task, encounter, item, ref. Visits that begin at one time are a tie; where the first is not before the other
    there is no row.
    """
    return f"""WITH held AS ({held}),
        visit AS (SELECT e.task, e.id, e.t, row_number() OVER (PARTITION BY e.task ORDER BY e.t) AS up,
                row_number() OVER (PARTITION BY e.task ORDER BY e.t DESC) AS down,
                count(*) OVER (PARTITION BY e.task, e.t) AS together
            FROM seen_encounter e WHERE length(e.t) = 19 AND (e.task, e.id) IN (SELECT (task, encounter) FROM held)),
        pair AS (SELECT a.task, any_value(v.id) FILTER ({_place("one")}) AS one, any_value(v.id) FILTER ({_place("other")}) AS other
            FROM asked a JOIN visit v USING (task) GROUP BY a.task
            HAVING max(v.together) = 1 AND max(v.t) FILTER ({_place("one")}) < max(v.t) FILTER ({_place("other")})),
        item AS (SELECT p.task, h.item, bool_or(h.encounter = p.one) AS in_one, bool_or(h.encounter = p.other) AS in_other,
                list(h.ref) AS refs
            FROM pair p JOIN held h ON h.task = p.task AND h.encounter IN (p.one, p.other) GROUP BY p.task, h.item)"""


_DRUGS = """SELECT task, encounter, lower(drug) AS item, ref FROM seen_medication
    WHERE type = 'MedicationRequest' AND drug IS NOT NULL AND encounter <> ''"""
_DIAGNOSES = "SELECT task, encounter, code AS item, ref FROM seen_condition WHERE code IS NOT NULL AND encounter <> ''"

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="new_or_dropped_drugs", code="C04", category="comparison", answer="set", tables=("encounter", "medication"),
        hops=("Encounter", "MedicationRequest", "Medication"), branches=("new", "dropped"),
        candidates=f"""SELECT patient, kind, one, other FROM (SELECT patient FROM medication WHERE type = 'MedicationRequest'
                AND encounter <> '' GROUP BY patient HAVING count(DISTINCT encounter) >= 2), {_PAIRS},
                (VALUES ('new'), ('dropped')) k(kind)""",
        truth=f"""{_two_visits(_DRUGS)}, wanted AS (SELECT i.* FROM item i JOIN asked a USING (task)
                WHERE CASE a.slots['kind'] WHEN 'new' THEN in_other AND NOT in_one ELSE in_one AND NOT in_other END)
            SELECT w.task, to_json(list(w.item ORDER BY w.item))::VARCHAR AS value, '' AS unit, flatten(list(w.refs)) AS evidence,
                any_value(a.slots['kind']) AS branch
            FROM wanted w JOIN asked a USING (task) GROUP BY w.task HAVING count(*) <= 40""",
        wordings=(
            "Which drugs were {kind} at the {other} visit compared with the {one}?",
            "Set the orders of two encounters against each other, the {one} and the {other} of those that have any, and list the "
            "{kind} medications.",
            "Going from my {one} to my {other} stay with prescriptions, what had been {kind}?",
            "Reconcile medication between visits: {one} before, {other} after. Name everything {kind}.",
        ),
        answer_note=(
            "Visits are the encounters that a MedicationRequest refers to, ordered by their start. New is a drug that the later of "
            "the two has an order of and the earlier has not; dropped is the reverse. A drug goes by its full name as the record "
            "has it, in lower case; a mixture by the names of its ingredients joined with ' + '. Answer with type set: the "
            "names."
        ),
    ),
    Question(
        name="shared_diagnoses", version="2", code="C09", category="comparison", answer="set", tables=("encounter", "condition"),
        hops=("Encounter", "Condition"), lacks=("Condition",), branches=("some", "empty"),
        needs="one code in the Conditions of two encounters",
        candidates=f"""SELECT patient, one, other FROM (SELECT patient FROM condition WHERE encounter <> '' GROUP BY patient
                HAVING count(DISTINCT encounter) >= 2), {_PAIRS}""",
        truth=f"""{_two_visits(_DIAGNOSES)}
            SELECT p.task, coalesce(to_json(list(i.item ORDER BY i.item) FILTER (i.item IS NOT NULL)), '[]')::VARCHAR AS value,
                '' AS unit, flatten(list(i.refs) FILTER (i.item IS NOT NULL)) AS evidence,
                CASE WHEN count(i.item) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM pair p LEFT JOIN item i ON i.task = p.task AND i.in_one AND i.in_other GROUP BY p.task
            HAVING count(i.item) <= 40""",
        wordings=(
            "Which diagnoses do the {one} and the {other} visit have in common?",
            "Intersect the Condition codes of two encounters: the {one} and the {other} among those with any.",
            "What was I diagnosed with at my {one} visit and again at the {other}?",
            "Give each code that stands under both the patient's {one} and {other} encounter with a diagnosis.",
        ),
        answer_note=(
            "Visits are the encounters that a Condition refers to, ordered by their start. Answer with type set: the codes; [] if "
            "there is none."
        ),
    ),
    Question(
        name="mean_last_against_first", code="C05", category="comparison", answer="quantity", tables=("encounter", "observation"),
        version="2", hops=("Encounter", "Observation"), lacks=("Observation",), branches=("found", "none"),
        candidates="""SELECT o.patient, o.code, min(o.display) AS label, o.unit, e.class AS class
            FROM (SELECT *, count(*) OVER (PARTITION BY patient, class) AS n FROM encounter WHERE class IS NOT NULL
                AND length(t) = 19 AND length(t_end) = 19) e
            JOIN observation o ON o.patient = e.patient AND o.value IS NOT NULL AND o.comparator IS NULL AND o.unit IS NOT NULL
                AND o.code IS NOT NULL AND o.display IS NOT NULL AND length(o.t) = 19 AND o.t >= e.t AND o.t < e.t_end
            WHERE e.n >= 2 GROUP BY o.patient, o.code, o.unit, e.class""",
        # A difference that lies between two roundings is left out.
        truth="""WITH stay AS (SELECT e.task, e.t, e.t_end, row_number() OVER (PARTITION BY e.task ORDER BY e.t) AS up,
                    row_number() OVER (PARTITION BY e.task ORDER BY e.t DESC) AS down,
                    count(*) OVER (PARTITION BY e.task, e.t) AS together
                FROM seen_encounter e WHERE e.class = e.slots['class'] AND length(e.t) = 19 AND length(e.t_end) = 19),
            clean AS (SELECT task FROM stay GROUP BY task HAVING max(together) = 1 AND count(*) >= 2),
            result AS (SELECT s.task, s.up = 1 AS is_first, o.value, o.ref FROM stay s JOIN seen_observation o ON o.task = s.task
                    AND o.code = o.slots['code'] AND o.unit = o.slots['unit'] AND o.value IS NOT NULL AND o.comparator IS NULL
                    AND length(o.t) = 19 AND o.t >= s.t AND o.t < s.t_end WHERE s.up = 1 OR s.down = 1),
            mean AS (SELECT task, avg(value) FILTER (NOT is_first) - avg(value) FILTER (is_first) AS away, list(ref) AS refs
                FROM result GROUP BY task)
            SELECT a.task, round(m.away, 2)::VARCHAR AS value, a.slots['unit'] AS unit,
                CASE WHEN m.away IS NULL THEN [] ELSE m.refs END AS evidence
            FROM asked a LEFT JOIN mean m USING (task) WHERE a.task IN (FROM clean)
                AND (m.away IS NULL OR abs(abs(m.away * 100) - floor(abs(m.away * 100)) - 0.5) > 0.0001)""",
        wordings=(
            "How far does the mean {label} (code {code}, {unit}) of the last {class} encounter differ from that of the first?",
            "Average {code}, {label}, within the periods of the earliest and the latest {class} visit; give last minus first in "
            "{unit}.",
            "Compare two stays of class {class}, the first one and the last: change of the mean of {label} [{code}], {unit}?",
            "Was my {code} ({label}) higher or lower on average during my newest {class} visit than during the oldest, and by how "
            "many {unit}?",
        ),
        answer_note=(
            "Encounters are ordered by their start; a result belongs to one if it was taken from its period's start on and before "
            "its end. Results with a comparator (<, >) do not count. Answer with type quantity and the unit, negative for a fall, "
            "rounded to 2 decimals; with none where one of the two encounters has no such result."
        ),
    ),
    Question(
        name="visit_with_most", code="C07", category="comparison", answer="datetime", tables=("encounter",),
        hops=("Encounter", "MedicationRequest", "Procedure", "Condition"), branches=("found",),
        candidates="""SELECT patient, class, most FROM encounter, (VALUES ('time from start to end'), ('MedicationRequests'),
                ('Procedures'), ('Conditions')) m(most)
            WHERE class IS NOT NULL AND length(t) = 19 AND length(t_end) = 19 GROUP BY ALL HAVING count(*) >= 2""",
        truth="""WITH held AS (SELECT task, encounter, ref FROM seen_medication WHERE slots['most'] = 'MedicationRequests'
                    AND type = 'MedicationRequest'
                UNION ALL SELECT task, encounter, ref FROM seen_procedure WHERE slots['most'] = 'Procedures'
                UNION ALL SELECT task, encounter, ref FROM seen_condition WHERE slots['most'] = 'Conditions'),
            visit AS (SELECT e.task, e.t, e.ref, list(h.ref) FILTER (h.ref IS NOT NULL) AS refs,
                    CASE WHEN any_value(e.slots['most']) LIKE 'time%' THEN date_diff('second', e.t::TIMESTAMP, e.t_end::TIMESTAMP)
                    ELSE count(h.ref) END AS n
                FROM seen_encounter e LEFT JOIN held h ON h.task = e.task AND h.encounter = e.id
                WHERE e.class = e.slots['class'] AND length(e.t) = 19 AND length(e.t_end) = 19
                GROUP BY e.task, e.id, e.ref, e.t, e.t_end),
            ranked AS (SELECT *, rank() OVER (PARTITION BY task ORDER BY n DESC) AS place FROM visit WHERE n > 0)
            SELECT task, to_json(any_value(t))::VARCHAR AS value, '' AS unit,
                list(ref) || flatten(list(coalesce(refs, []))) AS evidence
            FROM ranked WHERE place = 1 GROUP BY task HAVING count(*) = 1""",
        wordings=(
            "When did the encounter of class {class} with the most {most} begin?",
            "Rank the {class} visits by {most}; give the start of the one at the top.",
            "Among the patient's encounters whose class is {class}, one exceeds all others in {most}: at what moment did it start?",
            "I had several {class} stays. Tell me the admission time of that which has more {most} than any other.",
        ),
        answer_note=(
            "A resource belongs to the encounter that it refers to; an encounter counts if its period has a start and an end with "
            "a time. Answer with type datetime: the first 19 characters of period.start."
        ),
    ),
)  # fmt: skip
