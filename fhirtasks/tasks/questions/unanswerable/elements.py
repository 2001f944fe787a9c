"""An element that the resource lacks; a value that the record holds back (U02, U07)."""

from __future__ import annotations

from fhirtasks.graph.views import HELD_BACK
from fhirtasks.tasks.questions.types import Question

_ELEMENTS = (
    ("Patient", "telecom.value", "telecom[0].value", "phone number or address for messages"),
    ("Patient", "address.city", "address[0].city", "city of residence"),
    ("Patient", "contact.telecom.value", "contact[0].telecom[0].value", "phone number of the next of kin"),
    ("Patient", "generalPractitioner.reference", "generalPractitioner[0].reference", "family doctor"),
    ("Patient", "managingOrganization.reference", "managingOrganization.reference", "organization that keeps the file"),
    ("Patient", "communication.language.coding.code", "communication[0].language.coding[0].code", "language"),
    ("Patient", "deceasedDateTime", "deceasedDateTime", "time of death"),
    ("Patient", "photo.url", "photo[0].url", "photograph"),
    ("Encounter", "priority.coding.code", "priority.coding[0].code", "urgency"),
    ("Encounter", "serviceType.coding.code", "serviceType.coding[0].code", "service"),
    ("Encounter", "reasonCode.coding.code", "reasonCode[0].coding[0].code", "reason"),
    ("Encounter", "hospitalization.admitSource.coding.code", "hospitalization.admitSource.coding[0].code", "way of admission"),
    ("Encounter", "hospitalization.dischargeDisposition.coding.code",
        "hospitalization.dischargeDisposition.coding[0].code", "discharge destination"),
    ("Encounter", "hospitalization.dietPreference.coding.code", "hospitalization.dietPreference[0].coding[0].code", "diet"),
    ("Encounter", "partOf.reference", "partOf.reference", "visit that it was part of"),
    ("Encounter", "serviceProvider.reference", "serviceProvider.reference", "organization in charge"),
    ("Encounter", "participant.individual.reference", "participant[0].individual.reference", "person who took part"),
    ("Encounter", "location.location.reference", "location[0].location.reference", "first place"),
    ("Encounter", "account.reference", "account[0].reference", "account that paid"),
    ("Condition", "abatementDateTime", "abatementDateTime", "time of recovery"),
    ("Condition", "severity.coding.code", "severity.coding[0].code", "severity"),
    ("Condition", "category.coding.code", "category[0].coding[0].code", "category"),
    ("Condition", "recorder.reference", "recorder.reference", "person who recorded it"),
    ("Condition", "note.text", "note[0].text", "text of the note"),
)  # fmt: skip
"""Type, element as asked for, its JSON path, what it is."""

_TABLE = ", ".join(f"('{kind}', '{element}', '$.{path}', '{what}')" for kind, element, path, what in _ELEMENTS)
# Numbers as texts: digits that no reader of JSON writes otherwise. Texts of underscores are another way to mask.
_SHOWN = r"""CASE WHEN digits IS NOT NULL THEN CASE WHEN regexp_full_match(digits, '-?(0|[1-9]\d{0,9})(\.\d{0,5}[1-9])?')
    AND comparator IS NULL THEN digits END WHEN length(text) <= 80 AND NOT regexp_matches(text, '[_\n\r]') THEN text END"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="element_of_resource", code="U02", category="unanswerable", answer="string", tables=("patient", "encounter"),
        hops=("{type}",), branches=("none", "answerable"), empty="not_recorded", per_patient=40,
        candidates=f"""WITH one AS (
                SELECT patient, 'Patient' AS type, 'the patient' AS subject, raw FROM patient
                UNION ALL SELECT patient, 'Encounter', 'the encounter that began at ' || t, min(raw) FROM encounter
                WHERE length(t) = 19 GROUP BY patient, t HAVING count(*) = 1
                UNION ALL SELECT patient, 'Condition', 'the condition with the code ' || code, min(raw) FROM condition
                WHERE code IS NOT NULL GROUP BY patient, code HAVING count(*) = 1),
            few AS (FROM one QUALIFY row_number() OVER (PARTITION BY patient, type ORDER BY md5(patient || subject)) <= 8),
            -- Elements that some resources have and others lack, as many of each; a few that all have, or that none has.
            told AS (SELECT f.patient, f.type, f.subject, e.col1 AS element, e.col3 AS what,
                    md5(f.patient || f.subject || e.col1) AS mixed, json_extract_string(f.raw, e.col2) IS NOT NULL AS own,
                    least(count(*) FILTER (own) OVER w, count(*) FILTER (NOT own) OVER w) AS both_ways
                FROM few f JOIN (VALUES {_TABLE}) e ON e.col0 = f.type WINDOW w AS (PARTITION BY e.col1))
            SELECT patient, type, subject, element, what FROM told QUALIFY CASE WHEN both_ways > 0
                THEN row_number() OVER (PARTITION BY element, own ORDER BY mixed) <= both_ways
                ELSE row_number() OVER (PARTITION BY patient, own, both_ways > 0 ORDER BY mixed) <= 2 END""",
        truth=f"""WITH one AS (
                SELECT task, slots, ref, raw, 'Patient' AS type, 'the patient' AS subject FROM seen_patient
                UNION ALL SELECT task, slots, ref, raw, 'Encounter', 'the encounter that began at ' || t FROM seen_encounter
                UNION ALL SELECT task, slots, ref, raw, 'Condition', 'the condition with the code ' || code FROM seen_condition),
            found AS (SELECT o.task, o.ref, json_extract_string(o.raw, e.col2) AS v
                FROM one o JOIN (VALUES {_TABLE}) e ON e.col0 = o.type AND e.col1 = o.slots['element']
                WHERE o.type = o.slots['type'] AND o.subject = o.slots['subject'])
            SELECT task, CASE WHEN min(v) IS NOT NULL THEN to_json(min(v))::VARCHAR END AS value, '' AS unit, list(ref) AS evidence,
                CASE WHEN min(v) IS NULL THEN 'none' ELSE 'answerable' END AS branch
            FROM found WHERE v IS NULL OR v NOT IN ('UNK', 'MSK', 'NI', 'ASKU', 'NASK') GROUP BY task HAVING count(*) = 1""",
        wordings=(
            "What does the record say of {subject}: {what} ({type}.{element})?",
            "Read off {element}, the {what}, in the {type} resource. I mean {subject}.",
            "I have to fill in a form about {subject}. Under {what} it wants what stands in {type}.{element}.",
            "Let me have it as written, {what}, which is {element} in a resource of type {type}; it concerns {subject}.",
        ),
        answer_note=(
            "Of an element that is a list its first entry counts. Answer with type string: the text or code as it is written, or "
            "with none where it is not there."
        ),
    ),
    Question(
        name="value_at_time", code="U07", category="unanswerable", answer="string", tables=("observation",),
        hops=("Observation",), branches=("none", "answerable"), empty="masked", per_patient=40, twins=(("code",), ("patient",)),
        needs="Observation.dataAbsentReason or a null flavour",
        candidates=f"""WITH result AS (SELECT patient, code, display AS label, t AS time, {HELD_BACK} AS masked FROM observation
                WHERE code IS NOT NULL AND display IS NOT NULL AND length(t) = 19 AND ({HELD_BACK} OR ({_SHOWN}) IS NOT NULL)),
            either AS (SELECT code, count(*) FILTER (masked) NOT BETWEEN 0.05 * count(*) AND 0.6 * count(*) AS lopsided
                FROM result GROUP BY code HAVING bool_or(masked) AND NOT bool_and(masked)),
            -- One question for each time of a patient, so that no time tells of others that they are held back.
            single AS (SELECT r.* FROM result r JOIN either USING (code)
                QUALIFY row_number() OVER (PARTITION BY patient, time ORDER BY lopsided, md5(patient || code || time)) = 1)
            SELECT patient, code, label, time FROM single
            QUALIFY row_number() OVER (PARTITION BY patient, masked ORDER BY md5(patient || time)) <= 20""",
        truth=f"""WITH result AS (SELECT task, ref, {HELD_BACK} AS masked, {_SHOWN} AS shown FROM seen_observation
                WHERE code = slots['code'] AND t = slots['time'])
            SELECT task, CASE WHEN NOT bool_or(masked) THEN to_json(min(shown))::VARCHAR END AS value, '' AS unit,
                list(ref) AS evidence, CASE WHEN bool_or(masked) THEN 'none' ELSE 'answerable' END AS branch
            FROM result GROUP BY task HAVING count(*) = 1 AND (bool_or(masked) OR min(shown) IS NOT NULL)""",
        wordings=(
            "What did the {label} (code {code}) of {time} show?",
            "Look up the Observation coded {code}, {label}, whose effective time is {time}, and give its value.",
            "At {time} somebody recorded {label} [{code}]; which value?",
            "I want to see the result for code {code} ({label}) that was taken at {time}.",
        ),
        answer_note=(
            "Answer with type string: of a number its digits, without the unit; of a coded value its text, else its display, else "
            "its code; a text as it stands; or with none where there is no value."
        ),
    ),
)  # fmt: skip
