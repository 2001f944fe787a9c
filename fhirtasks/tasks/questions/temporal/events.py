"""What followed an event, how long a result took, in which ward the patient was at a moment."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="within_days_after", version="2", code="D10", category="temporal", answer="set", tables=("procedure",),
        hops=("Procedure", "MedicationRequest", "Medication"), branches=("some", "empty"),
        needs="Procedure followed by another one, or by a MedicationRequest",
        candidates="""SELECT patient, code, min(display) AS label, days, what
            FROM procedure, (VALUES ('3'), ('30'), ('180')) d(days), (VALUES ('procedures'), ('drugs')) w(what)
            WHERE code IS NOT NULL AND display IS NOT NULL AND length(t) >= 10 GROUP BY ALL""",
        truth="""WITH done AS (SELECT p.*, left(p.t, 10) AS day, min(left(p.t, 10)) OVER (PARTITION BY p.task) AS index_day
                FROM seen_procedure p WHERE p.code = p.slots['code'] AND length(p.t) >= 10),
            start AS (SELECT task, any_value(index_day) AS since, list(ref) AS refs, any_value(slots['what']) AS what,
                    strftime(any_value(index_day)::DATE + any_value(slots['days'])::INTEGER, '%Y-%m-%d') AS until
                FROM done WHERE day = index_day GROUP BY task),
            event AS (SELECT p.task, left(p.t, 10) AS day, p.code AS item, p.ref FROM seen_procedure p
                    WHERE p.slots['what'] = 'procedures' AND p.code <> p.slots['code'] AND length(p.t) >= 10
                UNION ALL SELECT m.task, left(m.t, 10), lower(m.drug), m.ref FROM seen_medication m
                    WHERE m.slots['what'] = 'drugs' AND m.type = 'MedicationRequest' AND m.drug IS NOT NULL AND length(m.t) >= 10)
            SELECT s.task, coalesce(to_json(list(DISTINCT e.item ORDER BY e.item) FILTER (e.item IS NOT NULL)), '[]')::VARCHAR
                    AS value, '' AS unit, coalesce(list(e.ref) FILTER (e.ref IS NOT NULL), []) || any_value(s.refs) AS evidence,
                CASE WHEN count(e.ref) > 0 THEN 'some' ELSE 'empty' END AS branch,
                CASE WHEN any_value(s.what) = 'drugs' THEN ['MedicationRequest'] END AS lacks
            FROM start s LEFT JOIN event e ON e.task = s.task AND e.day > s.since AND e.day <= s.until
            GROUP BY s.task HAVING count(DISTINCT e.item) <= 30""",
        wordings=(
            "Which {what} followed within {days} days after the first {label} (procedure code {code})?",
            "Start from the day on which {code}, {label}, was done for the first time. What {what} does the record have in the "
            "{days} days after it?",
            "After {label} [{code}], its earliest performance, list all {what} of the next {days} days.",
            "I first had {code} ({label}); name the {what} that came in the {days} days behind that date.",
        ),
        answer_note=(
            "Days are calendar days; the day itself does not belong to the answer, the last of the days does. Procedures are given "
            "by their code, the one asked about left out; drugs are what was ordered, by the full name as the record has it in "
            "lower case, a mixture by the names of its ingredients joined with ' + '. Answer with type set; [] if there is none."
        ),
    ),
    Question(
        name="time_to_result", code="D14", category="temporal", answer="duration", tables=("observation",),
        hops=("Observation", "Specimen"), branches=("found", "none"), needs="Observation.issued later than the effective time",
        candidates="""SELECT patient, code, min(display) AS label, place, scale, month || '-01' AS t_from,
                strftime(date_add((month || '-01')::DATE, INTERVAL 1 MONTH), '%Y-%m-%d') AS t_to
            FROM (SELECT patient, code, display, unnest([left(t, 7), strftime(left(t, 10)::DATE + 60, '%Y-%m')]) AS month
                FROM observation WHERE code IS NOT NULL AND display IS NOT NULL AND length(t) = 19 AND length(issued) = 19
                    AND issued > t),
                (VALUES ('first'), ('last')) p(place), (VALUES ('minutes'), ('hours')) s(scale) GROUP BY ALL""",
        # Two results of one time, and a result that was issued before its specimen was collected, leave the task out.
        truth="""WITH ranked AS (SELECT a.task, a.slots['scale'] AS scale, o.ref, s.ref AS specimen_ref, o.issued,
                    coalesce(s.t, o.t) AS collected, rank() OVER (PARTITION BY a.task ORDER BY
                    CASE a.slots['place'] WHEN 'first' THEN o.t END, CASE a.slots['place'] WHEN 'last' THEN o.t END DESC) AS n
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND length(o.t) = 19
                    AND length(o.issued) = 19 AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']
                LEFT JOIN seen_specimen s ON s.task = a.task AND s.id = o.specimen AND length(s.t) = 19),
            chosen AS (SELECT task, any_value(scale) AS scale, any_value(issued) AS issued, any_value(collected) AS collected,
                    list(ref) || list(specimen_ref) AS refs, count(*) AS n FROM ranked WHERE n = 1 GROUP BY task)
            SELECT a.task, round(date_diff('second', c.collected::TIMESTAMP, c.issued::TIMESTAMP) /
                    CASE c.scale WHEN 'hours' THEN 3600.0 ELSE 60.0 END, 2)::VARCHAR AS value,
                CASE WHEN c.task IS NULL THEN '' ELSE c.scale END AS unit, coalesce(c.refs, []) AS evidence
            FROM asked a LEFT JOIN chosen c USING (task) WHERE c.task IS NULL OR (c.n = 1 AND c.issued >= c.collected)""",
        wordings=(
            "How many {scale} lay between collection and result of the {place} {label} (code {code}) from {t_from} until {t_to}?",
            "Turnaround of {code}, {label}: for the {place} one taken on or after {t_from} and before {t_to}, give the time until "
            "it was issued, in {scale}.",
            "Work out, in {scale}, for how long the lab had the specimen of the {place} {label} [{code}] in the window from "
            "{t_from} until {t_to} before it reported.",
            "My {place} {code} ({label}) between {t_from} (included) and {t_to} (excluded): I waited for its result how many "
            "{scale}?",
        ),
        answer_note=(
            "Order results by their own time. The collection is that of the specimen that the result refers to; where it refers to "
            "none, the result's own time. Results without issued do not count. Take the recorded local times as they stand. Answer "
            "with type duration, rounded to 2 decimals, and the unit asked for, or with none where there is no such result."
        ),
    ),
    Question(
        name="ward_at", code="D15", category="temporal", answer="string", tables=("ward",),
        hops=("Encounter", "Location"), branches=("found", "none"), needs="Encounter.location.period",
        # The middle of each stay in a ward, and a moment some days after the ward was left.
        candidates="""SELECT DISTINCT patient, strftime(unnest([t::TIMESTAMP + (t_end::TIMESTAMP - t::TIMESTAMP) / 2,
                t_end::TIMESTAMP + INTERVAL 5 DAY]), '%Y-%m-%dT%H:%M:00') AS moment
            FROM ward WHERE length(t) = 19 AND length(t_end) = 19 AND t < t_end""",
        truth="""SELECT a.task, to_json(min(w.name))::VARCHAR AS value, '' AS unit,
                coalesce(list(DISTINCT w.ref) FILTER (w.ref IS NOT NULL), []) AS evidence
            FROM asked a LEFT JOIN seen_ward w ON w.task = a.task AND length(w.t) = 19 AND length(w.t_end) = 19
                AND w.name IS NOT NULL AND w.t <= a.slots['moment'] AND a.slots['moment'] < w.t_end
            GROUP BY a.task HAVING count(DISTINCT w.name) <= 1""",
        wordings=(
            "In which ward was the patient at {moment}?",
            "Name the location of the encounter whose period there covers {moment}.",
            "Where in the hospital would one have found this person on {moment}, by the periods of the wards?",
            "{moment}: which unit was I lying in?",
        ),
        answer_note=(
            "A ward's period includes its start and not its end; take the recorded local times as they stand. Answer with type "
            "string: the Location's name, or with none where no ward's period covers that moment."
        ),
    ),
)  # fmt: skip
