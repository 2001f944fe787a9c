"""Stays inside a visit, such as intensive care within an admission: what was measured and given there, and what came after.

A visit is an encounter that is no part of another; a stay is part of a visit. Their classes are those that the graph has.
"""

from __future__ import annotations

from fhirtasks.tasks.questions.types import Question

_CLASSES = "(SELECT DISTINCT class AS stay_class FROM stay) s"
_PLACES = "(VALUES ('first'), ('last')) p(place)"
# By time from the end that the place names.
_BY_PLACE = "CASE a.slots['place'] WHEN 'first' THEN {t} END, CASE a.slots['place'] WHEN 'last' THEN {t} END DESC"

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="peak_in_stay", version="2", code="H02", category="multi_hop", answer="quantity", tables=("stay", "observation"),
        hops=("Encounter", "Encounter", "Observation"), branches=("found", "none", "no_stay"),
        candidates=f"""SELECT o.patient, o.code, min(o.display) AS label, o.unit, stay_class, place
            FROM observation o, {_CLASSES}, {_PLACES}
            WHERE o.value IS NOT NULL AND o.comparator IS NULL AND o.unit IS NOT NULL AND o.display IS NOT NULL
                AND length(o.t) = 19 AND o.patient IN (SELECT patient FROM encounter)
            GROUP BY o.patient, o.code, o.unit, stay_class, place""",
        truth=f"""WITH ranked AS (SELECT a.task, e.id, e.ref,
                    rank() OVER (PARTITION BY a.task ORDER BY {_BY_PLACE.format(t="e.t")}) AS n
                FROM asked a JOIN seen_encounter e ON e.task = a.task AND e.part_of = '' AND e.t IS NOT NULL),
            visit AS (SELECT task, min(id) AS id, min(ref) AS ref FROM ranked WHERE n = 1 GROUP BY task HAVING count(*) = 1),
            inside AS (SELECT a.task, a.slots, s.ref, s.t, s.t_end FROM asked a JOIN visit v ON v.task = a.task
                LEFT JOIN seen_stay s ON s.task = a.task AND s.part_of = v.id AND s.class = a.slots['stay_class']),
            result AS (SELECT i.task, o.ref, o.value, rank() OVER (PARTITION BY i.task ORDER BY o.value DESC) AS n,
                    i.ref AS stay
                FROM inside i JOIN seen_observation o ON o.task = i.task AND o.code = i.slots['code']
                    AND o.unit = i.slots['unit'] AND o.value IS NOT NULL AND o.comparator IS NULL
                    AND o.t >= i.t AND o.t < i.t_end),
            peak AS (SELECT task, any_value(value) AS value, list(ref) || list(stay) AS refs FROM result WHERE n = 1
                GROUP BY task),
            stays AS (SELECT task, any_value(slots) AS slots, count(ref) AS n FROM inside GROUP BY task
                HAVING count(*) FILTER (ref IS NOT NULL AND (length(t) < 19 OR t_end IS NULL OR length(t_end) < 19)) = 0)
            SELECT s.task, p.value::VARCHAR AS value, s.slots['unit'] AS unit, p.refs || [v.ref] AS evidence,
                CASE WHEN p.value IS NOT NULL THEN 'found' WHEN s.n > 0 THEN 'none' ELSE 'no_stay' END AS branch,
                CASE WHEN s.n > 0 THEN 'no_matching_record' ELSE 'false_premise' END AS reason,
                CASE WHEN s.n > 0 THEN ['Observation'] END AS lacks
            FROM stays s JOIN visit v USING (task) LEFT JOIN peak p USING (task)""",
        wordings=(
            "In the {place} visit, how high did {label} (code {code}) rise, in {unit}, while the patient was in its {stay_class} "
            "stays?",
            "Go to the {place} encounter that is part of no other, from there to its parts of class {stay_class}, and give the "
            "maximum of {code}, {label}, over all results in {unit} that were taken within them.",
            "Peak {label} [{code}, {unit}] of the {stay_class} time belonging to my {place} admission?",
            "What was the greatest value of {code} ({label}) in {unit} between start and end of any {stay_class} encounter whose "
            "partOf names the {place} visit?",
        ),
        answer_note=(
            "A visit is an Encounter that is not part of another; first and last go by period.start, of visits of every class. A "
            "stay is an Encounter of the class named that is part of the visit; a result belongs to it by its time, at the stay's "
            "start or later and before its end, whatever encounter it refers to. Results with a comparator do not count. Answer "
            "with type quantity and the unit; with none, reason false_premise, where the visit has no such stay; with none, reason "
            "no_matching_record, where it has one and no result was taken in it."
        ),
    ),
    Question(
        name="amount_given_in_stay", version="2", code="H08", category="multi_hop", answer="quantity",
        tables=("stay", "medication"), hops=("Encounter", "MedicationAdministration"), branches=("found", "none"),
        lacks=("MedicationAdministration",), needs="MedicationAdministration.context",
        candidates=f"""WITH given AS (SELECT m.patient, lower(m.drug) AS drug, m.dose_unit AS unit
                FROM medication m JOIN stay s ON s.id = m.encounter
                WHERE m.type = 'MedicationAdministration' AND m.dose IS NOT NULL AND m.drug IS NOT NULL
                    AND m.dose_unit IS NOT NULL),
            frequent AS (SELECT drug, unit FROM given GROUP BY drug, unit ORDER BY count(*) DESC, drug, unit LIMIT 12)
            SELECT w.patient, w.drug, w.unit, stay_class, place
            FROM (SELECT DISTINCT patient, drug, unit FROM given UNION SELECT DISTINCT s.patient, f.drug, f.unit
                FROM stay s, frequent f) w, {_CLASSES}, {_PLACES}""",
        truth=f"""WITH ranked AS (SELECT a.task, s.id, s.ref,
                    rank() OVER (PARTITION BY a.task ORDER BY {_BY_PLACE.format(t="s.t")}) AS n
                FROM asked a JOIN seen_stay s ON s.task = a.task AND s.class = a.slots['stay_class'] AND s.t IS NOT NULL),
            one AS (SELECT task, min(id) AS id, min(ref) AS ref FROM ranked WHERE n = 1 GROUP BY task HAVING count(*) = 1)
            SELECT a.task, round(sum(m.dose), 2)::VARCHAR AS value, a.slots['unit'] AS unit,
                CASE WHEN count(m.ref) > 0 THEN list(m.ref) || [any_value(one.ref)] END AS evidence
            FROM asked a JOIN one ON one.task = a.task LEFT JOIN seen_medication m ON m.task = a.task
                AND m.type = 'MedicationAdministration' AND m.encounter = one.id AND lower(m.drug) = a.slots['drug']
                AND m.dose_unit = a.slots['unit'] AND m.dose IS NOT NULL
                AND coalesce(m.status, '') NOT IN ('not-done', 'entered-in-error')
            GROUP BY a.task, a.slots
            -- A sum on the edge between two roundings would depend on the order of its parts.
            HAVING coalesce(abs(sum(m.dose) * 100 - floor(sum(m.dose) * 100) - 0.5) > 1e-4, true)""",
        wordings=(
            "How much {drug} in {unit} was given altogether in the {place} {stay_class} stay?",
            "Find the {place} encounter of class {stay_class} that is part of another one; add up the doses of {drug}, those in "
            "{unit}, over the administrations whose context it is.",
            "Total of {drug} ({unit}) that I received while lying in my {place} {stay_class} stay?",
            "Sum dosage.dose.value of every MedicationAdministration of {drug} with unit {unit} recorded for the {stay_class} stay "
            "that began {place}.",
        ),
        answer_note=(
            "A stay is an Encounter of the class named that is part of another; first and last go by its period.start. A drug goes "
            "by its full name as the record has it, upper and lower case alike. Administrations that were not done or were entered "
            "in error do not count, nor do doses in another unit. Answer with type quantity and the unit, rounded to 2 decimals, "
            "or with none where nothing was given so."
        ),
    ),
    Question(
        name="discharge_after_longest_stay", version="2", code="H11", category="multi_hop", answer="code",
        tables=("stay", "condition"), hops=("Condition", "Encounter", "Encounter"), branches=("found", "none"),
        needs="Encounter.hospitalization.dischargeDisposition",
        candidates=f"""SELECT c.patient, c.code, min(c.display) AS label, stay_class FROM condition c, {_CLASSES}
            WHERE c.code IS NOT NULL AND c.display IS NOT NULL AND c.encounter <> '' GROUP BY c.patient, c.code, stay_class""",
        truth="""WITH visit AS (SELECT a.task, e.id, e.ref, any_value(e.discharge) AS discharge, list(c.ref) AS conditions
                FROM asked a JOIN seen_condition c ON c.task = a.task AND c.code = a.slots['code']
                JOIN seen_encounter e ON e.task = a.task AND e.id = c.encounter AND e.part_of = ''
                GROUP BY a.task, e.id, e.ref),
            long AS (SELECT v.task, v.ref, v.discharge, v.conditions, s.ref AS stay,
                    date_diff('second', s.t::TIMESTAMP, s.t_end::TIMESTAMP) AS seconds
                FROM visit v JOIN asked a ON a.task = v.task JOIN seen_stay s ON s.task = v.task AND s.part_of = v.id
                    AND s.class = a.slots['stay_class'] AND length(s.t) = 19 AND length(s.t_end) = 19),
            best AS (SELECT *, rank() OVER (PARTITION BY task ORDER BY seconds DESC) AS n FROM long)
            SELECT a.task, to_json(any_value(b.discharge))::VARCHAR AS value, '' AS unit,
                flatten(list(b.conditions || [b.ref, b.stay]) FILTER (b.ref IS NOT NULL)) AS evidence,
                CASE WHEN EXISTS (SELECT 1 FROM seen_condition c WHERE c.task = a.task AND c.code = a.slots['code']
                    AND c.encounter <> '') THEN ['Encounter'] END AS lacks
            FROM asked a LEFT JOIN best b ON b.task = a.task AND b.n = 1 GROUP BY a.task, a.slots
            HAVING count(b.ref) = 0 OR (count(b.ref) = 1 AND count(b.discharge) = 1)""",
        wordings=(
            "Among the visits with the diagnosis {label} (code {code}), take the one with the longest {stay_class} stay: where was "
            "the patient discharged to?",
            "Condition {code}, {label}, leads to which encounters? Of these, whose part of class {stay_class} lasted longest, and "
            "what discharge disposition does it have?",
            "Of all admissions in which {label} [{code}] was diagnosed, give the destination at discharge after the greatest "
            "length of {stay_class} care.",
            "My longest single {stay_class} stay in a visit for {code} ({label}): to what place did that visit send me when it "
            "ended?",
        ),
        answer_note=(
            "A visit is an Encounter that is not part of another, and is for a diagnosis whose Condition refers to it. A stay is "
            "an Encounter of the class named that is part of the visit; each is measured by itself, from period.start to "
            "period.end. Answer with type code: the code of hospitalization.dischargeDisposition of that visit, or with none where "
            "no visit with the diagnosis has such a stay."
        ),
    ),
)  # fmt: skip
