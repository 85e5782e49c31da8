"""What travels: envelopes, HL7 v2 and FHIR readers, findings, flags, samples, and the error tree."""
