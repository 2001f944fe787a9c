"""Which value came first, last or nth, and when."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="nth_value", version="2", code="D01", category="temporal", answer="quantity", tables=("observation",),
        hops=("Observation",), branches=("found", "none"),
        candidates="""SELECT patient, code, any_value(display) AS label, unit, place, t_from, t_to
            FROM (SELECT patient, code, display, unit, left(t, 7) AS month FROM observation
                WHERE value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND length(t) = 19) o,
                (VALUES ('first'), ('second'), ('third'), ('last')) p(place),
                LATERAL (SELECT o.month || '-01' AS t_from,
                    strftime(date_add((o.month || '-01')::DATE, INTERVAL 1 MONTH), '%Y-%m-%d') AS t_to)
            GROUP BY patient, code, unit, place, t_from, t_to""",
        # Results of one time with different values are a tie: the task is left out.
        truth="""WITH ranked AS (SELECT a.task, a.slots['place'] AS place, o.ref, o.value, o.digits, o.unit,
                    rank() OVER (PARTITION BY a.task ORDER BY o.t) AS up, rank() OVER (PARTITION BY a.task ORDER BY o.t DESC)
                    AS down, count(*) OVER (PARTITION BY a.task, o.t) AS together
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code']
                    AND o.unit = a.slots['unit'] AND o.value IS NOT NULL AND o.comparator IS NULL
                    AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']),
            clean AS (SELECT task FROM ranked GROUP BY task HAVING max(together) = 1)
            SELECT a.task, r.digits AS value, r.unit, [r.ref] AS evidence FROM asked a
            LEFT JOIN ranked r ON r.task = a.task AND CASE r.place WHEN 'first' THEN up = 1 WHEN 'second' THEN up = 2
                WHEN 'third' THEN up = 3 ELSE down = 1 END
            WHERE a.task IN (FROM clean) OR a.task NOT IN (SELECT task FROM ranked)""",
        wordings=(
            "What was the {place} {label} ({code}) in {unit} from {t_from} until {t_to}?",
            "Give me the value of the patient's {place} result of code {code}, {label}, taken on or after {t_from} and before "
            "{t_to} ({unit}).",
            "Of all {label} measurements with code {code} and unit {unit} in the window from {t_from} until {t_to}, report the "
            "{place} one.",
            "{label}, code {code}: which value had the {place} of the results from {t_from} (included) to {t_to} (not "
            "included), in {unit}?",
        ),
        answer_note=(
            "Results with a comparator do not count. Answer with type quantity and its unit, or with none where there is no such "
            "result."
        ),
    ),
)  # fmt: skip
