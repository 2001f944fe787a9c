"""From orders to drugs, from results to specimens, from panels to their members."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_DRUG_NOTE = (
    "A drug goes by its full name as the record has it, upper and lower case alike; a mixture by the names of its ingredients "
    "joined with ' + '. "
)

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="nth_drug_ordered", code="T01", category="traversal", answer="string", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("found", "none"),
        candidates="""SELECT DISTINCT patient, place, year || '-01-01' AS t_from, (year::INT + 1)::VARCHAR || '-01-01' AS t_to
            FROM (SELECT patient, unnest([left(t, 4), (left(t, 4)::INT + 1)::VARCHAR]) AS year FROM medication
                WHERE type = 'MedicationRequest' AND t IS NOT NULL), (VALUES ('first'), ('second'), ('last')) p(place)""",
        truth="""WITH ranked AS (SELECT a.task, a.slots['place'] AS place, m.ref, m.drug,
                    rank() OVER (PARTITION BY a.task ORDER BY m.t) AS up,
                    rank() OVER (PARTITION BY a.task ORDER BY m.t DESC) AS down,
                    count(*) OVER (PARTITION BY a.task, m.t) AS together
                FROM asked a JOIN seen_medication m ON m.task = a.task AND m.type = 'MedicationRequest' AND m.drug IS NOT NULL
                    AND m.t >= a.slots['t_from'] AND m.t < a.slots['t_to']),
            chosen AS (SELECT * FROM ranked WHERE CASE place WHEN 'first' THEN up <= 1 WHEN 'second' THEN up <= 2 ELSE down <= 1
                END),
            clean AS (SELECT task FROM chosen GROUP BY task HAVING max(together) = 1)
            SELECT a.task, to_json(lower(c.drug))::VARCHAR AS value, '' AS unit,
                CASE WHEN c.ref IS NULL THEN [] ELSE [c.ref] END AS evidence
            FROM asked a LEFT JOIN chosen c ON c.task = a.task AND (c.place <> 'second' OR c.up = 2)
            WHERE a.task IN (FROM clean) OR a.task NOT IN (SELECT task FROM chosen)""",
        wordings=(
            "Which drug was ordered {place} from {t_from} until {t_to}?",
            "Name the medication of the patient's {place} prescription authored on or after {t_from} and before {t_to}.",
            "Put all MedicationRequests of the window from {t_from} until {t_to} in order of authoredOn; what does the {place} "
            "one order?",
            "Between {t_from} (included) and {t_to} (excluded), what was the {place} medicine that I was prescribed?",
        ),
        answer_note=f"{_DRUG_NOTE}Answer with type string, in lower case, or with none where there is no such order.",
    ),
    Question(
        name="drugs_by_route", code="T02", category="traversal", answer="set", tables=("medication",),
        hops=("MedicationRequest", "Medication"), branches=("some", "empty"),
        needs="MedicationRequest.dosageInstruction.route",
        candidates="""SELECT DISTINCT m.patient, r.route, left(m.t, 7) || '-01' AS t_from,
                strftime((left(m.t, 7) || '-01')::DATE + INTERVAL 1 MONTH, '%Y-%m-%d') AS t_to
            FROM medication m, (SELECT route FROM medication WHERE type = 'MedicationRequest' AND route IS NOT NULL GROUP BY route
                ORDER BY count(*) DESC, route LIMIT 12) r
            WHERE m.type = 'MedicationRequest' AND length(m.t) >= 10""",
        truth="""SELECT a.task, coalesce(to_json(list(DISTINCT lower(x.drug) ORDER BY lower(x.drug)) FILTER (x.ref IS NOT NULL)),
                '[]')::VARCHAR AS value, '' AS unit, list(x.ref) FILTER (x.ref IS NOT NULL) AS evidence,
                CASE WHEN count(x.ref) > 0 THEN 'some' ELSE 'empty' END AS branch
            FROM asked a LEFT JOIN seen_medication x ON x.task = a.task AND x.type = 'MedicationRequest'
                AND x.route = a.slots['route'] AND x.drug IS NOT NULL AND x.t >= a.slots['t_from'] AND x.t < a.slots['t_to']
            GROUP BY a.task HAVING count(DISTINCT lower(x.drug)) <= 30""",
        wordings=(
            "Which drugs were ordered by the route {route} from {t_from} until {t_to}?",
            "Orders authored on or after {t_from} and before {t_to} whose first dosage instruction says route {route}: what are "
            "their "
            "medications?",
            "List everything prescribed for {route} administration in the window from {t_from} until {t_to}.",
            "Route {route} only. Name each medicine requested between {t_from} (included) and {t_to} (excluded).",
        ),
        answer_note=f"{_DRUG_NOTE}Answer with type set: the names, each once; [] if there is none.",
    ),
    Question(
        name="specimen_of_result", code="T03", category="traversal", answer="string", tables=("observation", "specimen"),
        hops=("Observation", "Specimen"), branches=("found",),
        candidates="""SELECT patient, code, any_value(display) AS label, place, left(t, 4) || '-01-01' AS t_from,
                (left(t, 4)::INT + 1)::VARCHAR || '-01-01' AS t_to
            FROM observation, (VALUES ('first'), ('last')) p(place)
            WHERE specimen IS NOT NULL AND code IS NOT NULL AND display IS NOT NULL AND length(t) = 19
            GROUP BY patient, code, place, left(t, 4)""",
        truth="""WITH ranked AS (SELECT a.task, o.ref, s.display, s.ref AS sref, rank() OVER (PARTITION BY a.task ORDER BY
                    CASE a.slots['place'] WHEN 'first' THEN o.t END, CASE a.slots['place'] WHEN 'last' THEN o.t END DESC) AS n
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.specimen IS NOT NULL
                    AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']
                JOIN seen_specimen s ON s.task = a.task AND s.id = o.specimen)
            SELECT task, to_json(any_value(display))::VARCHAR AS value, '' AS unit, list(ref) || list(sref) AS evidence
            FROM ranked WHERE n = 1 GROUP BY task HAVING count(DISTINCT display) = 1""",
        wordings=(
            "From what specimen was the {place} {label} (code {code}) from {t_from} until {t_to} measured?",
            "Follow the {place} result of {code}, {label}, taken on or after {t_from} and before {t_to}, to its specimen: what "
            "type is it?",
            "What material did the lab use for {label} [{code}], the {place} one in the window from {t_from} until {t_to}?",
            "Specimen.type of my {place} {code} ({label}) between {t_from} (included) and {t_to} (excluded)?",
        ),
        answer_note="Answer with type string: the display of the specimen's type, or its code where it has no display.",
    ),
    Question(
        name="panel_members", code="T10", category="traversal", answer="map", tables=("report", "observation"),
        hops=("DiagnosticReport", "Observation"), branches=("found",),
        candidates="""SELECT DISTINCT patient, code, display AS label, left(t, 10) AS before FROM report
            WHERE len(results) > 0 AND code IS NOT NULL AND display IS NOT NULL AND length(t) >= 10""",
        truth="""WITH last AS (SELECT a.task, r.ref, r.results, rank() OVER (PARTITION BY a.task ORDER BY r.t DESC) AS n
                FROM asked a JOIN seen_report r ON r.task = a.task AND r.code = a.slots['code']
                    AND left(r.t, 10) <= a.slots['before']),
            one AS (SELECT task, any_value(ref) AS ref, any_value(results) AS results FROM last WHERE n = 1 GROUP BY task
                HAVING count(*) = 1),
            member AS (SELECT one.task, one.ref, regexp_extract(unnest(one.results), '([^/:]+)$', 1) AS id FROM one)
            SELECT m.task, to_json(map_from_entries(list((o.code, round(o.value, 2)) ORDER BY o.code)))::VARCHAR AS value,
                '' AS unit, list(o.ref) || list(DISTINCT m.ref) AS evidence
            FROM member m JOIN seen_observation o ON o.task = m.task AND o.id = m.id AND o.value IS NOT NULL AND o.code IS NOT NULL
            GROUP BY m.task HAVING count(DISTINCT o.code) = count(*) AND count(*) BETWEEN 2 AND 20""",
        wordings=(
            "Give all results of the latest {label} (code {code}) up to and including {before}.",
            "Open the newest DiagnosticReport coded {code}, {label}, dated {before} or earlier: which values do its members have?",
            "What did the {label} [{code}] panel show, the most recent one no later than {before}?",
            "I need a table of code and number for the last {code} ({label}) report by the end of {before}.",
        ),
        answer_note=(
            "Only numeric members count. Answer with type map: each member's code and its value as a number, rounded to 2 decimals."
        ),
    ),
)  # fmt: skip
