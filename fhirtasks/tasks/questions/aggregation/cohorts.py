"""Questions about several patients: who has what, what is most common, where one stands among them, who lived on.

A cohort is drawn by cutting a mixed order of the world's patients into groups: every group is a cohort, so their number, and
the cost of finding them, grow with the number of patients and not with its square.
"""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

# (order, size): cohorts of 4 to 12 patients, each patient in one cohort of every order.
_ORDERS = "(VALUES (1, 4), (2, 5), (3, 6), (4, 8), (5, 10), (6, 12)) s(mix, size)"
_COHORT = f"""place AS (SELECT id, mix, (row_number() OVER (PARTITION BY mix ORDER BY md5(id || mix)) - 1) // size AS block
            FROM patient, {_ORDERS}),
        cohort AS (SELECT mix, block, arg_min(id, md5(id || mix)) AS patient, string_agg(id, ', ' ORDER BY id) AS patients,
            count(*) AS size FROM place GROUP BY mix, block HAVING size >= 4)"""
# Chosen while the rows are still narrow: what a cohort is asked about, some of all that there is.
_SOME = "QUALIFY row_number() OVER (PARTITION BY mix, block ORDER BY md5({by} || mix || block)) <= {most}"


def _held(table: str, code: str, label: str, where: str) -> str:
    """Cohorts and codes: those that some members have, fewer that one has, and some that only the cohort beside has."""
    return f"""WITH {_COHORT},
        held AS (SELECT mix, block, x.{code} AS code, min(x.{label}) AS label, count(DISTINCT p.id) AS n
            FROM place p JOIN {table} x ON x.patient = p.id WHERE {where} GROUP BY ALL),
        here AS (SELECT mix, block, code, label FROM held JOIN cohort USING (mix, block)
            WHERE n < size AND (n > 1 OR md5(code || mix)[1] < '2') {_SOME.format(by="code", most=5)}),
        beside AS (SELECT mix, block - 1 AS block, code, label FROM held h
            ANTI JOIN held o ON o.mix = h.mix AND o.block = h.block - 1 AND o.code = h.code
            {_SOME.format(by="code", most=2)})
        SELECT patient, patients, code, label FROM cohort JOIN (FROM here UNION ALL FROM beside) USING (mix, block)"""


# The time of a Condition is its own, else the start of its encounter; what tells of it is evidence too.
_ONSET = "CASE WHEN c.t_own IS NULL THEN [c.ref, 'Encounter/' || c.encounter] ELSE [c.ref] END"
_ONSET_NOTE = (
    "The time of a condition is its onset, else when it was recorded, else the start of its encounter; a condition without any of "
    "them does not count. "
)

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="cohort_with_diagnosis", code="G11", category="aggregation", answer="set", tables=("condition",),
        hops=("Condition",), branches=("some", "empty"), per_patient=12,
        candidates=_held("condition", "code", "display", "x.code IS NOT NULL AND x.display IS NOT NULL"),
        truth="""SELECT a.task, coalesce(to_json(list(DISTINCT c.patient ORDER BY c.patient) FILTER (c.ref IS NOT NULL)),
                '[]')::VARCHAR AS value, '' AS unit, list(c.ref) FILTER (c.ref IS NOT NULL) AS evidence,
                CASE WHEN count(c.ref) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a LEFT JOIN seen_condition c ON c.task = a.task AND c.code = a.slots['code'] GROUP BY a.task""",
        wordings=(
            "Which of these patients have ever been diagnosed with {label} (code {code})?",
            "Select the cohort's members with at least one Condition coded {code}, {label}.",
            "Who in the group has {label} [{code}] on record?",
            "{code}, {label}: give the ids of everybody in scope to whom this diagnosis was attached at any time.",
        ),
        answer_note="Answer with type set: the FHIR ids of the patients; [] if nobody has it.",
    ),
    Question(
        name="cohort_count_ordered", code="G11b", category="aggregation", answer="integer", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("some", "zero"), per_patient=12,
        candidates=f"""SELECT patient, patients, code AS drug FROM ({_held(
            "(SELECT patient, lower(drug) AS drug, type FROM medication)", "drug", "drug",
            "x.type = 'MedicationRequest' AND x.drug IS NOT NULL")})""",
        truth="""SELECT a.task, count(DISTINCT m.patient)::VARCHAR AS value, '' AS unit,
                list(m.ref) FILTER (m.ref IS NOT NULL) AS evidence,
                CASE WHEN count(m.ref) > 0 THEN 'some' ELSE 'zero' END AS branch
            FROM asked a LEFT JOIN seen_medication m ON m.task = a.task AND m.type = 'MedicationRequest'
                AND lower(m.drug) = a.slots['drug'] GROUP BY a.task""",
        wordings=(
            "How many of these patients were ever ordered {drug}?",
            "Count the members of the cohort with one or more MedicationRequests for {drug}.",
            "{drug}: to what number of people in scope was it prescribed at some time?",
            "In this group, for how many individuals does an order name {drug} as its medication?",
        ),
        answer_note=(
            "A drug goes by its full name as the record has it, upper and lower case alike; a mixture by the names of its "
            "ingredients joined with ' + '. Each patient counts once. Answer with type integer; 0 is an answer."
        ),
    ),
    Question(
        name="cohort_top_diagnoses", code="G11c", category="aggregation", answer="set", tables=("condition",),
        hops=("Condition",), branches=("found",),
        candidates=f"WITH {_COHORT} SELECT patient, patients, k FROM cohort, (VALUES (1), (2), (3)) t(k)",
        truth="""WITH counted AS (SELECT task, slots['k']::INT AS k, code, count(DISTINCT patient) AS n, list(ref) AS refs
                FROM seen_condition WHERE code IS NOT NULL GROUP BY ALL),
            top AS (SELECT *, rank() OVER (PARTITION BY task ORDER BY n DESC) AS place FROM counted)
            SELECT task, to_json(list(code ORDER BY code))::VARCHAR AS value, '' AS unit, flatten(list(refs)) AS evidence
            FROM top WHERE place <= k GROUP BY task HAVING count(*) <= 6 AND min(n) >= 2""",
        wordings=(
            "What are the top {k} diagnosis codes of this cohort, by the number of patients who have them?",
            "Rank the Conditions' codes by how many of the patients carry each; which stand in the first {k} places?",
            "In the group, which {k} diagnoses are shared by most people?",
            "Give the commonest condition codes among those in scope, {k} of them, a person counting once per code.",
        ),
        answer_note=(
            "A code's place is one more than the number of codes that more patients have: codes with as many patients share their "
            "place, and all up to the place asked for belong to the answer, even if these are more. Answer with type set: the "
            "codes."
        ),
    ),
    Question(
        name="cohort_order_after_diagnosis", version="2", code="G11d", category="aggregation", answer="set",
        tables=("condition", "medication"), hops=("Condition", "Encounter", "MedicationRequest", "Medication"),
        branches=("some", "empty"), per_patient=12,
        candidates=f"""WITH {_COHORT},
            had AS (SELECT patient, code, t, min(display) AS label FROM condition WHERE code IS NOT NULL AND display IS NOT NULL
                AND length(t) >= 10 GROUP BY ALL),
            got AS (SELECT DISTINCT patient, lower(drug) AS drug, t FROM medication WHERE type = 'MedicationRequest'
                AND drug IS NOT NULL AND length(t) >= 10),
            follows AS (SELECT h.code, g.drug, days, min(h.label) AS label, count(DISTINCT h.patient) AS n FROM had h
                JOIN got g ON g.patient = h.patient AND g.t >= h.t, (VALUES (7), (30), (365)) d(days)
                WHERE left(g.t, 10)::DATE <= left(h.t, 10)::DATE + days::INT GROUP BY ALL),
            pair AS (SELECT * FROM follows WHERE n > 1 ORDER BY n DESC, md5(code || drug || days) LIMIT 90),
            here AS (SELECT DISTINCT mix, block, code FROM place p JOIN had h ON h.patient = p.id),
            chosen AS (SELECT mix, block, p.* FROM here JOIN pair p USING (code)
                {_SOME.format(by="(code || drug || days)", most=6)})
            SELECT patient, patients, code, label, drug, days FROM cohort JOIN chosen USING (mix, block)""",
        truth=f"""WITH had AS (SELECT c.task, c.patient, c.t, {_ONSET} AS refs FROM seen_condition c
                WHERE c.code = c.slots['code'] AND length(c.t) >= 10),
            followed AS (SELECT h.task, h.patient, list_append(h.refs, m.ref) AS refs FROM had h
                JOIN seen_medication m ON m.task = h.task AND m.patient = h.patient AND m.type = 'MedicationRequest'
                AND lower(m.drug) = m.slots['drug'] AND length(m.t) >= 10 AND m.t >= h.t
                AND left(m.t, 10)::DATE <= left(h.t, 10)::DATE + (m.slots['days']::INT))
            SELECT a.task, coalesce(to_json(list(DISTINCT f.patient ORDER BY f.patient) FILTER (f.patient IS NOT NULL)),
                '[]')::VARCHAR AS value, '' AS unit, flatten(list(f.refs) FILTER (f.patient IS NOT NULL)) AS evidence,
                CASE WHEN count(f.patient) > 0 THEN 'some' ELSE 'empty' END AS branch,
                CASE WHEN a.task IN (SELECT task FROM had) THEN ['MedicationRequest'] END AS lacks
            FROM asked a LEFT JOIN followed f ON f.task = a.task GROUP BY a.task""",
        wordings=(
            "Which of these patients were ordered {drug} within {days} days after being diagnosed with {label} (code {code})?",
            "Find the cohort's members with a Condition coded {code}, {label}, and then a MedicationRequest for {drug}, "
            "authored no more than {days} days later.",
            "First {label} [{code}], then {drug}, at most {days} days apart: to whom in the group did that happen?",
            "Who in scope got a prescription of {drug} in the {days} days that followed a diagnosis of {code} ({label})?",
        ),
        answer_note=(
            f"{_ONSET_NOTE}The order comes at the same time or later, and its date is at most so many days after the condition's "
            "date; any condition with the code may be the one it follows. A drug goes by its full name as the record has it, upper "
            "and lower case alike; a mixture by the names of its ingredients joined with ' + '. Answer with type set: the FHIR ids "
            "of the patients; [] if there is none."
        ),
    ),
    Question(
        name="percentile_among_same_age", code="G12", category="aggregation", answer="number", tables=("observation", "patient"),
        hops=("Patient", "Observation"), branches=("found",), per_patient=4,
        # Groups of like age, so that there are peers; no patient with more results than are well fetched for a group.
        candidates="""WITH few AS (SELECT patient FROM observation GROUP BY patient HAVING count(*) <= 1000),
            last AS (SELECT patient, code, unit, min(display) AS label, max(t) AS t FROM observation SEMI JOIN few USING (patient)
                WHERE value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND display IS NOT NULL AND length(t) >= 10
                GROUP BY ALL),
            aged AS (SELECT l.*, left(l.t, 4)::INT - left(p.birth_date, 4)::INT AS age FROM last l JOIN patient p
                ON p.id = l.patient AND length(p.birth_date) = 10),
            grouped AS (SELECT *, (row_number() OVER (PARTITION BY code, unit, size ORDER BY age, md5(patient || code)) - 1) // size
                AS block FROM aged, (VALUES (6), (9), (12)) s(size)),
            cohort AS (SELECT code, unit, size, block, min(label) AS label, string_agg(patient, ', ' ORDER BY patient) AS patients
                FROM grouped GROUP BY code, unit, size, block HAVING count(*) >= 6),
            chosen AS (SELECT patient, code, unit, size, block, years FROM grouped, (VALUES (3), (8)) y(years)
                QUALIFY row_number() OVER (PARTITION BY patient ORDER BY md5(patient || code || unit || size || years)) <= 4)
            SELECT patient, patients, code, label, unit, years FROM chosen JOIN cohort USING (code, unit, size, block)""",
        truth="""WITH ranked AS (SELECT o.task, o.patient, o.ref, o.value, o.t,
                    rank() OVER (PARTITION BY o.task, o.patient ORDER BY o.t DESC) AS place
                FROM seen_observation o WHERE o.code = o.slots['code'] AND o.unit = o.slots['unit'] AND o.value IS NOT NULL
                    AND o.comparator IS NULL AND length(o.t) >= 10),
            last AS (SELECT task, patient, any_value(ref) AS ref, any_value(value) AS value, any_value(t) AS t, count(*) AS together
                FROM ranked WHERE place = 1 GROUP BY task, patient),
            aged AS (SELECT l.*, p.ref AS person, left(l.t, 4)::INT - left(p.birth_date, 4)::INT
                    - (substr(l.t, 6, 5) < substr(p.birth_date, 6, 5))::INT AS age
                FROM last l JOIN seen_patient p ON p.task = l.task AND p.id = l.patient AND length(p.birth_date) = 10)
            SELECT a.task, round(100.0 * count_if(x.value <= w.value) / count(*), 2)::VARCHAR AS value, '' AS unit,
                list(x.ref) || list(x.person) AS evidence
            FROM asked a JOIN aged w ON w.task = a.task AND w.patient = a.patient
            JOIN aged x ON x.task = a.task AND abs(x.age - w.age) <= a.slots['years']::INT
            GROUP BY a.task HAVING count(*) >= 4 AND max(x.together) = 1""",
        wordings=(
            "Among patients of about the same age, at which percentile does the {label} (code {code}, {unit}) of {patient} lie?",
            "Compare the latest {code} ({label}) in {unit} of {patient} with that of everybody in scope whose age differs by no "
            "more than {years} years: what is its percentile rank?",
            "{label} [{code}], {unit}: what percentage of the peers of {patient} by age has a value as low or lower?",
            "Where does {patient} stand within the cohort's age group for {code}, {label}, measured in {unit}, as a percentile?",
        ),
        answer_note=(
            "Of each patient the latest such result counts, at the age in full years on its date; results with a comparator do not "
            "count. The peers of a patient are those of these patients with such a result whose age differs by at most {years} "
            "years, the patient included. The percentile is the share of the peers whose value is at most the patient's, times "
            "100. Answer with type number, rounded to 2 decimals."
        ),
    ),
    Question(
        name="cohort_survival", code="G13", category="aggregation", answer="number", tables=("condition", "death"),
        hops=("Condition", "Encounter", "Patient"), branches=("found",),
        candidates=f"""WITH {_COHORT},
            held AS (SELECT mix, block, c.code, min(c.display) AS label, count(DISTINCT p.id) AS n,
                    count(DISTINCT d.patient) AS dead
                FROM place p JOIN condition c ON c.patient = p.id LEFT JOIN death d ON d.patient = p.id
                WHERE c.code IS NOT NULL AND c.display IS NOT NULL GROUP BY ALL),
            chosen AS (SELECT mix, block, code, label, months FROM held, (VALUES (3), (6), (12), (60)) v(months)
                WHERE n >= 3 AND dead >= 1 {_SOME.format(by="(code || months)", most=5)})
            SELECT patient, patients, code, label, months FROM cohort JOIN chosen USING (mix, block)""",
        truth=f"""WITH onset AS (SELECT c.task, c.t_now, c.slots['months']::INT AS months, c.patient, c.t, {_ONSET} AS refs,
                    rank() OVER (PARTITION BY c.task, c.patient ORDER BY left(c.t, 10)) AS place
                FROM seen_condition c WHERE c.code = c.slots['code'] AND length(c.t) >= 10),
            first AS (SELECT task, t_now, months, patient, left(min(t), 10) AS day, flatten(list(refs)) AS refs FROM onset
                WHERE place = 1 GROUP BY ALL),
            due AS (SELECT *, left(day, 4)::INT * 12 + substr(day, 6, 2)::INT - 1 + months AS m FROM first),
            -- The same day so many months later, as text: 31 days of every month do no harm where texts are compared.
            mark AS (SELECT *, printf('%04d-%02d-', m // 12, m % 12 + 1) || substr(day, 9, 2) AS mark FROM due),
            known AS (SELECT k.*, p.ref, p.deceased_at, p.deceased = 'true' AND p.deceased_at IS NULL AS unclear FROM mark k
                JOIN seen_patient p ON p.task = k.task AND p.id = k.patient WHERE k.mark <= left(k.t_now, 10))
            SELECT task, round(count_if(deceased_at IS NULL OR left(deceased_at, 10) > mark) / count(*), 4)::VARCHAR AS value,
                '' AS unit, list_concat(flatten(list(refs)), list(ref)) AS evidence
            FROM known GROUP BY task
            HAVING count(*) >= 2 AND bool_and(unclear IS NOT TRUE AND (deceased_at IS NULL OR length(deceased_at) >= 10))""",
        wordings=(
            "What was the {months}-month survival after the first {label} (code {code}) in this cohort?",
            "Of the patients with a Condition coded {code}, {label}, what share was still alive {months} months after its onset?",
            "{label} [{code}]: which fraction of those in the group who got it lived for at least {months} months more?",
            "Survival at {months} months from first diagnosis of {code} ({label}), among the people in scope?",
        ),
        answer_note=(
            f"{_ONSET_NOTE}Count, by date, from each patient's first condition with the code; patients for whom the {{months}} "
            "months are not over at the present time do not count. A patient died by then if deceasedDateTime is on that day or "
            "before; one without it is alive. Answer with type number: survivors divided by all who count, from 0 to 1, rounded "
            "to 4 decimals."
        ),
    ),
)  # fmt: skip
