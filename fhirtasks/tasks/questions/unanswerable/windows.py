"""Nothing in the window, a window that is still to come, a type of which there is nothing (U01, U06, U03)."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_CODED = (
    ("Observation", "observation", "t"), ("Condition", "condition", "t_own"), ("Procedure", "procedure", "t"),
    ("Immunization", "immunization", "t"),
)  # fmt: skip
_DRUGS = ("MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement")
_DATED = (
    ("AllergyIntolerance", "allergy", "t", ""), ("CarePlan", "care_plan", "t", ""), ("Condition", "condition", "t_own", ""),
    ("DiagnosticReport", "report", "t", ""), ("Encounter", "encounter", "t", ""), ("ImagingStudy", "imaging", "t", ""),
    ("Immunization", "immunization", "t", ""), ("Observation", "observation", "t", ""), ("Procedure", "procedure", "t", ""),
    ("Specimen", "specimen", "t", ""), *((kind, "medication", "t", f"type = '{kind}' AND ") for kind in _DRUGS),
)  # fmt: skip
"""Type, table, column of the time, which rows of the table."""
_OTHER = (
    ("Appointment", "appointment"), ("Communication", "message"), ("DeviceRequest", "order of a device"),
    ("FamilyMemberHistory", "relative's illness"), ("NutritionOrder", "diet order"), ("RiskAssessment", "risk assessment"),
    ("VisionPrescription", "prescription of glasses"),
)  # fmt: skip
"""Types of which no table is kept: asked for only where the world has none."""
_NOUNS = (
    ("AllergyIntolerance", "allergy"), ("CarePlan", "care plan"), ("Condition", "diagnosis"), ("DiagnosticReport", "report"),
    ("Encounter", "visit"), ("ImagingStudy", "imaging study"), ("Immunization", "vaccination"),
    ("MedicationAdministration", "administration of a drug"), ("MedicationDispense", "dispensed drug"),
    ("MedicationRequest", "drug order"), ("MedicationStatement", "statement on a drug taken"), ("Observation", "observation"),
    ("Procedure", "procedure"), ("Specimen", "specimen"), *_OTHER,
)  # fmt: skip


_CODES = " UNION ALL ".join(
    f"""SELECT patient, '{kind}' AS type, code, display, {t} AS t FROM {table}
        WHERE code IS NOT NULL AND display IS NOT NULL AND length({t}) >= 10"""
    for kind, table, t in _CODED
)
_IN_WINDOW = " UNION ALL ".join(
    f"""SELECT task, ref, left({t}, 10) AS day FROM seen_{table} WHERE slots['type'] = '{kind}' AND code = slots['code']
        AND display IS NOT NULL AND length({t}) >= 10 AND {t} >= slots['t_from'] AND {t} < slots['t_to']"""
    for kind, table, t in _CODED
)
_DAYS = " UNION ALL ".join(
    f"SELECT patient, '{kind}' AS type FROM {table} WHERE {of} length({t}) >= 10" for kind, table, t, of in _DATED
)
_OF_TYPE = " UNION ALL ".join(
    f"""SELECT task, ref, left({t}, 10) AS day FROM seen_{table} WHERE slots['type'] = '{kind}' AND {of} length({t}) >= 10"""
    for kind, table, t, of in _DATED
)


def _values(rows: tuple[tuple[str, str], ...]) -> str:
    return ", ".join("({})".format(", ".join(f"""'{text.replace("'", "''")}'""" for text in row)) for row in rows)


_MONTH = """month || '-01' AS t_from, strftime((month || '-01')::DATE + INTERVAL 1 MONTH, '%Y-%m-%d') AS t_to"""

_FIRST = f"""WITH first AS (SELECT *, rank() OVER (PARTITION BY task ORDER BY day) AS n FROM ({_IN_WINDOW})),
    told AS (SELECT a.task, any_value(a.slots['t_from'] > a.t_now) AS ahead, min(f.day) AS day,
            list(f.ref) FILTER (f.ref IS NOT NULL) AS evidence
        FROM asked a LEFT JOIN first f ON f.task = a.task AND f.n = 1 GROUP BY a.task)
    SELECT task, CASE WHEN day IS NOT NULL THEN to_json(day)::VARCHAR END AS value, '' AS unit, evidence,
        CASE WHEN ahead THEN 'future' ELSE 'no_matching_record' END AS reason,
        CASE WHEN day IS NULL THEN 'none' ELSE 'answerable' END AS branch FROM told"""
"""The first day in the window, or why there is none."""

_TIMES = (
    "The day of an Observation is effective[x], of a Condition onset[x] or recordedDate, of a Procedure performed[x], of an "
    "Immunization occurrence[x]; of a period its start. "
)
_ONE_DAY = f"{_TIMES}Answer with type date, or with none where no day can be told."

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="first_day_in_window", code="U01", category="unanswerable", answer="date", tables=("observation",),
        hops=("{type}",), branches=("none", "answerable"), per_patient=64, twins=(("type", "code"), ("t_from",)),
        # In fours: two codes and two months, each code in the one month and not in the other. No code is in two fours.
        candidates=f"""WITH had AS (SELECT patient, type, code, left(t, 7) AS month, min(display) AS label
                FROM ({_CODES}) GROUP BY ALL),
            few AS (SELECT *, ascii(md5(code)) % 4 AS part FROM had
                QUALIFY row_number() OVER (PARTITION BY patient, type, part ORDER BY md5(patient || code || month)) <= 12),
            four AS (SELECT a.patient, a.type, a.code AS one, a.label AS label_one, a.month AS month_one, b.code AS other,
                    b.label AS label_other, b.month AS month_other
                FROM few a JOIN few b ON a.patient = b.patient AND a.type = b.type AND a.part = b.part AND a.code < b.code
                    AND a.month <> b.month
                LEFT JOIN had x ON x.patient = a.patient AND x.type = a.type AND x.code = a.code AND x.month = b.month
                LEFT JOIN had y ON y.patient = a.patient AND y.type = a.type AND y.code = b.code AND y.month = a.month
                WHERE x.code IS NULL AND y.code IS NULL
                QUALIFY row_number() OVER (PARTITION BY a.patient, a.type, a.part ORDER BY md5(a.patient || a.code || b.code
                    || a.month || b.month)) = 1)
            SELECT patient, type, code, label, {_MONTH} FROM (
                SELECT patient, type, one AS code, label_one AS label, unnest([month_one, month_other]) AS month FROM four
                UNION ALL SELECT patient, type, other, label_other, unnest([month_one, month_other]) FROM four)""",
        truth=f"FROM ({_FIRST}) WHERE reason <> 'future'",
        wordings=(
            "On which day was {label} ({type} with code {code}) first recorded from {t_from} until {t_to}?",
            "Find the earliest {type} coded {code}, {label}, dated {t_from} or later and before {t_to}; I need its date.",
            "When did {label} [{code}] come up for the first time in the window from {t_from} until {t_to}? Look through the "
            "resources of type {type}.",
            "Between {t_from} (included) and {t_to} (excluded): what is the date of my first {type}, code {code}, called {label}?",
        ),
        answer_note=_ONE_DAY,
    ),
    Question(
        name="first_day_past_or_future", code="U06", category="unanswerable", answer="date", tables=("observation",),
        hops=("{type}",), branches=("none", "answerable"), empty="future", twins=(("type", "code", "t_from"),),
        # Each question twice: with a present time before its window, and with one after it. Both see earlier records.
        candidates=f"""WITH event AS (SELECT *, left(t, 7) AS month FROM ({_CODES})),
            chosen AS (SELECT patient, type, code, month, min(display) AS label FROM event
                JOIN (SELECT patient, min(month) AS earliest FROM event GROUP BY patient) USING (patient)
                WHERE month > earliest AND substr(month, 1, 4) < '9999' GROUP BY patient, type, code, month
                QUALIFY row_number() OVER (PARTITION BY patient ORDER BY md5(patient || type || code || month)) <= 12)
            SELECT c.patient, c.type, c.code, c.label, c.t_from, c.t_to, s.since
            FROM (SELECT patient, type, code, label, {_MONTH} FROM chosen) c JOIN patient p ON p.patient = c.patient,
                LATERAL (SELECT unnest([epoch_us(c.t_from::TIMESTAMP) - 44 * 86400000000,
                    epoch_us(c.t_to::TIMESTAMP) + 86400000000]) AS since) s
            WHERE p.available IS NULL OR p.available <= epoch_us(c.t_from::TIMESTAMP) - 44 * 86400000000""",
        truth=f"FROM ({_FIRST}) WHERE reason = 'future' OR value IS NOT NULL",
        wordings=(
            "What is the first day from {t_from} until {t_to} on which {label} (code {code}, {type}) was recorded?",
            "{type}, code {code}, {label}: the date of the earliest one dated {t_from} or later, yet before {t_to}?",
            "Tell me when, in the window from {t_from} until {t_to}, the patient first had {label} [{code}], a {type}.",
            "Look between {t_from} (included) and {t_to} (excluded) for resources of type {type} that say {code}, {label}. On what "
            "day does the first of them fall?",
        ),
        answer_note=_ONE_DAY,
    ),
    Question(
        name="latest_day_of_type", code="U03", category="unanswerable", answer="date", tables=("patient", "observation"),
        hops=("{type}",), branches=("none", "answerable"),
        candidates=f"""WITH known AS (SELECT DISTINCT type FROM record), own AS (SELECT DISTINCT patient, type FROM record),
            dated AS (SELECT DISTINCT patient, type FROM ({_DAYS})),
            every AS (SELECT p.patient, n.col0 AS type, n.col1 AS noun, k.type IS NOT NULL AS known, o.type IS NOT NULL AS own,
                    d.type IS NOT NULL AS dated
                FROM patient p CROSS JOIN (VALUES {_values(_NOUNS)}) n LEFT JOIN known k ON k.type = n.col0
                LEFT JOIN own o ON o.patient = p.patient AND o.type = n.col0
                LEFT JOIN dated d ON d.patient = p.patient AND d.type = n.col0),
            -- Types that some patients have and others lack, as many of each; a few that all have, or that nobody has.
            told AS (SELECT *, md5(patient || type) AS mixed,
                    least(count(*) FILTER (own) OVER w, count(*) FILTER (NOT own) OVER w) AS both_ways
                FROM every WHERE (dated OR NOT own) AND NOT (known AND type IN ({", ".join(f"'{kind}'" for kind, _ in _OTHER)}))
                WINDOW w AS (PARTITION BY type))
            SELECT patient, type, noun FROM told QUALIFY CASE WHEN both_ways > 0
                THEN row_number() OVER (PARTITION BY type, own ORDER BY mixed) <= both_ways
                ELSE row_number() OVER (PARTITION BY patient, own, both_ways > 0 ORDER BY mixed) = 1 END""",
        truth=f"""WITH last AS (SELECT *, rank() OVER (PARTITION BY task ORDER BY day DESC) AS n FROM ({_OF_TYPE}))
            SELECT a.task, CASE WHEN max(l.day) IS NOT NULL THEN to_json(max(l.day))::VARCHAR END AS value, '' AS unit,
                list(l.ref) FILTER (l.ref IS NOT NULL) AS evidence,
                CASE WHEN a.slots['type'] IN (SELECT type FROM record) THEN 'no_matching_record' ELSE 'not_recorded' END AS reason,
                CASE WHEN max(l.day) IS NULL THEN 'none' ELSE 'answerable' END AS branch
            FROM asked a LEFT JOIN last l ON l.task = a.task AND l.n = 1 GROUP BY a.task, a.slots
            HAVING max(l.day) IS NOT NULL
                OR NOT EXISTS (SELECT 1 FROM record r WHERE r.patient = any_value(a.patient) AND r.type = a.slots['type'])""",
        wordings=(
            "On which day is the patient's latest {noun} (resource type {type})?",
            "Give the date of the most recent {type} that the record holds: the last {noun}.",
            "When did the last {noun} take place? It would be a resource of type {type}.",
            "{type} resources: how recent is the newest {noun}? I want its calendar day.",
        ),
        answer_note=(
            "Its day is the first of these that it has: effective[x], performed[x], occurrence[x], onset[x], whenHandedOver, "
            "whenPrepared, authoredOn, started, collection.collected[x], receivedTime, period, recordedDate, dateAsserted; of a "
            "period the start. Answer with type date, or with none where no day can be told."
        ),
    ),
)  # fmt: skip
