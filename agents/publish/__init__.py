"""Results in the consumers' own languages: FHIR R4 Bundles, HL7 v2 ORU^R01, pseudonymous and, audited, re-identified."""
