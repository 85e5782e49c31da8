"""Relations between mentions as links between their resources: what a drug is taken for, and what a drug did.

A link leads to a resource of the same Bundle where the other mention has one, else it says the other's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agents.publish.names import Object, plain, urn
from schemas.clinical import Coding
from schemas.findings import Findings, Mention

#: R4's own extension (http://hl7.org/fhir/R4/extension-condition-dueto.html): the event or substance that caused a Condition.
DUE_TO = "http://hl7.org/fhir/StructureDefinition/condition-dueTo"
#: Mention id -> type and id of its resource.
Names = Mapping[str, tuple[str, str]]
Concept = Callable[[str, tuple[Coding, ...]], Object]


@dataclass(frozen=True, slots=True)
class Ties:
    """Relations of one message by their ends; the order of events, which is not published, and what leads to no mention are left out."""

    _tails: dict[str, list[tuple[str, Mention]]]
    _heads: dict[str, list[tuple[str, Mention]]]

    @classmethod
    def of(cls, findings: Findings) -> Ties:
        by_id = {mention.id: mention for mention in findings.mentions}
        tails: dict[str, list[tuple[str, Mention]]] = {}
        heads: dict[str, list[tuple[str, Mention]]] = {}
        for relation in findings.relations:
            if relation.head in by_id and relation.tail in by_id and not relation.type.startswith("event-"):
                tails.setdefault(relation.head, []).append((relation.type, by_id[relation.tail]))
                heads.setdefault(relation.tail, []).append((relation.type, by_id[relation.head]))
        return cls(tails, heads)

    def tails(self, head: str) -> list[Mention]:
        """In text order, all but the reasons of a drug."""
        return _ordered(m for kind, m in self._tails.get(head, ()) if kind != "medication-reason")

    def of_type(self, kind: str, head: str) -> list[Mention]:
        return _ordered(m for told, m in self._tails.get(head, ()) if told == kind)

    def heads(self, kind: str, tail: str) -> list[Mention]:
        return _ordered(m for told, m in self._heads.get(tail, ()) if told == kind)


def _ordered(mentions: Iterable[Mention]) -> list[Mention]:
    return sorted(mentions, key=lambda m: m.start)


def reasons(found: Sequence[Mention], names: Names, concept: Concept) -> Object:
    """MedicationStatement.reasonReference to Conditions and Observations, reasonCode for what has no resource."""
    references, codes = [], []
    for mention in found:
        if mention.assertion.negated or mention.assertion.family:
            continue
        kind, name = names.get(mention.id, ("", ""))
        if kind in ("Condition", "Observation"):
            references.append({"reference": urn(name), "display": plain(mention.text)})
        else:
            codes.append(concept(mention.text, mention.codes))
    return ({"reasonCode": codes} if codes else {}) | ({"reasonReference": references} if references else {})


def due_to(drugs: Sequence[Mention], names: Names, concept: Concept) -> list[Object]:
    """Extensions of the Condition that the drugs caused. An allergy is no event: its drug is named."""
    found: list[Object] = []
    for drug in drugs:
        kind, name = names.get(drug.id, ("", ""))
        if kind == "MedicationStatement":
            found.append({"url": DUE_TO, "valueReference": {"reference": urn(name), "display": plain(drug.text)}})
        else:
            found.append({"url": DUE_TO, "valueCodeableConcept": concept(drug.text, drug.codes)})
    return found
