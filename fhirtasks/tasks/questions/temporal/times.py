"""When something was measured, ordered or done; when a value was highest; which of two things came first."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_YEAR = "left(t, 4) || '-01-01' AS t_from, (left(t, 4)::INT + 1)::VARCHAR || '-01-01' AS t_to"
_NOTE = (
    "Answer with type datetime: the first 19 characters of the recorded time, or with none where there is no such one."
)

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="time_of_nth_result", code="D02", category="temporal", answer="datetime", tables=("observation",),
        hops=("Observation",), branches=("found", "none"),
        candidates=f"""SELECT patient, code, any_value(display) AS label, place, {_YEAR}
            FROM observation, (VALUES ('first'), ('second'), ('third'), ('last')) p(place)
            WHERE code IS NOT NULL AND display IS NOT NULL AND length(t) = 19 GROUP BY patient, code, place, left(t, 4)""",
        # Several results of one time are one occasion: only the times are ranked.
        truth="""WITH occasion AS (SELECT a.task, a.slots['place'] AS place, o.t, list(o.ref) AS refs
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND length(o.t) = 19
                    AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to'] GROUP BY ALL),
            ranked AS (SELECT *, row_number() OVER (PARTITION BY task ORDER BY t) AS up,
                row_number() OVER (PARTITION BY task ORDER BY t DESC) AS down FROM occasion)
            SELECT a.task, to_json(r.t)::VARCHAR AS value, '' AS unit, coalesce(r.refs, []) AS evidence FROM asked a
            LEFT JOIN ranked r ON r.task = a.task AND CASE r.place WHEN 'first' THEN up = 1 WHEN 'second' THEN up = 2
                WHEN 'third' THEN up = 3 ELSE down = 1 END""",
        wordings=(
            "When was {label} (code {code}) taken for the {place} time from {t_from} until {t_to}?",
            "Give the time of the patient's {place} occasion with a result of {code}, {label}, on or after {t_from} and before "
            "{t_to}.",
            "Look at the moments at which {label} [{code}] was measured in the window from {t_from} until {t_to}. Which is the "
            "{place}?",
            "At what time did I have my {place} {code} ({label}) between {t_from} (included) and {t_to} (excluded)?",
        ),
        answer_note=f"Results of one and the same time are one occasion. {_NOTE}",
    ),
    Question(
        name="nth_time_beyond", code="D03", category="temporal", answer="datetime", tables=("observation",),
        hops=("Observation",), branches=("found", "none"),
        candidates=f"""SELECT patient, code, any_value(display) AS label, unit, side, place, {_YEAR},
                CASE side WHEN 'above' THEN round(quantile_cont(value, 0.7), 1) ELSE round(quantile_cont(value, 0.3), 1) END
                AS threshold
            FROM observation, (VALUES ('above'), ('below')) s(side), (VALUES ('first'), ('second'), ('last')) p(place)
            WHERE value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND length(t) = 19 AND display IS NOT NULL
            GROUP BY patient, code, unit, side, place, left(t, 4)""",
        truth="""WITH occasion AS (SELECT a.task, a.slots['place'] AS place, o.t, list(o.ref) AS refs
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.unit = a.slots['unit']
                    AND o.comparator IS NULL AND length(o.t) = 19 AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']
                    AND CASE a.slots['side'] WHEN 'above' THEN o.value > a.slots['threshold']::DOUBLE
                        ELSE o.value < a.slots['threshold']::DOUBLE END GROUP BY ALL),
            ranked AS (SELECT *, row_number() OVER (PARTITION BY task ORDER BY t) AS up,
                row_number() OVER (PARTITION BY task ORDER BY t DESC) AS down FROM occasion)
            SELECT a.task, to_json(r.t)::VARCHAR AS value, '' AS unit, coalesce(r.refs, []) AS evidence FROM asked a
            LEFT JOIN ranked r ON r.task = a.task AND CASE r.place WHEN 'first' THEN up = 1 WHEN 'second' THEN up = 2
                ELSE down = 1 END""",
        wordings=(
            "When was {label} (code {code}) {side} {threshold} {unit} for the {place} time from {t_from} until {t_to}?",
            "Find the {place} moment, on or after {t_from} and before {t_to}, at which {code}, {label}, lay {side} {threshold} "
            "{unit}.",
            "{label} [{code}]: among results {side} {threshold} ({unit}) in the window from {t_from} until {t_to}, what is the "
            "time of "
            "the {place}?",
            "Which time belongs to my {place} {code} value {side} {threshold} {unit} ({label}) between {t_from} (included) and "
            "{t_to} "
            "(excluded)?",
        ),
        answer_note=f"Results with a comparator do not count; results of one and the same time are one occasion. {_NOTE}",
    ),
    Question(
        name="time_of_extreme", code="D04", category="temporal", answer="datetime", tables=("observation",),
        hops=("Observation",), branches=("found",),
        candidates="""SELECT o.patient, o.code, min(o.display) AS label, o.unit, extreme, t_from, t_to
            FROM observation o JOIN (SELECT DISTINCT patient, left(t, 4) || '-01-01' AS t_from,
                    (left(t, 4)::INT + years)::VARCHAR || '-01-01' AS t_to FROM observation, (VALUES (1), (6)) y(years)
                    WHERE length(t) = 19) w ON w.patient = o.patient AND o.t >= w.t_from AND o.t < w.t_to,
                (VALUES ('highest'), ('lowest')) e(extreme)
            WHERE value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND length(t) = 19 AND display IS NOT NULL
            GROUP BY ALL HAVING count(*) >= 3""",
        # Where the extreme was reached at two times the task is left out.
        truth="""WITH ranked AS (SELECT a.task, o.t, o.ref, rank() OVER (PARTITION BY a.task ORDER BY
                    CASE a.slots['extreme'] WHEN 'highest' THEN -o.value ELSE o.value END) AS n
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.unit = a.slots['unit']
                    AND o.value IS NOT NULL AND o.comparator IS NULL AND length(o.t) = 19 AND o.t >= a.slots['t_from']
                    AND o.t < a.slots['t_to'])
            SELECT task, to_json(any_value(t))::VARCHAR AS value, '' AS unit, list(ref) AS evidence FROM ranked WHERE n = 1
            GROUP BY task HAVING count(DISTINCT t) = 1""",
        wordings=(
            "When was {label} (code {code}, {unit}) {extreme} from {t_from} until {t_to}?",
            "At what time did {code}, {label}, reach its {extreme} value in {unit}, looking at results on or after {t_from} and "
            "before "
            "{t_to}?",
            "Time of the {extreme} {label} [{code}] in the window from {t_from} until {t_to}; unit {unit}.",
            "Between {t_from} (included) and {t_to} (excluded): the moment of my {extreme} {code} ({label}), in {unit}?",
        ),
        answer_note=(
            "Results with a comparator do not count. Answer with type datetime: the first 19 characters of the recorded time."
        ),
    ),
    Question(
        name="which_first", code="D13", category="temporal", answer="choice", tables=("observation", "procedure"),
        hops=("Observation", "Procedure"), branches=("result", "procedure"),
        candidates="""SELECT o.patient, o.code AS code, any_value(o.display) AS label, p.code AS procedure_code,
                any_value(p.display) AS procedure_label
            FROM (SELECT patient, code, any_value(display) AS display FROM observation WHERE code IS NOT NULL AND display IS NOT
                NULL AND length(t) = 19 GROUP BY ALL) o
            JOIN procedure p ON p.patient = o.patient AND p.code IS NOT NULL AND p.t IS NOT NULL
                AND md5(o.code || p.code)[1] IN ('1', '7', 'c') GROUP BY ALL""",
        truth="""WITH a1 AS (SELECT o.task, min(o.t) AS t, arg_min(o.ref, o.t) AS ref FROM seen_observation o
                WHERE o.code = o.slots['code'] AND o.t IS NOT NULL GROUP BY o.task),
            p1 AS (SELECT p.task, min(p.t) AS t, arg_min(p.ref, p.t) AS ref FROM seen_procedure p
                WHERE p.code = p.slots['procedure_code'] AND p.t IS NOT NULL GROUP BY p.task)
            SELECT a1.task, CASE WHEN left(a1.t, 10) < left(p1.t, 10) THEN '"result"' ELSE '"procedure"' END AS value, '' AS unit,
                [a1.ref, p1.ref] AS evidence,
                CASE WHEN left(a1.t, 10) < left(p1.t, 10) THEN 'result' ELSE 'procedure' END AS branch
            FROM a1 JOIN p1 USING (task) WHERE left(a1.t, 10) <> left(p1.t, 10)""",
        wordings=(
            "Which came first: a result of {label} (code {code}) or the procedure {procedure_label} (code {procedure_code})?",
            "Set the earliest {code}, {label}, against the earliest procedure {procedure_code}, {procedure_label}. Which is "
            "earlier?",
            "Was {procedure_label} [{procedure_code}] done before the first {label} [{code}] was measured, or after it?",
            "Order two beginnings by date: Observation {code} ({label}), Procedure {procedure_code} ({procedure_label}).",
        ),
        answer_note='Days are compared. Answer with type choice: "result" if the measurement was earlier, else "procedure".',
    ),
)  # fmt: skip
