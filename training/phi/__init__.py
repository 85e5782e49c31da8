"""Seeded generator of clinical text with gold identifiers, for the PHI model. Every identifier in it is made up."""
