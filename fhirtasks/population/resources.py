"""R4 resources as JSON lines. Observations, nine in ten, are spliced from prepared text; the rest are dumped."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from fhirtasks.population.clinical import Measure, Medication, Site, tables
from fhirtasks.population.identities import Identity, seeded, uuid_text

HL7 = "http://terminology.hl7.org/CodeSystem/"
MRN_SYSTEM = "https://hospital.example.org/identifiers/mrn"
MEMBER_SYSTEM = "https://insurer.example.org/identifiers/member"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
ENCOUNTER_CLASSES = {"AMB": "ambulatory", "IMP": "inpatient encounter", "EMER": "emergency"}
WARD, EMERGENCY, CLINIC = 0, 1, 2


def concept(system: str, code: str, display: str) -> dict[str, Any]:
    """A CodeableConcept with one coding, its display repeated as text."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def line(resource: dict[str, Any]) -> str:
    """Compact JSON text."""
    return orjson.dumps(resource).decode()


def site_id(site: Site, kind: str, number: int = 0) -> str:
    """Id of a hospital, of one of its wards or of one of its practitioners: the same for every seed."""
    return uuid_text(seeded("site", site.name, kind, number))


def shared_resources() -> Iterator[str]:
    """The hospitals, their wards and their practitioners, which all seeds have in common."""
    for site in tables().sites:
        hospital = site_id(site, "organization")
        yield line(
            {
                "resourceType": "Organization",
                "id": hospital,
                "active": True,
                "type": [concept(HL7 + "organization-type", "prov", "Healthcare Provider")],
                "name": site.name,
                "address": [{"city": site.city, "state": site.state, "country": "US"}],
            }
        )
        for number, ward in enumerate(site.wards):
            yield line(
                {
                    "resourceType": "Location",
                    "id": site_id(site, "location", number),
                    "status": "active",
                    "name": ward,
                    "mode": "instance",
                    "managingOrganization": {"reference": f"Organization/{hospital}", "display": site.name},
                }
            )
        for number, (given, family) in enumerate(site.staff):
            yield line(
                {
                    "resourceType": "Practitioner",
                    "id": site_id(site, "practitioner", number),
                    "active": True,
                    "name": [{"use": "official", "family": family, "given": [given], "prefix": ["Dr."]}],
                }
            )


class Chart:
    """Collects one patient's resources as JSON lines. Times are naive UTC, written with the site's offset."""

    def __init__(self, who: Identity, site: Site, rng: random.Random) -> None:
        self.who, self.site, self.rng = who, site, rng
        self.lines: list[str] = []
        self.subject = f"Patient/{who.id}"
        self._shift = timedelta(hours=site.offset_hours)
        self._suffix = f"{site.offset_hours:+03d}:00"
        self._hospital = {"reference": f"Organization/{site_id(site, 'organization')}", "display": site.name}

    def stamp(self, when: datetime) -> str:
        """A dateTime as the site writes it."""
        return (when + self._shift).isoformat() + self._suffix

    def add(self, kind: str, **fields: Any) -> str:
        """Adds a resource with a new id and returns ``Type/id``."""
        identifier = uuid_text(self.rng.getrandbits(128))
        self.lines.append(line({"resourceType": kind, "id": identifier, **fields}))
        return f"{kind}/{identifier}"

    def patient(self) -> None:
        """The Patient resource."""
        who = self.who
        mr = {"coding": [{"system": HL7 + "v2-0203", "code": "MR", "display": "Medical record number"}]}
        mb = {"coding": [{"system": HL7 + "v2-0203", "code": "MB", "display": "Member number"}]}
        self.lines.append(
            line(
                {
                    "resourceType": "Patient",
                    "id": who.id,
                    "identifier": [
                        {"use": "usual", "type": mr, "system": MRN_SYSTEM, "value": who.mrn},
                        {"use": "secondary", "type": mb, "system": MEMBER_SYSTEM, "value": who.member},
                    ],
                    "active": True,
                    "name": [{"use": "official", "family": who.family, "given": list(who.given)}],
                    "telecom": [{"system": "phone", "value": who.phone, "use": "home"}],
                    "gender": who.gender,
                    "birthDate": who.birth_date.isoformat(),
                    "address": [
                        {
                            "use": "home",
                            "line": [who.street],
                            "city": who.city,
                            "state": who.state,
                            "postalCode": who.postcode,
                            "country": "US",
                        }
                    ],
                    "managingOrganization": self._hospital,
                }
            )
        )

    def encounter(
        self, kind: str, ward: int, start: datetime, end: datetime, reason: tuple[str, str] | None = None
    ) -> str:
        """A finished encounter: ``kind`` is AMB, IMP or EMER, ``reason`` a SNOMED CT code and its name."""
        staff = self.rng.randrange(len(self.site.staff))
        given, family = self.site.staff[staff]
        doctor = {
            "reference": f"Practitioner/{site_id(self.site, 'practitioner', staff)}",
            "display": f"{given} {family}",
        }
        place = {
            "reference": f"Location/{site_id(self.site, 'location', ward)}",
            "display": self.site.wards[ward],
        }
        fields: dict[str, Any] = {
            "status": "finished",
            "class": {"system": HL7 + "v3-ActCode", "code": kind, "display": ENCOUNTER_CLASSES[kind]},
            "subject": {"reference": self.subject},
            "participant": [{"individual": doctor}],
            "period": {"start": self.stamp(start), "end": self.stamp(end)},
        }
        if reason is not None:
            fields["reasonCode"] = [concept(SNOMED, *reason)]
        fields["location"] = [{"location": place}]
        return self.add("Encounter", **fields, serviceProvider=self._hospital)

    def condition(
        self,
        icd10: tuple[str, str],
        snomed: tuple[str, str],
        category: str,
        onset: datetime,
        recorded: datetime,
        abated: datetime | None,
        encounter: str,
    ) -> None:
        """A condition; ``category`` is problem-list-item or encounter-diagnosis. With ``abated`` it is resolved."""
        state = ("active", "Active") if abated is None else ("resolved", "Resolved")
        fields: dict[str, Any] = {
            "clinicalStatus": {
                "coding": [{"system": HL7 + "condition-clinical", "code": state[0], "display": state[1]}]
            },
            "verificationStatus": {
                "coding": [{"system": HL7 + "condition-ver-status", "code": "confirmed", "display": "Confirmed"}]
            },
            "category": [
                {
                    "coding": [
                        {
                            "system": HL7 + "condition-category",
                            "code": category,
                            "display": category.replace("-", " ").title(),
                        }
                    ]
                }
            ],
            "code": {
                "coding": [
                    {"system": ICD10, "code": icd10[0], "display": icd10[1]},
                    {"system": SNOMED, "code": snomed[0], "display": snomed[1]},
                ],
                "text": icd10[1],
            },
            "subject": {"reference": self.subject},
            "encounter": {"reference": encounter},
            "onsetDateTime": self.stamp(onset)[:10],
        }
        if abated is not None:
            fields["abatementDateTime"] = self.stamp(abated)[:10]
        self.add("Condition", **fields, recordedDate=self.stamp(recorded))

    def medication(self, drug: Medication, authored: datetime, encounter: str, until: datetime | None = None) -> None:
        """An order: active, or with ``until`` completed; its period in the dosage hides it until then."""
        repeat: dict[str, Any] = {"frequency": 1, "period": drug.every_hours, "periodUnit": "h"}
        if until is not None:
            repeat = {"boundsPeriod": {"start": self.stamp(authored), "end": self.stamp(until)}, **repeat}
        setting = ("inpatient", "Inpatient") if until is not None else ("community", "Community")
        self.add(
            "MedicationRequest",
            status="active" if until is None else "completed",
            intent="order",
            category=[concept(HL7 + "medicationrequest-category", *setting)],
            medicationCodeableConcept=concept(RXNORM, drug.rxnorm, drug.display),
            subject={"reference": self.subject},
            encounter={"reference": encounter},
            authoredOn=self.stamp(authored),
            dosageInstruction=[
                {
                    "text": drug.text,
                    "timing": {"repeat": repeat},
                    "route": concept(SNOMED, *drug.route),
                    "doseAndRate": [
                        {
                            "doseQuantity": {
                                "value": orjson.Fragment(drug.dose),
                                "unit": "units" if drug.unit == "[IU]" else drug.unit,
                                "system": "http://unitsofmeasure.org",
                                "code": drug.unit,
                            }
                        }
                    ],
                }
            ],
        )

    def procedure(self, code: tuple[str, str], start: datetime, minutes: int, encounter: str) -> None:
        """A completed procedure (SNOMED CT)."""
        self.add(
            "Procedure",
            status="completed",
            code=concept(SNOMED, *code),
            subject={"reference": self.subject},
            encounter={"reference": encounter},
            performedPeriod={"start": self.stamp(start), "end": self.stamp(start + timedelta(minutes=minutes))},
        )

    def allergy(self, code: str, display: str, category: str, recorded: datetime) -> None:
        """An allergy on the list."""
        self.add(
            "AllergyIntolerance",
            clinicalStatus={"coding": [{"system": HL7 + "allergyintolerance-clinical", "code": "active"}]},
            verificationStatus={"coding": [{"system": HL7 + "allergyintolerance-verification", "code": "confirmed"}]},
            type="allergy",
            category=[category],
            criticality="low",
            code=concept(SNOMED, code, display),
            patient={"reference": self.subject},
            recordedDate=self.stamp(recorded),
        )

    def immunization(self, code: str, display: str, when: datetime, encounter: str) -> None:
        """A completed vaccination (CVX)."""
        self.add(
            "Immunization",
            status="completed",
            vaccineCode=concept("http://hl7.org/fhir/sid/cvx", code, display),
            patient={"reference": self.subject},
            encounter={"reference": encounter},
            occurrenceDateTime=self.stamp(when),
            primarySource=True,
        )

    def result(self, measure: Measure, value: float, taken: datetime, issued: datetime, encounter: str) -> None:
        """A laboratory result: ``issued`` is when it became known."""
        text = f"{value:.{measure.decimals}f}"
        level = "L" if float(text) < float(measure.low) else "H" if float(text) > float(measure.high) else "N"
        head, tail = _lab_text(measure)
        self.lines.append(
            f'{{"resourceType":"Observation","id":"{uuid_text(self.rng.getrandbits(128))}",{head}'
            f'"subject":{{"reference":"{self.subject}"}},"encounter":{{"reference":"{encounter}"}},'
            f'"effectiveDateTime":"{self.stamp(taken)}","issued":"{self.stamp(issued)}",'
            f'"valueQuantity":{_quantity(text, measure)},"interpretation":[{_INTERPRETATION[level]}],{tail}}}'
        )

    def vital(self, measure: Measure, value: float, taken: datetime, encounter: str) -> None:
        """A vital sign with one value."""
        self._vital(measure, taken, encounter, f'"valueQuantity":{_quantity(f"{value:.{measure.decimals}f}", measure)}')

    def blood_pressure(
        self,
        panel: Measure,
        systolic: tuple[Measure, float],
        diastolic: tuple[Measure, float],
        taken: datetime,
        encounter: str,
    ) -> None:
        """A blood pressure panel with its two components."""
        parts = ",".join(
            f'{{"code":{_code(measure)},"valueQuantity":{_quantity(f"{value:.0f}", measure)}}}'
            for measure, value in (systolic, diastolic)
        )
        self._vital(panel, taken, encounter, f'"component":[{parts}]')

    def _vital(self, measure: Measure, taken: datetime, encounter: str, body: str) -> None:
        stamp = self.stamp(taken)
        self.lines.append(
            f'{{"resourceType":"Observation","id":"{uuid_text(self.rng.getrandbits(128))}","status":"final",'
            f'"category":[{_CATEGORY_VITAL}],"code":{_code(measure)},"subject":{{"reference":"{self.subject}"}},'
            f'"encounter":{{"reference":"{encounter}"}},"effectiveDateTime":"{stamp}","issued":"{stamp}",{body}}}'
        )


def day_start(day: date) -> datetime:
    """Midnight of a day."""
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - naive UTC inside this room, see Chart


def _category(code: str, display: str) -> str:
    return line({"coding": [{"system": HL7 + "observation-category", "code": code, "display": display}]})


_CATEGORY_LAB = _category("laboratory", "Laboratory")
_CATEGORY_VITAL = _category("vital-signs", "Vital Signs")
_INTERPRETATION = {
    code: line({"coding": [{"system": HL7 + "v3-ObservationInterpretation", "code": code, "display": display}]})
    for code, display in (("L", "Low"), ("N", "Normal"), ("H", "High"))
}


@lru_cache(maxsize=64)
def _code(measure: Measure) -> str:
    coding = {"system": "http://loinc.org", "code": measure.loinc, "display": measure.display}
    return line({"coding": [coding], "text": measure.text})


@lru_cache(maxsize=64)
def _lab_text(measure: Measure) -> tuple[str, str]:
    head = f'"status":"final","category":[{_CATEGORY_LAB}],"code":{_code(measure)},'
    low, high = _quantity(measure.low, measure), _quantity(measure.high, measure)
    return head, f'"referenceRange":[{{"low":{low},"high":{high}}}]'


def _quantity(text: str, measure: Measure) -> str:
    return f'{{"value":{text},"unit":"{measure.unit}","system":"http://unitsofmeasure.org","code":"{measure.ucum}"}}'
