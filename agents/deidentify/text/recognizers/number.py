"""Record, account, visit, plan, licence, accession, device and vehicle numbers: a word that says so, then a value with a digit."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.span import Found

_WORDS = (
    r"mrn|m\.r\.n\.|medical record|med rec|record|chart|hospital|patient|pt|account|acct|visit|encounter|csn|fin|health plan|plan|"
    r"member|subscriber|beneficiary|policy|group|insurance|medicare|medicaid|mbi|hicn|claim|license|licence|driver'?s? licen[sc]e|dl|dea|npi|"
    r"certificate|accession|specimen|case|order|requisition|serial|s/n|sn|device|udi|lot|vin|license plate|licence plate|plate|passport|"
    r"badge|employee|study|trial|barcode|ticket|reference|ref|confirmation|prescription|rx|document|doc|unit"
)
_LABELLED = re.compile(
    rf"\b(?:{_WORDS})\s{{0,2}}(?:(?:id|identifier|number|num|no|nr|#)\.?\s{{0,2}}){{1,2}}(?:is|was|of)?[\s:=#(-]{{0,5}}"
    r"([A-Za-z0-9](?:[A-Za-z0-9./-]{0,30}[A-Za-z0-9])?)",
    re.IGNORECASE,
)
#: Words that mean an identifier without "number".
_STRONG = re.compile(
    r"\b(?:mrn|m\.r\.n\.|csn|acct|account|mbi|hicn|npi|dea|vin|accession|passport|dob id|s/n|member id|id)\b[\s:=#(-]{1,5}(?:is\s)?"
    r"([A-Za-z0-9](?:[A-Za-z0-9./-]{1,30}[A-Za-z0-9]))",
    re.IGNORECASE,
)
_HASHED = re.compile(r"(?<!\w)#\s?([A-Za-z]{0,4}[-]?\d{5,14})(?!\w)")
_VIN = re.compile(r"\b(?=[A-HJ-NPR-Z0-9]{0,16}\d)(?=[A-HJ-NPR-Z0-9]{0,16}[A-HJ-NPR-Z])[A-HJ-NPR-Z0-9]{17}\b")
_MBI = re.compile(
    r"\b[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]\d-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]\d-?[AC-HJKMNP-RT-Y]{2}\d{2}\b"
)
_CODED = re.compile(r"\b(?=[A-Z0-9-]{6,24}\b)[A-Z]{1,5}-?\d{2,4}-\d{3,10}\b|\b[A-Z]{2,5}-\d{5,12}\b|\b[A-Z]{1,3}\d{6,12}\b")
_CARD = re.compile(r"(?<![\w-])\d{4}([- ]?)\d{4}\1\d{4}\1\d{1,7}(?![\w-])")
_LONG = re.compile(r"(?<![\w.,/-])\d{7,14}(?![\w.,/%-])")


def find(text: str) -> Iterator[Found]:
    """A labelled value counts when it holds a digit; unlabelled only shapes that nothing clinical has."""
    for rule, pattern in (("number-labelled", _LABELLED), ("number-strong", _STRONG), ("number-hashed", _HASHED)):
        for match in pattern.finditer(text):
            if any(character.isdigit() for character in match[1]):
                yield Found(*match.span(1), "ID", "pattern", rule)
    for rule, pattern in (("vin", _VIN), ("mbi", _MBI), ("number-coded", _CODED), ("number-long", _LONG)):
        for match in pattern.finditer(text):
            yield Found(*match.span(), "ID", "pattern", rule)
    for match in _CARD.finditer(text):
        if _luhn(match[0]):
            yield Found(*match.span(), "ID", "pattern", "card")


def _luhn(text: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [d if i % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d) for i, d in enumerate(reversed(digits))]
    return len(digits) >= 13 and sum(doubled) % 10 == 0
