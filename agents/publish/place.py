"""Where the resources of one publication hang, and how they point to the words of a note."""

from __future__ import annotations

from dataclasses import dataclass

from agents.publish.names import ELAPSED, EVIDENCE, IDENTIFIER, Object, resource_id, stable
from agents.publish.subject import Subject
from schemas.findings import Findings, FindingsNote, Mention


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
