"""Coordination of order-select and order-sign (HL7 PDDI-CDS): a client that asks for it is not shown again at signing what it was shown at selection.

The client says so in each call: ``extension.pddi-configuration-items`` with ``cache-for-order-sign-filtering`` at selection and
``filter-out-repeated-alerts`` at signing, both booleans. Without them nothing is left out: another person may sign. "The same" is the same user, patient
and encounter, and one of our cards with the same words on the same product; what was left out is counted in a card of its own.
"""

from __future__ import annotations

import hashlib

import msgspec

from gateway.cds.request import Object, patient_id
from schemas.cards import Card, CheckedCard, Coding, Source
from schemas.ids import derived_id
from streams.card_index import CardIndex

REMEMBER = "cache-for-order-sign-filtering"
LEAVE_OUT = "filter-out-repeated-alerts"
#: The flag type that feedback on the counting card is filed under.
TYPE = "cds.coordination"
_ITEMS = "pddi-configuration-items"
_GUIDE = "http://hl7.org/fhir/uv/pddi/cds-service-spec.html"


def wants(body: Object, option: str) -> bool:
    """Only a true boolean asks."""
    extension = body.get("extension")
    items = extension.get(_ITEMS) if isinstance(extension, dict) else None
    return isinstance(items, dict) and items.get(option) is True


def place(index: CardIndex, issuer: str, context: Object) -> str:
    """Key of what this user was shown for this patient in this encounter, by this EHR; a keyed hash."""
    encounter = context.get("encounterId")
    return index.ordering(issuer, str(context["userId"]), patient_id(context), encounter if isinstance(encounter, str) else "")


def marks(one: CheckedCard) -> frozenset[str]:
    """What a card is known by again: its words with each product of the drafts that it is about, else its uuid."""
    if not one.products:
        return frozenset({_digest(one.type, one.card.uuid)})
    return frozenset(_digest(one.type, one.card.indicator, one.card.summary, product) for product in one.products)


def told(name: str, number: int) -> CheckedCard:
    """That ``number`` cards were left out; nothing is hidden in silence. ``name``: the place."""
    card = Card(
        uuid=derived_id(name, TYPE, ordinal=number),
        summary=f"{number} {'card' if number == 1 else 'cards'} shown when the order was selected {'is' if number == 1 else 'are'} not repeated",
        indicator="info",
        source=Source(
            label="Wardstream", url=_GUIDE, topic=Coding(code=TYPE, system=f"{_GUIDE}#configuration", display="Coordination")
        ),
        detail=f"This call set {LEAVE_OUT}, and order-select of the same user, patient and encounter was answered with the same.",
    )
    return CheckedCard(type=TYPE, card=card)


def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]
