"""A name that stands for several things of the record, or for one (U08)."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_OWN = "code IS NOT NULL AND display IS NOT NULL AND length(t) >= 10"
_ORDERED = "type = 'MedicationRequest' AND drug IS NOT NULL AND length(t) >= 10"


def _things(owner: str, prefix: str = "") -> str:
    """SQL for ``owner, concept, display, t, ref``: observations by system and code, ordered drugs by name."""
    return f"""SELECT {owner}, coalesce(system, '') || '|' || code AS concept, lower(display) AS display, t, ref
            FROM {prefix}observation WHERE {_OWN}
        UNION ALL SELECT {owner}, 'drug|' || lower(drug), lower(drug), t, ref FROM {prefix}medication WHERE {_ORDERED}"""


QUESTIONS: tuple[Question, ...] = (
    Question(
        name="last_day_by_name", code="U08", category="unanswerable", answer="date", tables=("observation",),
        hops=("Observation", "MedicationRequest"), branches=("none", "answerable"), empty="ambiguous", per_patient=24,
        twins=(("name",),),
        # Names: what displays begin with, up to the first word, the second, the first sign that is neither letter nor blank.
        candidates=f"""WITH thing AS (SELECT DISTINCT patient, concept, display, left(t, 7) AS month FROM ({_things("patient")})),
            named AS (SELECT patient, month, concept, unnest(list_distinct([regexp_extract(display, '^[a-z]{{3,}}'),
                regexp_extract(display, '^[a-z]{{3,}} [a-z]+'), trim(regexp_extract(display, '^[a-z0-9 -]{{3,}}'))])) AS name
                FROM thing)
            SELECT patient, name, month || '-01' AS t_from,
                strftime((month || '-01')::DATE + INTERVAL 1 MONTH, '%Y-%m-%d') AS t_to
            FROM (SELECT *, bool_or(one) OVER w AND NOT bool_and(one) OVER w AS either FROM (
                    SELECT patient, month, name, count(DISTINCT concept) = 1 AS one FROM named WHERE name <> '' GROUP BY ALL)
                WINDOW w AS (PARTITION BY name))
            WHERE either QUALIFY row_number() OVER (PARTITION BY patient, one ORDER BY md5(patient || month || name)) <= 12""",
        truth=f"""WITH fit AS (SELECT a.task, x.concept, x.ref, left(x.t, 10) AS day FROM asked a
                JOIN ({_things("task", "seen_")}) x ON x.task = a.task AND starts_with(x.display, a.slots['name'])
                    AND NOT regexp_matches(substr(x.display, length(a.slots['name']) + 1, 1), '[a-z0-9]')
                    AND x.t >= a.slots['t_from'] AND x.t < a.slots['t_to']),
            told AS (SELECT task, count(DISTINCT concept) AS concepts, max(day) AS day, list(ref) AS refs FROM fit GROUP BY task)
            SELECT t.task, CASE WHEN concepts = 1 THEN to_json(t.day)::VARCHAR END AS value, '' AS unit,
                CASE WHEN concepts = 1 THEN (SELECT list(f.ref) FROM fit f WHERE f.task = t.task AND f.day = t.day) ELSE t.refs END
                AS evidence, CASE WHEN concepts = 1 THEN 'answerable' ELSE 'none' END AS branch
            FROM told t""",
        wordings=(
            "On which day from {t_from} until {t_to} was {name} last measured or ordered?",
            "{name}: give the date of the latest result or order in the window from {t_from} until {t_to}.",
            "When did {name} come up most recently, dated {t_from} or later and before {t_to}?",
            "Between {t_from} (included) and {t_to} (excluded), what was the last day with an entry for {name}?",
        ),
        answer_note=(
            "A name stands for every code of an Observation whose display, and for every drug of a MedicationRequest whose full "
            "name, is that name or begins with it as a whole word, upper and lower case alike; look at those of the window. Days "
            "are those of effective[x] and authoredOn. Answer with type date, or with none where no one thing is meant."
        ),
    ),
)  # fmt: skip
