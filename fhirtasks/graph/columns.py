"""The search columns of a resource, computed in DuckDB from its JSON text: one parse of the text, then typed values.

Each type has one list of JSON paths, all lists with the same layout, so that the rest of the query does not know
types. The query works on any relation with the right columns, be it a load's staging table or the charts of a
release.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirtasks.fhir.dates import END
from fhirtasks.fhir.references import ID_PATTERN


@dataclass(frozen=True, slots=True)
class Elements:
    """Where a type keeps its subject, its times (most telling first), its period and its main coded element (R4).

    ``links`` are the other references that it usually has, at most one of each.
    """

    subject: str = "subject"
    times: tuple[str, ...] = ()
    period: str = "period"
    concept: str = "code"
    status: str = "status"
    links: tuple[str, ...] = ("encounter",)


_EFFECTIVE = Elements(times=("effectiveDateTime", "effectiveInstant"), period="effectivePeriod")
_OCCURRENCE = Elements(times=("occurrenceDateTime", "authoredOn"), period="occurrencePeriod")
_MEDICATION = "medicationCodeableConcept"
_CLINICAL = "clinicalStatus.coding[0].code"

ELEMENTS = {
    "AllergyIntolerance": Elements("patient", ("onsetDateTime", "recordedDate"), "onsetPeriod", status=_CLINICAL),
    "CarePlan": Elements(times=("created",), concept="category[0]"),
    "CareTeam": Elements(concept="category[0]"),
    "Claim": Elements("patient", ("created",), "billablePeriod", "type"),
    "ClinicalImpression": _EFFECTIVE,
    "Communication": Elements(times=("sent", "received"), concept="reasonCode[0]"),
    "Composition": Elements(times=("date",), concept="type"),
    "Condition": Elements(times=("onsetDateTime", "recordedDate"), period="onsetPeriod", status=_CLINICAL),
    "Consent": Elements("patient", ("dateTime",), concept="scope"),
    "Coverage": Elements("beneficiary", concept="type"),
    "Device": Elements("patient", concept="type"),
    "DeviceRequest": Elements(times=_OCCURRENCE.times, period="occurrencePeriod", concept="codeCodeableConcept"),
    "DiagnosticReport": _EFFECTIVE,
    "DocumentReference": Elements(times=("date",), concept="type"),
    "Encounter": Elements(
        concept="type[0]", links=("participant[0].individual", "serviceProvider", "location[0].location", "partOf")
    ),
    "EpisodeOfCare": Elements("patient", concept="type[0]"),
    "ExplanationOfBenefit": Elements("patient", ("created",), "billablePeriod", "type"),
    "FamilyMemberHistory": Elements("patient", ("date",), concept="relationship"),
    "Flag": Elements(),
    "Goal": Elements(times=("startDate",), concept="description", status="lifecycleStatus"),
    "ImagingStudy": Elements(times=("started",), concept="procedureCode[0]"),
    "Immunization": Elements(
        "patient", ("occurrenceDateTime",), concept="vaccineCode", links=("encounter", "location")
    ),
    "Location": Elements(concept="type[0]"),
    "Media": Elements(times=("createdDateTime",), period="createdPeriod", concept="type"),
    "Medication": Elements(),
    "MedicationAdministration": Elements(
        times=("effectiveDateTime",),
        period="effectivePeriod",
        concept=_MEDICATION,
        links=("context", "request", "medicationReference"),
    ),
    "MedicationDispense": Elements(
        times=("whenHandedOver", "whenPrepared"),
        concept=_MEDICATION,
        links=("context", "authorizingPrescription[0]", "medicationReference"),
    ),
    "MedicationRequest": Elements(
        times=("authoredOn",),
        concept=_MEDICATION,
        links=("encounter", "requester", "medicationReference", "reasonReference[0]"),
    ),
    "MedicationStatement": Elements(
        times=("effectiveDateTime", "dateAsserted"), period="effectivePeriod", concept=_MEDICATION
    ),
    "Observation": Elements(
        times=("effectiveDateTime", "effectiveInstant", "effectiveTiming.event[0]"),
        period="effectivePeriod",
        links=("encounter", "specimen", "performer[0]"),
    ),
    "Organization": Elements(concept="type[0]"),
    "Patient": Elements(),
    "Practitioner": Elements(),
    "PractitionerRole": Elements(),
    "Procedure": Elements(times=("performedDateTime",), period="performedPeriod"),
    "Provenance": Elements(times=("occurredDateTime", "recorded"), period="occurredPeriod", concept="activity"),
    "QuestionnaireResponse": Elements(times=("authored",), concept="code"),
    "RiskAssessment": Elements(times=("occurrenceDateTime",), period="occurrencePeriod"),
    "ServiceRequest": _OCCURRENCE,
    "Specimen": Elements(
        times=("collection.collectedDateTime", "receivedTime"), period="collection.collectedPeriod", concept="type"
    ),
    "SupplyDelivery": Elements("patient", ("occurrenceDateTime",), "occurrencePeriod", "type"),
    "Task": Elements("for", ("authoredOn",), "executionPeriod"),
    "VisionPrescription": Elements("patient", ("dateWritten", "created")),
}
"""By type, from the R4 resource pages and their search parameters (https://hl7.org/fhir/R4/resourcelist.html)."""

_FREQUENT = ("Observation", "MedicationAdministration", "MedicationRequest", "Condition", "Encounter", "Procedure")
"""Asked for first: each further type that a text is compared with costs time."""

OTHER = Elements(
    times=("effectiveDateTime", "occurrenceDateTime", "onsetDateTime", "performedDateTime", "identifiedDateTime", "authoredOn",
           "recordedDate", "date", "dateTime", "start", "authored", "sent", "recorded", "created", "issued"),
)  # fmt: skip
"""What is tried on a type that the table does not have."""

_SLOTS = (
    "subject", "status", "period_start", "period_end", "system", "code", "more_codes", "more_concepts",
    "category_system", "category", "more_category_codes", "more_categories", "category_object", "number", "unit", "id",
)  # fmt: skip
"""The layout of every list of paths; the links follow, then the times."""

MOST_LINKS = max(len(elements.links) for elements in ELEMENTS.values())
_FIRST_LINK = len(_SLOTS) + 1
_FIRST_TIME = _FIRST_LINK + MOST_LINKS

_OFFSET = "(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_DATETIME = f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)([.][0-9]+)?{_OFFSET}"
_NUMBER = "-?[0-9][0-9.eE+-]*"
_ARRAY_DEPTH = 12
"""Nesting of arrays looked through for the one valueQuantity that is the Observation's own."""


def columns_query(relation: str, *, links: bool = False) -> str:
    """A query that gives every column of ``relation`` and ``subject, codes, categories, status, date_lo … unit``.

    ``relation`` is a table or a bracketed query with ``type`` and ``raw`` (minified JSON text) among its columns, and
    none of the added ones. ``subject`` is the id of the patient that the resource names as its subject (patient,
    beneficiary …) by a relative or absolute reference; for others see the loader's edges. The rest is as
    docs/architecture.md says. With ``links`` there are also ``id`` and the reference strings of the subject and the
    type's links, ``link_0`` (the subject's) to ``link_4``.
    """
    kept = "" if links else ", link_0"
    patient = f"'(?:^|/)Patient/({ID_PATTERN})(?:/_history/{ID_PATTERN})?$'"
    more = "".join(f", extracted[{_FIRST_LINK + i}] as link_{i + 1}" for i in range(MOST_LINKS))
    more = more + f", {_slot('id')} as id" if links else ""
    return f"""
    select * exclude (clinical, ends, number, own{kept}),
        case when starts_with(link_0, 'Patient/') and not contains(substr(link_0, 9), '/') then substr(link_0, 9)
            else nullif(regexp_extract(link_0, {patient}, 1), '') end as subject,
        case when ends = '' then {END} when ends is not null then {high_sql("ends")}
            when length(clinical) > 10 and not contains(clinical, '.') then date_lo + 1000000
            else {high_sql("clinical")} end as date_hi,
        coalesce(clinical, ends) as effective,
        case when own is null then number
            when len(own) = 1 and (own[1] = number or try_cast(own[1] as double) = try_cast(number as double)) then own[1]
            else {_exact_value("raw")} end as value
    from (
        select *,
            case when clinical is null and ends is not null then -{END} else {low_sql("clinical")} end as date_lo,
            case when contains(number, '.') or contains(number, 'e') or number = '0' then
                regexp_extract_all(raw, '"valueQuantity":(?:\\{{[^{{}}]*?"value":({_NUMBER}))?', 1) end as own
        from (
            select * exclude (extracted),
                {_slot("subject")} as link_0{more},
                coalesce({_times()}, {_slot("period_start")}) as clinical,
                case when coalesce({_times()}) is not null then null
                    when {_slot("period_start")} is not null then coalesce({_slot("period_end")}, '')
                    else {_slot("period_end")} end as ends,
                {_codes()} as codes,
                {_categories()} as categories,
                {_slot("status")} as status,
                case when type = 'Observation' then {_slot("number")} end as number,
                case when type = 'Observation' then {_slot("unit")} end as unit
            from (select *, {_extraction()} as extracted from {relation})))"""


def low_sql(text: str) -> str:
    """SQL: the start of a FHIR date in epoch µs, as :func:`fhirtasks.fhir.dates.parse_range` has it; null if illegal."""
    return f"""(case
        when length({text}) <= 10 then case when {_is_date(text)} then case length({text})
            when 10 then epoch_us(try_cast({text} as timestamp))
            when 7 then epoch_us(try_cast({text} || '-01' as timestamp))
            else epoch_us(try_cast({text} || '-01-01' as timestamp)) end end
        when not regexp_full_match({text}, '{_DATETIME}') or {text} < '0001' then null
        when contains({text}, ':60') then
            epoch_us(try_cast(substr({text}, 1, 17) || '59' || substr({text}, 20) as timestamptz)) + 1000000
        else epoch_us(try_cast({text} as timestamptz)) end)"""


def high_sql(text: str) -> str:
    """SQL: the end of a FHIR date in epoch µs, exclusive; null if illegal."""
    digits = f"length(regexp_extract({text}, '[.]([0-9]+)', 1))"
    return f"""(case
        when length({text}) <= 10 then case when {_is_date(text)} then 86400000000 + case length({text})
            when 10 then epoch_us(try_cast({text} as timestamp))
            when 7 then epoch_us(last_day(try_cast({text} || '-01' as date))::timestamp)
            else epoch_us(try_cast({text} || '-12-31' as timestamp)) end end
        else {low_sql(text)} + case when not contains({text}, '.') then 1000000
            else (10 ** greatest(0, 6 - {digits}))::bigint end end)"""


def _is_date(text: str) -> str:
    return f"regexp_full_match({text}, '[0-9]{{4}}(-[0-9]{{2}}(-[0-9]{{2}})?)?') and {text} >= '0001'"


def _slot(name: str) -> str:
    return f"extracted[{_SLOTS.index(name) + 1}]"


def _times() -> str:
    longest = max(len(elements.times) for elements in (*ELEMENTS.values(), OTHER))
    return ", ".join(f"extracted[{_FIRST_TIME + i}]" for i in range(longest))


def _extraction() -> str:
    by_list: dict[str, list[str]] = {}
    for type_ in (*_FREQUENT, *ELEMENTS):
        types = by_list.setdefault(_paths(ELEMENTS[type_]), [])
        if type_ not in types:
            types.append(type_)
    branches = " ".join(
        f"when type in ({', '.join(map(repr, types))}) then json_extract_string(raw, [{paths}])"
        for paths, types in by_list.items()
    )
    return f"case {branches} else json_extract_string(raw, [{_paths(OTHER)}]) end"


def _paths(elements: Elements) -> str:
    at = elements
    # Every list has a path for every link; where a type has fewer, one that exists nowhere.
    links = (*(f"{link}.reference" for link in at.links), *("none" for _ in range(MOST_LINKS - len(at.links))))
    paths = (
        f"{at.subject}.reference", at.status, f"{at.period}.start", f"{at.period}.end",
        f"{at.concept}.coding[0].system", f"{at.concept}.coding[0].code", f"{at.concept}.coding[1]",
        at.concept.replace("[0]", "[1]") if "[0]" in at.concept else "none",
        "category[0].coding[0].system", "category[0].coding[0].code", "category[0].coding[1]",
        "category[1]", "category.coding[0].code", "valueQuantity.value", "valueQuantity.unit",
        "id", *links, *at.times,
    )  # fmt: skip
    return ", ".join(f"'$.{path}'" for path in paths)


def _codes() -> str:
    several = f"{_slot('more_codes')} is not null or {_slot('more_concepts')} is not null"
    places: dict[str, list[str]] = {}
    for type_, elements in ELEMENTS.items():
        places.setdefault(elements.concept.replace("[0]", "[*]"), []).append(type_)
    everything = " ".join(
        f"when type in ({', '.join(map(repr, types))}) then json_extract(raw, '$.{place}.coding[*]')"
        for place, types in places.items()
    )
    return f"""case when {several} then {_tokens(f"case {everything} else json_extract(raw, '$.code.coding[*]') end")}
        when {_slot("code")} is not null then [coalesce({_slot("system")}, '') || '|' || {_slot("code")}]
        else [] end"""


def _categories() -> str:
    several = f"{_slot('more_category_codes')} is not null or {_slot('more_categories')} is not null"
    return f"""case when {several} then {_tokens("json_extract(raw, '$.category[*].coding[*]')")}
        when {_slot("category")} is not null
            then [coalesce({_slot("category_system")}, '') || '|' || {_slot("category")}]
        when {_slot("category_object")} is not null then {_tokens("json_extract(raw, '$.category.coding[*]')")}
        else [] end"""


def _tokens(codings: str) -> str:
    with_code = f"list_filter({codings}, lambda c: (c->>'code') is not null)"
    return f"list_transform({with_code}, lambda c: coalesce(c->>'system', '') || '|' || (c->>'code'))"


def _exact_value(raw: str) -> str:
    """The digits of the Observation's own valueQuantity, components, extensions and contained ones apart.

    DuckDB's JSON functions print numbers anew (1.10 as 1.1), so the text is searched, all strings and arrays cut out
    of it: every other valueQuantity is in an array. Raw control characters cannot stand in JSON text: safe marks for
    the two keys.
    """
    outline = f"replace(replace({raw}, '\"valueQuantity\":', chr(1)), '\"value\":', chr(2))"
    outline = f"""regexp_replace({outline}, '"(?:[^"\\\\]|\\\\.)*"', '0', 'g')"""
    for _ in range(_ARRAY_DEPTH):
        outline = f"regexp_replace({outline}, '\\[[^\\[\\]]*\\]', '0', 'g')"
    return f"nullif(regexp_extract({outline}, '\\x01\\{{[^\\x01]*?\\x02({_NUMBER})', 1), '')"
