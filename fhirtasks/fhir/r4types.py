"""The names of R4's resource types, and required codes that the model metadata does not spell out."""

from __future__ import annotations

_NAMES = """
Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic Binary
BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem
ChargeItemDefinition Claim ClaimResponse ClinicalImpression CodeSystem Communication CommunicationRequest
CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement
DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest
EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List
Location Measure MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge
MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization
MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient MedicinalProductInteraction
MedicinalProductManufactured MedicinalProductPackaged MedicinalProductPharmaceutical
MedicinalProductUndesirableEffect MessageDefinition MessageHeader MolecularSequence NamingSystem NutritionOrder
Observation ObservationDefinition OperationDefinition OperationOutcome Organization OrganizationAffiliation
Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Procedure
Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchDefinition
ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment RiskEvidenceSynthesis Schedule
SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition StructureMap Subscription
Substance SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation
SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport
TestScript ValueSet VerificationResult VisionPrescription
"""

RESOURCE_TYPES = frozenset(_NAMES.split())
"""https://hl7.org/fhir/R4/resourcelist.html"""

UNMODELLED = frozenset(
    name for name in RESOURCE_TYPES if name.startswith(("MedicinalProduct", "Substance")) and name != "Substance"
) | {"EffectEvidenceSynthesis", "RiskEvidenceSynthesis", "Evidence", "EvidenceVariable", "TestScript"}
"""Types that R4B dropped or rebuilt: its models say nothing about their R4 form."""

_OBSERVATION_STATUS = "registered preliminary final amended corrected cancelled entered-in-error unknown"
_ENCOUNTER_STATUS = "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
_COMPARATOR = "< <= >= >"
_QUESTION_TYPE = (
    "group display question boolean decimal integer date dateTime time string text url choice open-choice attachment "
    "reference quantity"
)
_TRANSFORM = "create copy truncate escape cast append translate reference dateOp uuid pointer evaluate cc c qty id cp"
_TASK_STATUS = (
    "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed entered-in-error"
)
_EVENT_TIMING = (
    "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS WAKE C CM CD CV "
    "AC ACM ACD ACV PC PCM PCD PCV"
)

_REQUIRED_CODES = f"""
Age.comparator: {_COMPARATOR}
AuditEvent.action: C R U D E
AuditEvent.outcome: 0 4 8 12
Count.comparator: {_COMPARATOR}
DetectedIssue.status: {_OBSERVATION_STATUS}
DeviceUdiCarrier.entryType: barcode rfid manual card self-reported unknown
DeviceUseStatement.status: active completed entered-in-error intended stopped on-hold
DiagnosticReport.status: {_OBSERVATION_STATUS} partial appended
Distance.comparator: {_COMPARATOR}
Duration.comparator: {_COMPARATOR}
Encounter.status: {_ENCOUNTER_STATUS}
EncounterStatusHistory.status: {_ENCOUNTER_STATUS}
Observation.status: {_OBSERVATION_STATUS}
Quantity.comparator: {_COMPARATOR}
QuestionnaireItem.type: {_QUESTION_TYPE}
RiskAssessment.status: {_OBSERVATION_STATUS}
StructureMapGroupRuleTarget.transform: {_TRANSFORM}
SupplyRequest.status: draft active suspended cancelled completed entered-in-error unknown
Task.status: {_TASK_STATUS}
TimingRepeat.when: {_EVENT_TIMING}
"""

CODES = {
    place: frozenset(codes.split())
    for place, _, codes in (line.partition(": ") for line in _REQUIRED_CODES.strip().splitlines())
}
"""Required bindings that the models cut short or lack, from the R4 value sets (HL7, R4 4.0.1, 2019)."""

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"

CONCEPTS: dict[str, tuple[str, frozenset[str]]] = {
    "AllergyIntolerance.clinicalStatus": (
        f"{_TERMINOLOGY}/allergyintolerance-clinical",
        frozenset({"active", "inactive", "resolved"}),
    ),
    "AllergyIntolerance.verificationStatus": (
        f"{_TERMINOLOGY}/allergyintolerance-verification",
        frozenset({"unconfirmed", "confirmed", "refuted", "entered-in-error"}),
    ),
    "Condition.clinicalStatus": (
        f"{_TERMINOLOGY}/condition-clinical",
        frozenset({"active", "recurrence", "relapse", "inactive", "remission", "resolved"}),
    ),
    "Condition.verificationStatus": (
        f"{_TERMINOLOGY}/condition-ver-status",
        frozenset({"unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error"}),
    ),
}
"""CodeableConcepts whose codings must hold a code of one required value set: (system, codes)."""

TARGETS = {"Observation.subject": ("Patient", "Group", "Device", "Location")}
"""Reference targets that R4B widened, as R4 has them."""
