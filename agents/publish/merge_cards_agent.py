"""The stage ``merge_cards``: two tokens are one patient (``deid.patient.merged.v1``), so the cards that the retired one has follow to the survivor's numbers.

On the released side, as ``cards``: it asks the vault who the survivor is, and keeps nothing of the answer but keyed hashes.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.publish.cards_agent import DAY_S, RECIPIENT, hashes_of
from agents.publish.disclosure import disclosed
from agents.publish.release import Releaser
from schemas.errors import Poison
from schemas.merges import read_merge
from streams.card_index import CardIndex, move_cards
from streams.keyring import read_keyring
from streams.record import Record
from streams.settings import Settings
from streams.stage import Done, Outcome, Refused
from streams.store import Store, connect

STAGE = "merge_cards"


class MergeCardsStage:
    """See ``streams.stage.Stage``. A record that comes again finds no cards of the retired token and changes nothing."""

    name = STAGE

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

    async def process(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Raises StoreUnavailable: the batch comes again."""
        if self._store is None or self._index is None:
            raise RuntimeError("process before open")
        outcomes: list[Outcome] = []
        for record in records:
            try:
                envelope, merge = read_merge(record.headers, record.value)
            except Poison as error:
                outcomes.append(Refused(error))
                continue
            person = (await self._releaser.survivors((merge.survivor,))).get(merge.survivor)
            rows = [] if person is None else hashes_of(self._index, person.person)
            survivor = (person.into if person is not None else "") or merge.survivor
            life_s = self._settings.cds.days * DAY_S
            await move_cards(self._store, self._settings.deid.tenant, merge.retired, survivor, rows, life_s)
            outcomes.append(Done(() if person is None else (disclosed(STAGE, record, envelope, RECIPIENT),)))
        return outcomes

    async def close(self) -> None:
        await self._releaser.close()
        if self._store is not None:
            await self._store.aclose()
            self._store = None


def build(settings: Settings) -> MergeCardsStage:
    """The stage under these settings; nothing is opened before ``open``."""
    return MergeCardsStage(settings)
