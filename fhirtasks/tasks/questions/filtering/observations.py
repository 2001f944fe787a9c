"""Was a value ever beyond a limit, were all normal, which were not."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="value_ever_beyond", version="2", code="F12", category="filtering", answer="boolean", tables=("observation",),
        hops=("Observation",), branches=("true", "false"),
        # The limit lies between two neighbouring values of the patient's own, so that it can be crossed either way.
        candidates="""SELECT o.patient, o.code, min(o.display) AS label, o.unit, side, t_from, t_to,
                CASE side WHEN 'above' THEN round(quantile_cont(value, 0.9), 1) ELSE round(quantile_cont(value, 0.1), 1) END
                AS threshold
            FROM observation o JOIN (SELECT DISTINCT patient, left(t, 4) || '-01-01' AS t_from,
                    (left(t, 4)::INT + years)::VARCHAR || '-01-01' AS t_to FROM observation, (VALUES (1), (6)) y(years)
                    WHERE t IS NOT NULL) w ON w.patient = o.patient AND o.t >= w.t_from AND o.t < w.t_to,
                (VALUES ('above'), ('below')) s(side)
            WHERE value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND display IS NOT NULL
            GROUP BY o.patient, o.code, o.unit, side, t_from, t_to HAVING count(*) >= 3""",
        truth="""SELECT task, (count(o.ref) FILTER (beyond) > 0)::VARCHAR AS value, '' AS unit,
                list(o.ref) FILTER (beyond) AS evidence
            FROM (SELECT a.task, o.ref, CASE a.slots['side'] WHEN 'above' THEN o.value > a.slots['threshold']::DOUBLE
                    ELSE o.value < a.slots['threshold']::DOUBLE END AS beyond
                FROM asked a LEFT JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code']
                    AND o.unit = a.slots['unit'] AND o.comparator IS NULL AND o.t >= a.slots['t_from']
                    AND o.t < a.slots['t_to']) o
            GROUP BY task""",
        wordings=(
            "Was {label} ({code}, in {unit}) ever {side} {threshold} from {t_from} until {t_to}?",
            "Between {t_from} (included) and {t_to} (not included), did any result of {code}, {label}, lie {side} {threshold} "
            "{unit}?",
            "Look at all {label} results of the patient, code {code}: is there one {side} {threshold} {unit} that was taken on "
            "or after {t_from} and before {t_to}?",
            "I need a yes or no. Code {code} ({label}), unit {unit}, from {t_from} until {t_to}: anything {side} {threshold}?",
        ),
        answer_note="Results with a comparator do not count. Answer with type boolean.",
    ),
)  # fmt: skip
