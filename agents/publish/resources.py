"""One mention as one FHIR resource, unconfirmed and preliminary. The mapping of assertions is a table that reviewers can read.

Hypothetical mentions ("return if chest pain") are not published; another person's become FamilyMemberHistory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agents.publish.ai_transparency import confidence
from agents.publish.attributes import onset, onset_words, sites
from agents.publish.dosage import SIG, dosage
from agents.publish.links import Ties, due_to, reasons
from agents.publish.names import (
    AIAST,
    ALLERGY_CLINICAL,
    ALLERGY_VERIFICATION,
    CONDITION_CATEGORY,
    CONDITION_CLINICAL,
    CONDITION_VERIFICATION,
    ELAPSED,
    EVIDENCE,
    IDENTIFIER,
    ROLE_CODE,
    Object,
    coded,
    plain,
    resource_id,
    stable,
)
from agents.publish.quantities import read_quantity
from agents.publish.relatives import relationship
from agents.publish.subject import Subject
from schemas.allergens import is_allergen
from schemas.clinical import Coding
from schemas.findings import Findings, FindingsNote, Mention

#: http://hl7.org/fhir/R4/datatypes.html#code, and systems that are URIs; other codings stay words.
_CODE = re.compile(r"[^\s]+(?:\s[^\s]+)*")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:\S+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where resources of one publication hang: its subject, its patient entry and its documents by note path."""

    findings: Findings
    subject: Subject
    patient: Object
    documents: dict[str, str]
    notes: dict[str, FindingsNote]

    def identifier(self, *parts: str) -> list[Object]:
        return [{"system": IDENTIFIER, "value": stable(self.subject.realm, *parts)}]

    def name(self, *parts: str) -> str:
        return resource_id(self.findings.id, self.subject.realm, *parts)

    def timed(self, element: str, elapsed: int | None) -> Object:
        """The moment in ``element``, or minutes on the patient's clock where no date may be told."""
        moment = self.subject.moment(elapsed)
        if moment:
            return {element: moment}
        return {"extension": [{"url": ELAPSED, "valueInteger": elapsed}]} if elapsed is not None and abs(elapsed) < 2**31 else {}


def place_span(place: Place, note: str, start: int, end: int, *, mention: Mention | None = None) -> Object | None:
    """The evidence extension: document, offsets in code points, and which text the offsets count in."""
    document = place.documents.get(note)
    if document is None:
        return None
    parts: list[Object] = [{"url": "document", "valueReference": {"reference": document}}]
    if place.subject.original:
        if mention is None or mention.original is None:
            return None
        start, end = mention.original.start, mention.original.end
    else:
        parts.append({"url": "sha256", "valueString": place.notes[note].sha256})
    parts += [
        {"url": "text", "valueCode": "as-received" if place.subject.original else "de-identified"},
        {"url": "begin", "valueUnsignedInt": start},
        {"url": "end", "valueUnsignedInt": end},
    ]
    if mention is not None:
        parts += [{"url": "score", "valueDecimal": round(mention.score, 4)}, {"url": "source", "valueString": mention.source}]
    return {"url": EVIDENCE, "extension": parts}


def render_mentions(place: Place) -> Iterator[Object]:
    """Resources in the order of the mentions."""
    ties = Ties.of(place.findings)
    bodies: dict[str, Object] = {}
    for mention in place.findings.mentions:
        note = place.notes.get(mention.note)
        body = _body(place, mention, note.text if note else "", ties.tails(mention.id))
        if body is not None:
            bodies[mention.id] = body
    names = {name: (str(body["resourceType"]), place.name(str(body["resourceType"]), name)) for name, body in bodies.items()}
    for mention in place.findings.mentions:
        if mention.id not in bodies:
            continue
        body = bodies[mention.id]
        resource = _dressed(place, mention, body)
        if body["resourceType"] == "MedicationStatement":
            resource |= reasons(ties.of_type("medication-reason", mention.id), names, concept)
        elif body["resourceType"] == "Condition":
            resource["extension"] += due_to(ties.heads("medication-adverse_event", mention.id), names, concept)
        yield resource


def _body(place: Place, mention: Mention, text: str, tails: list[Mention]) -> Object | None:
    assertion = mention.assertion
    if assertion.hypothetical:
        return None
    if assertion.family:
        return None if assertion.negated or mention.type not in ("problem", "finding") else _family(mention, text)
    if mention.type == "medication" and is_allergen(mention, text, dosed=any(tail.type in SIG for tail in tails)):
        return _allergy(mention, tails)
    make = _MAKERS.get(mention.type)
    return make(place, mention, tails) if make else None


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


def concept(text: str, codes: tuple[Coding, ...]) -> Object:
    # What an index linked, nobody chose: Coding.userSelected says so. What the message states is left as it was stated.
    found: list[Object] = [
        {name: value for name, value in (("system", c.system), ("code", c.code), ("display", plain(c.display))) if value}
        | ({"userSelected": False} if c.inferred else {})
        for c in codes
        if _CODE.fullmatch(c.code) and _URI.fullmatch(c.system)
    ]
    return {"coding": found, "text": plain(text)} if found else {"text": plain(text)}


def first_words(codes: Sequence[Coding]) -> str:
    """The first display or code that a person could read; empty where there is none."""
    return next((text for c in codes if (text := plain(c.display) or plain(c.code))), "")


def _condition(place: Place, mention: Mention, tails: list[Mention]) -> Object:
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
    if places := sites(mention, tails):
        body["bodySite"] = places
    return body | onset(mention, place.findings.elapsed, original=place.subject.original)


def _finding(place: Place, mention: Mention, tails: list[Mention]) -> Object | None:
    if mention.assertion.historical or mention.assertion.possible:
        return _condition(place, mention, tails)  # an Observation cannot say "once" or "perhaps"
    places = sites(mention, tails)
    since = onset_words(mention, original=place.subject.original)
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": concept(mention.text, mention.codes),
        "valueBoolean": not mention.assertion.negated,
        **({"bodySite": places[0]} if len(places) == 1 else {}),  # an Observation has one place
        **({"note": [{"text": f"Onset: {since}"}]} if since else {}),  # and no onset
    }


def _test(place: Place, mention: Mention, tails: list[Mention]) -> Object | None:
    value = next((tail for tail in tails if tail.type == "value"), None)
    if value is None or mention.assertion.negated:
        return None
    quantity = read_quantity(value.text)
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": concept(mention.text, mention.codes),
        **({"valueQuantity": quantity} if quantity else {"valueString": plain(value.text)}),
    }


def _medication(place: Place, mention: Mention, tails: list[Mention]) -> Object:
    assertion = mention.assertion
    status = (
        "not-taken" if assertion.negated else "stopped" if assertion.historical else "unknown" if assertion.possible else "active"
    )
    body: Object = {
        "resourceType": "MedicationStatement",
        "status": status,
        "medicationCodeableConcept": concept(mention.text, mention.codes),
    }
    if told := dosage(tails):
        body["dosage"] = [told]
    return body


def _allergy(mention: Mention, tails: list[Mention]) -> Object:
    negated = mention.assertion.negated
    found = [
        concept(tail.text, tail.codes)
        for tail in tails
        if tail.type in ("problem", "finding")
        and not (tail.assertion.negated or tail.assertion.hypothetical or tail.assertion.family)
    ]
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": coded(ALLERGY_CLINICAL, "inactive" if negated else "active"),
        "verificationStatus": coded(ALLERGY_VERIFICATION, "refuted" if negated else "unconfirmed"),
        "code": concept(mention.text, mention.codes),
        **({"reaction": [{"manifestation": found}]} if found and not negated else {}),
    }


def _procedure(place: Place, mention: Mention, tails: list[Mention]) -> Object:
    assertion = mention.assertion
    status = "not-done" if assertion.negated else "completed" if assertion.historical else "unknown"
    body: Object = {"resourceType": "Procedure", "status": status, "code": concept(mention.text, mention.codes)}
    return body | ({"bodySite": places} if (places := sites(mention, tails)) else {})


def _family(mention: Mention, text: str) -> Object:
    return {
        "resourceType": "FamilyMemberHistory",
        "status": "partial",
        "relationship": coded(ROLE_CODE, relationship(text, mention.start)),
        "condition": [{"code": concept(mention.text, mention.codes)}],
    }


_MAKERS: dict[str, Callable[[Place, Mention, list[Mention]], Object | None]] = {
    "problem": _condition,
    "finding": _finding,
    "test": _test,
    "medication": _medication,
    "procedure": _procedure,
}
