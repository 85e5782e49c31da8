"""The audited way back: from a patient token to the identity that the EHR knows, for a result that goes to where it came from.

The only module of this room that reads identities. The audit entry is made before the result and stands before it in the outputs; a
token without an identity (unknown, erased) releases nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from agents.publish.bundle import render
from agents.publish.check import Checker
from agents.publish.names import Object, plain
from agents.publish.oru import leaf, render_oru
from agents.publish.subject import Subject
from agents.vault.contract import PatientRecord, Vault
from agents.vault.vault import open_vault
from schemas.audit import AuditEntry
from schemas.errors import Poison, Reason
from schemas.flags import Decision
from schemas.identity import Identifier, Person, PersonName, PostalAddress
from schemas.ids import derived_id
from streams.settings import Settings

_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
_GENDER = {"m": "male", "male": "male", "f": "female", "female": "female", "o": "other", "other": "other", "u": "unknown"}
_SEX = {"male": "M", "female": "F", "other": "O", "unknown": "U"}
#: v3-ActReason: the result goes back for the patient's treatment.
PURPOSE = "TREAT"
_CODE = re.compile(r"[A-Z0-9]{1,8}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: 1900 and 2200 in minutes since 1970; a time outside is a sender's error and is not told.
_OLDEST, _NEWEST = -36_816_480, 120_968_640


@dataclass(frozen=True, slots=True, repr=False)
class Released:
    """``audit`` is to be written before ``bundle`` and ``oru``; ``oru`` is ``None`` where none is due."""

    audit: AuditEntry
    bundle: bytes
    oru: bytes | None


People = dict[str, PatientRecord]


async def identify(vault: Vault, tokens: Iterable[str]) -> People:
    """Records by token; tokens without an identity are left out. Raises StoreUnavailable."""

    async def look_up(token: str) -> tuple[str, PatientRecord] | None:
        try:
            return token, await vault.reidentify(token)
        except Poison:
            return None

    return dict(row for row in await asyncio.gather(*map(look_up, dict.fromkeys(tokens))) if row is not None)


def numbers_of(record: PatientRecord) -> list[tuple[str, str]]:
    """Authority and value of every number of the patient."""
    return [(one.system, one.value) for one in record.person.identifiers if one.value]


class Releaser:
    """Releases under one installation's settings. ``vault`` None: opened from the settings, and only if they want releases."""

    def __init__(self, settings: Settings, vault: Vault | None = None) -> None:
        self._settings = settings
        self._vault = vault

    async def open(self) -> None:
        """Raises ConfigurationError when results are to be re-identified and the vault's key is missing."""
        if self._settings.publish.reidentify and self._vault is None:
            self._vault = await open_vault(self._settings)

    async def people(self, tokens: Iterable[str]) -> People:
        """Who stands behind the tokens, as far as somebody does."""
        return {} if self._vault is None else await identify(self._vault, tokens)

    async def survivors(self, tokens: Iterable[str]) -> People:
        """As ``people``; of a token that was merged into another, the patient that it is now (``into`` still names the other token)."""
        found = await self.people(tokens)
        kept = await self.people({record.into for record in found.values() if record.into})
        return {
            token: msgspec.structs.replace(kept[record.into], into=record.into) if record.into in kept else record
            for token, record in found.items()
        }

    def release(self, decision: Decision, people: People, checker: Checker) -> Released | None:
        """``None`` where this installation releases nothing; raises as ``release`` does."""
        publish = self._settings.publish
        if not publish.reidentify:
            return None
        record = people.get(decision.findings.subject)
        return release(
            decision, record, application=publish.application, facility=publish.facility, oru=publish.oru, checker=checker
        )

    async def close(self) -> None:
        if self._vault is not None:
            await self._vault.close()
            self._vault = None


def release(
    decision: Decision,
    record: PatientRecord | None,
    *,
    application: str,
    facility: str,
    oru: bool,
    checker: Checker | None = None,
) -> Released:
    """The re-identified result of one decision.

    Raises:
        Poison: ``UNKNOWN_TOKEN``, or ``OUTPUT_INVALID`` with a path.
    """
    if record is None:
        raise Poison(Reason.UNKNOWN_TOKEN, path="ce_subject")
    subject = _subject(decision, record)
    message = None
    if oru and decision.flags and decision.findings.format == "hl7v2":
        message = render_oru(decision, subject, _pid(record.person), application=application, facility=facility)
    audit = AuditEntry(
        id=derived_id(decision.id, "publish.audit"),
        action="reidentify",
        outcome="success",
        time=decision.findings.time,
        agent="publish",
        purpose=PURPOSE,
        subject=decision.findings.subject,
        record=decision.id,
        recipient="phi.result.published.v1",
    )
    return Released(audit, render(decision, subject, checker=checker), message)


def _subject(decision: Decision, record: PatientRecord) -> Subject:
    fhir = decision.findings.format == "fhir"
    moment, stamp = _clock(record.epoch, zoned=fhir)
    return Subject("released", _patient(record.person), True, moment, stamp)


def _clock(epoch: int, *, zoned: bool) -> tuple[Callable[[int | None], str], Callable[[int | None], str]]:
    """The patient's clock read as calendar time. HL7 v2 times mostly have no zone, and FHIR may not tell a time of day without one:
    from such a message only the date goes into FHIR resources."""

    def at(elapsed: int | None) -> datetime | None:
        if elapsed is None or not _OLDEST <= epoch + elapsed < _NEWEST:
            return None
        return _EPOCH + timedelta(minutes=epoch + elapsed)

    def moment(elapsed: int | None) -> str:
        time = at(elapsed)
        if time is None:
            return ""
        return f"{time:%Y-%m-%dT%H:%M:00Z}" if zoned else f"{time:%Y-%m-%d}"

    def stamp(elapsed: int | None) -> str:
        time = at(elapsed)
        return "" if time is None else f"{time:%Y%m%d%H%M}" + ("+0000" if zoned else "")

    return moment, stamp


def _patient(person: Person) -> Object:
    patient: Object = {"resourceType": "Patient"}
    if identifiers := [_identifier(row) for row in person.identifiers if plain(row.value)]:
        patient["identifier"] = identifiers
    if names := [name for row in person.names if (name := _name(row))]:
        patient["name"] = names
    telecom = [{"system": "phone", "value": text} for value in person.phones if (text := plain(value))]
    telecom += [{"system": "email", "value": text} for value in person.emails if (text := plain(value))]
    if telecom:
        patient["telecom"] = telecom
    if gender := _GENDER.get(person.sex.lower()):
        patient["gender"] = gender
    if birth := _birth_date(person.birth_date):
        patient["birthDate"] = birth
    if addresses := [address for row in person.addresses if (address := _address(row))]:
        patient["address"] = addresses
    return patient


def _identifier(row: Identifier) -> Object:
    found: Object = {}
    if _CODE.fullmatch(row.type):
        found["type"] = {"coding": [{"system": _TYPES, "code": row.type}]}
    system = plain(row.system)
    if system and not any(char.isspace() for char in system):
        found["system"] = system
    elif system:  # a name in words is no URI
        found["assigner"] = {"display": system}
    return found | {"value": plain(row.value)}


def _name(row: PersonName) -> Object:
    parts: Object = {"text": plain(row.text), "family": plain(row.family)}
    parts["given"] = [text for given in row.given if (text := plain(given))]
    parts |= {key: [plain(value)] if plain(value) else [] for key, value in (("prefix", row.prefix), ("suffix", row.suffix))}
    return {key: value for key, value in parts.items() if value}


def _address(row: PostalAddress) -> Object:
    parts: Object = {
        "line": [text for line in row.lines if (text := plain(line))],
        "city": plain(row.city),
        "state": plain(row.state),
        "postalCode": plain(row.postal_code),
        "country": plain(row.country),
    }
    return {key: value for key, value in parts.items() if value}


def _birth_date(text: str) -> str:
    """HL7 TS or FHIR date as a FHIR date of the same precision; empty when it is neither."""
    digits = text.strip().replace("-", "")[:8]
    if not digits.isascii() or not digits.isdigit() or len(digits) not in (4, 6, 8):
        return ""
    parts = (digits[:4], digits[4:6], digits[6:8])
    try:
        datetime(int(parts[0]), int(parts[1] or "1"), int(parts[2] or "1"), tzinfo=UTC)
    except ValueError:
        return ""
    return "-".join(part for part in parts if part)


def _pid(person: Person) -> str:
    """PID-3 to PID-13 of HL7 v2.5.1."""
    identifiers = "~".join(_cx(row) for row in person.identifiers if row.value.strip())
    names = "~".join(_xpn(row) for row in person.names)
    sex = _SEX.get(_GENDER.get(person.sex.lower(), ""), "")
    addresses = "~".join(_xad(row) for row in person.addresses)
    phones = "~".join(leaf(value) for value in person.phones if value.strip())
    birth = _birth_date(person.birth_date).replace("-", "")
    return f"{identifiers}||{names}||{birth}|{sex}|||{addresses}||{phones}".rstrip("|")


def _cx(row: Identifier) -> str:
    """An OID or URI cannot be a namespace id: it goes where HD has room for it."""
    system = row.system.strip()
    authority = leaf(system)
    if system.startswith("urn:oid:"):
        authority = f"&{leaf(system.removeprefix('urn:oid:'))}&ISO"
    elif ":" in system:
        authority = f"&{leaf(system)}&URI"
    return f"{leaf(row.value.strip())}^^^{authority}^{leaf(row.type)}".rstrip("^")


def _xpn(row: PersonName) -> str:
    if not row.family and not row.given:
        return leaf(row.text)
    first, rest = (row.given[0], " ".join(row.given[1:])) if row.given else ("", "")
    return "^".join(leaf(part) for part in (row.family, first, rest, row.suffix, row.prefix)).rstrip("^")


def _xad(row: PostalAddress) -> str:
    first, rest = (row.lines[0], " ".join(row.lines[1:])) if row.lines else ("", "")
    return "^".join(leaf(part) for part in (first, rest, row.city, row.state, row.postal_code, row.country)).rstrip("^")
