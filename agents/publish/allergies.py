"""A drug that the note says the patient does not tolerate, as AllergyIntolerance with its reactions.

Under an allergy heading a drug is an allergen unless it has a dose, which is given; elsewhere the note's own words must say so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agents.publish.names import ALLERGY_CLINICAL, ALLERGY_VERIFICATION, Object, coded
from agents.publish.wording import concept
from schemas.findings import Mention

_SECTION = "allergies"
#: "allergic to [penicillin]", "allergies to codeine and [penicillin]"; "[penicillin] allergy".
_BEFORE = re.compile(
    r"""\b(?:allerg(?:ic|y|ies)|intoleran(?:t|ce)|anaphyla\w+|hypersensitiv\w+)\s+(?:to|from|with)\b
        (?:(?!\b(?:on|is|was|are|were|but|who|which|for|should|tak|use|us(?:ing)|g[ai]v|receiv|start|beg[aiu]n|treat|continu|tolerat)\w{0,4}\b)
           [^.;:()\n]){0,40}\Z""",
    re.I | re.X,
)
_AFTER = re.compile(r"\A[\s-]{1,2}(?:allerg(?:y|ic|ies)|intoleran(?:t|ce)|anaphyla\w+)\b", re.I)


def is_allergen(mention: Mention, text: str, *, dosed: bool) -> bool:
    """``text`` is the mention's note, empty where it is not known; ``dosed``: a dose, route or the like belongs to the drug."""
    if mention.type != "medication" or dosed:  # what has a dose is given
        return False
    before, after = text[max(0, mention.start - 80) : mention.start], text[mention.end : mention.end + 30]
    return mention.section == _SECTION or _BEFORE.search(before) is not None or _AFTER.match(after) is not None


def render_allergy(mention: Mention, reactions: Sequence[tuple[Mention, Object | None]]) -> Object:
    """Unconfirmed, or refuted and then without reactions. ``reactions``: what followed the drug, each with its evidence extension."""
    negated = mention.assertion.negated
    allergy: Object = {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": coded(ALLERGY_CLINICAL, "inactive" if negated else "active"),
        "verificationStatus": coded(ALLERGY_VERIFICATION, "refuted" if negated else "unconfirmed"),
        "code": concept(mention.text, mention.codes),
    }
    if reactions and not negated:
        allergy["reaction"] = [
            ({"extension": [evidence]} if evidence else {}) | {"manifestation": [concept(said.text, said.codes)]}
            for said, evidence in reactions
        ]
    return allergy
