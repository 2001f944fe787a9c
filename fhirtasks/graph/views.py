"""Normalised tables over a world, one per kind of record: what question families ask of, whatever the records' shape.

Times are the text as written without its offset (``t``, at most 19 characters): local and naive, compared as text, a
date before every time of its day. Polymorphic elements are taken together, drugs are named through references, contained
and ingredient Medications, a Condition without a time has its encounter's. Every table has ``id``, ``ref`` (Type/id),
``patient`` and ``available``; what a world lacks is an empty table.
"""

from __future__ import annotations

from typing import Final

import duckdb

from fhirtasks.graph.world import World


def views(world: World) -> duckdb.DuckDBPyConnection:
    """A connection to the world on which the tables of :data:`TABLES` exist; they are made on the first call."""
    key = (__name__, "views")
    if key not in world.memo:
        db = world.db.cursor()
        db.execute("SET enable_progress_bar = false")
        available = "available" if world.has_available else "NULL::BIGINT AS available"
        db.execute(f"""CREATE TEMP VIEW record AS SELECT type, id, type || '/' || id AS ref, patient, {available},
            codes, categories, status, effective, value, unit, raw FROM resource""")
        for name, query in TABLES.items():
            db.execute(f"CREATE TEMP TABLE {name} AS {query}")
        world.memo[key] = db
    found: duckdb.DuckDBPyConnection = world.memo[key]
    return found


def _text(path: str, raw: str = "raw") -> str:
    return f"json_extract_string({raw}, '$.{path}')"


def _target(path: str, raw: str = "raw") -> str:
    """The id that a literal or urn reference names."""
    return f"regexp_extract({_text(path + '.reference', raw)}, '([^/:]+)$', 1)"


def _coding(path: str) -> str:
    """``system``, ``code``, ``display`` of a concept: its first coding, its text where that has no display."""
    return f"""{_text(path + ".coding[0].system")} AS system, {_text(path + ".coding[0].code")} AS code,
        coalesce({_text(path + ".coding[0].display")}, {_text(path + ".text")}, {_text(path + ".coding[0].code")})
            AS display"""


_HEAD = "id, ref, patient, available"
_T = "left(effective, 19) AS t"

TABLES: Final[dict[str, str]] = {
    # Who asks about whom.
    "patient": f"""SELECT {_HEAD}, {_text("gender")} AS gender, {_text("birthDate")} AS birth_date,
        {_text("maritalStatus.coding[0].code")} AS marital_status, {_text("maritalStatus.text")} AS marital_text,
        {_text("communication[0].language.coding[0].code")} AS language,
        {_text("deceasedDateTime")} AS deceased_at, {_text("deceasedBoolean")} AS deceased, raw
        FROM record WHERE type = 'Patient'""",
    "death": "SELECT id, ref, patient, available, deceased_at AS t FROM patient WHERE deceased_at IS NOT NULL",
    # kind: icu (a stay inside another encounter or coded so), emergency, inpatient, ambulatory, other.
    "encounter": f"""SELECT *, CASE
            WHEN identified LIKE '%encounter-icu' OR (part_of <> '' AND class = 'ACUTE') THEN 'icu'
            WHEN class IN ('EMER', 'emergency') OR identified LIKE '%encounter-ed' THEN 'emergency'
            WHEN class IN ('IMP', 'ACUTE', 'NONAC', 'OBSENC', 'SS', 'inpatient') OR identified LIKE '%encounter-hosp'
                THEN 'inpatient'
            WHEN class IN ('AMB', 'VR', 'HH', 'ambulatory', 'outpatient', 'wellness') THEN 'ambulatory'
            ELSE 'other' END AS kind
        FROM (SELECT {_HEAD}, {_T}, left({_text("period.end")}, 19) AS t_end, {_text("class.code")} AS class,
            {_text("identifier[0].system")} AS identified, coalesce({_target("partOf")}, '') AS part_of,
            {_text("hospitalization.admitSource.coding[0].code")} AS admit_source,
            {_text("hospitalization.dischargeDisposition.coding[0].code")} AS discharge,
            {_text("serviceProvider.reference")} AS provider,
            {_text("participant[0].individual.reference")} AS practitioner,
            {_text("type[0].coding[0].system")} AS system, {_text("type[0].coding[0].code")} AS code,
            coalesce({_text("type[0].coding[0].display")}, {_text("type[0].text")}) AS display, raw
            FROM record WHERE type = 'Encounter')""",
    # Encounters inside another one, such as intensive care within an admission; emergency visits apart.
    "stay": """SELECT id, ref, patient, available, t, t_end, class, part_of FROM encounter
        WHERE part_of <> '' AND class IS NOT NULL AND kind <> 'emergency'""",
    # One row per ward of an encounter, in order.
    "ward": f"""SELECT e.id, e.ref, e.patient, e.available, e.place, left(e.l->'period'->>'start', 19) AS t,
            left(e.l->'period'->>'end', 19) AS t_end, regexp_extract(e.l->'location'->>'reference', '([^/:]+)$', 1)
            AS location, coalesce({_text("name", "w.raw")}, i.name, e.l->'location'->>'display') AS name
        FROM (SELECT {_HEAD}, unnest(range(1, len(ls) + 1)) AS place, unnest(ls) AS l
            FROM (SELECT {_HEAD}, json_extract(raw, '$.location[*]') AS ls FROM record WHERE type = 'Encounter')) e
        LEFT JOIN record w ON w.type = 'Location'
            AND w.id = regexp_extract(e.l->'location'->>'reference', '([^/:]+)$', 1)
        LEFT JOIN (SELECT token, min(name) AS name FROM (SELECT {_text("name")} AS name,
                unnest(list_transform(json_extract(raw, '$.identifier[*]'),
                    lambda x: (x->>'system') || '|' || (x->>'value'))) AS token
                FROM record WHERE type = 'Location') GROUP BY token HAVING count(*) = 1) i
            ON i.token = split_part(e.l->'location'->>'reference', '?identifier=', 2)""",
    # t_own: the Condition's own time; t: that, else its encounter's start.
    "condition": f"""SELECT c.*, coalesce(c.t_own, left(e.effective, 19)) AS t FROM (
            SELECT {_HEAD}, {_T.replace(" AS t", " AS t_own")}, {_target("encounter")} AS encounter,
            {_coding("code")}, {_text("clinicalStatus.coding[0].code")} AS clinical_status,
            left({_text("abatementDateTime")}, 19) AS t_end, raw FROM record WHERE type = 'Condition') c
        LEFT JOIN record e ON e.type = 'Encounter' AND e.id = c.encounter""",
    # value: the number; text: a string, coded or time value; low and high: the first reference range.
    "observation": f"""SELECT {_HEAD}, {_T}, left({_text("issued")}, 19) AS issued, {_target("encounter")} AS encounter,
        {_target("specimen")} AS specimen, {_coding("code")}, list_transform(categories, lambda c: split_part(c, '|', 2))
            AS category, try_cast(value AS DOUBLE) AS value, value AS digits, unit,
        {_text("valueQuantity.comparator")} AS comparator,
        coalesce({_text("valueString")}, {_text("valueCodeableConcept.text")},
            {_text("valueCodeableConcept.coding[0].display")}, {_text("valueCodeableConcept.coding[0].code")},
            {_text("valueDateTime")}, {_text("valueBoolean")}) AS text,
        {_text("valueCodeableConcept.coding[0].code")} AS value_code,
        {_text("valueCodeableConcept.coding[0].system")} AS value_system,
        {_text("dataAbsentReason.coding[0].code")} AS absent,
        coalesce({_text("interpretation[0].coding[0].code")}, {_text("interpretation[0].text")}) AS interpretation,
        try_cast({_text("referenceRange[0].low.value")} AS DOUBLE) AS low,
        try_cast({_text("referenceRange[0].high.value")} AS DOUBLE) AS high, status,
        json_extract_string(raw, '$.hasMember[*].reference') AS members
        FROM record WHERE type = 'Observation'""",
    # One row per member of an Observation: member is its id.
    "member": """SELECT id, ref, patient, available, t, regexp_extract(unnest(members), '([^/:]+)$', 1) AS member
        FROM observation WHERE len(members) > 0""",
    # One row per component of an Observation.
    "component": """SELECT id, ref, patient, available, t, c->'code'->'coding'->0->>'system' AS system,
            c->'code'->'coding'->0->>'code' AS code, c->'code'->'coding'->0->>'display' AS display,
            try_cast(c->'valueQuantity'->>'value' AS DOUBLE) AS value, c->'valueQuantity'->>'unit' AS unit
        FROM (SELECT id, ref, patient, available, left(effective, 19) AS t,
            unnest(json_extract(raw, '$.component[*]')) AS c FROM record WHERE type = 'Observation')""",
    "procedure": f"""SELECT {_HEAD}, {_T}, left({_text("performedPeriod.end")}, 19) AS t_end,
        {_target("encounter")} AS encounter, {_coding("code")}, {_text("performer[0].actor.reference")} AS performer, status
        FROM record WHERE type = 'Procedure'""",
    # The names of a drug, in the order of its ingredients: what medication tables refer to.
    "drug_name": f"""WITH own AS (SELECT id, coalesce(
                list_extract(list_filter(json_extract(raw, '$.identifier[*]'),
                    lambda i: ends_with(i->>'system', 'medication-name')), 1)->>'value',
                {_text("code.text")}, {_text("code.coding[0].display")}) AS name,
            {_text("code.coding[0].code")} AS code,
            json_extract_string(raw, '$.ingredient[*].itemReference.reference') AS parts
            FROM record WHERE type = 'Medication')
        SELECT id, coalesce(name, (SELECT string_agg(coalesce(p.name, p.code), ' + ' ORDER BY place)
            FROM (SELECT unnest(own.parts) AS part, unnest(range(1, len(own.parts) + 1)) AS place) x
            JOIN own p ON p.id = regexp_extract(x.part, '([^/:]+)$', 1)), code) AS name FROM own""",
    # Orders, administrations, dispenses and statements; drug is the name, code and system the inline coding if there is one.
    "medication": f"""SELECT m.* EXCLUDE (inline, contained), coalesce(n.name, m.inline,
            m.contained->'code'->>'text', m.contained->'code'->'coding'->0->>'display', m.code) AS drug
        FROM (SELECT {_HEAD}, type, coalesce({_T.replace(" AS t", "")}, left({_text("dateAsserted")}, 19)) AS t,
            left({_text("effectivePeriod.end")}, 19) AS t_end,
            coalesce({_target("encounter")}, {_target("context")}) AS encounter,
            coalesce({_target("request")}, {_target("authorizingPrescription[0]")}) AS request,
            {_target("reasonReference[0]")} AS reason, {_text("reasonReference[0].reference")} AS reason_reference,
            {_text("requester.reference")} AS requester, status, {_text("intent")} AS intent,
            regexp_extract({_text("medicationReference.reference")}, '([^/:]+)$', 1) AS medication,
            {_text("medicationCodeableConcept.coding[0].system")} AS system,
            {_text("medicationCodeableConcept.coding[0].code")} AS code,
            coalesce({_text("medicationCodeableConcept.text")}, {_text("medicationCodeableConcept.coding[0].display")},
                {_text("medicationCodeableConcept.coding[0].code")}) AS inline,
            json_extract(raw, '$.contained[0]') AS contained,
            coalesce({_text("dosageInstruction[0].route.coding[0].code")}, {_text("dosageInstruction[0].route.text")},
                {_text("dosage.route.coding[0].code")}, {_text("dosage.route.text")}) AS route,
            coalesce(try_cast({_text("dosageInstruction[0].doseAndRate[0].doseQuantity.value")} AS DOUBLE),
                try_cast({_text("dosage.dose.value")} AS DOUBLE)) AS dose,
            coalesce({_text("dosageInstruction[0].doseAndRate[0].doseQuantity.unit")}, {_text("dosage.dose.unit")})
                AS dose_unit,
            left({_text("dispenseRequest.validityPeriod.start")}, 19) AS valid_from,
            left({_text("dispenseRequest.validityPeriod.end")}, 19) AS valid_to
            FROM record WHERE type IN
                ('MedicationRequest', 'MedicationAdministration', 'MedicationDispense', 'MedicationStatement')) m
        LEFT JOIN drug_name n ON n.id = m.medication""",
    # Administrations that name their order, and orders that name the condition they were written for.
    "administration": """SELECT id, ref, patient, available, t, encounter, request, drug FROM medication
        WHERE type = 'MedicationAdministration' AND request <> ''""",
    "order_reason": """SELECT id, ref, patient, available, t, drug, reason FROM medication
        WHERE type = 'MedicationRequest' AND reason <> ''""",
    # One row per condition that an order cites as its reason: condition is its id.
    "cited_reason": """SELECT id, ref, patient, available, t, status, regexp_extract(reference, '([^/:]+)$', 1) AS condition
        FROM (SELECT id, ref, patient, available, left(effective, 19) AS t, status,
            unnest(json_extract_string(raw, '$.reasonReference[*].reference')) AS reference
            FROM record WHERE type = 'MedicationRequest')""",
    "specimen": f"""SELECT {_HEAD}, {_T}, {_coding("type")} FROM record WHERE type = 'Specimen'""",
    "report": f"""SELECT {_HEAD}, {_T}, {_target("encounter")} AS encounter, {_coding("code")},
        json_extract_string(raw, '$.result[*].reference') AS results FROM record WHERE type = 'DiagnosticReport'""",
    "immunization": f"""SELECT {_HEAD}, {_T}, {_target("encounter")} AS encounter, {_coding("vaccineCode")}, status
        FROM record WHERE type = 'Immunization'""",
    "allergy": f"""SELECT {_HEAD}, {_T}, {_coding("code")}, {_text("criticality")} AS criticality,
        {_text("clinicalStatus.coding[0].code")} AS clinical_status FROM record WHERE type = 'AllergyIntolerance'""",
    "care_plan": f"""SELECT {_HEAD}, left({_text("period.start")}, 19) AS t, left({_text("period.end")}, 19) AS t_end, status,
        {_coding("category[0]")}, json_extract_string(raw, '$.addresses[*].reference') AS addresses,
        json_extract_string(raw, '$.goal[*].reference') AS goals FROM record WHERE type = 'CarePlan'""",
    "goal": f"""SELECT {_HEAD}, {_text("lifecycleStatus")} AS status, {_text("description.text")} AS description
        FROM record WHERE type = 'Goal'""",
    # Claims and explanations of benefit: what was billed for an encounter.
    "billing": f"""SELECT {_HEAD}, type, {_T}, coalesce({_target("item[0].encounter[0]")}, '') AS encounter,
        try_cast({_text("total.value")} AS DOUBLE) AS total, {_text("total.currency")} AS currency,
        try_cast({_text("payment.amount.value")} AS DOUBLE) AS paid
        FROM record WHERE type IN ('Claim', 'ExplanationOfBenefit')""",
    "imaging": f"""SELECT {_HEAD}, {_T}, {_target("encounter")} AS encounter, {_coding("procedureCode[0]")},
        {_text("series[0].modality.code")} AS modality FROM record WHERE type = 'ImagingStudy'""",
    "organization": f"""SELECT {_HEAD}, {_text("name")} AS name,
        {_text("identifier[0].system")} || '|' || {_text("identifier[0].value")} AS identifier
        FROM record WHERE type = 'Organization'""",
    "practitioner": f"""SELECT {_HEAD}, concat_ws(' ', {_text("name[0].given[0]")}, {_text("name[0].family")}) AS name,
        {_text("identifier[0].system")} || '|' || {_text("identifier[0].value")} AS identifier
        FROM record WHERE type = 'Practitioner'""",
    "practitioner_role": f"""SELECT {_HEAD}, {_text("practitioner.reference")} AS practitioner,
        {_text("specialty[0].coding[0].code")} AS specialty,
        coalesce({_text("specialty[0].coding[0].display")}, {_text("specialty[0].text")}) AS specialty_text
        FROM record WHERE type = 'PractitionerRole'""",
}  # fmt: skip
"""Table -> query over ``record`` (and over the tables before it)."""

HELD_BACK: Final = """(absent IS NOT NULL OR coalesce(value_system, '') LIKE '%v3-NullFlavor'
    OR coalesce(value_system, '') LIKE '%data-absent-reason')"""
"""Which rows of ``observation`` have no value but a reason why: dataAbsentReason, or a null flavor for a value."""

VOID: Final = """(status = 'entered-in-error'
    OR (status = 'not-done' AND type IN ('Procedure', 'Immunization', 'MedicationAdministration'))
    OR (status IN ('planned', 'cancelled') AND type = 'Encounter') OR (status = 'cancelled' AND type = 'Observation')
    OR (type IN ('Condition', 'AllergyIntolerance')
        AND json_extract_string(raw, '$.verificationStatus.coding[0].code') IN ('refuted', 'entered-in-error')))"""
"""Which rows of ``record`` tell of what did not happen, or were entered by mistake."""

ELEMENTS: Final[dict[str, str]] = {
    "patient": "Patient", "death": "Patient.deceasedDateTime", "encounter": "Encounter", "stay": "Encounter.partOf",
    "ward": "Encounter.location", "condition": "Condition", "observation": "Observation", "member": "Observation.hasMember",
    "component": "Observation.component", "procedure": "Procedure", "drug_name": "Medication",
    "medication": "MedicationRequest, MedicationAdministration, MedicationDispense or MedicationStatement",
    "administration": "MedicationAdministration.request", "order_reason": "MedicationRequest.reasonReference",
    "cited_reason": "MedicationRequest.reasonReference", "specimen": "Specimen", "report": "DiagnosticReport",
    "immunization": "Immunization", "allergy": "AllergyIntolerance", "care_plan": "CarePlan", "goal": "Goal",
    "billing": "Claim or ExplanationOfBenefit", "imaging": "ImagingStudy", "organization": "Organization",
    "practitioner": "Practitioner", "practitioner_role": "PractitionerRole",
}  # fmt: skip
"""Table -> the type or element whose absence leaves it empty."""
