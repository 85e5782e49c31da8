"""The types that may hold identifiers. An import rule keeps them out of everything past de-identification.

Only the gateway (routing key), ``agents.deidentify`` and the audited release in ``agents.publish`` may import this module.
``repr`` of every type here is blind, so that a stray log line or traceback prints no value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import msgspec

T = TypeVar("T")


class _Blind(msgspec.Struct, frozen=True, kw_only=True):
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class Role(StrEnum):
    """Whose identifier it is (45 CFR 164.514(b)(2)(i): the individual, relatives, employers, household members)."""

    PATIENT = "patient"
    RELATIVE = "relative"
    PRACTITIONER = "practitioner"
    GUARANTOR = "guarantor"
    INSURED = "insured"
    OTHER = "other"


class Identifier(_Blind, frozen=True, kw_only=True):
    """``value`` as written; ``system`` is the assigning authority (CX.4, Identifier.system); ``type`` a table 0203 code."""

    value: str
    system: str = ""
    type: str = ""


class PersonName(_Blind, frozen=True, kw_only=True):
    family: str = ""
    given: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    text: str = ""


class PostalAddress(_Blind, frozen=True, kw_only=True):
    lines: tuple[str, ...] = ()
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


class Person(_Blind, frozen=True, kw_only=True):
    role: Role
    names: tuple[PersonName, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    addresses: tuple[PostalAddress, ...] = ()
    birth_date: str = ""
    sex: str = ""


class MessageIdentity(_Blind, frozen=True, kw_only=True):
    """Everybody and every number that one message names.

    Attributes:
        patient: the subject, or ``None`` when the message has none (MFN, unsolicited text).
        prior: identifiers that ``MRG`` names.
        merges: the message says that ``prior`` and ``patient`` are one person from now on (A40, A34 and their kin).
        others: relatives, practitioners, guarantors, insured.
        encounter: visit or account number that identifies the encounter.
        numbers: every other identifying number (orders, specimens, documents, control id, account, plan).
        organizations: names of facilities and employers.
    """

    patient: Person | None = None
    prior: tuple[Identifier, ...] = ()
    merges: bool = False
    others: tuple[Person, ...] = ()
    encounter: Identifier | None = None
    numbers: tuple[Identifier, ...] = ()
    organizations: tuple[str, ...] = ()


def unique(items: Iterable[T]) -> tuple[T, ...]:
    """Each item once, in order of appearance."""
    return tuple(dict.fromkeys(items))


@dataclass(slots=True)
class PersonDraft:
    """A person being collected by a reader; ``person()`` freezes what was found, each thing once."""

    role: Role
    names: list[PersonName] = field(default_factory=list)
    identifiers: list[Identifier] = field(default_factory=list)
    phones: list[str] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    addresses: list[PostalAddress] = field(default_factory=list)
    birth_date: str = ""
    sex: str = ""

    def person(self) -> Person:
        return Person(
            role=self.role,
            names=unique(self.names),
            identifiers=unique(self.identifiers),
            phones=unique(self.phones),
            emails=unique(self.emails),
            addresses=unique(self.addresses),
            birth_date=self.birth_date,
            sex=self.sex,
        )

    def says_something(self) -> bool:
        return bool(self.names or self.identifiers or self.phones or self.emails or self.addresses or self.birth_date)
