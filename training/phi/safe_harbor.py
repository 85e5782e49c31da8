"""The 18 kinds of identifiers of 45 CFR 164.514(b)(2)(i), as the slots of the generator that stand for them.

Tests count on this table that every kind is generated, each in several formats.
"""

from __future__ import annotations

from typing import Final

#: Letter of the paragraph -> slots (methods of ``Values``).
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "A": (
        "name", "full", "first", "last", "short", "listed", "caret", "doctor", "common_last", "common_full", "word_full", "nick",
        "initials", "capital_name", "patient", "patient_first", "patient_last", "patient_listed", "quoted",
    ),
    "B": (
        "city", "big_city", "city_state", "city_line", "street", "zip", "address", "county", "corner", "corner_of",
        "military_address", "landmark", "coordinates", "world_address", "hospital", "hospital_place", "city_clinic", "practice",
        "company", "firm", "public_body",
    ),
    "C": ("date", "full_date", "date_range", "date_words", "holiday", "old_age", "old_decade", "birth_date"),
    "D": ("phone",),
    "E": ("fax",),
    "F": ("email",),
    "G": ("ssn",),
    "H": ("mrn",),
    "I": ("plan", "group"),
    "J": ("account", "card", "iban", "routing"),
    "K": ("licence", "driver", "passport"),
    "L": ("vin", "plate"),
    "M": ("serial", "mac", "imei"),
    "N": ("url", "handle"),
    "O": ("ip",),
    "P": ("biometric",),
    "Q": ("photo",),
    "R": ("study", "accession", "encounter", "badge", "case_number", "prescription", "token", "user"),
}  # fmt: skip
