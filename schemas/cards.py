"""CDS Hooks 2.0 cards as they are kept and answered, and what a clinician did with one (https://cds-hooks.hl7.org/2.0/)."""

from __future__ import annotations

from typing import Literal

import msgspec

Indicator = Literal["info", "warning", "critical"]
Outcome = Literal["accepted", "overridden"]


class Coding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    code: str
    system: str
    display: str


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    label: str
    url: str
    topic: Coding


class Card(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """``uuid`` is the flag's id; no identifier of the patient stands in any text; ``summary`` has fewer than 140 characters."""

    uuid: str
    summary: str
    indicator: Indicator
    source: Source
    detail: str
    override_reasons: tuple[Coding, ...]


class KeptCard(msgspec.Struct, frozen=True, kw_only=True):
    """``time``: instant of receipt of the message behind it (RFC 3339); ``type``: the flag's."""

    type: str
    time: str
    card: Card


class CardFeedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="card-feedback.v1", tag_field="schema"):
    """A weak label: what became of the card of one flag. ``reason`` is a code of ours, never a comment; ``issuer`` the EHR's name in its token."""

    id: str
    card: str
    service: str
    outcome: Outcome
    time: str
    issuer: str
    reason: str = ""


#: Why a card may be overridden; a reason that is none of these is kept as ``other``.
OVERRIDES = (
    Coding(code="known", system="https://wardstream.org/fhir/CodeSystem/override-reason", display="Already known and acted upon"),
    Coding(
        code="not-relevant",
        system="https://wardstream.org/fhir/CodeSystem/override-reason",
        display="Not relevant for this patient",
    ),
    Coding(
        code="wrong", system="https://wardstream.org/fhir/CodeSystem/override-reason", display="The data or the text were misread"
    ),
    Coding(code="benefit", system="https://wardstream.org/fhir/CodeSystem/override-reason", display="Benefit outweighs the risk"),
)
