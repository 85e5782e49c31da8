"""The pure step: one native message in, the same message without identifiers out, still valid HL7 v2 or FHIR.

``prepare`` reads and rewrites the message and says which tokens it needs; the caller asks a vault; ``apply`` puts them in and lets
the result pass the leak check. Nothing here opens a socket or looks at a clock.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from agents.deidentify import clock
from agents.deidentify.cipher import ValueCipher
from agents.deidentify.fhir import FhirResult, FhirRewriter, filled
from agents.deidentify.hl7 import Hl7Result, Hl7Rewriter, short_texts
from agents.deidentify.hl7_rules import Hl7Rules
from agents.deidentify.leak import LeakCheck
from agents.deidentify.notes import Guesses, Scrubbed, map_notes, scrub_notes
from agents.deidentify.policy import Policy, load_policy, load_policy_file
from agents.deidentify.replacements import Replacements, fill_marks, marked_fields, put_in
from agents.deidentify.requests import TokenRequests, fill
from agents.deidentify.scans import add_pictures
from agents.deidentify.sender import Sender, read_sender
from agents.deidentify.surrogates import Surrogates
from agents.deidentify.text.known import Known
from agents.deidentify.text.model import ModelLayer
from agents.deidentify.text.scrub import NOBODY, scrub
from agents.following import execution_of
from agents.vault.contract import Authorities, Kind, Pseudonyms, VaultRequest
from models.bundle import shelf_bundle
from models.tagger import Tagger
from schemas.clinical import Coverage, Note
from schemas.deidentified import DeidMap, Redaction, SpanMap
from schemas.envelope import FHIR_JSON, HL7_V2
from schemas.errors import ConfigurationError, MalformedMessage, Poison, Reason
from schemas.fhir import clinical as fhir_clinical
from schemas.fhir.definitions import is_resource
from schemas.fhir.notes import read_notes as read_fhir_notes
from schemas.hl7.er7 import Message
from schemas.hl7.notes import read_notes as read_hl7_notes
from schemas.identity import MessageIdentity
from schemas.identity_reader import read_identity
from schemas.message import Parsed, encode, parse
from schemas.scan import Scan, read_scan, reader_version
from streams.keyring import read_keyring
from streams.settings import Settings

STAGE = "deidentify"

#: Noncharacters (U+FDD0..U+FDD2, never for interchange) mark where tokens will stand; a message that holds them is refused.
_MARKS = (b"\xef\xb7\x90", b"\xef\xb7\x91", b"\xef\xb7\x92")
_MARK = re.compile("[\ufdd0-\ufdd2]")
_ATTACHED = re.compile(r"-5(?:\[\d+\])?\.5$")
_ESCAPED_MARK = re.compile(rb"\\u[fF][dD][dD][0-2]")


Fill = Callable[[str], str]


@dataclass(slots=True)
class Prepared:
    """A message without identifiers but for the tokens; ``request`` says which. To be applied once."""

    request: VaultRequest
    content_type: str
    parsed: Parsed
    redactions: dict[str, tuple[Redaction, ...]]
    notes: dict[str, tuple[SpanMap, ...]]
    times: dict[str, int]
    received: int | None
    age_years: int | None
    sender: Sender
    coverage: Coverage
    gate: LeakCheck
    before: LeakCheck | None
    opened: tuple[str, ...]
    fill: Callable[[Fill], None]
    surrogates: Surrogates
    leaves: dict[str, tuple[Redaction, ...]]

    def __repr__(self) -> str:
        return "<Prepared>"


@dataclass(frozen=True, slots=True)
class Deidentified:
    """``subject`` is the patient token; ``redactions`` by note path, in offsets of the original note."""

    content_type: str
    payload: bytes
    subject: str
    map: DeidMap
    redactions: dict[str, tuple[Redaction, ...]] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)


@dataclass(slots=True)
class _Read:
    """A message as far as it can be read without the model."""

    parsed: Parsed
    identity: MessageIdentity
    notes: list[Note]
    texts: list[str]
    refused: dict[str, str]
    scans: dict[str, Scan]


class Deidentifier:
    """Safe to use from several threads, as far as the tagger is.

    Args:
        model: third layer of free text; ``None`` leaves two (``deid.use_model``).
        cipher: for rules that encrypt; without it such rules raise ConfigurationError.
        scans: what becomes of pictures of pages, see ``Deid.scans`` of the settings.
        authorities: names of assigning authorities that mean the same -> the one to use.
    """

    def __init__(
        self,
        policy: Policy,
        model: ModelLayer | None = None,
        *,
        tenant: str = "default",
        authorities: dict[str, str] | None = None,
        default_authority: str = "",
        cipher: ValueCipher | None = None,
        scans: Literal["withhold", "text", "picture"] = "withhold",
    ) -> None:
        if policy.encrypts and cipher is None:
            raise ConfigurationError(
                path="deid.rules_file", detail="the rules encrypt values, which needs the installation's keyring"
            )
        reader = reader_version()
        if scans != "withhold" and reader is None:
            raise ConfigurationError(path="deid.scans", detail="no reader of scans is installed: install the extra scans")
        self._scans = scans
        self._policy = policy
        self._cipher = cipher
        self._model = model
        self._replacements = Replacements(policy)
        self._hl7 = Hl7Rewriter(Hl7Rules(policy.hl7), policy.hl7.ages if policy.caps_ages else frozenset(), self._replacements)
        self._fhir = FhirRewriter(policy.fhir, f"urn:x-pseud:{tenant}:research", self._replacements)
        #: Whether values stand anywhere that the vault's answer decides, not only where tokens do.
        self._deferred = policy.shifts or policy.invents
        self._authorities = Authorities(authorities or {}, default_authority)
        #: Everything that shapes a result: policy, recognizers, reader of scans, model. Goes into ``deid-policy``.
        self._without_model = policy.version + ("" if scans == "withhold" else f"+{reader}-{scans}")
        self.policy_version = self._without_model + (f"/{model.version}" if model else "")

    def with_tagger(self, tagger: Tagger) -> Deidentifier:
        """The same with another PHI model; nothing of this one changes."""
        other = copy.copy(self)
        other._model = ModelLayer(tagger)
        other.policy_version = f"{self._without_model}/{tagger.version}"
        return other

    @property
    def model(self) -> str:
        """The PHI model's version; empty without one."""
        return self._model.version if self._model else ""

    def close(self) -> None:
        """End the model's threads."""
        if self._model is not None:
            self._model.close()

    def prepare(self, content_type: str, payload: bytes) -> Prepared:
        """Raises Poison (MalformedMessage, UnsupportedContent) for what cannot be read or may not pass."""
        (prepared,) = self.prepare_many([(content_type, payload)])
        if isinstance(prepared, Poison):
            raise prepared
        return prepared

    def prepare_many(self, messages: Sequence[tuple[str, bytes]]) -> list[Prepared | Poison]:
        """One answer per message, same order; the texts of all go through the model together."""
        read: list[_Read | Poison] = [self._read(*message) for message in messages]
        guesses = self._guesses([text for row in read if isinstance(row, _Read) for text in row.texts])
        return [row if isinstance(row, Poison) else self._prepare(row, guesses) for row in read]

    def apply(self, prepared: Prepared, pseudonyms: Pseudonyms) -> Deidentified:
        """Put the tokens in. Raises LeakDetected when an identifier of the message is still there."""
        shift, invented = self._shift(pseudonyms), prepared.surrogates.chosen(pseudonyms.secret, _separators(prepared.parsed))

        def put(text: str) -> str:
            return fill(text, prepared.request, pseudonyms, shift, invented)

        before: list[str] = []
        if prepared.before is not None:  # a shifted day may be the day of birth by chance: looked for while days are still marks
            before = [*_leaves(prepared.parsed), *prepared.opened]
            prepared.before.check(before)
        prepared.fill(put)
        payload = encode(prepared.parsed)
        # the record's key and headers too: the subject, and the paths of the map (its numbers are offsets and minutes)
        sender, department = put(prepared.sender.name), put(prepared.sender.department)
        beside = (pseudonyms.subject, sender, department, *prepared.notes, *prepared.times)
        finished = [*_leaves(prepared.parsed), *prepared.opened, *beside]
        # what that check has seen, for more than the gate looks for, is not looked at again
        prepared.gate.check(list(dict.fromkeys(finished).keys() - before) if before else finished)
        epoch = pseudonyms.epoch
        return Deidentified(
            content_type=prepared.content_type,
            payload=payload,
            subject=pseudonyms.subject,
            map=DeidMap(
                notes=self._maps(prepared, put),
                times={path: minutes - epoch for path, minutes in prepared.times.items()},
                received=None if prepared.received is None else prepared.received - epoch,
                age_years=prepared.age_years,
                without_patient=pseudonyms.without_patient,
                sender=sender,
                department=department,
            ),
            redactions={path: put_in(found, put) for path, found in prepared.redactions.items()}
            if self._deferred
            else prepared.redactions,
            coverage=prepared.coverage,
        )

    def _shift(self, pseudonyms: Pseudonyms) -> int:
        """Days by which the patient's dates move; one number for all formats, from the patient's own record in the vault."""
        return clock.shift_days(pseudonyms.epoch, max_days=self._policy.max_days, multiple_of=self._policy.multiple_of)

    def _maps(self, prepared: Prepared, put: Fill) -> dict[str, tuple[SpanMap, ...]]:
        """Surrogates are as long as they are: offsets of the clean notes are known only now."""
        if not self._policy.invents:
            return prepared.notes
        notes = read_hl7_notes(prepared.parsed) if isinstance(prepared.parsed, Message) else read_fhir_notes(prepared.parsed)
        return map_notes(notes.found, {path: put_in(found, put) for path, found in prepared.leaves.items()})

    def _watched(self, identity: MessageIdentity) -> MessageIdentity:
        """What the gate looks for: under a profile that lets dates stay or shifts them, not the day of birth."""
        if not (self._policy.keeps_dates or self._policy.shifts):
            return identity
        others = tuple(msgspec.structs.replace(person, birth_date="") for person in identity.others)
        patient = identity.patient and msgspec.structs.replace(identity.patient, birth_date="")
        # feeds number messages by the clock: where times stay, a number that is one is no leak
        numbers = tuple(number for number in identity.numbers if not (self._policy.keeps_dates and _is_time(number.value)))
        return msgspec.structs.replace(identity, patient=patient, others=others, numbers=numbers)

    def text(self, text: str, known: MessageIdentity | None = None) -> tuple[str, tuple[Redaction, ...]]:
        """A bare text; ``known`` are identifiers that the caller knows to belong to it."""
        guesses = self._guesses([text]).get(text, ())
        return scrub(text, Known(known) if known else NOBODY, guesses, oldest_year=self._policy.oldest_year)

    def _read(self, content_type: str, payload: bytes) -> _Read | Poison:
        try:
            if any(mark in payload for mark in _MARKS):
                return MalformedMessage(Reason.UNDECODABLE_CHARSET, detail="noncharacters")
            parsed = parse(content_type, payload)
            identity = read_identity(parsed)
            scans = None if self._scans == "withhold" else read_scan
            found = read_hl7_notes(parsed, scans) if isinstance(parsed, Message) else read_fhir_notes(parsed, scans)
            texts = [note.text for note in found.found]
            if isinstance(parsed, Message):
                texts += short_texts(parsed, found.found)
            if any(map(_MARK.search, texts)) or (_ESCAPED_MARK.search(payload) and any(map(_MARK.search, _leaves(parsed)))):
                return MalformedMessage(Reason.UNDECODABLE_CHARSET, detail="noncharacters")
            return _Read(parsed, identity, found.found, texts, found.refused, found.scans)
        except Poison as error:
            return error

    def _guesses(self, texts: Sequence[str]) -> Guesses:
        return self._model.find_all(texts) if self._model and texts else {}

    def _prepare(self, row: _Read, guesses: Guesses) -> Prepared | Poison:
        try:
            return (
                self._prepare_hl7(row, row.parsed, guesses)
                if isinstance(row.parsed, Message)
                else self._prepare_fhir(row, row.parsed, guesses)
            )
        except Poison as error:
            return error

    def _requests(self, identity: MessageIdentity, control: str, known: Known) -> TokenRequests:
        return TokenRequests(
            identity,
            control,
            authorities=self._authorities,
            taken=known.keys,
            cipher=self._cipher,
        )

    def _prepare_hl7(self, row: _Read, message: Message, guesses: Guesses) -> Prepared:
        time = message.header.get(7)
        age, oldest = self._age(row.identity, time)
        known = _known(row.identity, age if self._policy.caps_ages else None)
        requests = self._requests(row.identity, message.header.get(10), known)
        sender = _sender(message, requests)
        scrubbed = scrub_notes(message, row.notes, known, guesses, oldest, self._replacements, requests.surrogates)
        shown = self._pictures(row, message, scrubbed)
        result = self._hl7.rewrite(message, scrubbed, requests, known, guesses, oldest)
        clean_notes = read_hl7_notes(message).found if row.notes or scrubbed.leaves else []
        received = clock.minutes_of(time.strip())

        def put_tokens(put: Fill) -> None:
            done: dict[str, str] = {}
            for segment, position in marked_fields(message) if self._deferred else result.fills:
                raw = segment.raw(position)
                if raw not in done:
                    done[raw] = put(raw)
                segment.set_raw(position, done[raw])

        return Prepared(
            request=requests.request(),
            content_type=HL7_V2,
            parsed=message,
            redactions=scrubbed.redactions,
            notes=map_notes(clean_notes, scrubbed.leaves),
            times=result.times,
            received=received,
            age_years=age,
            sender=sender,
            coverage=_coverage(result, row.refused),
            gate=LeakCheck(self._watched(row.identity)),
            before=LeakCheck(row.identity) if self._deferred else None,
            opened=(*shown, *(note.text for note in clean_notes if _ATTACHED.search(note.path))),
            fill=put_tokens,
            surrogates=requests.surrogates,
            leaves=scrubbed.leaves,
        )

    def _prepare_fhir(self, row: _Read, root: dict[str, Any], guesses: Guesses) -> Prepared:
        time_path = fhir_clinical.time_path(root)
        time = str(fhir_clinical.read_leaf(root, time_path)) if time_path else ""
        age, oldest = self._age(row.identity, time)
        known = _known(row.identity, age if self._policy.caps_ages else None)
        requests = self._requests(row.identity, f"{root['resourceType']}/{root.get('id', '')}", known)
        sender = _sender(root, requests)
        scrubbed = scrub_notes(root, row.notes, known, guesses, oldest, self._replacements, requests.surrogates)
        shown = self._pictures(row, root, scrubbed)
        clean, result = self._fhir.rewrite(root, scrubbed, requests, known, guesses, oldest)
        clean_notes = read_fhir_notes(clean).found
        leaves = {result.clean_path(path): found for path, found in scrubbed.leaves.items()}

        def put_tokens(put: Fill) -> None:
            for holder, key in result.fills:
                holder[key] = filled(holder[key], put)
            if self._deferred:
                fill_marks(clean, put)

        return Prepared(
            request=requests.request(),
            content_type=FHIR_JSON,
            parsed=clean,
            redactions={result.clean_path(path): found for path, found in scrubbed.redactions.items()},
            notes=map_notes(clean_notes, leaves),
            times={result.clean_path(path): minutes for path, minutes in result.times.items()},
            received=clock.minutes_of(time),
            age_years=age,
            sender=sender,
            coverage=_coverage(result, row.refused),
            gate=LeakCheck(self._watched(row.identity)),
            before=LeakCheck(row.identity) if self._deferred else None,
            opened=(*shown, *(note.text for note in clean_notes if note.path.endswith((".data", ".div")))),
            fill=put_tokens,
            surrogates=requests.surrogates,
            leaves=leaves,
        )

    def _pictures(self, row: _Read, parsed: Parsed, scrubbed: Scrubbed) -> list[str]:
        return add_pictures(parsed, row.scans, scrubbed) if self._scans == "picture" else []

    def _age(self, identity: MessageIdentity, time: str) -> tuple[int | None, int]:
        """Age of the patient at the message's time, and the last year that would tell an age over 89."""
        year = clock.year_of(time)
        oldest = self._policy.oldest_year if year is None else year - clock.OLDEST_AGE - 1
        if not self._policy.caps_ages:
            oldest = 0
        birth = identity.patient.birth_date if identity.patient else ""
        return (clock.age_at(birth, time) if birth and time else None), oldest


def _known(identity: MessageIdentity, age: int | None) -> Known:
    birth = identity.patient.birth_date if identity.patient else ""
    return Known(identity, birth_year=clock.year_of(birth) if age is not None and age > clock.OLDEST_AGE else None)


def _sender(parsed: Parsed, requests: TokenRequests) -> Sender:
    """Marks in place of the names: keyed hashes, as of message numbers, which nothing is stored of."""
    found = read_sender(parsed)
    names = (f"{kind}\x1f{name}" if name else "" for kind, name in (("sender", found.name), ("department", found.department)))
    return Sender(*(requests.mark(Kind.MESSAGE, name) if name else "" for name in names))


def _is_time(value: str) -> bool:
    return len(value) >= 12 and clock.day_of(value) is not None


def _separators(parsed: Parsed) -> str:
    if not isinstance(parsed, Message):
        return ""
    marks = parsed.delimiters
    return f"{marks.field}{marks.component}{marks.repetition}{marks.subcomponent}{marks.escape}"


def _coverage(result: Hl7Result | FhirResult, refused: dict[str, str]) -> Coverage:
    redacted: Counter[str] = result.redacted
    return Coverage(redacted=dict(redacted), refused={_without_ordinals(path): why for path, why in refused.items()})


def _without_ordinals(path: str) -> str:
    return "".join(piece.partition("]")[2] if n else piece for n, piece in enumerate(path.split("[")))


def _leaves(parsed: Parsed) -> list[str]:
    """Every decoded leaf of the finished message."""
    if isinstance(parsed, dict):
        found: list[str] = []
        _collect(parsed, found)
        return found
    delimiters = parsed.delimiters
    separators = {
        ord(c): "\x1e" for c in (delimiters.field, delimiters.component, delimiters.repetition, delimiters.subcomponent) if c
    }
    body = "\x1e".join([segment.text[len(segment.id) :] for segment in parsed.segments])
    leaves = list(dict.fromkeys(body.translate(separators).split("\x1e")))
    mark = delimiters.escape
    if mark and mark in body:
        return [parsed.header.leaf(leaf) if mark in leaf else leaf for leaf in leaves]
    return leaves


def _collect(value: Any, found: list[str]) -> None:
    if isinstance(value, dict):
        for key, child in value.items():
            if key != "resourceType" or not is_resource(child):
                _collect(child, found)
    elif isinstance(value, list):
        for child in value:
            _collect(child, found)
    elif isinstance(value, str):
        found.append(value)
    elif value is not None and not isinstance(value, bool):
        found.append(str(value))


def _policy(settings: Settings) -> Policy:
    if settings.deid.rules_file is None:
        return load_policy(settings.deid.profile)
    policy = load_policy_file(settings.deid.rules_file)
    if policy.profile != settings.deid.profile:
        raise ConfigurationError(path="deid.rules_file", detail="is for another profile than deid.profile")
    return policy


def make_deidentifier(settings: Settings) -> Deidentifier:
    """The step under these settings; not on an event loop, since rules that encrypt need the keyring.

    Raises:
        ConfigurationError: the policy or the PHI model cannot be loaded.
        StoreUnavailable: the keyring cannot be read now.
    """
    model = None
    if settings.deid.use_model:
        chosen = settings.models
        shelf = shelf_bundle(chosen.phi, chosen.shelf)
        model = ModelLayer(Tagger.load(shelf, execution=execution_of(chosen), trusted_keys=chosen.trusted_keys))
    policy = _policy(settings)
    cipher = ValueCipher(asyncio.run(read_keyring(settings)), settings.deid.tenant) if policy.encrypts else None
    return Deidentifier(
        policy,
        model,
        tenant=settings.deid.tenant,
        authorities=settings.deid.authorities,
        default_authority=settings.deid.default_authority,
        cipher=cipher,
        scans=settings.deid.scans,
    )
