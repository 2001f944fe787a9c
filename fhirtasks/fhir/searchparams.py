"""R4 search parameters as data: for each type, name -> kind and element paths.

Names, kinds and paths are those of the R4 search parameter registry
(https://hl7.org/fhir/R4/searchparameter-registry.html). To support another one, add a line. A path is dotted element
names; ``telecom[system=phone]`` keeps elements with that value; alternatives are joined by ``,``. Kind ``patient`` is
a reference to the patient of the resource's compartment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["token", "string", "date", "reference", "patient"]

_EVERY = """
_id token id
_lastUpdated date meta.lastUpdated
_profile reference meta.profile
_tag token meta.tag
identifier token identifier
"""

_SUBJECT = """
patient patient subject,patient
subject patient subject
status token status
"""

_VISIT = f"""{_SUBJECT}
encounter reference encounter,context
category token category
"""

_MEDICATION = """
code token medicationCodeableConcept
medication reference medicationReference
"""

_TYPES = {
    "Patient": """
active token active
address string address
address-city string address.city
address-country string address.country
address-postalcode string address.postalCode
address-state string address.state
address-use token address.use
birthdate date birthDate
death-date date deceasedDateTime
email token telecom[system=email]
family string name.family
gender token gender
general-practitioner reference generalPractitioner
given string name.given
language token communication.language
name string name
organization reference managingOrganization
phone token telecom[system=phone]
telecom token telecom
""",
    "Observation": f"""{_VISIT}
code token code
combo-code token code,component.code
component-code token component.code
data-absent-reason token dataAbsentReason
date date effectiveDateTime,effectivePeriod,effectiveInstant,effectiveTiming
derived-from reference derivedFrom
has-member reference hasMember
method token method
performer reference performer
specimen reference specimen
value-concept token valueCodeableConcept
value-date date valueDateTime,valuePeriod
value-string string valueString
""",
    "Condition": """
patient patient subject
subject patient subject
abatement-date date abatementDateTime,abatementPeriod
asserter reference asserter
body-site token bodySite
category token category
clinical-status token clinicalStatus
code token code
encounter reference encounter
onset-date date onsetDateTime,onsetPeriod
recorded-date date recordedDate
severity token severity
verification-status token verificationStatus
""",
    "MedicationRequest": f"""{_VISIT}{_MEDICATION}
authoredon date authoredOn
date date dosageInstruction.timing
intent token intent
priority token priority
requester reference requester
""",
    "Procedure": f"""{_VISIT}
based-on reference basedOn
code token code
date date performedDateTime,performedPeriod
performer reference performer.actor
reason-code token reasonCode
""",
    "ServiceRequest": f"""{_VISIT}
authored date authoredOn
based-on reference basedOn
body-site token bodySite
code token code
intent token intent
occurrence date occurrenceDateTime,occurrencePeriod,occurrenceTiming
performer reference performer
performer-type token performerType
priority token priority
requester reference requester
requisition token requisition
""",
    "Encounter": f"""{_SUBJECT}
class token class
date date period
location reference location.location
participant reference participant.individual
part-of reference partOf
reason-code token reasonCode
service-provider reference serviceProvider
type token type
""",
    "DiagnosticReport": f"""{_VISIT}
based-on reference basedOn
code token code
conclusion token conclusionCode
date date effectiveDateTime,effectivePeriod
issued date issued
performer reference performer
result reference result
specimen reference specimen
""",
    "AllergyIntolerance": """
patient patient patient
category token category
clinical-status token clinicalStatus
code token code,reaction.substance
criticality token criticality
date date recordedDate
onset date reaction.onset
type token type
verification-status token verificationStatus
""",
    "Immunization": """
patient patient patient
date date occurrenceDateTime
location reference location
lot-number string lotNumber
performer reference performer.actor
status token status
vaccine-code token vaccineCode
""",
    "MedicationAdministration": f"""{_SUBJECT}{_MEDICATION}
context reference context
effective-time date effectiveDateTime,effectivePeriod
performer reference performer.actor
request reference request
""",
    "MedicationDispense": f"""{_SUBJECT}{_MEDICATION}
context reference context
prescription reference authorizingPrescription
whenhandedover date whenHandedOver
whenprepared date whenPrepared
""",
    "MedicationStatement": f"""{_SUBJECT}{_MEDICATION}
category token category
context reference context
effective date effectiveDateTime,effectivePeriod
source reference informationSource
""",
    "CarePlan": f"""{_VISIT}
activity-code token activity.detail.code
date date period
intent token intent
""",
    "CareTeam": f"""{_VISIT}
date date period
participant reference participant.member
""",
    "Goal": """
patient patient subject
subject patient subject
category token category
lifecycle-status token lifecycleStatus
start-date date startDate
target-date date target.dueDate
""",
    "Specimen": f"""{_SUBJECT}
collected date collection.collectedDateTime,collection.collectedPeriod
type token type
""",
    "DocumentReference": f"""{_SUBJECT}
category token category
date date date
encounter reference context.encounter
type token type
""",
    "Claim": """
patient patient patient
created date created
encounter reference item.encounter
provider reference provider
status token status
use token use
""",
    "ExplanationOfBenefit": """
patient patient patient
claim reference claim
created date created
provider reference provider
status token status
""",
    "ImagingStudy": f"""{_SUBJECT}
encounter reference encounter
modality token modality
started date started
""",
    "Medication": """
code token code
status token status
""",
    "Organization": """
active token active
address string address
name string name,alias
type token type
""",
    "Practitioner": """
active token active
family string name.family
given string name.given
name string name
telecom token telecom
""",
    "PractitionerRole": """
active token active
organization reference organization
practitioner reference practitioner
role token code
specialty token specialty
""",
    "Location": """
address string address
name string name,alias
organization reference managingOrganization
status token status
type token type
""",
    "Device": """
patient patient patient
status token status
type token type
""",
    "Provenance": """
patient patient target
recorded date recorded
target reference target
""",
}


@dataclass(frozen=True, slots=True)
class SearchParam:
    """One search parameter of one type. ``paths`` are split: a step is an element name and, or not, (child, value) to
    keep."""

    name: str
    kind: Kind
    expression: str
    paths: tuple[tuple[tuple[str, tuple[str, str] | None], ...], ...]


def _read(lines: str) -> Iterator[SearchParam]:
    for line in lines.strip().splitlines():
        if line:
            name, kind, expression = line.split()
            yield SearchParam(name, kind, expression, tuple(_path(path) for path in expression.split(",")))  # type: ignore[arg-type]


def _path(text: str) -> tuple[tuple[str, tuple[str, str] | None], ...]:
    steps: list[tuple[str, tuple[str, str] | None]] = []
    for step in text.split("."):
        name, _, condition = step.rstrip("]").partition("[")
        child, _, value = condition.partition("=")
        steps.append((name, (child, value) if condition else None))
    return tuple(steps)


_PARAMS = {type: {p.name: p for p in (*_read(_EVERY), *_read(lines))} for type, lines in _TYPES.items()}
_BASIC = {p.name: p for p in (*_read(_EVERY), *_read("patient patient subject,patient"))}

TYPES = tuple(sorted(_TYPES))
"""Types with parameters of their own; any other type has the common ones and ``patient``."""


def params_of(type: str) -> dict[str, SearchParam]:
    """The search parameters of a type, by name."""
    return _PARAMS.get(type, _BASIC)
