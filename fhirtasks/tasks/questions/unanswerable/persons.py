"""A patient whom the server does not know; a person who is not the patient (U05, U10)."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_FEW = """few AS (SELECT patient, code, min(display) AS label FROM observation
    WHERE code IS NOT NULL AND display IS NOT NULL AND length(t) >= 10 GROUP BY patient, code
    QUALIFY row_number() OVER (PARTITION BY patient ORDER BY md5(patient || code)) <= 6)"""

_RANKED = """ranked AS (SELECT a.task, o.ref, left(o.t, 10) AS day, rank() OVER (PARTITION BY a.task ORDER BY
        CASE a.slots['place'] WHEN 'first' THEN left(o.t, 10) END,
        CASE a.slots['place'] WHEN 'last' THEN left(o.t, 10) END DESC) AS n
    FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND length(o.t) >= 10),
found AS (SELECT task, min(day) AS day, list(ref) AS refs FROM ranked WHERE n = 1 GROUP BY task)"""
"""The first or last day with an Observation of the code."""

_PERSON = """concat_ws(' ', list_aggregate(json_extract_string(raw, '$.name[0].given[*]'), 'string_agg', ' '),
    json_extract_string(raw, '$.name[0].family'))"""

_DAY = "The day of an Observation is that of effective[x], of a period the start. Answer with type date, or with none where "

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="day_for_patient_id", code="U05", category="unanswerable", answer="date", tables=("observation", "encounter"),
        hops=("Observation",), branches=("none", "answerable"), empty="unknown_subject", twins=(("code", "place"),),
        # Each question twice: with the patient's id, and with one that is a slip of the pen or the id of another resource.
        candidates=f"""WITH {_FEW},
            wrong AS (SELECT patient, id AS other FROM record WHERE type IN ('Encounter', 'Observation') AND patient IS NOT NULL
                UNION ALL SELECT patient, left(id, length(id) - 12) || reverse(right(id, 12)) FROM patient WHERE length(id) > 12),
            slip AS (SELECT w.patient AS owner, w.other, row_number() OVER (PARTITION BY w.patient ORDER BY md5(w.other)) AS n
                FROM wrong w WHERE w.other NOT IN (SELECT id FROM patient)),
            one AS (SELECT *, row_number() OVER (PARTITION BY patient ORDER BY md5(code)) AS n,
                CASE WHEN md5(patient || code)[1] < '8' THEN 'first' ELSE 'last' END AS place FROM few)
            SELECT patient, code, label, place, [patient] AS owners FROM one
            UNION ALL SELECT s.other, o.code, o.label, o.place, [o.patient] FROM one o
                JOIN slip s ON s.owner = o.patient AND s.n = o.n""",
        truth=f"""WITH {_RANKED}
            SELECT a.task, CASE WHEN f.day IS NOT NULL THEN to_json(f.day)::VARCHAR END AS value, '' AS unit,
                coalesce(f.refs, []) AS evidence, CASE WHEN f.day IS NULL THEN 'none' ELSE 'answerable' END AS branch
            FROM asked a LEFT JOIN found f ON f.task = a.task
            WHERE f.day IS NOT NULL OR a.patient NOT IN (SELECT patient FROM record WHERE patient IS NOT NULL)""",
        wordings=(
            "On which day was {label} (code {code}) recorded for the {place} time?",
            "Find the {place} Observation with code {code}, {label}, and give its date.",
            "When was the {place} {label} [{code}] of this patient taken?",
            "Please look up {code}, {label}. I need the day of the {place} one.",
        ),
        answer_note=f"{_DAY}there is no such day.",
    ),
    Question(
        name="day_for_named_person", code="U10", category="unanswerable", answer="date", tables=("patient", "observation"),
        hops=("Patient", "Observation"), branches=("none", "answerable"), empty="not_permitted",
        twins=(("name", "code"), ("place", "code")),
        # Each person's question twice: within the own record, and within the record of the next patient in some fixed order.
        candidates=f"""WITH {_FEW},
            person AS (SELECT patient, name, born, lead(patient) OVER w AS next FROM (SELECT patient, {_PERSON} AS name,
                birth_date AS born FROM patient) WHERE name <> '' AND length(born) = 10 WINDOW w AS (ORDER BY md5(patient))),
            one AS (SELECT f.*, p.name, p.born, p.next,
                CASE WHEN md5(f.patient || f.code)[1] < '8' THEN 'first' ELSE 'last' END AS place
                FROM few f JOIN person p USING (patient))
            SELECT patient, name, born, code, label, place, [patient] AS owners FROM one
            UNION ALL SELECT o.next, o.name, o.born, o.code, o.label, o.place, [o.next, o.patient] FROM one o
                JOIN person p ON p.patient = o.next AND p.name <> o.name AND p.born <> o.born""",
        truth=f"""WITH {_RANKED},
            whose AS (SELECT task, ref, slots['name'] = {_PERSON} AND slots['born'] = birth_date AS own FROM seen_patient)
            SELECT w.task, CASE WHEN own THEN to_json(f.day)::VARCHAR END AS value, '' AS unit,
                CASE WHEN own THEN list_append(f.refs, w.ref) ELSE [w.ref] END AS evidence,
                CASE WHEN own THEN 'answerable' ELSE 'none' END AS branch
            FROM whose w LEFT JOIN found f ON f.task = w.task WHERE NOT own OR f.day IS NOT NULL""",
        wordings=(
            "{name}, born on {born}: on which day was {label} (code {code}) recorded for the {place} time?",
            "Find the {place} Observation of code {code}, {label}, that {name} (birth date {born}) has, and give its date.",
            "When did {name}, date of birth {born}, have the {place} {label} [{code}] taken?",
            "This concerns the person called {name} who was born {born}. I need the day of the {place} {code}, {label}.",
        ),
        answer_note=(
            "A person is the patient if the Patient resource has that birth date and as its first name that name (given names, "
            f"then family). {_DAY}the person is another one. Cite the Patient resource too."
        ),
    ),
)  # fmt: skip
