"""The stage ``cards``: flags of ``deid.flag.raised.v1`` as cards in the store, where the CDS Hooks door finds them by the patient's number.

It is on the released side: it asks the vault who a token is, and keeps nothing of the answer but keyed hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agents.publish.cards import field_of, kept_card
from agents.publish.disclosure import disclosed
from agents.publish.release import Releaser, numbers_of
from schemas.deidentified import decode_map
from schemas.envelope import DataClass, Envelope, parse_headers
from schemas.errors import Poison, Reason, SchemaMismatch
from schemas.flags import Decision
from streams.card_index import CardIndex, rows_of
from streams.keyring import read_keyring
from streams.record import Record, decoded
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from streams.store import Store, connect

STAGE = "cards"
_DECODER = msgspec.json.Decoder(Decision)
DAY_S = 86_400
#: As the audit entry names the door.
RECIPIENT = "cds-hooks"


@dataclass(frozen=True, slots=True)
class _Read:
    envelope: Envelope
    decision: Decision


class CardWriter:
    """What stages that write cards hold while they are open: the store, the key of its hashes, the vault."""

    def __init__(self, settings: Settings, releaser: Releaser | None = None) -> None:
        self._settings = settings
        self._releaser = releaser or Releaser(settings)
        self._store: Store | None = None
        self._index: CardIndex | None = None

    async def open(self) -> None:
        """Raises ConfigurationError without a keyring or the vault's rights."""
        await self._releaser.open()
        self._index = CardIndex(await read_keyring(self._settings), self._settings.deid)
        self._store = connect(self._settings.redis)

    def opened(self) -> tuple[Store, CardIndex]:
        if self._store is None or self._index is None:
            raise RuntimeError("process before open")
        return self._store, self._index

    async def close(self) -> None:
        await self._releaser.close()
        if self._store is not None:
            await self._store.aclose()
            self._store = None


class CardsStage(CardWriter):
    """See ``streams.stage.Stage``. Writing a card again writes the same."""

    name = STAGE

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises StoreUnavailable: the batch comes again."""
        store, index = self.opened()
        read = [_read(record) for record in records]
        flagged = [row.decision for row in read if isinstance(row, _Read) and row.decision.flags]
        people = await self._releaser.survivors(decision.findings.subject for decision in flagged)
        life = self._settings.cds.days * DAY_S
        async with store.pipeline(transaction=False) as pipe:
            for decision in flagged:
                subject = decision.findings.subject
                person = people.get(subject)
                if person is None:
                    continue  # erased meanwhile: nobody's card
                rows = [index.row(*number) for number in numbers_of(person)]
                for row in rows:
                    for flag in decision.flags:
                        if flag.ended:
                            pipe.hdel(row, field_of(flag))
                        else:
                            pipe.hset(row, field_of(flag), msgspec.json.encode(kept_card(flag, decision.findings)))
                    pipe.expire(row, life)
                if rows:
                    named = rows_of(self._settings.deid.tenant, person.into or subject)
                    pipe.sadd(named, *rows)
                    pipe.expire(named, life)
            if len(pipe):
                await pipe.execute()
        return [_outcome(record, row, people) for record, row in zip(records, read, strict=True)]


def _outcome(record: Record, row: _Read | Poison | None, people: Mapping[str, object]) -> Outcome:
    """Whoever was identified for a card has an audit entry."""
    if isinstance(row, Poison):
        return Refused(row)
    if row is None or not row.decision.flags or people.get(row.decision.findings.subject) is None:
        return Done()
    return Done((disclosed(STAGE, record, row.envelope, RECIPIENT),))


def _read(record: Record) -> _Read | Poison | None:
    """``None``: no patient behind it."""
    try:
        envelope = parse_headers(record.headers)
        envelope.require(DataClass.INTERNAL)
        decision = decoded(record.value, _DECODER)
        if decision.findings.subject != envelope.subject:
            raise SchemaMismatch(Reason.SCHEMA_MISMATCH, path="ce_subject")
        return None if decode_map(envelope.deid_map).without_patient else _Read(envelope, decision)
    except Poison as error:
        return error


def build(settings: Settings) -> CardsStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return CardsStage(settings)
