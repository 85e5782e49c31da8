"""Where a problem is and since when, as FHIR says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from agents.publish.names import ELAPSED, Object, plain
from agents.publish.quantities import UCUM
from schemas.findings import Laterality, Mention

#: HL7 mCODE's extension of a body site (http://hl7.org/fhir/us/mcode); R4 itself has no element for a side.
LATERALITY = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-laterality-qualifier"
#: The three qualifiers of mCODE's Laterality Qualifier value set, https://hl7.org/fhir/us/mcode/ValueSet-mcode-laterality-qualifier-vs.html.
_SIDES: dict[str, tuple[str, str]] = {
    "left": ("7771000", "Left"),
    "right": ("24028007", "Right"),
    "bilateral": ("51440002", "Bilateral"),
}
_SNOMED = "http://snomed.info/sct"
_EXACT = re.compile(r"P(T?)([0-9]{1,4})([DWHM])")
_MINUTES = {"D": 1440, "W": 10080, "TH": 60, "TM": 1}


def side(laterality: Laterality) -> Object:
    code, display = _SIDES[laterality]
    return {
        "url": LATERALITY,
        "valueCodeableConcept": {"coding": [{"system": _SNOMED, "code": code, "display": display}], "text": laterality},
    }


def sites(mention: Mention, tails: Sequence[Mention]) -> list[Object]:
    """Body sites, each with its side; a side without a site stands alone."""
    found: list[Object] = []
    for tail in tails:
        if tail.type == "anatomy" and (words := plain(tail.text)):
            sided = tail.laterality or mention.laterality
            found.append(({"extension": [side(sided)]} if sided else {}) | {"text": words})
    if not found and mention.laterality:
        found.append({"extension": [side(mention.laterality)], "text": mention.laterality})
    return found


def onset_words(mention: Mention, *, original: bool) -> str:
    """The note's words on the onset. Words that de-identification wrote are not told beside the note as received."""
    onset = mention.onset
    if onset is None or (original and onset.replaced):
        return ""
    return plain(onset.words)


def onset(mention: Mention, elapsed: int | None, *, original: bool) -> Object:
    """Condition.onset[x]: the age, else the words, with the minute on the patient's clock where the length is exact.

    Args:
        elapsed: the note's time in minutes on that clock.
    """
    words = onset_words(mention, original=original)
    if not words or mention.onset is None:
        return {}
    if mention.onset.age is not None:
        return {"onsetAge": {"value": Decimal(mention.onset.age), "unit": "a", "system": UCUM, "code": "a"}}
    body: Object = {"onsetString": words}
    exact = _EXACT.fullmatch(mention.onset.ago)
    unit = _MINUTES.get(exact.group(1) + exact.group(3)) if exact else None
    if exact and unit and elapsed is not None and not original:
        at = elapsed - int(exact.group(2)) * unit
        if abs(at) < 2**31:
            body["_onsetString"] = {"extension": [{"url": ELAPSED, "valueInteger": at}]}
    return body
