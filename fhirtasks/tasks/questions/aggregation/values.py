"""Least, greatest and mean values, month by month too; how many were abnormal."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_MONTHS = "(VALUES (1), (3), (12)) m(months)"
_WINDOW = """left(t, 7) || '-01' AS t_from,
    strftime((left(t, 7) || '-01')::DATE + to_months(months), '%Y-%m-%d') AS t_to"""
_VALUES = """seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.unit = a.slots['unit']
    AND o.value IS NOT NULL AND o.comparator IS NULL AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="aggregate_of_values", code="G04", category="aggregation", answer="quantity", tables=("observation",),
        hops=("Observation",), branches=("found", "none"),
        candidates=f"""SELECT patient, code, any_value(display) AS label, unit, how, {_WINDOW}
            FROM (SELECT patient, code, display, unit, unnest([t, (left(t, 4)::INT - 1)::VARCHAR || substr(t, 5)]) AS t
                FROM observation WHERE value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND display IS NOT NULL
                AND length(t) = 19 AND substr(t, 6, 5) <> '02-29'), (VALUES ('maximum'), ('minimum'), ('mean')) h(how), {_MONTHS}
            GROUP BY patient, code, unit, how, left(t, 7), months""",
        truth=f"""SELECT a.task, round(CASE a.slots['how'] WHEN 'maximum' THEN max(o.value) WHEN 'minimum' THEN min(o.value)
                    ELSE avg(o.value) END, 3)::VARCHAR AS value, a.slots['unit'] AS unit,
                CASE a.slots['how'] WHEN 'maximum' THEN [arg_max(o.ref, o.value)] WHEN 'minimum' THEN [arg_min(o.ref, o.value)]
                    ELSE list(o.ref) END AS evidence
            FROM asked a LEFT JOIN {_VALUES} GROUP BY a.task, a.slots
            HAVING a.slots['how'] <> 'mean' OR count(*) <> 1 OR count(o.ref) = 0""",
        wordings=(
            "What was the {how} of {label} (code {code}) in {unit} from {t_from} until {t_to}?",
            "Take all results of {code}, {label}, in {unit}, on or after {t_from} and before {t_to}, and report their {how}.",
            "{how} {label} [{code}] over the window from {t_from} until {t_to}, unit {unit}?",
            "Between {t_from} (included) and {t_to} (excluded): compute the {how} of my {code} ({label}) values; {unit} only.",
        ),
        answer_note=(
            "Results with a comparator do not count. Answer with type quantity and the unit, rounded to 3 decimals, or with none "
            "where there is no such result."
        ),
    ),
    Question(
        name="monthly_means", code="G06", category="aggregation", answer="map", tables=("observation",),
        hops=("Observation",), branches=("found",),
        needs="Observation with several numeric values in one year",
        candidates="""SELECT patient, code, any_value(display) AS label, unit, left(t, 4) || '-01-01' AS t_from,
                (left(t, 4)::INT + 1)::VARCHAR || '-01-01' AS t_to
            FROM observation WHERE value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND display IS NOT NULL
                AND length(t) = 19
            GROUP BY patient, code, unit, left(t, 4) HAVING count(DISTINCT left(t, 7)) >= 2""",
        truth=f"""WITH month AS (SELECT a.task, left(o.t, 7) AS month, round(avg(o.value), 3) AS mean, list(o.ref) AS refs
                FROM asked a JOIN {_VALUES} GROUP BY ALL)
            SELECT task, to_json(map_from_entries(list((month, mean) ORDER BY month)))::VARCHAR AS value, '' AS unit,
                flatten(list(refs)) AS evidence FROM month GROUP BY task""",
        wordings=(
            "Give the mean {label} (code {code}, {unit}) of every month from {t_from} until {t_to}.",
            "Average the results of {code}, {label}, in {unit}, month by month, for those taken on or after {t_from} and before "
            "{t_to}.",
            "Monthly averages of {label} [{code}] in {unit} over the window from {t_from} until {t_to}, please.",
            "I want a table: month against mean {code} ({label}, {unit}), between {t_from} (included) and {t_to} (excluded).",
        ),
        answer_note=(
            "Months without a result are left out; results with a comparator do not count. Answer with type map: YYYY-MM and the "
            "mean as a number, rounded to 3 decimals."
        ),
    ),
    Question(
        name="share_abnormal", code="G09", category="aggregation", answer="number", tables=("observation",),
        hops=("Observation",), branches=("found",),
        needs="Observation.referenceRange",
        candidates="""SELECT patient, code, any_value(display) AS label FROM observation
            WHERE value IS NOT NULL AND comparator IS NULL AND low IS NOT NULL AND high IS NOT NULL AND display IS NOT NULL
            GROUP BY patient, code HAVING count(*) >= 4""",
        truth="""SELECT o.task, round(count(*) FILTER (value < low OR value > high) / count(*), 4)::VARCHAR AS value, '' AS unit,
                list(o.ref) AS evidence
            FROM seen_observation o WHERE o.code = o.slots['code'] AND o.value IS NOT NULL AND o.comparator IS NULL
                AND o.low IS NOT NULL AND o.high IS NOT NULL GROUP BY o.task""",
        wordings=(
            "What share of the {label} results (code {code}) lay outside their reference range?",
            "Of all numeric {code}, {label}, with both limits given: which fraction is abnormal?",
            "Divide the out-of-range {label} [{code}] results by all of them that carry a low and a high limit.",
            "How large a part of my {code} ({label}) values was too high or too low, as a number from 0 to 1?",
        ),
        answer_note=(
            "Use the first reference range of each result; the limits themselves are within; results without both limits or with a "
            "comparator do not count. Answer with type number, rounded to 4 decimals."
        ),
    ),
    Question(
        name="total_hours_in_class", code="G10", category="aggregation", answer="duration", tables=("encounter",),
        hops=("Encounter",), branches=("found",),
        candidates="""SELECT patient, class FROM encounter WHERE class IS NOT NULL AND length(t) = 19
            GROUP BY ALL HAVING count(*) >= 2""",
        truth="""SELECT e.task, round(sum(date_diff('second', e.t::TIMESTAMP, e.t_end::TIMESTAMP)) / 3600.0, 2)::VARCHAR AS value,
                'hours' AS unit, list(e.ref) AS evidence
            FROM seen_encounter e WHERE e.class = e.slots['class'] AND length(e.t) = 19 AND length(e.t_end) = 19 GROUP BY e.task""",
        wordings=(
            "How many hours in all did the patient's encounters of class {class} last?",
            "Sum the lengths, in hours, of every {class} encounter that has a start and an end.",
            "Total time spent in {class} encounters, expressed in hours?",
            "Adding period.end minus period.start over all visits with class {class}: how many hours?",
        ),
        answer_note=(
            "Take the recorded local times as they stand. Answer with type duration and the unit hours, rounded to 2 decimals."
        ),
    ),
)  # fmt: skip
