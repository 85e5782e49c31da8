"""One mention as one FHIR resource, unconfirmed and preliminary. The mapping of assertions is a table that reviewers can read.

Hypothetical mentions ("return if chest pain") are not published; another person's become FamilyMemberHistory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from agents.publish.ai_transparency import confidence
from agents.publish.allergies import is_allergen, render_allergy
from agents.publish.names import (
    AIAST,
    CONDITION_CATEGORY,
    CONDITION_CLINICAL,
    CONDITION_VERIFICATION,
    ROLE_CODE,
    Object,
    coded,
    plain,
)
from agents.publish.place import Place, place_span
from agents.publish.quantities import read_quantity
from agents.publish.relatives import relationship
from agents.publish.wording import Tails, concept, dosage, is_dosed
from schemas.findings import Mention


def render_mentions(place: Place) -> Iterator[Object]:
    """Resources in the order of the mentions. The reaction of an allergy stands in the allergy and nowhere else: it is not the case now."""
    tails: dict[str, dict[str, list[Mention]]] = {}
    by_id = {mention.id: mention for mention in place.findings.mentions}
    for relation in sorted(
        (r for r in place.findings.relations if r.tail in by_id), key=lambda r: (by_id[r.tail].start, by_id[r.tail].end)
    ):
        tails.setdefault(relation.head, {}).setdefault(relation.type, []).append(by_id[relation.tail])
    bodies = [_body(place, mention, tails.get(mention.id, {})) for mention in place.findings.mentions]
    reactions = {
        tail.id
        for mention, body in zip(place.findings.mentions, bodies, strict=True)
        if body is not None and "reaction" in body
        for tail in tails[mention.id]["medication-adverse_event"]
    }
    for mention, body in zip(place.findings.mentions, bodies, strict=True):
        if body is not None and mention.id not in reactions:
            yield _dressed(place, mention, body)


def _body(place: Place, mention: Mention, tails: Tails) -> Object | None:
    assertion = mention.assertion
    note = place.notes.get(mention.note)
    text = note.text if note else ""
    if assertion.hypothetical:
        return None
    if assertion.family:
        return None if assertion.negated or mention.type not in ("problem", "finding") else _family(mention, text)
    if is_allergen(mention, text, dosed=is_dosed(tails)):
        events = tails.get("medication-adverse_event", ())
        return render_allergy(mention, [(one, place_span(place, one.note, one.start, one.end, mention=one)) for one in events])
    make = _MAKERS.get(mention.type)
    return make(mention, tails) if make else None


def _dressed(place: Place, mention: Mention, body: Object) -> Object:
    """Identity, label, subject and evidence around what the maker said."""
    kind = str(body["resourceType"])
    note = place.notes.get(mention.note)
    text = place.findings.origin if place.subject.original or note is None else note.sha256
    # Never an inferred code: the identifier must not move with the vocabulary.
    code = next((coding.code for coding in mention.codes if not coding.inferred), mention.text.casefold())
    evidence = place_span(place, mention.note, mention.start, mention.end, mention=mention)
    owner = "patient" if kind in ("AllergyIntolerance", "FamilyMemberHistory") else "subject"
    dressed: Object = {
        "resourceType": kind,
        "id": place.name(kind, mention.id),
        "meta": {"security": [AIAST]},
        "identifier": place.identifier(text, mention.note, str(mention.start), str(mention.end), kind, code, mention.source),
        owner: place.patient,
    }
    dressed["extension"] = [*([evidence] if evidence is not None else []), confidence(mention.score)]
    document = place.documents.get(mention.note)
    if document is not None and kind in ("Observation", "MedicationStatement"):
        dressed["derivedFrom"] = [{"reference": document}]
    return dressed | body


def _condition(mention: Mention, tails: Tails) -> Object:
    assertion = mention.assertion
    certainty = "refuted" if assertion.negated else "provisional" if assertion.possible else "unconfirmed"
    body: Object = {
        "resourceType": "Condition",
        "verificationStatus": coded(CONDITION_VERIFICATION, certainty),
        "category": [coded(CONDITION_CATEGORY, "encounter-diagnosis")],
        "code": concept(mention.text, mention.codes),
    }
    if not assertion.negated:
        body["clinicalStatus"] = coded(CONDITION_CLINICAL, "inactive" if assertion.historical else "active")
    if sites := _sites(mention, tails):
        body["bodySite"] = sites
    if plain(mention.onset) and not assertion.negated:
        body["onsetString"] = plain(mention.onset)
    return body


_SIDES = {"left": "left side", "right": "right side", "bilateral": "both sides"}
_SIDED = re.compile(r"\b(?:left|right|bilateral|both)\b", re.I)


def _sites(mention: Mention, tails: Tails) -> list[Object]:
    """In the note's words. The side stands before a single site that does not name it, or alone where there is no site."""
    words = [plain(tail.text) for tail in tails.get("finding-body_site", ())]
    if mention.laterality and not words:
        words = [_SIDES[mention.laterality]]
    elif mention.laterality and len(words) == 1 and not _SIDED.search(words[0]):
        words = [f"{mention.laterality} {words[0]}"]
    return [{"text": text} for text in words]


def _finding(mention: Mention, tails: Tails) -> Object | None:
    if mention.assertion.historical or mention.assertion.possible:
        return _condition(mention, tails)  # an Observation cannot say "once" or "perhaps"
    sites = _sites(mention, tails)
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": concept(mention.text, mention.codes),
        "valueBoolean": not mention.assertion.negated,
        **({"bodySite": sites[0]} if len(sites) == 1 else {}),  # an Observation has one place
        # and no onset
        **(
            {"note": [{"text": f"Onset: {plain(mention.onset)}"}]}
            if plain(mention.onset) and not mention.assertion.negated
            else {}
        ),
    }


def _test(mention: Mention, tails: Tails) -> Object | None:
    value = next(iter(tails.get("test-value", ())), None)
    if value is None or mention.assertion.negated:
        return None
    quantity = read_quantity(value.text)
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": concept(mention.text, mention.codes),
        **({"valueQuantity": quantity} if quantity else {"valueString": plain(value.text)}),
    }


def _medication(mention: Mention, tails: Tails) -> Object:
    assertion = mention.assertion
    status = (
        "not-taken" if assertion.negated else "stopped" if assertion.historical else "unknown" if assertion.possible else "active"
    )
    body: Object = {
        "resourceType": "MedicationStatement",
        "status": status,
        "medicationCodeableConcept": concept(mention.text, mention.codes),
    }
    if written := dosage(tails):
        body["dosage"] = [written]
    if reasons := [_reason(tail) for tail in tails.get("medication-reason", ()) if not tail.assertion.family]:
        body["reasonCode"] = reasons
    return body


def _reason(reason: Mention) -> Object:
    """What the drug is for. Where the note is not sure of it, words that say so and no code."""
    return {"text": f"possibly {plain(reason.text)}"} if reason.assertion.possible else concept(reason.text, reason.codes)


def _procedure(mention: Mention, tails: Tails) -> Object:
    assertion = mention.assertion
    status = "not-done" if assertion.negated else "completed" if assertion.historical else "unknown"
    return {"resourceType": "Procedure", "status": status, "code": concept(mention.text, mention.codes)}


def _family(mention: Mention, text: str) -> Object:
    return {
        "resourceType": "FamilyMemberHistory",
        "status": "partial",
        "relationship": coded(ROLE_CODE, relationship(text, mention.start)),
        "condition": [{"code": concept(mention.text, mention.codes)}],
    }


_MAKERS: dict[str, Callable[[Mention, Tails], Object | None]] = {
    "problem": _condition,
    "finding": _finding,
    "test": _test,
    "medication": _medication,
    "procedure": _procedure,
}
