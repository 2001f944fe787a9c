"""How things stand: who the patient is, what is active, allergic, ordered, beyond its reference range."""

from __future__ import annotations

from fhirtasks.tasks.questions.others import WHOSE
from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="patient_attribute", code="F01", category="filtering", answer="string", tables=("patient",),
        hops=("Patient",), branches=("found", "none"), empty="not_recorded",
        candidates="""SELECT patient, attribute FROM patient, (VALUES ('gender'), ('birthDate'), ('maritalStatus code'),
            ('language code'), ('deceasedDateTime')) s(attribute)""",
        # A null flavor is neither a value nor nothing.
        truth="""SELECT task, to_json(v)::VARCHAR AS value, '' AS unit, CASE WHEN v IS NULL THEN [] ELSE [ref] END AS evidence
            FROM (SELECT a.task, p.ref, CASE a.slots['attribute'] WHEN 'gender' THEN p.gender WHEN 'birthDate' THEN p.birth_date
                    WHEN 'maritalStatus code' THEN p.marital_status WHEN 'language code' THEN p.language ELSE p.deceased_at END
                    AS v FROM asked a JOIN seen_patient p ON p.task = a.task)
            WHERE coalesce(v, '') <> 'UNK'""",
        wordings=(
            "What does the Patient resource say as {attribute}?",
            "Tell me the patient's {attribute}, exactly as recorded.",
            "Demographics check: read off {attribute} for this person.",
            "Which value stands under {attribute} in the demographic data?",
        ),
        answer_note="Answer with type string: the recorded text or code, or with none (not_recorded) where it is absent.",
    ),
    Question(
        name="active_conditions", code="F05", category="filtering", answer="set", tables=("condition",),
        hops=("Condition",), branches=("some", "empty"),
        needs="Condition.onset[x]",
        candidates="""SELECT patient, (left(t_own, 4)::INT + years)::VARCHAR || '-07-01' AS day FROM
                (SELECT DISTINCT patient, t_own FROM condition WHERE t_own IS NOT NULL), (VALUES (-1), (0), (1), (4)) s(years)""",
        truth="""SELECT a.task, coalesce(to_json(list(DISTINCT c.code ORDER BY c.code) FILTER (c.ref IS NOT NULL)), '[]')::VARCHAR
                AS value, '' AS unit, list(c.ref) FILTER (c.ref IS NOT NULL) AS evidence,
                CASE WHEN count(c.ref) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a LEFT JOIN seen_condition c ON c.task = a.task AND c.t_own < a.slots['day']
                AND (c.t_end IS NULL OR c.t_end >= a.slots['day']) AND c.code IS NOT NULL
            WHERE a.slots['day'] < a.t_now
            GROUP BY a.task""",
        wordings=(
            "Which conditions was the patient living with as {day} began?",
            "List the codes of all conditions with an onset before {day} that had not abated by then.",
            "Active problems on the morning of {day}: give their codes.",
            "Take the start of {day}. What had begun earlier and not yet ended, among the conditions?",
        ),
        answer_note=(
            "A condition is active from its onset until its abatement; without an abatement it goes on. Answer with type set: the "
            "codes, each once."
        ),
    ),
    Question(
        name="allergies_by_criticality", code="F06", category="filtering", answer="set", tables=("allergy",),
        hops=("AllergyIntolerance",), branches=("some", "empty"),
        needs="active AllergyIntolerance with a criticality",
        candidates="""SELECT patient, criticality FROM (SELECT DISTINCT patient FROM allergy),
            (VALUES ('low'), ('high'), ('unable-to-assess')) s(criticality)""",
        truth="""SELECT a.task, coalesce(to_json(list(DISTINCT x.code ORDER BY x.code) FILTER (x.ref IS NOT NULL)), '[]')::VARCHAR
                AS value, '' AS unit, list(x.ref) FILTER (x.ref IS NOT NULL) AS evidence,
                CASE WHEN count(x.ref) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a LEFT JOIN seen_allergy x ON x.task = a.task AND x.criticality = a.slots['criticality']
                AND x.clinical_status = 'active' AND x.code IS NOT NULL
            GROUP BY a.task""",
        wordings=(
            "To what is the patient allergic, with criticality {criticality} and still active?",
            "Give the codes of all active allergies or intolerances whose criticality is {criticality}.",
            "Of the AllergyIntolerance entries, keep those that are active and {criticality} in criticality. Which codes remain?",
            "Before we prescribe: active sensitivities rated {criticality}?",
        ),
        answer_note="Answer with type set: the codes, each once; [] if there are none.",
    ),
    Question(
        name="labs_outside_range", code="F08", category="filtering", answer="set", tables=("observation",),
        hops=("Observation",), branches=("some", "empty"), per_patient=40,
        needs="Observation.referenceRange",
        candidates="""SELECT DISTINCT patient, left(t, 10) AS t_from, strftime(left(t, 10)::DATE + 1, '%Y-%m-%d') AS t_to
            FROM observation WHERE value IS NOT NULL AND (low IS NOT NULL OR high IS NOT NULL) AND length(t) = 19""",
        truth="""SELECT a.task, coalesce(to_json(list(DISTINCT o.code ORDER BY o.code) FILTER (beyond)), '[]')::VARCHAR AS value,
                '' AS unit, list(o.ref) FILTER (beyond) AS evidence,
                CASE WHEN count(*) FILTER (beyond) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a LEFT JOIN (SELECT *, coalesce(value < low, false) OR coalesce(value > high, false) AS beyond
                    FROM seen_observation WHERE value IS NOT NULL AND comparator IS NULL AND code IS NOT NULL) o
                ON o.task = a.task AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']
            GROUP BY a.task""",
        wordings=(
            "Which results from {t_from} until {t_to} lay outside their reference range?",
            "Compare every numeric Observation taken on or after {t_from} and before {t_to} with its own reference range: which "
            "codes were below or above?",
            "Give me the codes of abnormal labs, judged by referenceRange, in the window from {t_from} until {t_to}.",
            "What was too low or too high, by the limits printed with each value, between {t_from} (included) and {t_to} "
            "(excluded)?",
        ),
        answer_note=(
            "Use low and high of the first reference range that a result carries; results with a comparator do not count. Answer "
            "with type set: the codes, each once."
        ),
    ),
    Question(
        name="latest_survey", code="F09", category="filtering", answer="string", tables=("observation",),
        hops=("Observation",), branches=("found", "none"),
        needs="Observation of category survey, social-history or exam",
        candidates=f"""SELECT DISTINCT w.patient, k.code, k.display AS label FROM {WHOSE} w
            JOIN (SELECT patient AS owner, code, any_value(display) AS display FROM observation
                WHERE list_has_any(category, ['survey', 'social-history', 'exam']) AND text IS NOT NULL AND display IS NOT NULL
                AND t IS NOT NULL GROUP BY ALL) k ON k.owner = w.owner
            WHERE w.patient IN (SELECT patient FROM observation)""",
        truth="""WITH ranked AS (SELECT o.task, o.ref, o.text, rank() OVER (PARTITION BY o.task ORDER BY o.t DESC) AS down
                FROM seen_observation o WHERE o.code = o.slots['code'] AND o.text IS NOT NULL AND o.t IS NOT NULL),
            last AS (SELECT task, list(ref) AS refs, list(DISTINCT text) AS texts FROM ranked WHERE down = 1 GROUP BY task)
            SELECT a.task, to_json(l.texts[1])::VARCHAR AS value, '' AS unit, l.refs AS evidence
            FROM asked a LEFT JOIN last l ON l.task = a.task WHERE l.task IS NULL OR len(l.texts) = 1""",
        wordings=(
            "What is the patient's most recent {label} (code {code})?",
            "Find the newest answer recorded for {code}, {label}.",
            "Survey item {label} [{code}]: what did it say the last time it was taken?",
            "Latest entry, please, for code {code} ({label}); I need its wording.",
        ),
        answer_note=(
            "Answer with type string: the text of the value (of a coded value its text, else its display), or with none where "
            "there is no such entry."
        ),
    ),
    Question(
        name="orders_by_status", code="F10", category="filtering", answer="set", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("some", "empty"),
        candidates="""SELECT p.patient, status, year || '-01-01' AS t_from, (year::INT + 1)::VARCHAR || '-01-01' AS t_to FROM
                (SELECT DISTINCT patient, left(t, 4) AS year FROM medication WHERE type = 'MedicationRequest' AND t IS NOT NULL) p,
                (SELECT DISTINCT status FROM medication WHERE type = 'MedicationRequest' AND status IS NOT NULL)""",
        truth="""SELECT a.task, coalesce(to_json(list(DISTINCT lower(x.drug) ORDER BY lower(x.drug)) FILTER (x.ref IS NOT NULL)),
                '[]')::VARCHAR AS value, '' AS unit, list(x.ref) FILTER (x.ref IS NOT NULL) AS evidence,
                CASE WHEN count(x.ref) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a LEFT JOIN seen_medication x ON x.task = a.task AND x.type = 'MedicationRequest'
                AND x.status = a.slots['status'] AND x.drug IS NOT NULL AND x.t >= a.slots['t_from'] AND x.t < a.slots['t_to']
            GROUP BY a.task HAVING count(DISTINCT lower(x.drug)) <= 30""",
        wordings=(
            "Which drugs were ordered from {t_from} until {t_to} and have the status {status}?",
            "Name the medications of all orders with status {status} that were authored on or after {t_from} and before {t_to}.",
            "MedicationRequest, status {status}, written in the window from {t_from} until {t_to}: which drugs?",
            "Prescriptions now marked {status}, dated between {t_from} (included) and {t_to} (excluded). Give every drug once.",
        ),
        answer_note=(
            "A drug goes by its full name as the record has it, upper and lower case alike; a mixture by the names of its "
            "ingredients joined with ' + '. Answer with type set: the names, each once."
        ),
    ),
    Question(
        name="all_in_range", version="2", code="F13", category="filtering", answer="boolean", tables=("observation",),
        hops=("Observation",), branches=("true", "false"),
        needs="Observation.referenceRange",
        candidates="""SELECT patient, code, any_value(display) AS label, left(t, 7) || '-01' AS t_from,
                strftime((left(t, 7) || '-01')::DATE + INTERVAL 1 MONTH, '%Y-%m-%d') AS t_to
            FROM observation WHERE value IS NOT NULL AND low IS NOT NULL AND high IS NOT NULL AND length(t) = 19
            GROUP BY patient, code, left(t, 7) HAVING count(*) >= 2""",
        truth="""SELECT a.task, bool_and(o.value BETWEEN o.low AND o.high)::VARCHAR AS value, '' AS unit,
                CASE WHEN bool_and(o.value BETWEEN o.low AND o.high) THEN list(o.ref)
                    ELSE list(o.ref) FILTER (NOT o.value BETWEEN o.low AND o.high) END AS evidence
            FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.value IS NOT NULL
                AND o.comparator IS NULL AND o.low IS NOT NULL AND o.high IS NOT NULL AND o.t >= a.slots['t_from']
                AND o.t < a.slots['t_to']
            GROUP BY a.task""",
        wordings=(
            "Were all {label} results (code {code}) from {t_from} until {t_to} within their reference range?",
            "Code {code}, {label}: did every value taken on or after {t_from} and before {t_to} stay between the limits printed "
            "with it?",
            "Is it true that no {label} [{code}] in the window from {t_from} until {t_to} left its reference range?",
            "Between {t_from} (included) and {t_to} (excluded), was {label}, {code}, normal each time it was measured?",
        ),
        answer_note=(
            "Use low and high of each result's first reference range; the limits themselves are within; results without both "
            "limits or with a comparator do not count. Answer with type boolean."
        ),
    ),
)  # fmt: skip
