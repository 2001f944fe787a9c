"""Two values of one measurement: the change, which is greater, which way it went; stays and visits set side by side."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_PAIRS = """SELECT DISTINCT patient, code, min(display) OVER (PARTITION BY patient, code) AS label, unit, one, other,
        left(t, 4) || '-01-01' AS t_from, (left(t, 4)::INT + years)::VARCHAR || '-01-01' AS t_to
    FROM observation, (VALUES ('first', 'second'), ('first', 'last'), ('second', 'last'), ('second', 'third')) p(one, other),
        (VALUES (1), (6)) y(years)
    WHERE value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND display IS NOT NULL AND length(t) = 19"""

# Ranked from both ends; windows in which two results have one time are ties.
_RANKED = """WITH ranked AS (SELECT a.task, o.ref, o.value, o.unit, o.t,
        rank() OVER (PARTITION BY a.task ORDER BY o.t) AS up, rank() OVER (PARTITION BY a.task ORDER BY o.t DESC) AS down,
        count(*) OVER (PARTITION BY a.task, o.t) AS together,
        a.slots['one'] AS one, a.slots['other'] AS other
    FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.unit = a.slots['unit']
        AND o.value IS NOT NULL AND o.comparator IS NULL AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']),
placed AS (SELECT *, CASE one WHEN 'first' THEN up = 1 ELSE up = 2 END AS is_one,
        CASE other WHEN 'second' THEN up = 2 WHEN 'third' THEN up = 3 ELSE down = 1 END AS is_other FROM ranked),
pair AS (SELECT task, max(together) AS together, max(value) FILTER (is_one) AS a, max(value) FILTER (is_other) AS b,
        any_value(unit) AS unit, list(ref) FILTER (is_one OR is_other) AS refs, max(t) FILTER (is_one) AS t_a,
        max(t) FILTER (is_other) AS t_b
    FROM placed GROUP BY task)"""

_NOTE = "Results with a comparator (<, >) do not count. Order by the time they were taken. "

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="signed_change", code="C01", category="comparison", answer="quantity", tables=("observation",),
        hops=("Observation",), branches=("found", "none"), candidates=_PAIRS,
        truth=f"""{_RANKED} SELECT q.task, CASE WHEN p.t_a < p.t_b THEN round(p.b - p.a, 4)::VARCHAR END AS value, p.unit,
                CASE WHEN p.t_a < p.t_b THEN p.refs ELSE [] END AS evidence
            FROM asked q LEFT JOIN pair p USING (task) WHERE coalesce(p.together, 1) = 1""",
        wordings=(
            "By how much did {label} (code {code}, {unit}) change from the {one} to the {other} result from {t_from} until {t_to}?",
            "Take the {one} and the {other} value of {code}, {label}, measured on or after {t_from} and before {t_to}. What is the "
            "later minus the earlier, in {unit}?",
            "I want the signed difference in {unit}: {other} {label} [{code}] less the {one}, window from {t_from} until {t_to}.",
            "Between {t_from} (included) and {t_to} (excluded), how far had {label}, {code}, moved at its {other} measurement "
            "compared "
            "with its {one} one? Plus for a rise; {unit}.",
        ),
        answer_note=(
            f"{_NOTE}Answer with type quantity and the unit, negative for a fall, rounded to 4 decimals; with none where the two "
            "results do not both exist, or are the same one."
        ),
    ),
    Question(
        name="is_greater", code="C02", category="comparison", answer="boolean", tables=("observation",),
        hops=("Observation",), branches=("true", "false"), candidates=_PAIRS,
        truth=f"""{_RANKED} SELECT q.task, (p.b > p.a)::VARCHAR AS value, '' AS unit, p.refs AS evidence
            FROM asked q JOIN pair p USING (task) WHERE p.together = 1 AND p.t_a < p.t_b AND p.a <> p.b""",
        wordings=(
            "Was the {other} {label} (code {code}, {unit}) from {t_from} until {t_to} greater than the {one}?",
            "Compare two results of {code}, {label}, in {unit}, taken on or after {t_from} and before {t_to}: does the {other} "
            "exceed "
            "the {one}?",
            "Yes or no: {label} [{code}, {unit}] was higher at its {other} than at its {one} measurement in the window from "
            "{t_from} "
            "until {t_to}.",
            "Between {t_from} (included) and {t_to} (excluded), is it right that the {one} value of {code} ({label}) lies below "
            "the "
            "{other} one? Unit {unit}.",
        ),
        answer_note=f"{_NOTE}Answer with type boolean.",
    ),
    Question(
        name="direction", code="C03", category="comparison", answer="choice", tables=("observation",),
        hops=("Observation",), branches=("rose", "fell", "unchanged"), candidates=_PAIRS,
        truth=f"""{_RANKED}, told AS (SELECT task, refs, CASE WHEN abs(b - a) <= 0.05 * abs(a) THEN 'unchanged' WHEN b > a THEN
                    'rose' ELSE 'fell' END AS told FROM pair WHERE together = 1 AND t_a < t_b
                    AND abs(abs(b - a) - 0.05 * abs(a)) > 0.000001 * greatest(1, abs(a)))
            SELECT q.task, to_json(t.told)::VARCHAR AS value, '' AS unit, t.refs AS evidence, t.told AS branch
            FROM asked q JOIN told t USING (task)""",
        wordings=(
            "From the {one} to the {other} {label} (code {code}, {unit}) from {t_from} until {t_to}: did it rise, fall or stay?",
            "Which way did {code}, {label}, go between its {one} and {other} measurement on or after {t_from} and before {t_to} "
            "({unit})?",
            "Trend check for {label} [{code}, {unit}], window from {t_from} until {t_to}: set the {other} against the {one}.",
            "Has {code} ({label}) gone up, gone down or neither, if I look at the {one} and the {other} value in {unit} between "
            "{t_from} "
            "(included) and {t_to} (excluded)?",
        ),
        answer_note=(
            f"{_NOTE}A change of at most 5 % of the earlier value is no change. Answer with type choice: \"rose\", \"fell\" or "
            "\"unchanged\"."
        ),
    ),
    Question(
        name="same_specimen_ratio", version="2", code="C06", category="comparison", answer="number", tables=("observation",),
        hops=("Observation", "Observation"), branches=("found", "none"),
        needs="Observation.specimen",
        candidates="""SELECT a.patient, a.code AS code_one, any_value(a.display) AS label_one, b.code AS code_two,
                any_value(b.display) AS label_two, left(a.t, 10) AS day
            FROM observation a JOIN observation b ON a.patient = b.patient AND a.code < b.code AND left(a.t, 10) = left(b.t, 10)
                AND md5(a.code || b.code)[1] IN ('0', '5', 'a')
            WHERE a.value > 0 AND b.value > 0 AND a.unit = b.unit AND a.unit IS NOT NULL AND length(a.t) = 19 GROUP BY ALL""",
        truth="""WITH pairs AS (SELECT q.task, a.value / b.value AS ratio, [a.ref, b.ref] AS refs FROM asked q
                JOIN seen_observation a ON a.task = q.task AND a.code = q.slots['code_one'] AND left(a.t, 10) = q.slots['day']
                JOIN seen_observation b ON b.task = q.task AND b.code = q.slots['code_two'] AND a.specimen = b.specimen
                WHERE a.value > 0 AND b.value > 0 AND a.comparator IS NULL AND b.comparator IS NULL AND a.unit = b.unit),
            one AS (SELECT task, count(*) AS n, any_value(ratio) AS ratio, any_value(refs) AS refs FROM pairs GROUP BY task)
            SELECT q.task, round(o.ratio, 4)::VARCHAR AS value, '' AS unit, coalesce(o.refs, []) AS evidence FROM asked q
            LEFT JOIN one o USING (task) WHERE coalesce(o.n, 1) = 1""",
        wordings=(
            "What is the ratio of {label_one} ({code_one}) to {label_two} ({code_two}) in the specimen taken on {day}?",
            "Divide {code_one}, {label_one}, by {code_two}, {label_two}, where both were measured in one specimen on {day}.",
            "On {day} one specimen should have both {label_one} [{code_one}] and {label_two} [{code_two}]: first over second, "
            "please.",
            "{day}: {code_one} ({label_one}) divided by {code_two} ({label_two}), from the same sample.",
        ),
        answer_note=(
            "The two results share the specimen they refer to and the unit; those with a comparator do not count. Answer with type "
            "number, rounded to 4 decimals, or with none where no specimen of that day has both."
        ),
    ),
)  # fmt: skip
