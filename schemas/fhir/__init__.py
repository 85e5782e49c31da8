"""FHIR R4 as it travels: exact JSON, element definitions, identity, clinical content, validation at the egress."""
