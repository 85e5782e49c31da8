"""De-identification of free text: known identifiers of the same message, patterns, a model; the union of the three."""
