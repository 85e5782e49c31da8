"""CDS Hooks 2.0 cards as they are kept and answered, and what a clinician did with one (https://cds-hooks.hl7.org/2.0/)."""

from __future__ import annotations

from typing import Any, Literal

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


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What accepting a suggestion does, by the EHR: take a draft order away. Nothing is ever created or changed by an action of ours."""

    type: Literal["delete"]
    description: str
    resource_id: str


class Suggestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    label: str
    uuid: str
    actions: tuple[Action, ...]


class Card(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """``uuid`` is the flag's id; no identifier of the patient stands in any text; ``summary`` has fewer than 140 characters."""

    uuid: str
    summary: str
    indicator: Indicator
    source: Source
    detail: str
    override_reasons: tuple[Coding, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    selection_behavior: Literal["", "at-most-one"] = ""


class KeptCard(msgspec.Struct, frozen=True, kw_only=True):
    """``time``: instant of receipt of the message behind it (RFC 3339); ``type``: the flag's."""

    type: str
    time: str
    card: Card


class CheckedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card on a draft order of the request; ``type``: the flag's; ``products``: codes, else words, of the drafts that it is about."""

    type: str
    card: Card
    products: tuple[str, ...] = ()


class DraftCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What the EHR sent of one patient, all of it FHIR resources: the record (medications, problems, allergies, results) and the draft
    orders to be judged (``chosen``) beside the other drafts (``drafts``). ``birth_date`` and ``sex`` as the Patient has them."""

    record: tuple[dict[str, Any], ...]
    drafts: tuple[dict[str, Any], ...]
    chosen: tuple[dict[str, Any], ...]
    birth_date: str = ""
    sex: str = ""


class CardFeedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="card-feedback.v1", tag_field="schema"):
    """A weak label: what became of the card of one flag. ``reason`` is a code of ours, never a comment; ``issuer`` the EHR's name in its token;
    ``type`` the flag's, as the door showed the card."""

    id: str
    card: str
    service: str
    outcome: Outcome
    time: str
    issuer: str
    reason: str = ""
    type: str = ""


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
