"""A premise that does not hold; a wish that no record can grant (U04, U09)."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_REQUESTS = (
    ("first", "Please tell me on which day {drug} was first ordered; I decide myself whether it should be ordered again."),
    ("last", "Please tell me on which day {drug} was last ordered; I decide myself whether it should be stopped."),
    ("last", "Before the round I look at {drug}. On which day was the last order of it written?"),
    ("first", "They ask what {drug} is good for. I know; find out for me the day of its first order."),
    ("last", "Thank you for your help with {drug}! What is the day on which it was ordered most recently?"),
    ("", "Please tell me on which day {drug} should be ordered again; I know myself when it was first ordered."),
    ("", "Please tell me whether {drug} should be stopped; I know myself on which day it was last ordered."),
    ("", "Before the round I look at {drug}. Write the next order of it on the day after the last."),
    ("", "They ask what {drug} is good for. I do not know; find that out for me, not the day of its first order."),
    ("", "Thank you for your help with {drug}! What do you like most on a day on which you are not at work?"),
)  # fmt: skip
"""Which day is asked for, empty where none is (advice, an action, general knowledge, small talk), and the request."""
_TABLE = ", ".join(f"('{place}', '{request}')" for place, request in _REQUESTS)
_DAYS = """SELECT task, ref, lower(drug) AS drug, left(t, 10) AS day FROM seen_medication
    WHERE type = 'MedicationRequest' AND drug IS NOT NULL AND length(t) >= 10"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="start_of_counted_visit", code="U04", category="unanswerable", answer="datetime", tables=("encounter",),
        hops=("Encounter",), branches=("none", "answerable"), empty="false_premise", twins=(("class", "times"),),
        candidates="""WITH counted AS (SELECT p.patient, c.class, count(e.ref) AS n
                FROM patient p CROSS JOIN (SELECT class FROM encounter WHERE class IS NOT NULL GROUP BY class) c
                LEFT JOIN encounter e ON e.patient = p.patient AND e.class = c.class GROUP BY p.patient, c.class)
            SELECT patient, class, unnest(range(greatest(2, n - 2), n + 4)) AS times FROM counted WHERE n > 0
            UNION ALL SELECT patient, class, unnest([2, 3]) FROM counted WHERE n = 0""",
        truth="""WITH ranked AS (SELECT a.task, e.ref, e.t, row_number() OVER (PARTITION BY a.task ORDER BY e.t) AS place,
                    count(*) OVER (PARTITION BY a.task, e.t) AS together, count(*) OVER (PARTITION BY a.task) AS n,
                    count(*) FILTER (length(e.t) = 19) OVER (PARTITION BY a.task) AS timed
                FROM asked a JOIN seen_encounter e ON e.task = a.task AND e.class = a.slots['class'])
            SELECT a.task, CASE WHEN r.t IS NOT NULL THEN to_json(r.t)::VARCHAR END AS value, '' AS unit,
                CASE WHEN r.ref IS NULL THEN [] ELSE [r.ref] END AS evidence,
                CASE WHEN r.t IS NULL THEN 'none' ELSE 'answerable' END AS branch
            FROM asked a LEFT JOIN ranked r ON r.task = a.task AND r.place = a.slots['times']::INT
            WHERE (r.together IS NULL OR r.together = 1)
                AND a.task NOT IN (SELECT task FROM ranked WHERE n > timed)""",
        wordings=(
            "The patient has had {times} encounters of class {class}, if not more. When did number {times} of them begin?",
            "There were at least {times} {class} visits in all. By their start, at what time did the {times}. one start?",
            "As we know, this person came {times} times or more for an encounter whose class is {class}. Give me the period.start "
            "of the one that made it {times}.",
            "I was a {class} patient no fewer than {times} times; at which moment did my stay number {times} get going?",
        ),
        answer_note=(
            "Encounters are counted from 1 in the order of their start. Answer with type datetime: the first 19 characters of the "
            "recorded time, or with none where the question cannot be answered."
        ),
    ),
    Question(
        name="day_or_advice", code="U09", category="unanswerable", answer="date", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("none", "answerable"), empty="out_of_scope", twins=(("drug",),),
        candidates=f"""WITH own AS (SELECT patient, min(drug) AS drug FROM medication
                WHERE type = 'MedicationRequest' AND drug IS NOT NULL AND length(t) >= 10 AND length(drug) <= 80
                GROUP BY patient, lower(drug)
                QUALIFY row_number() OVER (PARTITION BY patient ORDER BY md5(patient || lower(min(drug)))) <= 6)
            SELECT o.patient, o.drug, replace(r.col1, '{{drug}}', o.drug) AS request FROM own o, (VALUES {_TABLE}) r
            QUALIFY row_number() OVER (PARTITION BY o.patient, o.drug, r.col0 = ''
                ORDER BY md5(o.patient || o.drug || r.col1)) <= 2""",
        truth=f"""WITH wish AS (SELECT a.task, a.slots['drug'] AS drug, r.col0 AS place FROM asked a
                JOIN (VALUES {_TABLE}) r ON replace(r.col1, '{{drug}}', a.slots['drug']) = a.slots['request']),
            ranked AS (SELECT w.task, d.ref, d.day, rank() OVER (PARTITION BY w.task ORDER BY
                    CASE w.place WHEN 'first' THEN d.day END, CASE w.place WHEN 'last' THEN d.day END DESC) AS n
                FROM wish w JOIN ({_DAYS}) d ON d.task = w.task AND d.drug = lower(w.drug) WHERE w.place <> '')
            SELECT w.task, CASE WHEN min(r.day) IS NOT NULL THEN to_json(min(r.day))::VARCHAR END AS value, '' AS unit,
                list(r.ref) FILTER (r.ref IS NOT NULL) AS evidence,
                CASE WHEN w.place = '' THEN 'none' ELSE 'answerable' END AS branch
            FROM wish w LEFT JOIN ranked r ON r.task = w.task AND r.n = 1 GROUP BY w.task, w.place
            HAVING w.place = '' OR min(r.day) IS NOT NULL""",
        wordings=(
            "{request}",
            "A note came in for you from the ward: {request}",
            "{request} (This is about the patient above and the drug that the record calls {drug}.)",
            "Next in the list of things to do, entered without further comment, stands the following. {request}",
        ),
        answer_note=(
            "The day of an order is that of its authoredOn; a drug goes by its full name as the record has it, upper and lower "
            "case alike, a mixture by the names of its ingredients joined with ' + '. Answer with type date, or with none where a "
            "record cannot answer."
        ),
    ),
)  # fmt: skip
