"""What the vault is asked and what it answers. Every type that holds an identifier prints blind.

**Who is one patient.** A patient is known by links: an identifier with its assigning authority. Authorities are compared without
case, ``urn:oid:`` and closing slashes; the site's ``deid.authorities`` table says which namespace and which URI are the same. A
number without an authority matches only numbers without one (or with ``deid.default_authority``): equal digits at two hospitals are
no evidence. Social security, licence and account numbers, and placeholders such as ``0000`` or ``UNKNOWN``, link nobody. FHIR's
logical ids are weak: they find a patient when nothing stronger is there, and never join two different numbers of one authority.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from schemas.identity import Identifier, Person

SEPARATOR = "\x1f"


class Kind(StrEnum):
    """Of numbers that do not name a patient. ``MESSAGE`` numbers are tokenized by keyed hash and not stored."""

    NUMBER = "number"
    PRACTITIONER = "practitioner"
    RESOURCE = "resource"
    ORGANIZATION = "organization"
    MESSAGE = "message"


class _Blind(msgspec.Struct, frozen=True, kw_only=True):
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class PatientRequest(_Blind, frozen=True, kw_only=True):
    """``links`` in order of trust, the first known decides; ``weak`` are consulted after them. ``person`` goes into the record."""

    person: Person
    links: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()


class VaultRequest(_Blind, frozen=True, kw_only=True):
    """Everything of one message that needs a token.

    Attributes:
        patients: the subject first; others are the retired number of a merge and further PID segments.
        wanted: keys made by ``wanted``.
        fallback: the key whose token is the subject when no patient can be told.
        retires: position in ``patients`` of the number that this message merges into the subject's (A40 and its kin).
    """

    patients: tuple[PatientRequest, ...] = ()
    wanted: tuple[str, ...] = ()
    fallback: str = ""
    retires: int | None = None


class Pseudonyms(_Blind, frozen=True, kw_only=True):
    """``patients`` are tokens in the order of the request; ``epoch`` in minutes since 1970, negative, of the subject's own clock;
    ``secret`` is random, the subject's own, and leaves the vault for nothing but choosing surrogates.
    ``without_patient``: nothing linked a patient, the subject is the token of the message. ``merged``: what the message merged."""

    subject: str
    epoch: int
    secret: int = 0
    without_patient: bool = False
    patients: tuple[str, ...] = ()
    tokens: dict[str, str] = {}
    merged: Merged | None = None


class Merged(_Blind, frozen=True, kw_only=True):
    """A token that another patient's numbers had before a merge. ``minutes`` on the retired clock are ``minutes + delta`` on the survivor's."""

    token: str
    links: tuple[str, ...]
    delta: int


class PatientRecord(_Blind, frozen=True, kw_only=True):
    """What a patient token stands for: the newest that messages said, and the patient's own clock.

    Attributes:
        secret: 64 random bits, see ``Pseudonyms``.
        links: every link that leads here, so that an erasure and a rotation of keys reach them all.
        merged: tokens that were merged into this one.
        into: the token that this one was merged into; it keeps its record for what was published under it.
    """

    person: Person
    epoch: int
    secret: int = 0
    links: tuple[str, ...] = ()
    merged: tuple[Merged, ...] = ()
    into: str = ""


class Vault(Protocol):
    async def resolve(self, requests: Sequence[VaultRequest]) -> list[Pseudonyms]:
        """Tokens for each request, same order; known ones found, new ones made once, whoever else asks at the same time.

        Raises:
            StoreUnavailable: nothing was invented; ask again.
        """

    async def reidentify(self, token: str) -> PatientRecord:
        """Raises UnsupportedContent (``unknown_token``) for a token that is no patient's, or whose patient was erased."""

    async def originals(self, tokens: Sequence[str]) -> dict[str, Identifier]:
        """Numbers that other tokens stand for; tokens that are unknown are left out."""

    async def tokens(self, token: str) -> tuple[str, ...]:
        """Every token of the patient behind ``token``: the one that messages get, then those that were merged into it; empty for nobody's."""

    async def erase(self, token: str) -> bool:
        """Destroy the records behind all its ``tokens``, their data keys, and every link to them; ``False`` when there was none."""

    async def close(self) -> None:
        """Let go of the store."""


def wanted(kind: Kind, value: str) -> str:
    """Key of a number; ``value`` without blanks around it and without case, except FHIR's ids, which have case."""
    value = value.strip()
    return f"{kind.value}{SEPARATOR}{value if kind is Kind.RESOURCE else value.upper()}"


def link(system: str, value: str) -> str:
    """Key of a patient identifier under an assigning authority that is already normalised."""
    return f"patient{SEPARATOR}{system}{SEPARATOR}{value.strip().upper()}"


def weak_link(value: str) -> str:
    """Key of a FHIR logical id of a patient."""
    return f"patient-id{SEPARATOR}{value}"


def authority(system: str) -> str:
    """An assigning authority in the form in which authorities are compared."""
    return system.strip().casefold().removeprefix("urn:oid:").rstrip("/")


class Authorities:
    """Which assigning authorities are the same, under a site's ``deid.authorities`` and ``deid.default_authority``.

    Args:
        same: names of one authority (namespace, OID, URI) -> the one that stands for all of them.
        default: what is meant where a message names none.
    """

    __slots__ = ("_default", "_same")

    def __init__(self, same: Mapping[str, str], default: str = "") -> None:
        self._same = {authority(name): authority(chosen) for name, chosen in same.items()}
        self._default = authority(default)

    def system_of(self, given: str) -> str:
        """The form of an authority that links are made with."""
        system = authority(given) or self._default
        return self._same.get(system, system)
