"""One mention as one FHIR resource, unconfirmed and preliminary. The mapping of assertions is a table that reviewers can read.

Hypothetical mentions ("return if chest pain") are not published; another person's become FamilyMemberHistory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.publish.ai_transparency import confidence
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
from schemas.clinical import Coding
from schemas.findings import Findings, FindingsNote, Mention

#: http://hl7.org/fhir/R4/datatypes.html#code, and systems that are URIs; other codings stay words.
_CODE = re.compile(r"[^\s]+(?:\s[^\s]+)*")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:\S+")
_ALLERGY_SECTION = "allergies"
#: Parts of a prescription, in the order in which one writes it.
_SIG = ("dosage", "form", "route", "frequency", "duration")


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
    tails: dict[str, list[Mention]] = {}
    by_id = {mention.id: mention for mention in place.findings.mentions}
    for relation in place.findings.relations:
        if relation.tail in by_id:
            tails.setdefault(relation.head, []).append(by_id[relation.tail])
    for mention in place.findings.mentions:
        note = place.notes.get(mention.note)
        body = _body(mention, note.text if note else "", sorted(tails.get(mention.id, ()), key=lambda m: m.start))
        if body is not None:
            yield _dressed(place, mention, body)


def _body(mention: Mention, text: str, tails: list[Mention]) -> Object | None:
    assertion = mention.assertion
    if assertion.hypothetical:
        return None
    if assertion.family:
        return None if assertion.negated or mention.type not in ("problem", "finding") else _family(mention, text)
    dosed = any(tail.type in _SIG for tail in tails)
    if mention.type == "medication" and mention.section == _ALLERGY_SECTION and not dosed:  # what has a dose is given
        return _allergy(mention)
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


def concept(text: str, codes: tuple[Coding, ...]) -> Object:
    # What an index linked, nobody chose: Coding.userSelected says so. What the message states is left as it was stated.
    found: list[Object] = [
        {name: value for name, value in (("system", c.system), ("code", c.code), ("display", plain(c.display))) if value}
        | ({"userSelected": False} if c.inferred else {})
        for c in codes
        if _CODE.fullmatch(c.code) and _URI.fullmatch(c.system)
    ]
    return {"coding": found, "text": plain(text)} if found else {"text": plain(text)}


def _condition(mention: Mention, tails: list[Mention]) -> Object:
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
    if sites := _sites(tails):
        body["bodySite"] = sites
    return body


def _sites(tails: list[Mention]) -> list[Object]:
    return [{"text": plain(tail.text)} for tail in tails if tail.type == "anatomy"]


def _finding(mention: Mention, tails: list[Mention]) -> Object | None:
    if mention.assertion.historical or mention.assertion.possible:
        return _condition(mention, tails)  # an Observation cannot say "once" or "perhaps"
    sites = _sites(tails)
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": concept(mention.text, mention.codes),
        "valueBoolean": not mention.assertion.negated,
        **({"bodySite": sites[0]} if len(sites) == 1 else {}),  # an Observation has one place
    }


def _test(mention: Mention, tails: list[Mention]) -> Object | None:
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


def _medication(mention: Mention, tails: list[Mention]) -> Object:
    assertion = mention.assertion
    status = (
        "not-taken" if assertion.negated else "stopped" if assertion.historical else "unknown" if assertion.possible else "active"
    )
    body: Object = {
        "resourceType": "MedicationStatement",
        "status": status,
        "medicationCodeableConcept": concept(mention.text, mention.codes),
    }
    dosage = _dosage(tails)
    if dosage:
        body["dosage"] = [dosage]
    return body


def _dosage(tails: list[Mention]) -> Object | None:
    """All words as text; a part is structured where there is one of its kind: two doses are an order that words tell better."""
    parts = {kind: [plain(tail.text) for tail in tails if tail.type == kind] for kind in _SIG}
    written = " ".join(word for kind in _SIG for word in parts[kind])
    if not written:
        return None
    dosage: Object = {"text": written}
    if len(parts["frequency"]) == 1:
        dosage["timing"] = {"code": {"text": parts["frequency"][0]}}
    if len(parts["route"]) == 1:
        dosage["route"] = {"text": parts["route"][0]}
    dose = read_quantity(parts["dosage"][0], compared=False) if len(parts["dosage"]) == 1 else None
    if dose is not None:
        dosage["doseAndRate"] = [{"doseQuantity": dose}]
    return dosage


def _allergy(mention: Mention) -> Object:
    negated = mention.assertion.negated
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": coded(ALLERGY_CLINICAL, "inactive" if negated else "active"),
        "verificationStatus": coded(ALLERGY_VERIFICATION, "refuted" if negated else "unconfirmed"),
        "code": concept(mention.text, mention.codes),
    }


def _procedure(mention: Mention, tails: list[Mention]) -> Object:
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


_MAKERS: dict[str, Callable[[Mention, list[Mention]], Object | None]] = {
    "problem": _condition,
    "finding": _finding,
    "test": _test,
    "medication": _medication,
    "procedure": _procedure,
}
