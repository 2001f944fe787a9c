"""The names of R4's resource types, and required codes that the model metadata does not spell out."""

from __future__ import annotations

RESOURCE_TYPES = frozenset("""
Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic Binary
BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem
ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication CommunicationRequest
CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement
DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest
EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List Location
Measure MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest
MedicationStatement MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication
MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured
MedicinalProductPackaged MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader
MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition OperationDefinition OperationOutcome
Organization OrganizationAffiliation Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition
Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup
ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment RiskEvidenceSynthesis Schedule
SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition StructureMap Subscription Substance
SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial
SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport TestScript ValueSet
VerificationResult VisionPrescription
""".split())  # fmt: skip
"""https://hl7.org/fhir/R4/resourcelist.html"""

UNMODELLED = frozenset(
    name for name in RESOURCE_TYPES if name.startswith(("MedicinalProduct", "Substance")) and name != "Substance"
) | {"EffectEvidenceSynthesis", "RiskEvidenceSynthesis", "Evidence", "EvidenceVariable", "TestScript"}
"""Types that R4B dropped or rebuilt: its models say nothing about their R4 form."""

_OBSERVATION_STATUS = "registered preliminary final amended corrected cancelled entered-in-error unknown"
_ENCOUNTER_STATUS = "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
_COMPARATOR = "< <= >= >"

CODES = {
    place: frozenset(codes.split())
    for place, codes in {
        "Age.comparator": _COMPARATOR,
        "AuditEvent.action": "C R U D E",
        "AuditEvent.outcome": "0 4 8 12",
        "Count.comparator": _COMPARATOR,
        "DetectedIssue.status": _OBSERVATION_STATUS,
        "DeviceUdiCarrier.entryType": "barcode rfid manual card self-reported unknown",
        "DeviceUseStatement.status": "active completed entered-in-error intended stopped on-hold",
        "DiagnosticReport.status": "registered partial preliminary final amended corrected appended cancelled entered-in-error unknown",
        "Distance.comparator": _COMPARATOR,
        "Duration.comparator": _COMPARATOR,
        "Encounter.status": _ENCOUNTER_STATUS,
        "EncounterStatusHistory.status": _ENCOUNTER_STATUS,
        "Observation.status": _OBSERVATION_STATUS,
        "Quantity.comparator": _COMPARATOR,
        "QuestionnaireItem.type": "group display question boolean decimal integer date dateTime time string text url choice "
        "open-choice attachment reference quantity",
        "RiskAssessment.status": _OBSERVATION_STATUS,
        "StructureMapGroupRuleTarget.transform": "create copy truncate escape cast append translate reference dateOp uuid "
        "pointer evaluate cc c qty id cp",
        "SupplyRequest.status": "draft active suspended cancelled completed entered-in-error unknown",
        "Task.status": "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed "
        "entered-in-error",
        "TimingRepeat.when": "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS WAKE C "
        "CM CD CV AC ACM ACD ACV PC PCM PCD PCV",
    }.items()
}  # fmt: skip
"""Required bindings that the models cut short or lack, from the R4 value sets named on each type's page (R4 4.0.1, 2019)."""

CONCEPTS = {
    "AllergyIntolerance.clinicalStatus": (
        "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", frozenset("active inactive resolved".split()),
    ),
    "AllergyIntolerance.verificationStatus": (
        "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
        frozenset("unconfirmed confirmed refuted entered-in-error".split()),
    ),
    "Condition.clinicalStatus": (
        "http://terminology.hl7.org/CodeSystem/condition-clinical",
        frozenset("active recurrence relapse inactive remission resolved".split()),
    ),
    "Condition.verificationStatus": (
        "http://terminology.hl7.org/CodeSystem/condition-ver-status",
        frozenset("unconfirmed provisional differential confirmed refuted entered-in-error".split()),
    ),
}  # fmt: skip
"""CodeableConcepts whose codings must hold a code of one required value set: (system, codes)."""

TARGETS = {"Observation.subject": ("Patient", "Group", "Device", "Location")}
"""Reference targets that R4B widened, as R4 has them."""
