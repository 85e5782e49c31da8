"""Numbers that a word announces: medical record, plan, account, licence, vehicle, device, any other (164.514(b)(2)(i)(H)-(M), (R))."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.deidentify.text.signs import Near
from agents.deidentify.text.spans import ID, Found

RULE = "record_number"

_WORDS = (
    r"mrn|mr\s?#|med(?:ical)?\.?\s(?:record|rec)|record|chart|(?:patient|pt|hospital|unit|case|encounter|visit|admission|study|subject|employee|"
    r"staff|badge|student|customer|client|person|personal|national|health|unique|participant|donor|beneficiary|member|subscriber|"
    r"policy(?:holder)?|group|plan|claim|authorization|referral|order|requisition|prescription|rx|invoice|receipt|ticket|reference|"
    r"confirmation|tracking|case|file|document|report)(?:'s)?(?:\s(?:medical|record|health|account|insurance))?(?=\s{0,2}(?:id\b|i\.d\.|identif|number|no\b|num\b|nr\b|#|code))|"
    r"csn|fin|har|accession|specimen|sample|"
    r"medicare|medicaid|insurance|health\splan|hicn|mbi|tricare|"
    r"account|acct|a/c|bank|iban|routing|credit\scard|debit\scard|card|visa|mastercard|amex|"
    r"licen[cs]e(?:\splate)?|lic|certificate|certification|registration|dea|npi|upin|passport|visa|"
    r"vin|vehicle|plate|tag|serial|s/n|sn|device|implant|pacemaker|model|udi|imei|lot|"
    r"nhs|chi|ahv|insee|tax|tin|ein|id|identifier|identification|i\.d\."
)
#: The first words of the above.
_SIGNS = """mrn mr med medical record chart patient pt hospital unit case encounter visit admission study subject employee staff badge student
    customer client person personal national health unique participant donor beneficiary member subscriber policy policyholder
    group plan claim authorization referral order requisition prescription rx invoice receipt ticket reference confirmation tracking
    file document report csn fin har accession specimen sample medicare medicaid insurance hicn mbi tricare account acct a/c bank iban
    routing credit debit card visa mastercard amex license licence lic certificate certification registration dea npi upin passport
    vin vehicle plate tag serial s/n sn device implant pacemaker model udi imei lot nhs chi ahv insee tax tin ein id identifier
    identification i.d."""
_NAMED = Near(
    re.compile(
        rf"(?<![\w-])(?:{_WORDS})(?![A-Za-z])"
        r"(?:\s{0,2}(?:id\b|i\.d\.|identifier|identification|number|numbers|no\b\.?|num\b\.?|nr\b\.?|#|code|plate|serial)){0,6}"
        r"\s{0,2}(?:\([^()\n]{1,20}\)\s{0,2})?(?::|#|=|is\b|was\b|of\b|-|,|ending in\b|with\b)?\s{0,2}(?:number\b|#|:)?\s{0,2}"
        r"([A-Za-z0-9](?:[A-Za-z0-9/._#*-]|\s(?=\d)){2,34})",
        re.IGNORECASE,
    ),
    _SIGNS,
    after=150,
    digit=True,
)
#: Letters and at least six digits, or eight digits alone: no clinical value looks like this.
_SHAPE = re.compile(
    r"(?<![\w.,/:+-])(?:[A-Z]{1,5}[-#:]?\d{6,15}|[A-Z]{2,5}-\d{3,5}-\d{2,6}|\d{8,20}|(?:\d{4}[ -]){3}\d{4}|[A-Z]{2,4}-?\d{5})(?![\w]|[.,]\d)"
)
_DIGIT = re.compile(r"\d")
#: What stands after such a word and is a measure, not a number.
_MEASURE = re.compile(r"\s{0,2}(?:mg|ml|mcg|g|kg|units?|years?|days?|weeks?|months?|hours?|%|mm|cm)\b", re.IGNORECASE)


def find(text: str) -> Iterator[Found]:
    for match in _NAMED.finditer(text):
        start, end = match.span(1)
        while text[end - 1] in "._-/*# ":
            end -= 1
        digits = len(_DIGIT.findall(text, start, end))
        if digits >= 3 and not _MEASURE.match(text, end):
            yield Found(start, end, ID, "pattern", RULE)
    for match in _SHAPE.finditer(text):
        yield Found(match.start(), match.end(), ID, "pattern", RULE, 0.9)
