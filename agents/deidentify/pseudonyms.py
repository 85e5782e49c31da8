"""Between a message's identity and the vault: what to ask for, and which token stands for a value once the answer is there."""

from __future__ import annotations

from dataclasses import dataclass

from agents.vault.contract import Kind, PatientRequest, Pseudonyms, VaultRequest, authority, link, wanted, weak_link
from schemas.identity import Identifier, MessageIdentity, Person, Role

#: Table 0203 types that name an account, a licence or a person for other purposes: they never tell that two records are one patient.
_NO_LINK = frozenset({"SS", "AN", "VN", "DL", "DLN", "LN", "PPN", "MC", "MA", "MI", "GRP", "POLICY", "AUTH", "MB"})
_LOGICAL = "fhir:Patient"
_FHIR = "fhir:"


@dataclass(frozen=True, slots=True)
class Tokens:
    """``epoch`` is the zero of the subject's own clock, minutes since 1970."""

    subject: str
    epoch: int
    by_value: dict[str, str]

    def of(self, value: str, system: str = "") -> str:
        """Token of a value of this message, whatever field it stands in; empty when the vault was not asked about it."""
        return self.by_value.get(_name(value), "")

    def __repr__(self) -> str:
        return "<Tokens>"


def request_of(identity: MessageIdentity, digest: str) -> VaultRequest:
    """What one message asks of the vault; ``digest`` of the payload stands for a subject that nothing names."""
    patients = [_patient(identity.patient)] if identity.patient else []
    patients += [_patient(Person(role=Role.PATIENT, identifiers=identity.prior))] if identity.prior else []
    return VaultRequest(
        patients=tuple(patients),
        wanted=tuple(dict.fromkeys(key for key, _ in _numbers(identity))),
        fallback=wanted(Kind.MESSAGE, digest),
    )


def tokens_of(identity: MessageIdentity, answer: Pseudonyms) -> Tokens:
    """The vault's answer by value. A value that is the patient's means the patient, wherever else it stands."""
    by_value: dict[str, str] = {}
    for key, identifier in _numbers(identity):
        by_value[_name(identifier.value)] = answer.tokens[key]
    people = [identity.patient.identifiers] if identity.patient else []
    people += [identity.prior] if identity.prior else []
    for identifiers, token in reversed(list(zip(people, answer.patients, strict=True))):
        for identifier in identifiers:
            if _links(identifier) or identifier.system == _LOGICAL:
                by_value[_name(identifier.value)] = token
    return Tokens(answer.subject, answer.epoch, by_value)


def _patient(person: Person) -> PatientRequest:
    links = [link(authority(i.system), i.value) for i in person.identifiers if _links(i)]
    weak = [weak_link(i.value) for i in person.identifiers if i.system == _LOGICAL and i.value.strip()]
    return PatientRequest(person=person, links=tuple(dict.fromkeys(links)), weak=tuple(dict.fromkeys(weak)))


def _links(identifier: Identifier) -> bool:
    value = identifier.value.strip()
    distinct = set(value.casefold()) - set(" -./")
    named = identifier.system != _LOGICAL and identifier.type.upper() not in _NO_LINK and "us-ssn" not in identifier.system
    return named and len(distinct) > 1 and any(character.isdigit() for character in value)


def _numbers(identity: MessageIdentity) -> list[tuple[str, Identifier]]:
    found: list[tuple[str, Identifier]] = []
    for person in identity.others:
        kind = Kind.PRACTITIONER if person.role is Role.PRACTITIONER else Kind.NUMBER
        found += [(wanted(_kind(i, kind), i.value), i) for i in person.identifiers if i.value.strip()]
    patient = identity.patient.identifiers if identity.patient else ()
    own = [i for i in patient if not _links(i) and i.system != _LOGICAL]
    encounter = [identity.encounter] if identity.encounter else []
    found += [(wanted(_kind(i, Kind.NUMBER), i.value), i) for i in (*own, *encounter, *identity.numbers) if i.value.strip()]
    return found


def _kind(identifier: Identifier, default: Kind) -> Kind:
    if identifier.type == "MSH-10":
        return Kind.MESSAGE
    return Kind.RESOURCE if identifier.system.startswith(_FHIR) else default


def _name(value: str) -> str:
    return value.strip().upper()
