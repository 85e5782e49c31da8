"""Notes of canary patients with their identifiers marked: what the gate lets a model read to see what it lets through."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from ops.leakcheck.canaries import Canary
from training.data.document import Document
from training.data.template import fill

#: PHI type of each kind of value.
_TYPES: Final = {
    "family": "NAME", "given": "NAME", "relative": "NAME", "mrn": "ID", "ssn": "ID", "phone": "PHONE", "email": "EMAIL", "street": "LOCATION",
}  # fmt: skip
_SENTENCES: Final = (
    "{given} {family} was seen today for chest pain and takes metoprolol 25 mg daily.",
    "Record number {mrn}. SSN {ssn}. History of asthma and gout.",
    "Her sister {relative} {family} can be reached at {phone} or {email}.",
    "Lives at {street} alone. No fever, no cough.",
    "Discussed the results with Mr. {family} by phone ({phone}); potassium was 4.1 mmol/L.",
    "Daughter {relative} reports that {given} fell twice this week.",
    "Pt {family}, {given}: start warfarin 5 mg for atrial fibrillation.",
    "DISCHARGE SUMMARY {family} {mrn}. Diagnosis: pneumonia. Follow up in two weeks.",
)


def marked_notes(canaries: Sequence[Canary], seed: int) -> list[Document]:
    """Two notes for each canary, of four sentences each; every identifier of theirs that stands there is a span."""
    random = Random(seed)  # noqa: S311 - which sentences, not a secret
    made = []
    for number, canary in enumerate(canaries):
        sentences = random.sample(_SENTENCES, len(_SENTENCES))
        for part in (0, 1):
            text, spans = fill(
                " ".join(sentences[4 * part : 4 * part + 4]),
                lambda slot, one=canary: (getattr(one, slot), _TYPES[slot]),  # type: ignore[misc]
            )
            made.append(Document(f"canary-{number}-{part}", text, tuple(spans), frozenset(_TYPES.values())))
    return made
