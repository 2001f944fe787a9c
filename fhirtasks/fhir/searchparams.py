"""R4 search parameters as data: for each type, name -> kind and element paths; and what they find in a resource.

Names, kinds and paths are those of the R4 search parameter registry (https://hl7.org/fhir/R4/searchparameter-registry.html).
To support another one, add a line. A path is dotted element names; ``telecom[system=phone]`` keeps elements with that value;
alternatives are joined by ``,``. Kind ``patient`` is a reference to the patient of the resource's compartment.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from fhirtasks.fhir.dates import BEGINNING, END, parse_range
from fhirtasks.fhir.jsontext import Json
from fhirtasks.fhir.references import parse_reference

Kind: TypeAlias = Literal["token", "string", "date", "reference", "patient"]

_EVERY = """
_id token id
_lastUpdated date meta.lastUpdated
_profile reference meta.profile
_tag token meta.tag
identifier token identifier
"""

_CLINICAL = """
patient patient subject,patient
subject patient subject
encounter reference encounter,context
status token status
category token category
code token code
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
deceased token deceasedBoolean
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
    "Observation": f"""{_CLINICAL}
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
    "Condition": f"""{_CLINICAL.replace("status token status", "")}
abatement-date date abatementDateTime,abatementPeriod
asserter reference asserter
body-site token bodySite
clinical-status token clinicalStatus
onset-date date onsetDateTime,onsetPeriod
recorded-date date recordedDate
severity token severity
verification-status token verificationStatus
""",
    "MedicationRequest": f"""{_CLINICAL.replace("code token code", "code token medicationCodeableConcept")}
authoredon date authoredOn
date date dosageInstruction.timing
intent token intent
medication reference medicationReference
priority token priority
requester reference requester
""",
    "Procedure": f"""{_CLINICAL}
based-on reference basedOn
date date performedDateTime,performedPeriod
performer reference performer.actor
reason-code token reasonCode
""",
    "ServiceRequest": f"""{_CLINICAL}
authored date authoredOn
based-on reference basedOn
body-site token bodySite
intent token intent
occurrence date occurrenceDateTime,occurrencePeriod,occurrenceTiming
performer reference performer
performer-type token performerType
priority token priority
requester reference requester
requisition token requisition
""",
    "Encounter": f"""{_CLINICAL.replace("encounter reference encounter,context", "").replace("category token category", "").replace("code token code", "")}
class token class
date date period
location reference location.location
participant reference participant.individual
part-of reference partOf
reason-code token reasonCode
service-provider reference serviceProvider
type token type
""",
    "DiagnosticReport": f"""{_CLINICAL}
based-on reference basedOn
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
    "MedicationAdministration": f"""{_CLINICAL.replace("code token code", "code token medicationCodeableConcept").replace("category token category", "")}
effective-time date effectiveDateTime,effectivePeriod
medication reference medicationReference
performer reference performer.actor
request reference request
""",
    "MedicationDispense": f"""{_CLINICAL.replace("code token code", "code token medicationCodeableConcept").replace("category token category", "")}
medication reference medicationReference
prescription reference authorizingPrescription
whenhandedover date whenHandedOver
whenprepared date whenPrepared
""",
    "MedicationStatement": f"""{_CLINICAL.replace("code token code", "code token medicationCodeableConcept")}
effective date effectiveDateTime,effectivePeriod
medication reference medicationReference
source reference informationSource
""",
    "CarePlan": f"""{_CLINICAL.replace("code token code", "")}
activity-code token activity.detail.code
date date period
intent token intent
""",
    "CareTeam": f"""{_CLINICAL.replace("code token code", "")}
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
    "Specimen": """
patient patient subject
subject patient subject
collected date collection.collectedDateTime,collection.collectedPeriod
status token status
type token type
""",
    "DocumentReference": f"""{_CLINICAL.replace("encounter reference encounter,context", "encounter reference context.encounter").replace("code token code", "")}
date date date
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
    "ImagingStudy": f"""{_CLINICAL.replace("category token category", "").replace("code token code", "")}
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
target reference target
recorded date recorded
""",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SearchParam:
    """One search parameter of one type. ``paths`` are split: a step is an element name and, or not, (child, value) to keep."""

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


def elements(resource: Json, param: SearchParam) -> list[Json]:
    """The elements that a parameter looks at, in the resource's order."""
    found: list[Json] = []
    for path in param.paths:
        level: list[Json] = [resource]
        for name, condition in path:
            below: list[Json] = []
            for node in level:
                item = node.get(name) if isinstance(node, dict) else None
                if item is None:
                    continue
                below.extend(item if isinstance(item, list) else (item,))
            if condition:
                below = [node for node in below if isinstance(node, dict) and node.get(condition[0]) == condition[1]]
            level = below
        found.extend(level)
    return found


def token_key(system: str | None, code: str | None) -> str:
    """What a search for ``system|code`` looks up; a system of None asks for any, a code of None for any of the system's."""
    if system is None:
        return f"\0{code}"
    return f"{system}|{code}" if code is not None else f"\1{system}"


def tokens(item: Json) -> Iterator[str]:
    """The token keys of a CodeableConcept, Coding, Identifier, ContactPoint, code or boolean."""
    if isinstance(item, bool):
        item = "true" if item else "false"
    if isinstance(item, str):
        yield token_key("", item)
        yield token_key(None, item)
    elif isinstance(item, dict):
        if isinstance(codings := item.get("coding"), list):
            for coding in codings:
                yield from tokens(coding)
            return
        code = item.get("code", item.get("value"))
        system = item.get("system")
        system = system if isinstance(system, str) else ""
        if isinstance(code, str):
            yield token_key(system, code)
            yield token_key(None, code)
        if system:
            yield token_key(system, None)


def token_texts(item: Json) -> Iterator[str]:
    """What ``:text`` searches: CodeableConcept.text, Coding.display, Identifier.type.text, normalised."""
    if isinstance(item, dict):
        for text in (item.get("text"), item.get("display")):
            if isinstance(text, str):
                yield normalised(text)
        for coding in item.get("coding") if isinstance(item.get("coding"), list) else ():
            yield from token_texts(coding)
        if isinstance(item.get("type"), dict):
            yield from token_texts({"text": item["type"].get("text")})


def ranges(item: Json) -> Iterator[tuple[int, int]]:
    """[low, high) of a date, dateTime, instant, Period or Timing, in µs; an open end of a Period reaches for ever."""
    if isinstance(item, str):
        if (span := parse_range(item)) is not None:
            yield span
    elif isinstance(item, dict) and ("event" in item or "repeat" in item):
        for event in item["event"] if isinstance(item.get("event"), list) else ():
            yield from ranges(event)
        if isinstance(item.get("repeat"), dict):
            yield from ranges(item["repeat"].get("boundsPeriod"))
    elif isinstance(item, dict):
        start, end = (parse_range(v) if isinstance(v := item.get(side), str) else None for side in ("start", "end"))
        if start or end:
            yield start[0] if start else BEGINNING, end[1] if end else END


def strings(item: Json) -> Iterator[str]:
    """The strings of a string, HumanName or Address: every part is searched by itself."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, list):
        for part in item:
            yield from strings(part)
    elif isinstance(item, dict):
        for name in (
            "text",
            "family",
            "given",
            "prefix",
            "suffix",
            "line",
            "city",
            "district",
            "state",
            "postalCode",
            "country",
        ):
            yield from strings(item.get(name))


def references(item: Json) -> Iterator[str]:
    """Reference keys: ``Type/id`` where the type is written, ``\\0id`` always, ``\\2id`` where only the id is known (urn)."""
    text = item.get("reference") if isinstance(item, dict) else item
    if not isinstance(text, str):
        return
    if text.startswith("urn:"):
        id = text.rpartition(":")[2]
        yield f"\0{id}"
        yield f"\2{id}"
        return
    reference = parse_reference(text)
    if reference.id is not None and reference.type is not None:
        yield f"{reference.type}/{reference.id}"
        yield f"\0{reference.id}"
    yield f"\3{text}"


@lru_cache(maxsize=65_536)
def normalised(text: str) -> str:
    """For string search: case and accents set aside (R4: "case and accent insensitive")."""
    if text.isascii():
        return text.casefold()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


_EXTRACT: dict[str, Callable[[Json], Iterator[str] | Iterator[tuple[int, int]]]] = {
    "token": tokens,
    "string": lambda item: map(normalised, strings(item)),
    "date": ranges,
    "reference": references,
    "patient": references,
    ":text": token_texts,
    ":exact": strings,
}


def values(resource: Json, param: SearchParam, form: str = "") -> tuple[str, ...] | tuple[tuple[int, int], ...]:
    """What a parameter finds in a resource: token or reference keys, normalised strings, or ranges.

    ``form`` is ``:text`` for a token's texts, ``:exact`` for strings as they are.
    """
    extract = _EXTRACT[form or param.kind]
    return tuple(value for item in elements(resource, param) for value in extract(item))  # type: ignore[return-value]
