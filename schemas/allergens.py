"""Whether a note names a mention as something that the patient does not tolerate: the one wording that rules and published resources share."""

from __future__ import annotations

import re

from schemas.findings import Mention

#: Relations that say a drug is given, not why or with what result.
DOSED = frozenset(f"medication-{part}" for part in ("dosage", "form", "route", "frequency", "duration"))
_SECTION = "allergies"
#: "allergic to penicillin", "penicillin allergy": an allergen in any section, also where a dose is told.
_BEFORE = re.compile(
    r"\b(?:allerg(?:ic|y|ies)|intoleran(?:t|ce)|anaphyla\w+|hypersensitiv\w+)\s+(?:to|of|from|with)\b[^.;:\n]{0,40}\Z", re.I
)
_AFTER = re.compile(r"\A[\s-]{1,2}(?:allerg(?:y|ic|ies)|intoleran(?:t|ce)|anaphyla\w+)\b", re.I)
_ALLERGY = re.compile(r"\ballerg(?:y|ic|ies)\b|\bintoleran(?:t|ce)\b|\banaphyla\w+", re.I)
_VERBS = r"(?:start(?:ed|ing)?|g[ai]ven?|beg[iau]n|prescribed?|continu(?:es?|ed|ing)|administer(?:ed)?|received?|tak(?:es?|ing)|tolerat(?:es?|ed|ing))"
_GIVING = re.compile(rf"\b{_VERBS}(?:\s+on)?\s+(?:[a-z]+\s+)?\Z", re.I)
_GIVEN = re.compile(rf"\A\s+(?:(?:was|is|were|has\sbeen|is\sbeing)\s+)?{_VERBS}\b", re.I)


def is_allergen(mention: Mention, text: str, *, dosed: bool) -> bool:
    """``text`` is the mention's note; ``dosed``: one of the relations ``DOSED`` has it as its head.

    Run-in allergy sections often run on into what is given: a drug with a dose, or beside a word of giving, is not an allergen there.
    """
    if mention.type != "medication":
        return _ALLERGY.search(mention.text) is not None
    before, after = text[max(0, mention.start - 80) : mention.start], text[mention.end : mention.end + 30]
    if _BEFORE.search(before) is not None or _AFTER.match(after) is not None:
        return True
    if mention.section != _SECTION or dosed:
        return False
    return _GIVING.search(before) is None and _GIVEN.match(after) is None
