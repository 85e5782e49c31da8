"""What a note or a message calls a thing, as CodeableConcept and dosage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agents.publish.names import Object, plain
from agents.publish.quantities import read_quantity
from schemas.clinical import Coding
from schemas.findings import Mention

#: http://hl7.org/fhir/R4/datatypes.html#code, and systems that are URIs; other codings stay words.
_CODE = re.compile(r"[^\s]+(?:\s[^\s]+)*")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:\S+")
#: Parts of a prescription, in the order in which one writes it.
SIG = ("dosage", "form", "route", "frequency", "duration")

#: What belongs to a mention, by the relation's type, in text order.
Tails = Mapping[str, Sequence[Mention]]


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


def dosage(tails: Tails) -> Object | None:
    """All words as text; a part is structured where there is one of its kind: two doses are an order that words tell better."""
    parts = {kind: [plain(tail.text) for tail in tails.get(f"medication-{kind}", ())] for kind in SIG}
    written = " ".join(word for kind in SIG for word in parts[kind])
    if not written:
        return None
    made: Object = {"text": written}
    if len(parts["frequency"]) == 1:
        made["timing"] = {"code": {"text": parts["frequency"][0]}}
    if len(parts["route"]) == 1:
        made["route"] = {"text": parts["route"][0]}
    dose = read_quantity(parts["dosage"][0], compared=False) if len(parts["dosage"]) == 1 else None
    if dose is not None:
        made["doseAndRate"] = [{"doseQuantity": dose}]
    return made


def is_dosed(tails: Tails) -> bool:
    return any(tails.get(f"medication-{kind}") for kind in SIG)
