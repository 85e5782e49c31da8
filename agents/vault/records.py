"""What is asked of the vault and what it answers; the asking is the same for every store behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from schemas.identity import Identifier, MessageIdentity, Person, Role

#: 0-9 and A-Z without I, L, O, U (Crockford): legible, and legal in HL7 CX.1 (15 characters) and as a FHIR id.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: First character of every token: the generation of the token space.
EPOCH_CHARACTER = "W"
RANDOM_CHARACTERS = 14
#: A patient's own clock starts at a random minute of these years before 2000: no calendar date can be read off a distance.
CLOCK_ORIGIN_MINUTES = -30 * 365 * 1440
CLOCK_SPREAD_MINUTES = 20 * 365 * 1440

_NOT_ALNUM = re.compile(r"[^0-9a-z]+")


class PatientRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``epoch`` is minutes since 1970-01-01T00:00Z at which the patient's own clock reads 0; ``person`` is for the release."""

    token: str
    epoch: int
    person: Person

    def __repr__(self) -> str:
        return "<PatientRecord>"


class NumberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Any other number that was replaced: order, visit, document, practitioner."""

    token: str
    identifier: Identifier

    def __repr__(self) -> str:
        return "<NumberRecord>"


Name = tuple[str, str]


def name_of(identifier: Identifier) -> Name:
    """Authority and value as they are compared.

    Case, white space and separators of the value do not count; an authority counts by its last word, so that ``urn:oid:1.2.3``,
    ``1.2.3`` and an HL7 namespace ``1.2.3`` are one. A namespace and an OID of one authority stay two: nothing in a message says that
    they are the same, and joining two patients is worse than having two tokens for one.
    """
    system = identifier.system.strip().casefold().removeprefix("urn:oid:").removeprefix("urn:uuid:").rstrip("/")
    value = _NOT_ALNUM.sub("", identifier.value.casefold()) or identifier.value.strip()
    return system, value


@dataclass(frozen=True, slots=True)
class Request:
    """All identifiers of one message. ``patient`` are the subject's, best first; empty when the message has none."""

    patient: tuple[Identifier, ...]
    person: Person
    prior: tuple[Identifier, ...] = ()
    numbers: tuple[Identifier, ...] = ()

    def __repr__(self) -> str:
        return "<Request>"


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """``patient`` is the subject's token; ``tokens`` hold one for every other number, by ``name_of``."""

    patient: str
    epoch: int
    tokens: dict[Name, str] = field(default_factory=dict)

    def of(self, value: str, system: str = "") -> str:
        """Token of a number of this message, whatever field it stands in; empty when the vault was never asked about it."""
        name = name_of(Identifier(value=value, system=system))
        found = self.tokens.get(name)
        if found is None:
            found = next((token for (_, other), token in self.tokens.items() if other == name[1]), "")
        return found

    def __repr__(self) -> str:
        return "<Pseudonyms>"


class Vault(Protocol):
    async def resolve(self, requests: Sequence[Request]) -> list[Pseudonyms]:
        """Tokens for every identifier asked about, made where there were none. Raises StoreUnavailable, never invents a second token."""

    async def reidentify(self, token: str) -> PatientRecord | None:
        """The identity behind a patient token; ``None`` when there is none (unknown or erased)."""


def request_of(identity: MessageIdentity, fallback: Identifier) -> Request:
    """What a message asks of the vault.

    ``fallback`` (the message's own control id) stands for the subject when the message names none, so that every record has a key.
    """
    patient = identity.patient or Person(role=Role.PATIENT)
    own = tuple(i for i in patient.identifiers if i.value.strip())
    others = (i for person in identity.others for i in person.identifiers)
    encounter = (identity.encounter,) if identity.encounter else ()
    numbers = _unique((*others, *encounter, *identity.numbers), without=(*own, *identity.prior))
    return Request(own or (fallback,), patient, identity.prior, numbers)


def _unique(identifiers: Iterable[Identifier], without: Iterable[Identifier]) -> tuple[Identifier, ...]:
    taken = {name_of(i) for i in without}
    kept: dict[Name, Identifier] = {}
    for identifier in identifiers:
        name = name_of(identifier)
        if identifier.value.strip() and name not in taken:
            kept.setdefault(name, identifier)
    return tuple(kept.values())


def new_token(random_bytes: bytes) -> str:
    """15 characters, 70 random bits, from at least 14 random bytes."""
    return EPOCH_CHARACTER + "".join(ALPHABET[byte & 31] for byte in random_bytes[:RANDOM_CHARACTERS])


def new_epoch(random_bytes: bytes) -> int:
    """Minutes since 1970 of a new patient clock, from at least 8 random bytes."""
    return CLOCK_ORIGIN_MINUTES + int.from_bytes(random_bytes[:8], "big") % CLOCK_SPREAD_MINUTES
