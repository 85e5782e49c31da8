"""What one message asks of the vault: who its patients are, and which numbers need a token."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from agents.deidentify.cipher import ValueCipher
from agents.deidentify.surrogates import Surrogates
from agents.vault.contract import Authorities, Kind, PatientRequest, Pseudonyms, VaultRequest, link, wanted, weak_link
from schemas.identity import MessageIdentity, Person, Role

#: Table 0203 types that do not tell patients apart reliably, or belong to a family or a person elsewhere.
_NO_LINK_TYPES = frozenset(
    {"SS", "DL", "PPN", "AN", "VN", "PN", "ACSN", "FILL", "PLAC", "MA", "MC", "MB", "SN", "GRP", "EI", "LN"}
)
_PLACEHOLDERS = frozenset(
    {"", "UNKNOWN", "UNK", "NONE", "NULL", "NA", "N/A", "TEST", "ANONYMOUS", "ANON", "XXX", "TBD", "TEMP", "0", "-"}
)


class TokenRequests:
    """Collects while the message is rewritten. Marks are written where tokens will stand; ``fill`` puts them in.

    A mark holds a noncharacter (U+FDD0), which ``agents.deidentify`` never lets through from a message.
    """

    def __init__(
        self,
        identity: MessageIdentity,
        control: str,
        *,
        authorities: Authorities,
        taken: Collection[str] = (),
        cipher: ValueCipher | None = None,
    ) -> None:
        self._cipher = cipher
        self.surrogates = Surrogates(taken)
        self._authorities = authorities
        self._wanted: dict[str, int] = {}
        self._patients: list[PatientRequest] = []
        self._of_patient: dict[str, int] = {}
        self._retires: int | None = None
        self._fallback = wanted(Kind.MESSAGE, control)
        self._add_patients(identity)

    def _add_patients(self, identity: MessageIdentity) -> None:
        if identity.patient is not None:
            self._add_patient(identity.patient)
        for person in identity.others:
            if person.role is Role.PATIENT:
                self._add_patient(person)
        if identity.prior:
            self._retires = len(self._patients) if identity.merges else None
            self._add_patient(Person(role=Role.PATIENT, identifiers=identity.prior))

    def _add_patient(self, person: Person) -> None:
        number = len(self._patients)
        links: list[str] = []
        weak: list[str] = []
        for identifier in person.identifiers:
            value = identifier.value.strip()
            self._of_patient.setdefault(value.upper(), number)
            if not value or value.upper() in _PLACEHOLDERS or len(set(value)) == 1 or identifier.type in _NO_LINK_TYPES:
                continue
            if identifier.system.startswith("fhir:"):
                if value.startswith(("urn:uuid:", "urn:oid:")):
                    links.append(link("", value))
                else:
                    weak.append(weak_link(value))
            else:
                links.append(link(self._authorities.system_of(identifier.system), value))
        self._patients.append(PatientRequest(person=person, links=tuple(dict.fromkeys(links)), weak=tuple(dict.fromkeys(weak))))

    def mark(self, kind: Kind, value: str) -> str:
        """Where the token of this number will stand; a patient's number gets the patient's token, whatever field it is in."""
        if kind is Kind.NUMBER and (patient := self._of_patient.get(value.strip().upper())) is not None:
            return f"\ufdd0p{patient}\ufdd1"
        key = wanted(kind, value)
        return f"\ufdd0{self._wanted.setdefault(key, len(self._wanted))}\ufdd1"

    def encrypted(self, value: str) -> str:
        """The value under the site's key; empty without one, which is refused when the step is made."""
        return self._cipher.encrypt(value) if self._cipher and value else ""

    def patient_mark(self, value: str) -> str | None:
        """The mark of the patient with this logical id, if the message says that it is one."""
        patient = self._of_patient.get(value.strip().upper())
        return None if patient is None else f"\ufdd0p{patient}\ufdd1"

    def request(self) -> VaultRequest:
        return VaultRequest(
            patients=tuple(self._patients), wanted=tuple(self._wanted), fallback=self._fallback, retires=self._retires
        )


def date_mark(day: date, *, compact: bool = False) -> str:
    """Where a shifted day will stand; as long as ``2024-01-31``, so that offsets of a text hold. ``compact``: HL7's ``20240131``."""
    return f"\ufdd0{'h' if compact else 'd'}{day.toordinal():07d}\ufdd1"


def fill(text: str, request: VaultRequest, pseudonyms: Pseudonyms, shift: int = 0, surrogates: Sequence[str] = ()) -> str:
    """``text`` with every mark replaced by its token, its surrogate or, moved by ``shift`` days, its date."""
    pieces = text.split("\ufdd0")
    for position, piece in enumerate(pieces[1:], 1):
        name, _, rest = piece.partition("\ufdd1")
        pieces[position] = _filled(name, request, pseudonyms, shift, surrogates) + rest
    return "".join(pieces)


def _filled(name: str, request: VaultRequest, pseudonyms: Pseudonyms, shift: int, surrogates: Sequence[str]) -> str:
    if name[0] == "s":
        return surrogates[int(name[1:])]
    if name[0] in "dh":
        day = date.fromordinal(min(max(int(name[1:]) + shift, 1), date.max.toordinal()))
        return day.isoformat() if name[0] == "d" else day.isoformat().replace("-", "")
    return pseudonyms.patients[int(name[1:])] if name[0] == "p" else pseudonyms.tokens[request.wanted[int(name)]]
