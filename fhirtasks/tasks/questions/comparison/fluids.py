"""What went in against what came out."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="intake_minus_output", version="2", code="C08", category="comparison", answer="quantity",
        tables=("medication", "observation"),
        hops=("MedicationAdministration", "Observation"), branches=("found", "none"),
        needs="Observation in mL with a category that says output",
        # The category that outputs have is whatever the records call so.
        candidates="""WITH out AS (SELECT patient, left(t, 10) AS day, unit,
                    list_filter(category, lambda c: lower(c) LIKE '%output%')[1] AS category FROM observation
                WHERE lower(unit) = 'ml' AND value IS NOT NULL AND length(t) = 19)
            SELECT patient, unit, category, t_from, strftime(t_from::DATE + days, '%Y-%m-%d') AS t_to
            FROM (SELECT patient, unit, category, unnest([day, strftime(day::DATE + 90, '%Y-%m-%d')]) AS t_from FROM out
                WHERE category IS NOT NULL), (VALUES (1), (2), (7)) d(days) GROUP BY ALL""",
        truth="""WITH amount AS (SELECT task, -value AS value, ref FROM seen_observation
                    WHERE list_contains(category, slots['category']) AND lower(unit) = 'ml' AND value IS NOT NULL
                    AND comparator IS NULL AND t >= slots['t_from']
                    AND t < slots['t_to']
                UNION ALL SELECT task, dose, ref FROM seen_medication WHERE type = 'MedicationAdministration'
                    AND lower(dose_unit) = 'ml' AND dose IS NOT NULL AND t >= slots['t_from'] AND t < slots['t_to']),
            timely AS (SELECT DISTINCT task, 'Observation' AS type FROM seen_observation
                    WHERE t >= slots['t_from'] AND t < slots['t_to']
                UNION SELECT task, type FROM seen_medication WHERE type = 'MedicationAdministration'
                    AND t >= slots['t_from'] AND t < slots['t_to'])
            SELECT a.task, round(sum(m.value), 2)::VARCHAR AS value, any_value(a.slots['unit']) AS unit,
                coalesce(list(m.ref) FILTER (m.ref IS NOT NULL), []) AS evidence,
                (SELECT list(t.type ORDER BY t.type) FROM timely t WHERE t.task = a.task) AS lacks
            FROM asked a LEFT JOIN amount m USING (task) GROUP BY a.task
            HAVING sum(m.value) IS NULL OR abs(abs(sum(m.value) * 100) - floor(abs(sum(m.value) * 100)) - 0.5) > 0.0001""",
        wordings=(
            "What was intake minus output, in {unit}, from {t_from} until {t_to} (outputs have the category {category})?",
            "Fluid balance in {unit}: everything administered by volume less every Observation of category {category}, on or after "
            "{t_from} and before {t_to}.",
            "Between {t_from} (included) and {t_to} (excluded), by how many {unit} did what I was given exceed what I passed "
            "({category})?",
            "Add the MedicationAdministration volumes of the window from {t_from} until {t_to} and subtract its {category} "
            "volumes, {unit}.",
        ),
        answer_note=(
            "What is given counts whole at the start of its effective time, if dosage.dose has a value in mL or ml, which are one "
            "unit. Where only one of the two sides has entries, the other is 0. Answer with type quantity and the unit, negative "
            "where more came out, rounded to 2 decimals; with none where neither side has any."
        ),
    ),
)  # fmt: skip
