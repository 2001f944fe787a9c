"""When two drugs were ordered together, and for how long both orders were in force."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_DRUG_NOTE = (
    "A drug goes by its full name as the record has it, upper and lower case alike; a mixture by the names of its ingredients "
    "joined with ' + '. "
)

# The orders of the two drugs that the question names.
_TWO = """SELECT m.*, lower(m.drug) = lower(m.slots['drug_one']) AS is_one FROM seen_medication m
    WHERE m.type = 'MedicationRequest' AND lower(m.drug) IN (lower(m.slots['drug_one']), lower(m.slots['drug_two']))"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="ordered_together", code="D09", category="temporal", answer="datetime", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("found", "none"),
        # Pairs that share a day or an encounter, and as many that need not.
        candidates="""WITH ordered AS (SELECT patient, lower(drug) AS name, min(drug) AS drug, list(DISTINCT left(t, 10)) AS days
                FROM medication WHERE type = 'MedicationRequest' AND drug IS NOT NULL AND length(t) = 19 GROUP BY ALL),
            pair AS (SELECT a.patient, a.drug AS drug_one, b.drug AS drug_two, md5(a.name || '/' || b.name) AS mixed,
                    list_has_any(a.days, b.days) AS near
                FROM ordered a JOIN ordered b ON a.patient = b.patient AND a.name < b.name)
            SELECT patient, drug_one, drug_two, scope, place
            FROM (SELECT *, row_number() OVER (PARTITION BY patient, near ORDER BY mixed) AS n FROM pair),
                (VALUES ('day'), ('encounter')) s(scope), (VALUES ('first'), ('second'), ('last')) p(place) WHERE n <= 12""",
        # An occasion is a day or an encounter that has orders of both; occasions that begin at one moment are a tie.
        truth=f"""WITH occasion AS (SELECT task, slots['place'] AS place,
                    greatest(min(t) FILTER (is_one), min(t) FILTER (NOT is_one)) AS t, list(ref) AS refs FROM ({_TWO})
                WHERE length(t) = 19 AND (slots['scope'] = 'day' OR encounter <> '')
                GROUP BY task, slots['place'], CASE slots['scope'] WHEN 'day' THEN left(t, 10) ELSE encounter END
                HAVING bool_or(is_one) AND bool_or(NOT is_one)),
            ranked AS (SELECT *, row_number() OVER (PARTITION BY task ORDER BY t) AS up,
                row_number() OVER (PARTITION BY task ORDER BY t DESC) AS down, count(*) OVER (PARTITION BY task, t) AS together
                FROM occasion),
            tied AS (SELECT task FROM ranked WHERE together > 1)
            SELECT a.task, to_json(r.t)::VARCHAR AS value, '' AS unit, coalesce(r.refs, []) AS evidence FROM asked a
            LEFT JOIN ranked r ON r.task = a.task
                AND CASE r.place WHEN 'first' THEN up = 1 WHEN 'second' THEN up = 2 ELSE down = 1 END
            WHERE a.task NOT IN (FROM tied)""",
        wordings=(
            "When were {drug_one} and {drug_two} ordered together, in the same {scope}, for the {place} time?",
            "Find each {scope} that has at least one order of {drug_one} and one of {drug_two}; at what moment was the pair "
            "complete in the {place} of them?",
            "{drug_one}, {drug_two}: take the {place} {scope} in which both were prescribed and give the time from which the two "
            "orders existed.",
            "By what time of my {place} {scope} with prescriptions for {drug_two} as well as {drug_one} had both been written?",
        ),
        answer_note=(
            f"{_DRUG_NOTE}Every MedicationRequest counts at its authoredOn. The time of such a day or encounter is the moment at "
            "which the later of the two drugs was ordered in it first; put them in order by that. Answer with type datetime: the "
            "first 19 characters of the recorded time, or with none where there are not so many."
        ),
    ),
    Question(
        name="days_both_in_force", code="D12", category="temporal", answer="duration", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("some", "zero"),
        needs="MedicationRequest.dispenseRequest.validityPeriod",
        candidates="""WITH ordered AS (SELECT patient, lower(drug) AS name, min(drug) AS drug,
                    flatten(list(generate_series(left(valid_from, 10)::DATE, left(valid_to, 10)::DATE, INTERVAL 1 DAY))) AS days
                FROM medication WHERE type = 'MedicationRequest' AND drug IS NOT NULL AND length(valid_from) >= 10
                    AND length(valid_to) >= 10 GROUP BY ALL),
            pair AS (SELECT a.patient, a.drug AS drug_one, b.drug AS drug_two, md5(a.name || '/' || b.name) AS mixed,
                    list_has_any(a.days, b.days) AS near
                FROM ordered a JOIN ordered b ON a.patient = b.patient AND a.name < b.name)
            SELECT patient, drug_one, drug_two
            FROM (SELECT *, row_number() OVER (PARTITION BY patient, near ORDER BY mixed) AS n FROM pair) WHERE n <= 12""",
        truth=f"""WITH held AS (SELECT task, ref, is_one, left(valid_from, 10)::DATE AS since, left(valid_to, 10)::DATE AS until
                FROM ({_TWO}) WHERE length(valid_from) >= 10 AND length(valid_to) >= 10),
            day AS (SELECT task, is_one, unnest(generate_series(since, until, INTERVAL 1 DAY)) AS day FROM held),
            shared AS (SELECT task, day FROM day GROUP BY task, day HAVING count(DISTINCT is_one) = 2),
            counted AS (SELECT task, count(*) AS days FROM shared GROUP BY task),
            known AS (SELECT task, list(ref) AS refs FROM held GROUP BY task HAVING count(DISTINCT is_one) = 2)
            SELECT k.task, coalesce(c.days, 0)::VARCHAR AS value, 'days' AS unit, k.refs AS evidence,
                CASE WHEN c.days > 0 THEN 'some' ELSE 'zero' END AS branch
            FROM known k LEFT JOIN counted c USING (task)""",
        wordings=(
            "On how many days were {drug_one} and {drug_two} both in force?",
            "Lay the validity periods of all orders of {drug_one} over those of {drug_two}: how many calendar days do they share?",
            "Count the days which fall within an order for {drug_one} and also within one for {drug_two}.",
            "How long, in days, was I supposed to take {drug_two} at the same time as {drug_one}?",
        ),
        answer_note=(
            f"{_DRUG_NOTE}An order is in force from the date of dispenseRequest.validityPeriod.start to that of its end, both days "
            "included; each day counts once. Answer with type duration and the unit days; 0 is an answer."
        ),
    ),
)  # fmt: skip
