"""Codes that FHIR R4 binds as *required*: fhir.resources accepts any string there, other systems refuse the resource.

Source: the value sets of http://hl7.org/fhir/R4/ named beside each row (CC0). Only elements that this system writes or decides by.
"""

from __future__ import annotations

_REQUEST_STATUS = "draft active on-hold revoked completed entered-in-error unknown"
_REQUEST_INTENT = "proposal plan directive order original-order reflex-order filler-order instance-order option"
_EVENT_STATUS = "preparation in-progress not-done on-hold stopped completed entered-in-error unknown"
_OBSERVATION_STATUS = "registered preliminary final amended corrected cancelled entered-in-error unknown"
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_ALLERGY_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
_ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"

#: (type, element) -> permitted codes.
CODES: dict[tuple[str, str], frozenset[str]] = {
    key: frozenset(codes.split())
    for key, codes in {
        ("Observation", "status"): _OBSERVATION_STATUS,
        ("RiskAssessment", "status"): _OBSERVATION_STATUS,
        ("DetectedIssue", "status"): _OBSERVATION_STATUS,
        ("DetectedIssue", "severity"): "high moderate low",
        ("DiagnosticReport", "status"): "registered partial preliminary final amended corrected appended cancelled "
        "entered-in-error unknown",
        ("Composition", "status"): "preliminary final amended entered-in-error",
        ("DocumentReference", "status"): "current superseded entered-in-error",
        ("DocumentReference", "docStatus"): "preliminary final amended entered-in-error",
        ("MedicationRequest", "status"): "active on-hold cancelled completed entered-in-error stopped draft unknown",
        ("MedicationRequest", "intent"): _REQUEST_INTENT.replace("directive ", ""),
        ("MedicationStatement", "status"): "active completed entered-in-error intended stopped on-hold unknown not-taken",
        ("MedicationAdministration", "status"): "in-progress not-done on-hold completed entered-in-error stopped unknown",
        ("MedicationDispense", "status"): "preparation in-progress cancelled on-hold completed entered-in-error stopped declined "
        "unknown",
        ("Procedure", "status"): _EVENT_STATUS,
        ("Communication", "status"): _EVENT_STATUS,
        ("Immunization", "status"): "completed entered-in-error not-done",
        ("ServiceRequest", "status"): _REQUEST_STATUS,
        ("ServiceRequest", "intent"): _REQUEST_INTENT,
        ("AllergyIntolerance", "type"): "allergy intolerance",
        ("AllergyIntolerance", "category"): "food medication environment biologic",
        ("AllergyIntolerance", "criticality"): "low high unable-to-assess",
        ("AllergyIntoleranceReaction", "severity"): "mild moderate severe",
        ("FamilyMemberHistory", "status"): "partial completed entered-in-error health-unknown",
        ("QuestionnaireResponse", "status"): "in-progress completed amended entered-in-error stopped",
        ("Encounter", "status"): "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown",
        ("Flag", "status"): "active inactive entered-in-error",
        ("Device", "status"): "active inactive entered-in-error unknown",
        ("Patient", "gender"): "male female other unknown",
        ("Bundle", "type"): "document message transaction transaction-response batch batch-response history searchset collection",
        ("BundleEntryRequest", "method"): "GET HEAD POST PUT DELETE PATCH",
        ("Narrative", "status"): "generated extensions additional empty",
        ("ProvenanceEntity", "role"): "derivation revision quotation source removal",
        ("AuditEvent", "action"): "C R U D E",
        ("AuditEvent", "outcome"): "0 4 8 12",
        ("Quantity", "comparator"): "< <= >= >",
    }.items()
}

#: (type, element) of a CodeableConcept -> its one code system and the permitted codes.
CONCEPTS: dict[tuple[str, str], tuple[str, frozenset[str]]] = {
    key: (system, frozenset(codes.split()))
    for key, (system, codes) in {
        ("Condition", "clinicalStatus"): (_CLINICAL, "active recurrence relapse inactive remission resolved"),
        ("Condition", "verificationStatus"): (
            _VERIFICATION, "unconfirmed provisional differential confirmed refuted entered-in-error",
        ),
        ("AllergyIntolerance", "clinicalStatus"): (_ALLERGY_CLINICAL, "active inactive resolved"),
        ("AllergyIntolerance", "verificationStatus"): (
            _ALLERGY_VERIFICATION, "unconfirmed confirmed refuted entered-in-error",
        ),
    }.items()
}  # fmt: skip
