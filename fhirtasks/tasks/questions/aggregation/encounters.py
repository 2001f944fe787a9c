"""How many encounters, how long in all."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="count_encounters", code="G01", category="aggregation", answer="integer", tables=("encounter",),
        hops=("Encounter",), branches=("some", "zero"),
        candidates="""SELECT patient, class, t_from, (t_from::INT + years)::VARCHAR AS t_to FROM
                (SELECT DISTINCT patient, class FROM encounter WHERE class IS NOT NULL) c,
                (SELECT DISTINCT patient AS p, left(t, 4) AS t_from FROM encounter WHERE t IS NOT NULL) y,
                (VALUES (1), (2), (5)) s(years)
            WHERE p = patient""",
        truth="""SELECT a.task, count(e.ref)::VARCHAR AS value, '' AS unit, list(e.ref) FILTER (e.ref IS NOT NULL) AS evidence,
                CASE WHEN count(e.ref) = 0 THEN 'zero' ELSE 'some' END AS branch
            FROM asked a LEFT JOIN seen_encounter e ON e.task = a.task AND e.class = a.slots['class']
                AND e.t >= a.slots['t_from'] AND e.t < a.slots['t_to']
            GROUP BY a.task""",
        wordings=(
            "How many encounters of class {class} began from {t_from} until {t_to}?",
            "Count the patient's visits whose class is {class} and whose start lies in the window from {t_from} until {t_to}.",
            "From the start of {t_from} and before {t_to}: what number of {class} encounters did this patient begin?",
            "Encounter.class {class}, period.start from {t_from} (included) to {t_to} (not included). The count, please.",
        ),
        answer_note="Answer with type integer; 0 is an answer.",
    ),
)  # fmt: skip
