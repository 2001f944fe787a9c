"""How many orders, results, procedures; what was most frequent; how much in all."""

from __future__ import annotations

from fhirtasks.tasks.questions.others import WHOSE
from fhirtasks.tasks.questions.types import Question

_YEARS = "(VALUES (1), (2), (5)) s(years)"

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="count_distinct_drugs", code="G02", category="aggregation", answer="integer", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("some", "zero"),
        candidates=f"""SELECT DISTINCT patient, year || '-01-01' AS t_from, (year::INT + years)::VARCHAR || '-01-01' AS t_to
            FROM (SELECT patient, unnest([left(t, 4), (left(t, 4)::INT - 3)::VARCHAR]) AS year FROM medication
                WHERE type = 'MedicationRequest' AND t IS NOT NULL), {_YEARS}""",
        truth="""SELECT a.task, count(DISTINCT lower(m.drug))::VARCHAR AS value, '' AS unit,
                list(m.ref) FILTER (m.ref IS NOT NULL) AS evidence,
                CASE WHEN count(m.ref) > 0 THEN 'some' ELSE 'zero' END AS branch
            FROM asked a LEFT JOIN seen_medication m ON m.task = a.task AND m.type = 'MedicationRequest' AND m.drug IS NOT NULL
                AND m.t >= a.slots['t_from'] AND m.t < a.slots['t_to']
            GROUP BY a.task""",
        wordings=(
            "How many different drugs were ordered from {t_from} until {t_to}?",
            "Count the distinct medications among the prescriptions authored on or after {t_from} and before {t_to}.",
            "In the window from {t_from} until {t_to}, what number of unlike medicines was requested for this patient?",
            "Each drug once: how many did I get prescribed between {t_from} (included) and {t_to} (excluded)?",
        ),
        answer_note=(
            "A drug goes by its full name as the record has it, upper and lower case alike; a mixture by the names of its "
            "ingredients joined with ' + '. Answer with type integer; 0 is an answer."
        ),
    ),
    Question(
        name="count_results", code="G03", category="aggregation", answer="integer", tables=("observation",),
        hops=("Observation",), branches=("some", "zero"),
        candidates=f"""SELECT DISTINCT o.patient, k.code, k.display AS label, o.t || '-01-01' AS t_from,
                (o.t::INT + years)::VARCHAR || '-01-01' AS t_to
            FROM (SELECT DISTINCT patient, left(t, 4) AS t FROM observation WHERE t IS NOT NULL) o
            JOIN {WHOSE} w ON w.patient = o.patient
            JOIN (SELECT patient AS owner, code, any_value(display) AS display FROM observation
                WHERE code IS NOT NULL AND display IS NOT NULL GROUP BY ALL) k
                ON k.owner = w.owner AND md5(o.t || k.code || k.owner)[1] IN ('0', '4', '8', 'c'), {_YEARS}""",
        truth="""SELECT a.task, count(o.ref)::VARCHAR AS value, '' AS unit, list(o.ref) FILTER (o.ref IS NOT NULL) AS evidence,
                CASE WHEN count(o.ref) > 0 THEN 'some' ELSE 'zero' END AS branch
            FROM asked a LEFT JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code']
                AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']
            GROUP BY a.task""",
        wordings=(
            "How many results of {label} (code {code}) are there from {t_from} until {t_to}?",
            "Count the Observations coded {code}, {label}, that were taken on or after {t_from} and before {t_to}.",
            "{label} [{code}]: how often was it measured in the window from {t_from} until {t_to}?",
            "Number of {code} ({label}) entries between {t_from} (included) and {t_to} (excluded), whatever their value.",
        ),
        answer_note="Every Observation with the code counts. Answer with type integer; 0 is an answer.",
    ),
    Question(
        name="total_output", version="2", code="G05", category="aggregation", answer="quantity", tables=("observation",),
        hops=("Observation",), branches=("found", "none"),
        needs="Observation in mL or L",
        candidates="""SELECT patient, code, any_value(display) AS label, unit, day AS t_from,
                strftime(day::DATE + 1, '%Y-%m-%d') AS t_to
            FROM (SELECT patient, code, display, unit, unnest([left(t, 10), strftime(left(t, 10)::DATE + 40, '%Y-%m-%d')]) AS day
                FROM observation WHERE unit IN ('mL', 'ml', 'L') AND value IS NOT NULL AND length(t) = 19)
            GROUP BY patient, code, unit, day""",
        truth="""SELECT a.task, round(sum(o.value), 2)::VARCHAR AS value, a.slots['unit'] AS unit,
                list(o.ref) FILTER (o.ref IS NOT NULL) AS evidence
            FROM asked a LEFT JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.unit = a.slots['unit']
                AND o.value IS NOT NULL AND o.comparator IS NULL AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']
            GROUP BY a.task, a.slots""",
        wordings=(
            "What was the total of {label} (code {code}) in {unit} from {t_from} until {t_to}?",
            "Add up every value of {code}, {label}, in {unit}, recorded on or after {t_from} and before {t_to}.",
            "Sum of {label} [{code}] over the window from {t_from} until {t_to}, {unit}?",
            "How much {label}, code {code}, came together between {t_from} (included) and {t_to} (excluded)? In {unit}.",
        ),
        answer_note=(
            "Results with a comparator do not count. Answer with type quantity and the unit, rounded to 2 decimals, or with "
            "none where there is no such result."
        ),
    ),
    Question(
        name="most_frequent_diagnosis", code="G07", category="aggregation", answer="set", tables=("condition",),
        hops=("Condition",), branches=("found",),
        needs="one code in several Conditions of a patient",
        candidates="SELECT patient, 'times' AS word FROM condition WHERE code IS NOT NULL GROUP BY patient HAVING count(*) >= 3",
        truth="""WITH counted AS (SELECT c.task, c.code, count(*) AS n, list(c.ref) AS refs FROM seen_condition c
                WHERE c.code IS NOT NULL GROUP BY c.task, c.code),
            most AS (SELECT *, rank() OVER (PARTITION BY task ORDER BY n DESC) AS place FROM counted)
            SELECT task, to_json(list(code ORDER BY code))::VARCHAR AS value, '' AS unit, flatten(list(refs)) AS evidence
            FROM most WHERE place = 1 GROUP BY task HAVING count(*) <= 4 AND min(n) >= 2""",
        wordings=(
            "Which diagnosis code stands most {word} in the record?",
            "Count the Conditions by code: which code, or which codes, occur the greatest number of {word}?",
            "Find the condition that was noted more {word} than any other.",
            "Most repeated diagnosis of this patient, by how many {word} its code appears?",
        ),
        answer_note="Codes with the same highest count all belong to the answer. Answer with type set: the codes.",
    ),
    Question(
        name="procedures_at_least", code="G08", category="aggregation", answer="set", tables=("procedure",),
        hops=("Procedure",), branches=("some", "empty"),
        needs="one code in several Procedures of a patient",
        candidates="SELECT patient, n AS times FROM (SELECT DISTINCT patient FROM procedure), (VALUES (2), (3), (4), (6)) s(n)",
        truth="""WITH counted AS (SELECT p.task, p.code, list(p.ref) AS refs FROM seen_procedure p WHERE p.code IS NOT NULL
                GROUP BY p.task, p.code, p.slots HAVING count(*) >= p.slots['times']::INT)
            SELECT a.task, coalesce(to_json(list(c.code ORDER BY c.code) FILTER (c.code IS NOT NULL)), '[]')::VARCHAR AS value,
                '' AS unit, flatten(list(c.refs) FILTER (c.code IS NOT NULL)) AS evidence,
                CASE WHEN count(c.code) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a LEFT JOIN counted c ON c.task = a.task GROUP BY a.task HAVING count(c.code) <= 40""",
        wordings=(
            "Which procedures did the patient have at least {times} times?",
            "Group the Procedures by code and keep those that occur {times} times or more. Which codes are left?",
            "List the codes of everything that was performed on this person no fewer than {times} times.",
            "What has been done to me {times} or more times, by procedure code?",
        ),
        answer_note="Answer with type set: the codes; [] if there is none.",
    ),
)  # fmt: skip
