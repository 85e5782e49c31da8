"""What people do to a patient's record, written to the audit log before it has an effect: telling who stands behind a token, and erasing.

Fails closed: where the audit entry is not acknowledged by Kafka, nothing is told and nothing is erased.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from agents.decide.store import ContextStore
from agents.vault.contract import PatientRecord, Vault
from schemas.audit import AuditEntry
from schemas.envelope import JSON, DataClass, Envelope
from schemas.erasure import Erasure
from schemas.errors import Poison
from schemas.handled import Handled
from schemas.ids import derived_id
from streams import topics
from streams.dead_letters import put_back
from streams.letters import Letter
from streams.record import Output
from streams.settings import Kafka
from streams.tail import tail

SOURCE: Final = "/ops"
#: Why somebody may be told who a token is: HL7 v3 PurposeOfUse (https://terminology.hl7.org/ValueSet-v3-PurposeOfUse.html).
PURPOSES: Final = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "HOPERAT": "healthcare operations",
    "PATSFTY": "patient safety",
    "PATADMIN": "patient administration",
    "PUBHLTH": "public health",
    "HLEGAL": "legal",
    "FAMRQT": "family request",
    "PATRQT": "patient request",
}


Action = Literal[
    "reidentify", "decrypt", "erase", "redrive", "discard", "read_letter", "replay", "promote", "rollback", "review", "export"
]


class Log(Protocol):
    async def produce(self, output: Output) -> None:
        """Store one record; returns when the log has acknowledged it, raises BrokerUnavailable when it has not."""


class Kept(Protocol):
    def keys(self, tokens: Collection[str]) -> Sequence[tuple[str, bytes]]:
        """(topic, record key) of every sample and label of these patients, as far as the log goes now. Raises BrokerUnavailable."""


class KeptInLog:
    """Samples and reviewed labels, found by reading their topics from beginning to end; nothing of them is held."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    def keys(self, tokens: Collection[str]) -> Sequence[tuple[str, bytes]]:
        found: dict[tuple[str, bytes], bool] = {}
        for record in tail(self._kafka, KEPT, to_end=True):
            if record.key is not None:
                found[record.topic, record.key] = _subject(record.value) in tokens
        return [place for place, theirs in found.items() if theirs]


#: Topics with text of patients under a token that last: one record without a value under its key erases one.
KEPT: Final = (topics.SAMPLE, topics.LABEL)


class _Subject(msgspec.Struct):
    subject: str = ""


def _subject(value: bytes | None) -> str:
    try:
        return msgspec.json.decode(value or b"{}", type=_Subject).subject
    except (msgspec.MsgspecError, UnicodeDecodeError):  # no record of ours; it holds up nobody's erasure
        return ""


@dataclass(frozen=True, slots=True)
class Act:
    """``agent`` is the person who acts, ``id`` a fresh UUID, ``now`` an aware instant."""

    id: str
    agent: str
    purpose: str
    now: datetime

    @property
    def time(self) -> str:
        return self.now.isoformat(timespec="milliseconds")


async def reidentify(vault: Vault, log: Log, token: str, act: Act) -> PatientRecord:
    """Who stands behind ``token``; a token that nobody stands behind is audited too.

    Raises:
        UnsupportedContent: the token is no patient's, or its patient was erased.
        BrokerUnavailable, StoreUnavailable: nothing was told.
    """
    try:
        record = await vault.reidentify(token)
    except Poison:
        await log.produce(audit_entry(act, "reidentify", "failure", token))
        raise
    await log.produce(audit_entry(act, "reidentify", "success", token))
    return record


async def decrypt(plain: Callable[[str], str], log: Log, value: str, digest: str, act: Act) -> str:
    """What ``value`` stands for; ``digest`` names it in the audit log, which is told of failures too.

    Raises:
        UnsupportedContent: this installation did not write it.
        BrokerUnavailable: nothing was told.
    """
    try:
        text = plain(value)
    except Poison:
        await log.produce(audit_entry(act, "decrypt", "failure", record=digest))
        raise
    await log.produce(audit_entry(act, "decrypt", "success", record=digest))
    return text


async def refused(log: Log, action: Action, act: Act, token: str = "") -> None:
    """Somebody without the role asked. Raises BrokerUnavailable."""
    await log.produce(audit_entry(act, action, "failure", token))


async def handle(log: Log, letter: Letter, action: Literal["redriven", "discarded"], act: Act) -> None:
    """Put a dead letter back where it came from, or aside for good: audited, done, and then marked as handled.

    A run that is cut off between the last two puts the letter back once more next time, with the same ids.

    Raises:
        BrokerUnavailable: not done, or done and not marked.
        ValueError: it cannot go back.
    """
    output = put_back(letter.record) if action == "redriven" else None
    kind: Action = "redrive" if action == "redriven" else "discard"
    await log.produce(audit_entry(act, kind, "success", record=letter.name))
    if output is not None:
        await log.produce(output)
    topic, partition, offset = letter.place
    row = Handled(
        id=derived_id(act.id, "handled", ordinal=letter.name),
        topic=topic,
        partition=partition,
        offset=offset,
        action=action,
        time=act.time,
        agent=act.agent,
        act=act.id,
    )
    await log.produce(output_of(topics.HANDLED, act, row.id, "", msgspec.json.encode(row), key=letter.name.encode()))


async def replayed(log: Log, name: str, act: Act) -> None:
    """A replay begins or goes on. Raises BrokerUnavailable: it must not."""
    await log.produce(audit_entry(act, "replay", "success", record=name))


async def look_into(log: Log, letter: Letter, act: Act) -> bytes | None:
    """The value of a dead letter, told after the entry is stored. Raises BrokerUnavailable."""
    await log.produce(audit_entry(act, "read_letter", "success", record=letter.name))
    return letter.record.value


async def erase(vault: Vault, contexts: ContextStore, kept: Kept, log: Log, token: str, act: Act) -> bool:
    """Destroy the record with its data key, its links, the patient's context with the outcomes of messages, samples and labels, and say so to
    whoever keeps more; of every token that was merged into this patient's too.

    The audit entry stays, and so does the event, by token. May be repeated: what is gone stays gone, the event is published again.

    Returns:
        Whether the vault still knew the token.
    Raises:
        BrokerUnavailable, StoreUnavailable: repeat the call; what is done already is not undone.
    """
    first, *merged = await vault.tokens(token) or (token,)
    for each in (first, *merged):
        await log.produce(audit_entry(act, "erase", "success", each))
    if merged:  # before the vault forgets them; no message comes under a retired token any more
        await _drop(contexts, kept, log, merged, act)
    known = await vault.erase(first)
    await _drop(contexts, kept, log, [first], act)
    return known


async def _drop(contexts: ContextStore, kept: Kept, log: Log, tokens: Sequence[str], act: Act) -> None:
    for topic, key in await asyncio.to_thread(kept.keys, frozenset(tokens)):
        await log.produce(
            output_of(topic, act, derived_id(act.id, topic, ordinal=key.decode("ascii", "replace")), "", None, key=key)
        )
    for token in tokens:
        await contexts.forget(token)
        event = Erasure(id=derived_id(act.id, "erasure", ordinal=token), time=act.time, subject=token)
        await log.produce(output_of(topics.ERASURE, act, event.id, token, msgspec.json.encode(event)))


def audit_entry(act: Act, action: Action, outcome: Literal["success", "failure"], token: str = "", *, record: str = "") -> Output:
    """The entry for the audit log: what ``act`` did to the patient ``token`` or to ``record``, without a direct identifier."""
    name = derived_id(act.id, action, ordinal=token or record)
    entry = AuditEntry(
        id=name,
        action=action,
        outcome=outcome,
        time=act.time,
        agent=act.agent,
        purpose=act.purpose,
        subject=token,
        record=record,
    )
    return output_of(topics.AUDIT, act, name, token, msgspec.json.encode(entry))


def output_of(topic: str, act: Act, name: str, token: str, value: bytes | None, *, key: bytes | None = None) -> Output:
    """A record of ours for ``topic`` with the headers of an act."""
    headers = Envelope(
        id=name,
        source=SOURCE,
        type=topics.BY_NAME[topic].event_type,
        time=act.time,
        content_type=JSON,
        data_class=DataClass.INTERNAL,
        origin=act.id,
        subject=token or None,
    ).headers()
    return Output(topic, token.encode() if key is None else key, value, headers)
