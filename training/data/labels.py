"""Corpus labels -> the product's mention types.

``None`` means "no product type"; a label that is absent is unknown territory (neither a mention nor surely not one).
Diseases of BC5CDR and NCBI and the effects of PHEE include signs and symptoms, so they are ``problem`` or ``finding``.
"""

from __future__ import annotations

from typing import Final

ENTITY_TYPES: Final = (
    "problem", "finding", "medication", "dosage", "form", "route", "frequency", "duration", "procedure", "test", "value",
    "anatomy",
)  # fmt: skip
PHI_TYPES: Final = ("NAME", "DATE", "AGE", "ID", "PHONE", "EMAIL", "URL", "LOCATION", "ORGANIZATION")

PROBLEM_OR_FINDING: Final = ("problem", "finding")

BC5CDR: Final = {"Chemical": ("medication",), "Disease": PROBLEM_OR_FINDING}
NCBI: Final = dict.fromkeys(("SpecificDisease", "DiseaseClass", "CompositeMention", "Modifier"), PROBLEM_OR_FINDING)
MACCROBAT: Final[dict[str, tuple[str, ...] | None]] = {
    "Disease_disorder": ("problem",),
    "Sign_symptom": ("finding",),
    "Medication": ("medication",),
    "Dosage": ("dosage",),
    "Administration": ("route",),
    "Frequency": ("frequency",),
    "Duration": ("duration",),
    "Therapeutic_procedure": ("procedure",),
    "Diagnostic_procedure": ("test",),
    "Lab_value": ("value",),
    "Biological_structure": ("anatomy",),
}
# Spans that may hold mentions which MACCROBAT does not mark again inside them, or measures that may pass for values.
MACCROBAT_UNKNOWN: Final = frozenset({
    "History", "Family_history", "Coreference", "Other_event", "Other_entity", "Outcome",
    "Distance", "Mass", "Weight", "Height", "Volume", "Area", "Quantitative_concept", "Biological_attribute",
})  # fmt: skip
PHEE: Final = {
    "Drug": ("medication",),
    "Dosage": ("dosage",),
    "Route": ("route",),
    "Freq": ("frequency",),
    "Duration": ("duration",),
    "Effect": PROBLEM_OR_FINDING,
    "Disorder": PROBLEM_OR_FINDING,
}


def bio_labels(types: tuple[str, ...]) -> list[str]:
    """``["O", "B-a", "I-a", ...]`` in the order of ``types``: label ``1 + 2k`` begins type ``k``, ``2 + 2k`` continues it."""
    return ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]
