"""The doors: MLLP, FHIR REST, health; acknowledge only what Kafka has stored."""
