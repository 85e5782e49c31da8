"""A flag as a CDS Hooks card: what it says, on which ground, and why it may be set aside."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import structs

from agents.publish.issues import input_text
from agents.publish.names import FLAG_TYPES, plain
from schemas.cards import OVERRIDES, Action, Card, Coding, KeptCard, Source, Suggestion
from schemas.findings import Findings
from schemas.flags import Flag
from schemas.ids import derived_id

LABEL = "Wardstream"
_SUMMARY = 139
_INPUTS = 6
_DIGITS = 32


def kept_card(flag: Flag, findings: Findings) -> KeptCard:
    return KeptCard(type=flag.type, time=findings.time, card=card(flag))


def card(flag: Flag) -> Card:
    """Preliminary support with its basis; by itself it suggests no action."""
    return Card(
        uuid=flag.id,
        summary=plain(flag.summary)[:_SUMMARY],
        indicator=flag.severity,
        source=Source(label=LABEL, url=flag.basis.citation, topic=Coding(code=flag.type, system=FLAG_TYPES, display=flag.type)),
        detail=_detail(flag),
        override_reasons=OVERRIDES,
    )


def with_cancellation(one: Card, drafts: Sequence[str]) -> Card:
    """The card with a suggestion for each of these draft orders (``MedicationRequest/1``): that the EHR takes it away. Which is for the clinician."""
    made = tuple(
        Suggestion(
            label="Do not order this medication" if len(drafts) == 1 else f"Do not order {name}",
            uuid=derived_id(one.uuid, "cds.suggestion", ordinal=name),
            actions=(Action(type="delete", description=f"Remove the draft order {name}", resource_id=name),),
        )
        for name in drafts
    )
    return structs.replace(one, suggestions=made, selection_behavior="at-most-one") if made else one


def _detail(flag: Flag) -> str:
    """Markdown."""
    basis = flag.basis
    lines = [f"**{plain(flag.summary)}** (preliminary)", "", f"Basis: {basis.logic}"]
    lines += [f"- {input_text(row)}" for row in basis.inputs[:_INPUTS]]
    lines += [f"- {name}: {value}" for name, value in sorted(basis.computed.items())]
    lines += [f"- threshold {name}: {value}" for name, value in sorted(basis.thresholds.items())]
    if basis.missing:
        lines.append(f"- not considered: {', '.join(basis.missing)}")
    lines += ["", flag.limitations]
    return "\n".join(lines).strip()


def field_of(flag: Flag) -> str:
    """One card for each thing that a flag may say again: a newer one of the same key takes its place, one that ends it takes it away.

    A hash of the key without the patient's token: the hash that holds the field is one patient's anyway, the door, which knows the patient's
    number, must not learn the token, and after a merge of two tokens the same thing has the same field.
    """
    kind, _, rest = flag.suppress_key.partition("|")
    return hashlib.sha256(f"{kind}|{rest.partition('|')[2]}".encode()).hexdigest()[:_DIGITS]
