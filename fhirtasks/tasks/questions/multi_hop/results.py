"""Results found through something else: a procedure, an order, the ward at the peak, what a result was made from."""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_NUMERIC = "value IS NOT NULL AND comparator IS NULL AND unit IS NOT NULL AND display IS NOT NULL AND length(t) = 19"
_MEASURED = f"(SELECT patient, code, min(display) AS label, unit FROM observation WHERE {_NUMERIC} GROUP BY ALL)"
_RESULT = """seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.unit = a.slots['unit']
    AND o.value IS NOT NULL AND o.comparator IS NULL"""
_PLACES = "(VALUES ('first'), ('last')) p(place)"
_NOTE = "Results with a comparator (<, >) do not count. "

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="first_result_after_procedure", version="2", code="H04", category="multi_hop", answer="quantity",
        tables=("procedure", "observation"), hops=("Procedure", "Observation"), lacks=("Observation",), branches=("found", "none"),
        candidates=f"""SELECT o.patient, d.code AS procedure_code, d.procedure, o.code, o.label, o.unit, days, place
            FROM (SELECT patient, code, min(display) AS procedure FROM procedure
                WHERE code IS NOT NULL AND display IS NOT NULL AND length(t) = 19 GROUP BY patient, code) d
            JOIN {_MEASURED} o USING (patient), (VALUES (1), (3), (30), (365)) w(days), {_PLACES}
            WHERE md5(d.code || o.code || o.unit || days || place)[1] IN ('0', '5', 'a', 'f')""",
        truth=f"""WITH ranked AS (SELECT a.task, p.ref, p.t, rank() OVER (PARTITION BY a.task ORDER BY
                    CASE a.slots['place'] WHEN 'first' THEN p.t END, CASE a.slots['place'] WHEN 'last' THEN p.t END DESC) AS n
                FROM asked a JOIN seen_procedure p ON p.task = a.task AND p.code = a.slots['procedure_code']
                    AND p.t IS NOT NULL),
            done AS (SELECT task, any_value(t) AS t, list(ref) AS refs FROM ranked WHERE n = 1 GROUP BY task
                HAVING length(any_value(t)) = 19),
            result AS (SELECT a.task, o.ref, o.value, rank() OVER (PARTITION BY a.task ORDER BY o.t) AS n
                FROM asked a JOIN done d ON d.task = a.task JOIN {_RESULT} AND o.t > d.t
                    AND o.t <= strftime(d.t::TIMESTAMP + to_days(a.slots['days']::INT), '%Y-%m-%dT%H:%M:%S'))
            SELECT a.task, any_value(r.value)::VARCHAR AS value, a.slots['unit'] AS unit,
                CASE WHEN count(r.ref) > 0 THEN list(r.ref) || any_value(d.refs) END AS evidence
            FROM asked a JOIN done d ON d.task = a.task LEFT JOIN result r ON r.task = a.task AND r.n = 1
            GROUP BY a.task, a.slots HAVING count(r.ref) <= 1""",
        wordings=(
            "After the {place} {procedure} (procedure code {procedure_code}), what was the first {label} (code {code}, {unit}) "
            "within {days} times 24 hours?",
            "Start from the {place} Procedure coded {procedure_code}, {procedure}. Which value has the earliest {code} ({label}) "
            "result in {unit} that follows no more than {days} x 24 h later?",
            "{label} [{code}] was measured next when, following {procedure} [{procedure_code}], the {place} one? Give its value in "
            "{unit}, if that came inside {days} days of 24 hours.",
            "I had {procedure} ({procedure_code}); counting from the {place} time, up to {days} periods of 24 hours: the number "
            "that the very next {label} test, {code}, showed, in {unit}?",
        ),
        answer_note=(
            f"{_NOTE}A procedure is dated by performedDateTime, else by the start of performedPeriod. The result must be later "
            "than that, and no later than the given span after it. Answer with type quantity and the unit, or with none where "
            "there is no such result."
        ),
    ),
    Question(
        name="change_around_first_order", version="2", code="H05", category="multi_hop", answer="quantity",
        tables=("medication", "observation"), hops=("MedicationRequest", "Medication", "Observation"), lacks=("Observation",),
        branches=("found", "none"),
        candidates=f"""SELECT o.patient, d.drug, o.code, o.label, o.unit
            FROM (SELECT DISTINCT patient, lower(drug) AS drug FROM medication
                WHERE type = 'MedicationRequest' AND drug IS NOT NULL AND length(t) = 19) d JOIN {_MEASURED} o USING (patient)""",
        truth=f"""WITH ranked AS (SELECT a.task, m.ref, m.t, rank() OVER (PARTITION BY a.task ORDER BY m.t) AS n
                FROM asked a JOIN seen_medication m ON m.task = a.task AND m.type = 'MedicationRequest'
                    AND lower(m.drug) = a.slots['drug'] AND m.t IS NOT NULL),
            ordered AS (SELECT task, any_value(t) AS t, list(ref) AS refs FROM ranked WHERE n = 1 GROUP BY task
                HAVING length(any_value(t)) = 19),
            result AS (SELECT a.task, o.ref, o.value, o.t < d.t AS earlier, rank() OVER (PARTITION BY a.task, o.t < d.t ORDER BY
                    CASE WHEN o.t < d.t THEN o.t END DESC, CASE WHEN o.t > d.t THEN o.t END) AS n
                FROM asked a JOIN ordered d ON d.task = a.task JOIN {_RESULT} AND o.t <> d.t),
            pair AS (SELECT task, max(value) FILTER (earlier) AS one, max(value) FILTER (NOT earlier) AS other,
                    count(*) FILTER (earlier) AS before, count(*) FILTER (NOT earlier) AS after, list(ref) AS refs
                FROM result WHERE n = 1 GROUP BY task)
            SELECT a.task, round(p.other - p.one, 4)::VARCHAR AS value, a.slots['unit'] AS unit,
                CASE WHEN p.before = 1 AND p.after = 1 THEN p.refs || d.refs END AS evidence
            FROM asked a JOIN ordered d ON d.task = a.task LEFT JOIN pair p ON p.task = a.task
            WHERE coalesce(p.before, 0) <= 1 AND coalesce(p.after, 0) <= 1""",
        wordings=(
            "By how much did {label} (code {code}, {unit}) differ from just before the first order of {drug} to just after it?",
            "When was {drug} ordered for the first time? Subtract the last {code} ({label}) result in {unit} before that moment "
            "from the nearest one that came later.",
            "Effect at the start of {drug}: next {label} [{code}] once it had been prescribed, minus the previous, in {unit}.",
            "Take my earliest prescription of {drug}. What is the signed step in {unit} between the two {code}, {label}, "
            "measurements on either side of its authoredOn?",
        ),
        answer_note=(
            f"{_NOTE}A drug goes by its full name as the record has it, upper and lower case alike; a mixture by the names of its "
            "ingredients joined with ' + '. A result with exactly the time of the order is on neither side. Answer with type "
            "quantity and the unit, negative for a fall, rounded to 4 decimals; with none where a result is lacking on either side."
        ),
    ),
    Question(
        name="ward_at_peak", version="2", code="H06", category="multi_hop", answer="string", tables=("ward", "observation"),
        hops=("Observation", "Encounter", "Location"), branches=("found", "none"),
        candidates=f"""SELECT patient, code, min(display) AS label, unit, left(t, 4) || '-01-01' AS t_from,
                (left(t, 4)::INT + years)::VARCHAR || '-01-01' AS t_to
            FROM (SELECT patient, code, display, unit, unnest([t, (left(t, 4)::INT - 4)::VARCHAR || substr(t, 5)]) AS t
                FROM observation WHERE {_NUMERIC} AND patient IN (SELECT patient FROM ward)), (VALUES (1), (3)) y(years)
            GROUP BY patient, code, unit, left(t, 4), years""",
        truth=f"""WITH ranked AS (SELECT a.task, o.ref, o.t, o.encounter,
                    rank() OVER (PARTITION BY a.task ORDER BY o.value DESC) AS n
                FROM asked a JOIN {_RESULT} AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']),
            peak AS (SELECT task, count(*) AS n, any_value(ref) AS ref, any_value(t) AS t, any_value(encounter) AS encounter
                FROM ranked WHERE n = 1 GROUP BY task)
            SELECT a.task, to_json(any_value(w.name))::VARCHAR AS value, '' AS unit,
                CASE WHEN count(w.ref) > 0 THEN [any_value(p.ref), any_value(w.ref)] END AS evidence,
                CASE WHEN count(p.ref) > 0 THEN 'not_recorded' ELSE 'no_matching_record' END AS reason,
                CASE WHEN any_value(p.encounter) <> '' THEN ['Encounter'] END AS lacks
            FROM asked a LEFT JOIN peak p ON p.task = a.task LEFT JOIN seen_ward w ON w.task = a.task AND w.id = p.encounter
                AND w.name IS NOT NULL AND (w.t IS NULL OR w.t <= p.t) AND (w.t_end IS NULL OR p.t < w.t_end)
            GROUP BY a.task HAVING coalesce(any_value(p.n), 1) = 1 AND count(w.ref) <= 1""",
        wordings=(
            "On which ward was the patient when {label} (code {code}, {unit}) was at its highest from {t_from} until {t_to}?",
            "Find the greatest {code} ({label}) result in {unit} taken on or after {t_from} and before {t_to}, then its encounter: "
            "at which of that encounter's locations was it measured?",
            "Where did the peak of {label} [{code}], unit {unit}, occur in the window from {t_from} until {t_to}? Name the place.",
            "My worst {label} between {t_from} (included) and {t_to} (excluded), meaning the maximum of {code} in {unit}: what "
            "unit of the hospital was I in at that time?",
        ),
        answer_note=(
            f"{_NOTE}The ward is the entry of the encounter's location list whose period holds the time of the result: at its "
            "start or later and before its end, a limit that is not given being open. A location goes by its own name, else by the "
            "display of the reference. Answer with type string; with none, reason no_matching_record, where there is no such "
            "result; with none, reason not_recorded, where no entry of its encounter holds the time or it has no encounter."
        ),
    ),
    Question(
        name="behind_latest_abnormal", version="2", code="H07", category="multi_hop", answer="record",
        tables=("specimen", "observation"),
        hops=("Observation", "Specimen", "DiagnosticReport"), branches=("found", "none"),
        needs="Observation.referenceRange",
        candidates="""SELECT patient, code, min(display) AS label, left(t, 4) || '-01-01' AS t_from,
                (left(t, 4)::INT + 1)::VARCHAR || '-01-01' AS t_to
            FROM observation WHERE value IS NOT NULL AND comparator IS NULL AND (low IS NOT NULL OR high IS NOT NULL)
                AND display IS NOT NULL AND length(t) = 19 GROUP BY patient, code, left(t, 4)""",
        truth="""WITH ranked AS (SELECT a.task, o.ref, o.id, o.value, o.specimen,
                    rank() OVER (PARTITION BY a.task ORDER BY o.t DESC) AS n
                FROM asked a JOIN seen_observation o ON o.task = a.task AND o.code = a.slots['code'] AND o.value IS NOT NULL
                    AND o.comparator IS NULL AND (coalesce(o.value < o.low, false) OR coalesce(o.value > o.high, false))
                    AND o.t >= a.slots['t_from'] AND o.t < a.slots['t_to']),
            latest AS (SELECT task, count(*) AS n, any_value(ref) AS ref, any_value(id) AS id, any_value(value) AS value,
                any_value(specimen) AS specimen FROM ranked WHERE n = 1 GROUP BY task),
            panel AS (SELECT r.task, r.ref, r.display, regexp_extract(unnest(r.results), '([^/:]+)$', 1) AS id FROM seen_report r)
            SELECT a.task, CASE WHEN l.ref IS NOT NULL THEN json_object('value', l.value, 'specimen', s.display,
                    'collected', s.t, 'panel', p.display)::VARCHAR END AS value, '' AS unit,
                [l.ref, s.ref, p.ref] AS evidence,
                CASE WHEN l.ref IS NOT NULL THEN ['DiagnosticReport'] END AS lacks
            FROM asked a LEFT JOIN latest l ON l.task = a.task LEFT JOIN seen_specimen s ON s.task = a.task AND s.id = l.specimen
            LEFT JOIN panel p ON p.task = a.task AND p.id = l.id
            WHERE l.ref IS NULL OR (l.n = 1 AND s.ref IS NOT NULL)
            QUALIFY count(*) OVER (PARTITION BY a.task) = 1""",
        wordings=(
            "What is behind the latest abnormal {label} (code {code}) from {t_from} until {t_to}: which specimen, which panel?",
            "Take the most recent {code} ({label}) outside its reference range, on or after {t_from} and before {t_to}. Follow it "
            "to its Specimen and to the DiagnosticReport that lists it.",
            "Trace my last out-of-range {label} [{code}] in the window from {t_from} until {t_to} back to the material and the "
            "report it came from.",
            "Which sample, collected when, gave the newest {code} value that was too high or too low between {t_from} (included) "
            "and {t_to} (excluded)? {label}; name the report too.",
        ),
        answer_note=(
            f"{_NOTE}Abnormal means below the low or above the high limit of the result's first reference range. Answer with type "
            "record and the keys value (the number), specimen (the display of its type, or the code where it has no display), "
            "collected (the time of collection, its first 19 characters) and panel (the display of the report's code; null where "
            "no report lists the result), or with none where there is no such result."
        ),
    ),
)  # fmt: skip
